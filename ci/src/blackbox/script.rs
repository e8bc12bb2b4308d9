//! The language of `ci/cases/*.txt`. A file is a heading, a fixture and cases; the fixture is played before each case, with a
//! user of its own.
//!
//! ```text
//! # 08 High-frequency series          the heading: chapter of the specification
//! fixture                             steps before each case
//! POST /<u>/streams as personal       method, path, whose token (none: nobody); also: @hfs (other port), gzip
//!   Origin: https://x                 a header
//!   {"id": "s", "name": "S"}          the body: JSON on one line, or `text: ...` with escapes as in JSON
//!   -> 201                            status and, for errors, the id
//!   save stream = /stream/id          a variable, used as <stream>
//!
//! ## 1 A title                        a case: its number in the chapter, and what it shows
//! GET /<u>/events/<e> as personal
//!   -> 200
//!   /event/duration absent            JSON pointers: absent, present, = JSON, ~ "part of the text", length N
//!   header API-Version present        the same for headers (values as text)
//!   body = hello                      the same for the whole body as text
//!
//! RAW -                               the body goes over the wire as it is: no request line, no headers
//!   text: GET / HTTP/1.1\nHost: x\r\n\r\n
//!   -> 400
//! PAUSE 10                            milliseconds, where the next answer depends on the server's clock having moved
//! ```

use std::path::Path;

use serde_json::Value;

pub(super) struct Script {
    /// The file's name without its ending.
    pub(super) name: String,
    pub(super) heading: String,
    pub(super) fixture: Vec<Step>,
    pub(super) cases: Vec<Case>,
}

pub(super) struct Case {
    pub(super) id: String,
    pub(super) title: String,
    pub(super) steps: Vec<Step>,
}

/// One request and what its answer must be.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Step {
    pub(super) line: usize,
    pub(super) method: String,
    pub(super) path: String,
    /// The variable with the token.
    pub(super) token: Option<String>,
    pub(super) is_on_hfs_port: bool,
    pub(super) is_gzipped: bool,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Option<String>,
    pub(super) status: u16,
    pub(super) error_id: Option<String>,
    pub(super) claims: Vec<Claim>,
}

#[derive(Debug, PartialEq)]
pub(super) struct Claim {
    pub(super) at: Place,
    pub(super) what: What,
}

#[derive(Debug, PartialEq)]
pub(super) enum Place {
    Pointer(String),
    Header(String),
    /// The whole body as text.
    Body,
}

#[derive(Debug, PartialEq)]
pub(super) enum What {
    Absent,
    Present,
    /// JSON with variables in it.
    Equals(String),
    Contains(String),
    Length(usize),
    SaveAs(String),
}

impl Script {
    pub(super) fn parse(path: &Path, text: &str) -> Result<Self, String> {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let mut script = Self { name, heading: String::new(), fixture: Vec::new(), cases: Vec::new() };
        for (index, line) in text.lines().enumerate() {
            script.read(index + 1, line).map_err(|what| format!("line {}: {what}", index + 1))?;
        }
        Ok(script)
    }

    fn read(&mut self, number: usize, line: &str) -> Result<(), String> {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with("//") || trimmed == "fixture" {
            return Ok(());
        }
        if let Some(title) = line.strip_prefix("## ") {
            let (id, title) = title.split_once(' ').ok_or("a case needs a number and a title")?;
            self.cases.push(Case { id: id.to_owned(), title: title.trim().to_owned(), steps: Vec::new() });
            return Ok(());
        }
        if let Some(heading) = line.strip_prefix("# ") {
            self.heading = heading.to_owned();
            return Ok(());
        }
        let steps = self.cases.last_mut().map_or(&mut self.fixture, |case| &mut case.steps);
        if line.starts_with(char::is_whitespace) {
            return steps.last_mut().ok_or("no request yet")?.read(trimmed);
        }
        steps.push(Step::begin(number, trimmed)?);
        Ok(())
    }
}

impl Step {
    fn begin(line: usize, text: &str) -> Result<Self, String> {
        let mut words = text.split_whitespace();
        let (method, path) = words.next().zip(words.next()).ok_or("a request is METHOD PATH")?;
        let mut step = Self { line, method: method.to_owned(), path: path.to_owned(), status: 200, ..Self::default() };
        while let Some(word) = words.next() {
            match word {
                "as" => step.token = Some(words.next().ok_or("as whom?")?.to_owned()),
                "@hfs" => step.is_on_hfs_port = true,
                "gzip" => step.is_gzipped = true,
                other => return Err(format!("{other:?} after the path")),
            }
        }
        Ok(step)
    }

