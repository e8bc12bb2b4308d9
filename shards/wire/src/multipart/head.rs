//! The headers of a part: its name, the name of its file, its type.

use super::{BOUNDARY_BYTES_MAX, MultipartError, NAME_BYTES_MAX};

/// What a part's headers say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartHead {
    pub name: String,
    /// Present when the part is a file; without folders. Empty when a form had no file chosen.
    pub file_name: Option<String>,
    /// As it was sent: visible ASCII and blanks only.
    pub content_type: Option<String>,
}

/// The `boundary` of a `Content-Type` header.
pub fn boundary_of(content_type: &str) -> Result<String, MultipartError> {
    let (_, parameters) = content_type.split_once(';').ok_or(MultipartError::NoBoundary)?;
    let mut found = parse_parameters(parameters).ok_or(MultipartError::NoBoundary)?.into_iter();
    let boundary = found.find(|(name, _)| name == "boundary").map(|(_, value)| value).unwrap_or_default();
    // RFC 2046 5.1.1: bchars, and no space at the end.
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&byte);
    match (1..=BOUNDARY_BYTES_MAX).contains(&boundary.len())
        && boundary.bytes().all(is_allowed)
        && !boundary.ends_with(' ')
    {
        true => Ok(boundary),
        false => Err(MultipartError::NoBoundary),
    }
}

impl PartHead {
    pub(super) fn parse(lines: &[u8]) -> Result<Self, MultipartError> {
        let (mut disposition, mut content_type) = (None, None);
        let text = String::from_utf8_lossy(lines);
        for line in text.split("\r\n").filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':').ok_or(MultipartError::Header)?;
            if name.is_empty() || !name.bytes().all(is_token) || value.chars().any(is_control) {
                return Err(MultipartError::Header);
            }
            // Of two headers with one name the first counts.
            let place = match name.to_ascii_lowercase().as_str() {
                "content-disposition" => &mut disposition,
                "content-type" => &mut content_type,
                _ => continue,
            };
            place.get_or_insert_with(|| value.trim().to_owned());
        }
        let (name, file_name) = read_disposition(&disposition.ok_or(MultipartError::Disposition)?)?;
        let content_type = content_type.filter(|kind| !kind.is_empty() && kind.bytes().all(|byte| byte.is_ascii()));
        Ok(Self { name, file_name, content_type })
    }
}

/// RFC 7578 4.2.
fn read_disposition(value: &str) -> Result<(String, Option<String>), MultipartError> {
    let (kind, parameters) = value.split_once(';').ok_or(MultipartError::Disposition)?;
    if !kind.trim().eq_ignore_ascii_case("form-data") {
        return Err(MultipartError::Disposition);
    }
    let (mut name, mut plain, mut extended) = (None, None, None);
    for (key, value) in parse_parameters(parameters).ok_or(MultipartError::Disposition)? {
        match key.as_str() {
            "name" => name = name.or(Some(value)),
            "filename" => plain = plain.or(Some(value)),
            // RFC 7578 4.2 does not want it, some clients send it all the same (RFC 8187).
            "filename*" => extended = extended.or_else(|| decode_extended(&value)),
            _ => {}
        }
    }
    let name = name.ok_or(MultipartError::Disposition)?;
    let file_name = extended.or(plain).map(|path| base_name(&path).to_owned());
    if name.len() > NAME_BYTES_MAX || file_name.as_ref().is_some_and(|name| name.len() > NAME_BYTES_MAX) {
        return Err(MultipartError::NameTooLong);
    }
    Ok((name, file_name))
}

/// `a=b; c="d"`; names in lower case. `None` when it is malformed.
fn parse_parameters(text: &str) -> Option<Vec<(String, String)>> {
    let mut out = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=')?;
        let (value, after) = match after.trim_start().strip_prefix('"') {
            Some(quoted) => read_quoted(quoted)?,
            None => {
                let end = after.find(';').unwrap_or(after.len());
                let (value, after) = after.split_at(end);
                (value.trim().to_owned(), after)
            }
        };
        out.push((name.trim().to_ascii_lowercase(), value));
        let after = after.trim_start();
        rest = match after.strip_prefix(';') {
            Some(after) => after.trim(),
            None if after.is_empty() => after,
            None => return None,
        };
    }
    Some(out)
}

/// The text up to the closing quote, and what follows it. A backslash stands for itself, as browsers send paths, unless
/// a quote or another one follows it.
fn read_quoted(text: &str) -> Option<(String, &str)> {
    let mut out = String::new();
    let mut letters = text.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((out, text.get(at + 1..).unwrap_or_default())),
            '\\' => match letters.next_if(|(_, next)| matches!(next, '"' | '\\')) {
                Some((_, escaped)) => out.push(escaped),
                None => out.push('\\'),
            },
            letter => out.push(letter),
        }
    }
    None
}

