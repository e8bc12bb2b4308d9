//! User names: their form, and those that nobody may take.

const LENGTH_MIN: usize = 5;
const LENGTH_MAX: usize = 60;

/// The magic name of tests: registration runs, but stores nothing.
pub const DRY_RUN: &str = "backloop";

/// `^[a-z0-9][a-z0-9-]{3,58}[a-z0-9]$`; upper case is refused, not folded.
pub fn is_valid(name: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (LENGTH_MIN..=LENGTH_MAX).contains(&name.len())
        && name.bytes().all(is_inner)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// Refused at registration and when a name is changed, with the same answer as a name that is taken.
pub fn is_reserved(name: &str) -> bool {
    const WORDS: &str = include_str!("reserved_words.txt");
    name.starts_with("pryv") || WORDS.lines().any(|word| word == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_5_to_60_small_letters_digits_and_inner_dashes() {
        let (shortest, longest) = ("a1-b2", "x".repeat(60));
        for name in [shortest, "12345", "a---0", &longest] {
            assert!(is_valid(name), "{name}");
        }
        let too_long = "x".repeat(61);
        for name in ["", "abcd", "-abcd", "abcd-", "Abcde", "abc_e", "abcdé", &too_long] {
            assert!(!is_valid(name), "{name}");
        }
    }

    #[test]
    fn words_of_the_infrastructure_are_reserved_but_their_plurals_are_not() {
        for name in [
            "admin",
            "access",
            "account",
            "profile",
            "event",
            "stream",
            "service",
            "system",
            "register",
            "socket",
            "support",
            "static",
            "oauth",
            "www",
            "api",
            "health",
            "ready",
            "metrics",
            "pryv",
            "pryvateer",
        ] {
            assert!(is_reserved(name), "{name}");
        }
        for name in ["events", "streams", "accesses", "webhooks", "juliette", DRY_RUN] {
            assert!(!is_reserved(name), "{name}");
        }
    }
}