    fn read(&mut self, text: &str) -> Result<(), String> {
        if let Some(answer) = text.strip_prefix("-> ") {
            let (status, id) = answer.split_once(' ').unwrap_or((answer, ""));
            self.status = status.parse().map_err(|_| format!("status {status:?}"))?;
            self.error_id = (!id.trim().is_empty()).then(|| id.trim().to_owned());
        } else if let Some(raw) = text.strip_prefix("text: ") {
            let quoted = format!("\"{}\"", raw.replace('"', "\\\""));
            self.body = Some(serde_json::from_str(&quoted).map_err(|error| format!("text: {error}"))?);
        } else if text.starts_with(['{', '[']) {
            self.body = Some(text.to_owned());
        } else if text.starts_with('/') || ["header ", "save ", "body "].iter().any(|word| text.starts_with(word)) {
            self.claims.push(Claim::parse(text)?);
        } else {
            let (name, value) = text.split_once(':').ok_or("neither header, body, answer nor claim")?;
            self.headers.push((name.to_owned(), value.trim().to_owned()));
        }
        Ok(())
    }
}

impl Claim {
    fn parse(text: &str) -> Result<Self, String> {
        if let Some(rest) = text.strip_prefix("save ") {
            let (name, pointer) = rest.split_once('=').ok_or("save NAME = /POINTER")?;
            let what = What::SaveAs(name.trim().to_owned());
            return Ok(Self { at: Place::of(pointer.trim()), what });
        }
        if let Some(rest) = text.strip_prefix("body ") {
            return Ok(Self { at: Place::Body, what: What::parse(rest.trim())? });
        }
        let (place, rest) = match text.strip_prefix("header ") {
            Some(rest) => rest.split_once(' ').map(|(name, rest)| (Place::Header(name.to_owned()), rest)),
            None => text.split_once(' ').map(|(pointer, rest)| (Place::Pointer(pointer.to_owned()), rest)),
        }
        .ok_or("a claim says something of a place")?;
        Ok(Self { at: place, what: What::parse(rest.trim())? })
    }
}

impl Place {
    fn of(text: &str) -> Self {
        match text.strip_prefix("header ") {
            Some(name) => Self::Header(name.to_owned()),
            None => Self::Pointer(text.trim_end_matches('/').to_owned()),
        }
    }
}

impl What {
    fn parse(text: &str) -> Result<Self, String> {
        let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
        match verb {
            "absent" => Ok(Self::Absent),
            "present" => Ok(Self::Present),
            "length" => Ok(Self::Length(rest.parse().map_err(|_| format!("length {rest:?}"))?)),
            "=" => Ok(Self::Equals(rest.to_owned())),
            "~" => match serde_json::from_str(rest) {
                Ok(Value::String(part)) => Ok(Self::Contains(part)),
                _ => Err("~ needs a quoted text".to_owned()),
            },
            other => Err(format!("{other:?} is no claim")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# 08 Series\nfixture\nPOST /<u>/streams as personal\n  {\"id\":\"s\"}\n  -> 201\n  save s = /stream/id\n\n\
        ## 3 A title of words\nGET /x @hfs gzip\n  Origin: https://x\n  -> 400 invalid-operation\n  /a/b absent\n  \
        /c = [1,2]\n  header X-Y ~ \"z\"\n  /d length 2\n";

    #[test]
    fn a_script_is_read_into_fixture_and_cases() {
        let script = Script::parse(Path::new("a/series.txt"), TEXT).unwrap();
        assert_eq!((script.name.as_str(), script.heading.as_str()), ("series", "08 Series"));
        assert_eq!(script.fixture[0].claims[0].what, What::SaveAs("s".to_owned()));
        let case = &script.cases[0];
        assert_eq!((case.id.as_str(), case.title.as_str()), ("3", "A title of words"));
        let step = &case.steps[0];
        assert!(step.is_gzipped && step.is_on_hfs_port);
        assert_eq!(step.headers, [("Origin".to_owned(), "https://x".to_owned())]);
        assert_eq!((step.status, step.error_id.as_deref()), (400, Some("invalid-operation")));
        let claims: Vec<_> = step.claims.iter().map(|claim| &claim.what).collect();
        let (equals, contains) = (What::Equals("[1,2]".to_owned()), What::Contains("z".to_owned()));
        assert_eq!(claims, [&What::Absent, &equals, &contains, &What::Length(2)]);
    }

    #[test]
    fn what_is_not_understood_is_refused_with_its_line() {
        for text in ["  {\"orphan\":1}", "GET", "GET /x\n  nonsense", "GET /x\n  /a is 3"] {
            let error = Script::parse(Path::new("x.txt"), text).err().unwrap();
            assert!(error.starts_with("line "), "{error}");
        }
    }
}
