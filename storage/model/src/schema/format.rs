//! The standard formats of texts. What is not known here fits, as the schema standard asks for.

use std::net::{Ipv4Addr, Ipv6Addr};

pub(super) fn fits(format: &str, text: &str) -> bool {
    match format {
        "date" => is_date(text),
        "time" => is_time(text),
        "date-time" => match text.get(..10).zip(text.get(10..11)).zip(text.get(11..)) {
            Some(((date, "T" | "t" | " "), time)) => is_date(date) && is_time(time),
            _ => false,
        },
        "email" => is_email(text),
        "uri" => text.split_once(':').is_some_and(|(scheme, rest)| is_scheme(scheme) && is_uri_rest(rest)),
        "ipv4" => text.parse::<Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<Ipv6Addr>().is_ok(),
        "hostname" => is_hostname(text),
        _ => true,
    }
}

/// `YYYY-MM-DD`, a day of the calendar.
fn is_date(text: &str) -> bool {
    let mut parts = text.split('-');
    let mut part = |length: usize| parts.next().filter(|part| part.len() == length).and_then(number);
    let (Some(year), Some(month), Some(day), None) = (part(4), part(2), part(2), parts.next()) else { return false };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        1..=12 => 31,
        _ => return false,
    };
    (1..=days).contains(&day)
}

/// `HH:MM:SS`, with optional decimals, then `Z` or an offset.
fn is_time(text: &str) -> bool {
    let Some((clock, rest)) = text.split_at_checked(8) else { return false };
    let mut parts = clock.split(':').map(|part| Some(part).filter(|part| part.len() == 2).and_then(number));
    let (Some(Some(hour)), Some(Some(minute)), Some(Some(second))) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let zone = match rest.strip_prefix('.') {
        Some(decimals) => decimals.trim_start_matches(|digit: char| digit.is_ascii_digit()),
        None => rest,
    };
    let offset = |text: &str| {
        let (hours, minutes) = text.split_once(':')?;
        Some(number(hours)? < 24 && number(minutes)? < 60 && hours.len() == 2 && minutes.len() == 2)
    };
    let zone_ok = match zone.chars().next() {
        Some('Z' | 'z') => zone.len() == 1,
        Some('+' | '-') => zone.get(1..).and_then(offset).unwrap_or(false),
        _ => false,
    };
    hour < 24 && minute < 60 && second <= 60 && zone_ok
}

fn number(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn is_email(text: &str) -> bool {
    let local = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+/=?^_`{|}~-.".contains(&byte);
    text.rsplit_once('@').is_some_and(|(name, host)| {
        let dots_ok = !name.is_empty() && !name.starts_with('.') && !name.ends_with('.') && !name.contains("..");
        dots_ok && name.bytes().all(local) && host.contains('.') && is_hostname(host)
    })
}

fn is_hostname(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    text.len() <= 253 && text.split('.').all(is_label)
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
}

fn is_uri_rest(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn formats_accept_what_their_standards_show_and_refuse_near_misses() {
        for (format, good, bad) in [
            ("date", "2024-02-29", "2023-02-29"),
            ("time", "23:59:60.5Z", "24:00:00Z"),
            ("date-time", "2024-01-31T10:00:00+02:00", "2024-01-31 10:00"),
            ("email", "a.b@example.com", "a..b@example.com"),
            ("uri", "https://example.com/a?b#c", "example.com"),
            ("ipv4", "127.0.0.1", "127.0.0.256"),
            ("ipv6", "::1", ":::1"),
            ("hostname", "a-b.example.com", "-a.example.com"),
        ] {
            assert!(fits(format, good), "{format} {good}");
            assert!(!fits(format, bad), "{format} {bad}");
        }
        assert!(fits("unknown-format", "anything"));
    }

    #[test]
    fn texts_beyond_ascii_do_not_break_the_cutting() {
        for format in ["date", "time", "date-time", "email", "uri", "hostname"] {
            assert!(!fits(format, "éééééééééééé"));
            assert!(!fits(format, ""));
        }
    }
}
