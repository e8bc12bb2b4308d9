//! Which neighbours to merge: pure arithmetic over the sizes of a slot's segments, in the order of their flushes.
//!
//! A merge at least doubles every segment that it takes (or makes a full one), so a point is rewritten at most
//! log2(largest / smallest) times; see the test for what that comes to.

use std::ops::Range;

/// Segments in one merge; more would only hold more files open.
pub const MERGED_MAX: usize = 16;
/// Fewer are merged only into a full segment.
const MERGED_MIN: usize = 4;
/// Smaller segments count as if they had this size: how they differ costs nothing.
const SIZE_FLOOR_BYTES: u64 = 256 << 10;

/// The neighbours to be merged next, the smallest ones first.
pub(crate) fn choose(sizes: &[u64], segment_bytes_max: u64) -> Option<Range<usize>> {
    let mut best: Option<(u64, Range<usize>)> = None;
    for start in 0..sizes.len() {
        let (mut total, mut largest) = (0_u64, 0_u64);
        for (taken, bytes) in sizes.iter().skip(start).take(MERGED_MAX).enumerate() {
            let bytes = (*bytes).max(SIZE_FLOOR_BYTES);
            total = total.saturating_add(bytes);
            largest = largest.max(bytes);
            let count = taken + 1;
            if total > segment_bytes_max {
                break;
            }
            let doubles = count >= MERGED_MIN && largest <= total / 2;
            let fills = count >= 2 && total >= segment_bytes_max / 2 && largest <= total / 3 * 2;
            let average = total / u64::try_from(count).unwrap_or(1);
            // Of windows with the same average the longest: later ones of the same start replace earlier ones.
            let is_better = best
                .as_ref()
                .is_none_or(|(least, found)| average < *least || (average == *least && found.start == start));
            if (doubles || fills) && is_better {
                best = Some((average, start..start + count));
            }
        }
    }
    best.map(|(_, window)| window)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn equal_neighbours_are_merged_and_a_large_one_is_left_alone() {
        assert_eq!(choose(&[MIB, MIB, MIB], 256 * MIB), None);
        assert_eq!(choose(&[MIB; 4], 256 * MIB), Some(0..4));
        assert_eq!(choose(&[64 * MIB, MIB, MIB, MIB, MIB], 256 * MIB), Some(1..5));
        assert_eq!(choose(&[64 * MIB, 32 * MIB, 16 * MIB, 8 * MIB, 4 * MIB], 256 * MIB), None);
        assert_eq!(choose(&[100 * MIB, 100 * MIB], 256 * MIB), Some(0..2), "together a full one");
        assert_eq!(choose(&[200 * MIB, 200 * MIB, MIB], 256 * MIB), None);
        assert_eq!(choose(&[1; 40], 256 * MIB), Some(0..16), "tiny ones, as many as may be");
    }

    /// Flushes of varying size for a long time: what the docs say of counts and rewriting.
    #[test]
    fn the_number_of_segments_and_the_bytes_rewritten_stay_bounded() {
        let (max, mut sizes, mut flushed, mut rewritten, mut most) = (256 * MIB, Vec::new(), 0, 0, 0);
        for flush in 0..4_000_u64 {
            let bytes = MIB + flush.wrapping_mul(2_654_435_761) % (3 * MIB);
            sizes.push(bytes);
            flushed += bytes;
            while let Some(window) = choose(&sizes, max) {
                let total: u64 = sizes[window.clone()].iter().sum();
                rewritten += total;
                sizes.splice(window, [total]);
            }
            let full_ones = usize::try_from(flushed / (max / 4)).unwrap();
            most = most.max(sizes.len() - full_ones.min(sizes.len()));
        }
        assert_eq!(sizes.iter().sum::<u64>(), flushed);
        assert!(rewritten < 6 * flushed, "{} times", rewritten / flushed);
        assert!(most <= 24, "{most} beside the full ones");
    }
}
