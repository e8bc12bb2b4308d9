//! The `Date` header of answers (RFC 9110 6.6.1), made once a second and shared by all answers of a shard.

use std::time::{SystemTime, UNIX_EPOCH};

const SECONDS_PER_DAY: u64 = 86_400;
/// 1 January 1970 was a Thursday.
const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The text for the current second.
#[derive(Debug, Default)]
pub(crate) struct DateText {
    second: u64,
    text: String,
}

impl DateText {
    /// Makes the text anew when the second has changed.
    pub(crate) fn update(&mut self, now: SystemTime) {
        let second = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        if self.text.is_empty() || second != self.second {
            self.second = second;
            self.text = imf_fixdate(second);
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }
}

/// IMF-fixdate, as in `Sun, 06 Nov 1994 08:49:37 GMT`.
fn imf_fixdate(second: u64) -> String {
    let (day, in_day) = (second / SECONDS_PER_DAY, second % SECONDS_PER_DAY);
    let weekday = WEEKDAYS.iter().cycle().nth(usize::try_from(day % 7).unwrap_or(0)).unwrap_or(&"Thu");
    let (year, month, day_of_month) = civil(day);
    let month = MONTHS.get(month).unwrap_or(&"Jan");
    let (hour, minute, second) = (in_day / 3600, in_day / 60 % 60, in_day % 60);
    format!("{weekday}, {day_of_month:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
}

/// Year, month (0 is January) and day of the month of a day since 1970, by counting years of 1 March to end of February
/// in eras of 400 years (Hinnant, "chrono-compatible low-level date algorithms", `civil_from_days`).
fn civil(day: u64) -> (u64, usize, u64) {
    let shifted = day + 719_468;
    let (era, in_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (in_era - in_era / 1460 + in_era / 36_524 - in_era / 146_096) / 365;
    let in_year = in_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * in_year + 2) / 153;
    let day_of_month = in_year - (153 * march_month + 2) / 5 + 1;
    let month = (march_month + 2) % 12;
    let year = year_of_era + era * 400 + u64::from(month < 2);
    (year, usize::try_from(month).unwrap_or(0), day_of_month)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(imf_fixdate(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(imf_fixdate(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(imf_fixdate(951_782_399), "Mon, 28 Feb 2000 23:59:59 GMT");
        assert_eq!(imf_fixdate(951_782_400), "Tue, 29 Feb 2000 00:00:00 GMT");
        assert_eq!(imf_fixdate(4_107_542_399), "Sun, 28 Feb 2100 23:59:59 GMT");
        assert_eq!(imf_fixdate(4_107_542_400), "Mon, 01 Mar 2100 00:00:00 GMT");
    }

    #[test]
    fn the_text_follows_the_clock() {
        let mut date = DateText::default();
        date.update(UNIX_EPOCH);
        date.update(UNIX_EPOCH + Duration::from_secs(1));
        assert_eq!(date.as_str(), "Thu, 01 Jan 1970 00:00:01 GMT");
    }
}