/// RFC 8187: `UTF-8''na%C3%AFve.txt`. Other character sets are not known.
fn decode_extended(value: &str) -> Option<String> {
    let mut parts = value.splitn(3, '\'');
    let (charset, _language, text) = (parts.next()?, parts.next()?, parts.next()?);
    let decoded = percent_encoding::percent_decode_str(text).decode_utf8().ok()?;
    (charset.eq_ignore_ascii_case("utf-8") && !decoded.chars().any(is_control)).then(|| decoded.into_owned())
}

/// Some browsers send the whole path.
fn base_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

fn is_control(letter: char) -> bool {
    letter.is_ascii_control() && letter != '\t'
}

/// RFC 9110 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_name(disposition: &str) -> Result<Option<String>, MultipartError> {
        let line = format!("Content-Disposition: form-data; name=\"f\"; {disposition}");
        PartHead::parse(line.as_bytes()).map(|head| head.file_name)
    }

    #[test]
    fn names_are_read_quoted_bare_escaped_and_extended() {
        for (sent, read) in [
            ("filename=\"a b.txt\"", "a b.txt"),
            ("filename=a.txt", "a.txt"),
            ("filename=\"say \\\"hi\\\".txt\"", "say \"hi\".txt"),
            ("filename=\"é;=.txt\"", "é;=.txt"),
            ("filename=\"x\"; filename*=UTF-8''na%C3%AFve.txt", "naïve.txt"),
            ("filename=\"x\"; filename*=latin1''na%EFve.txt", "x"),
        ] {
            assert_eq!(file_name(sent), Ok(Some(read.to_owned())), "{sent}");
        }
    }

    #[test]
    fn folders_are_taken_off_the_names_of_files() {
        for sent in ["filename=\"C:\\dir\\a.txt\"", "filename=\"/etc/a.txt\"", "filename=\"..\\..\\a.txt\""] {
            assert_eq!(file_name(sent), Ok(Some("a.txt".to_owned())), "{sent}");
        }
        assert_eq!(file_name("filename=\"\""), Ok(Some(String::new())));
    }

    #[test]
    fn a_part_without_a_file_name_is_a_field_and_without_a_name_an_error() {
        let head = PartHead::parse(b"content-disposition: FORM-DATA; name=event\r\nContent-Type: application/json");
        let kind = Some("application/json".to_owned());
        assert_eq!(head, Ok(PartHead { name: "event".into(), file_name: None, content_type: kind }));
        for lines in [
            "",
            "Content-Type: text/plain",
            "Content-Disposition: form-data",
            "Content-Disposition: attachment; name=a",
            "Content-Disposition: form-data; filename=\"a\"",
            "Content-Disposition: form-data; name=\"a",
            "Content-Disposition: form-data; name=\"a\" x",
        ] {
            assert_eq!(PartHead::parse(lines.as_bytes()), Err(MultipartError::Disposition), "{lines}");
        }
        for lines in ["Content-Disposition", " a: b", "a b: c", "a: b\u{1}c", "a: b\rc"] {
            assert_eq!(PartHead::parse(lines.as_bytes()), Err(MultipartError::Header), "{lines:?}");
        }
    }

    #[test]
    fn names_have_a_limit() {
        let long = "n".repeat(NAME_BYTES_MAX + 1);
        assert_eq!(file_name(&format!("filename={long}")), Err(MultipartError::NameTooLong));
    }

    #[test]
    fn a_boundary_is_found_quoted_or_not_and_checked() {
        for (sent, boundary) in [
            ("multipart/form-data; boundary=abc", "abc"),
            ("multipart/form-data; charset=utf-8; Boundary=\"a b:c\"", "a b:c"),
            ("multipart/form-data;boundary=----WebKitFormBoundary7MA4", "----WebKitFormBoundary7MA4"),
        ] {
            assert_eq!(boundary_of(sent), Ok(boundary.to_owned()));
        }
        let long = format!("multipart/form-data; boundary={}", "b".repeat(BOUNDARY_BYTES_MAX + 1));
        for sent in [
            "multipart/form-data",
            "multipart/form-data; boundary=",
            "multipart/form-data; boundary=\"a ",
            "multipart/form-data; boundary=\"a \"",
            "multipart/form-data; boundary=a\"b",
            "multipart/form-data; boundary=é",
            &long,
        ] {
            assert_eq!(boundary_of(sent), Err(MultipartError::NoBoundary), "{sent}");
        }
    }
}
