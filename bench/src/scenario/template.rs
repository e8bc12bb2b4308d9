//! Posts of points that cost the generator next to nothing: growing times, values with two decimals as of a sensor.

/// The first post of a series; a power of ten, since a JSON number has no leading zeros.
pub(super) const FIRST_POST: u64 = 1_000;

/// A ready body; a post changes only its number, the leading digits of every time.
pub(super) struct Template {
    body: Vec<u8>,
    post_digits: usize,
    times_at: Vec<usize>,
}

impl Template {
    pub(super) fn new(points: usize, post_digits: usize) -> Self {
        let mut body = br#"{"format":"flatJSON","fields":["deltaTime","value"],"points":["#.to_vec();
        let mut times_at = Vec::with_capacity(points);
        let width = index_digits(points);
        for index in 0..points {
            if index > 0 {
                body.push(b',');
            }
            times_at.push(body.len() + 1);
            let noise = index * 7_919 % 500;
            let (whole, hundredths) = (70 + noise / 100, noise % 100);
            let row = format!("[{}{index:0width$},{whole}.{hundredths:02}]", "1".repeat(post_digits));
            body.extend_from_slice(row.as_bytes());
        }
        body.extend_from_slice(b"]}");
        Self { body, post_digits, times_at }
    }

    pub(super) fn post_digits(&self) -> usize {
        self.post_digits
    }

    pub(super) fn body_bytes(&self) -> usize {
        self.body.len()
    }

    /// The time of the first point of a post.
    pub(super) fn start_of(post: u64, points: usize) -> u64 {
        let digits = u32::try_from(index_digits(points)).expect("a number has few digits");
        post * 10_u64.pow(digits)
    }

    pub(super) fn write(&self, post: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.body);
        let Some(body) = out.get_mut(start..) else { return };
        for at in &self.times_at {
            if let Some(digits) = body.get_mut(*at..at + self.post_digits) {
                digits.copy_from_slice(post);
            }
        }
    }
}

/// Digits of the largest index within a post.
fn index_digits(points: usize) -> usize {
    points.saturating_sub(1).max(1).to_string().len()
}
