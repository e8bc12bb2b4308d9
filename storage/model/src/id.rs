//! Identifiers: what names a user, a slot, a series, an item.

use std::fmt;
use std::sync::Arc;

/// The internal, immutable id of an account (cuid2 form). Clients never see it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserId(Arc<str>);

impl UserId {
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        Self(id.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One of the few files of the embedded engine. A user belongs to one slot for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SlotId(pub u16);

/// Names the points of one holder event, never reused: the slot in the upper 16 bits, a counter of
/// that slot in the lower 48. Committed with the holder event before its creation is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesKey(u64);

impl SeriesKey {
    const COUNTER_BITS: u32 = 48;
    pub const COUNTER_MAX: u64 = (1 << Self::COUNTER_BITS) - 1;

    /// `None` when the counter of the slot is exhausted (beyond 2^48 - 1).
    pub fn new(slot: SlotId, counter: u64) -> Option<Self> {
        (counter <= Self::COUNTER_MAX).then(|| Self((u64::from(slot.0) << Self::COUNTER_BITS) | counter))
    }

    pub fn from_u64(raw: u64) -> Self {
        Self(raw)
    }

    pub fn as_u64(self) -> u64 {
        self.0
    }

    pub fn slot(self) -> SlotId {
        SlotId(u16::try_from(self.0 >> Self::COUNTER_BITS).expect("48 bits were shifted away"))
    }
}

/// Characters of a server-made id after its first letter.
const ITEM_ID_TAIL: usize = 23;

/// A new id in cuid2 form, `[a-z][a-z0-9]{23}`: 123 random bits.
pub fn fresh_item_id() -> String {
    const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let mut id = String::with_capacity(ITEM_ID_TAIL + 1);
    let mut random = [0_u8; 48];
    while id.len() <= ITEM_ID_TAIL {
        getrandom::fill(&mut random).expect("the operating system always has random bytes on Linux");
        for byte in random {
            let choices: u8 = if id.is_empty() { 26 } else { 36 };
            // Bytes beyond the last whole multiple would favour the first letters.
            let fair = byte < u8::MAX - u8::MAX % choices;
            if let Some(letter) = ALPHABET.get(usize::from(byte % choices)).filter(|_| fair && id.len() <= ITEM_ID_TAIL)
            {
                id.push(char::from(*letter));
            }
        }
    }
    id
}

/// Whether a client may choose this as the id of an event: `:store:` + 1 to 256 letters, digits or dashes;
/// `c` + 24 (cuid); `[a-z]` + 23 (cuid2).
pub fn is_event_id(id: &str) -> bool {
    let lower = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let all = |text: &str, test: fn(u8) -> bool| text.bytes().all(test);
    if let Some(rest) = id.strip_prefix(':') {
        let Some((store, item)) = rest.split_once(':') else { return false };
        let is_store = !store.is_empty() && all(store, |b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        return is_store && (1..=256).contains(&item.len()) && all(item, |b| b.is_ascii_alphanumeric() || b == b'-');
    }
    let is_cuid = id.len() == 25 && id.starts_with('c') && id.bytes().all(|b| lower(b) || b == b'-');
    let is_cuid2 = id.len() == ITEM_ID_TAIL + 1
        && id.starts_with(|first: char| first.is_ascii_lowercase())
        && id.bytes().all(lower);
    is_cuid || is_cuid2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_id_has_the_form_of_a_cuid2_and_is_new() {
        let ids: std::collections::HashSet<String> = (0..2_000).map(|_| fresh_item_id()).collect();
        assert_eq!(ids.len(), 2_000);
        assert!(ids.iter().all(|id| id.len() == 24 && is_event_id(id)));
    }

    #[test]
    fn clients_may_choose_ids_of_the_three_forms_only() {
        let store_item = format!(":my-store:{}", "A-9".repeat(80));
        for id in [
            ":s:x",
            store_item.as_str(),
            "cabcdefghijklmnopqrstuvwx",
            "c-----------------------x",
            "zabcdefghijklmnopqrstu12",
        ] {
            assert!(is_event_id(id), "{id}");
        }
        let too_long = format!(":s:{}", "a".repeat(257));
        for id in [
            "",
            "a",
            ":s:",
            "::x",
            ":S:x",
            ":s:x_y",
            "babcdefghijklmnopqrstuvwx",
            "1abcdefghijklmnopqrstu12",
            "Zabcdefghijklmnopqrstu12",
            too_long.as_str(),
        ] {
            assert!(!is_event_id(id), "{id}");
        }
    }

    #[test]
    fn a_series_key_holds_its_slot_and_never_overflows_into_it() {
        let key = SeriesKey::new(SlotId(3), SeriesKey::COUNTER_MAX).unwrap();
        assert_eq!(key.slot(), SlotId(3));
        assert_eq!(SeriesKey::new(SlotId(3), SeriesKey::COUNTER_MAX + 1), None);
        assert_eq!(SeriesKey::from_u64(key.as_u64()), key);
    }
}
