//! Ids made from what a client sent (Pryv: slugs), for streams and tokens.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::permission::reserved::{CMC_ROOT, Store, in_store};

/// These would be taken for something else in a URL or a query.
const RESERVED: [&str; 3] = ["null", "undefined", "*"];

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("The id \"{0}\" is reserved, choose another one.")]
pub struct ReservedId(pub String);

/// Accents and known letters in plain letters, white space as `-`, everything beyond `[A-Za-z0-9_.~-]` left out,
/// case kept. What would leave nothing is named by its Base64.
pub fn slugify(text: &str) -> String {
    let slug = plain_slug(text);
    if slug.is_empty() { plain_slug(&STANDARD.encode(text)) } else { slug }
}

/// The id under which a new stream is stored.
pub fn stream_id(sent: &str) -> Result<String, ReservedId> {
    let name = in_store(sent);
    let refuse = |id: &str| if RESERVED.contains(&id) { Err(ReservedId(id.to_owned())) } else { Ok(()) };
    refuse(name)?;
    // Paths of the messaging plugin keep their colons.
    if sent.starts_with(CMC_ROOT) {
        return Ok(sent.to_owned());
    }
    let slug = slugify(name);
    refuse(&slug)?;
    let prefix = if Store::of(sent) == Store::Local { "" } else { sent.strip_suffix(name).unwrap_or_default() };
    Ok(format!("{prefix}{slug}"))
}

/// The token of an access, chosen by a client.
pub fn token(sent: &str) -> Result<String, ReservedId> {
    let slug = slugify(sent);
    if RESERVED.contains(&slug.as_str()) { Err(ReservedId(slug)) } else { Ok(slug) }
}

fn plain_slug(text: &str) -> String {
    let mut slug = String::with_capacity(text.len());
    for letter in text.trim().chars() {
        let spelled = if letter.is_whitespace() { "-" } else { spell(letter).unwrap_or_default() };
        if spelled.is_empty() && letter.is_ascii() {
            push(&mut slug, letter);
        }
        spelled.chars().for_each(|plain| push(&mut slug, plain));
    }
    slug.trim_end_matches('-').to_owned()
}

/// Runs of `-` are one, and none comes first.
fn push(slug: &mut String, letter: char) {
    let repeated = letter == '-' && (slug.is_empty() || slug.ends_with('-'));
    if (letter.is_ascii_alphanumeric() || matches!(letter, '_' | '.' | '~' | '-')) && !repeated {
        slug.push(letter);
    }
}

/// Only alphabets whose letters have one usual spelling in Latin: others (and symbols) are left out, not guessed.
fn spell(letter: char) -> Option<&'static str> {
    let is_known = matches!(letter,
        '\u{aa}' | '\u{ba}' | '\u{c0}'..='\u{d6}' | '\u{d8}'..='\u{f6}' | '\u{f8}'..='\u{24f}' // Latin
        | '\u{370}'..='\u{3ff}' | '\u{400}'..='\u{52f}' // Greek, Cyrillic
        | '\u{531}'..='\u{587}' | '\u{10a0}'..='\u{10ff}' // Armenian, Georgian
        | '\u{1e00}'..='\u{1eff}' | '\u{1f00}'..='\u{1fff}'); // Latin and Greek with more accents
    if is_known { deunicode::deunicode_char(letter) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stream_ids_are_stored_as_the_specification_shows() {
        for (sent, stored) in [
            ("pas encodé de bleu!", "pas-encode-de-bleu"),
            ("My Stream.v2~x", "My-Stream.v2~x"),
            ("UPPER_case", "UPPER_case"),
            ("a/b", "ab"),
            ("a$b@c", "abc"),
            ("-a-", "a"),
            ("a--b  c", "a-b-c"),
            ("I ♥ U", "I-U"),
            ("日本", "5pel5pys"),
            ("---", "LS0t"),
            ("ñandú ß", "nandu-ss"),
            ("size", "size"),
            (":_cmc:apps:my-app", ":_cmc:apps:my-app"),
        ] {
            assert_eq!(stream_id(sent).as_deref(), Ok(stored), "{sent}");
        }
    }

    #[test]
    fn reserved_ids_are_refused_before_and_after_the_slug() {
        for sent in ["null", "undefined", "*", " null ", "nu!ll", "undefined?"] {
            assert!(stream_id(sent).is_err(), "{sent}");
        }
    }

    #[test]
    fn a_star_is_a_possible_token_but_null_is_not() {
        assert_eq!(token("*").as_deref(), Ok("Kg"));
        assert_eq!(token("pas encodé de bleu!").as_deref(), Ok("pas-encode-de-bleu"));
        assert_eq!(token("null"), Err(ReservedId("null".into())));
    }

    #[test]
    fn a_slug_is_its_own_slug() {
        for sent in ["Ünïcode Ω ж", "a.b", "~", "x - y"] {
            let slug = slugify(sent);
            assert_eq!(slugify(&slug), slug);
        }
    }
}
