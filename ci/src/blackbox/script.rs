//! The language of `ci/cases/*.txt`. A file is a heading, a fixture and cases; the fixture is played before each case, with a
//! user of its own.
//!
//! ```text
//! # 08 High-frequency series          the heading: chapter of the specification
//! setting logs:console:active true    the server of this file: a setting (such files have a server of their own)
//! file types.json {"types": {}}       a file in its working folder, before it starts
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
//!   body lacks "http://"              and for the whole body; `lacks` is the reverse of `~`
//!
//! RAW -                               the body goes over the wire as it is: no request line, no headers
//!   text: GET / HTTP/1.1\nHost: x\r\n\r\n
//!   -> 400
//! PAUSE 10                            milliseconds, where the next answer depends on the server's clock having moved
//!
//! ## 2 What no request can show       a case may name, beside requests or instead of them,
//! TEST src/edge.rs a_name_of_a_test   a test: its file and its name (a check of ours, or its title in a file of another language)
//! DIFFERENCE framing of requests      a line of docs/differences.md: words of it
//! ```
//!
//! Before the fixture, `setting KEY VALUE` gives the file a server of its own with this setting.

use std::path::Path;

use serde_json::Value;

pub(super) struct Script {
    /// The file's name without its ending.
    pub(super) name: String,
    pub(super) heading: String,
    /// Of the server: key and value.
    pub(super) settings: Vec<(String, String)>,
    /// In the server's working folder: name and content.
    pub(super) files: Vec<(String, String)>,
    pub(super) fixture: Vec<Step>,
    pub(super) cases: Vec<Case>,
}

pub(super) struct Case {
    pub(super) id: String,
    pub(super) title: String,
    pub(super) steps: Vec<Step>,
    /// What shows the case beside its requests.
    pub(super) tests: Vec<Test>,
    /// Words of the lines of docs/differences.md that say what is otherwise here.
    pub(super) differences: Vec<String>,
}

/// A test outside the case files.
#[derive(Debug, PartialEq)]
pub(super) struct Test {
    /// From the root of the workspace.
    pub(super) file: String,
    pub(super) name: String,
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
    Body,
}

#[derive(Debug, PartialEq)]
pub(super) enum What {
    Absent,
    Present,
    /// JSON with variables in it.
    Equals(String),
    Contains(String),
    Lacks(String),
    Length(usize),
    SaveAs(String),
}

impl Script {
    pub(super) fn parse(path: &Path, text: &str) -> Result<Self, String> {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let mut script = Self {
            name,
            heading: String::new(),
            settings: Vec::new(),
            files: Vec::new(),
            fixture: Vec::new(),
            cases: Vec::new(),
        };
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
            self.cases.push(Case::new(id, title.trim()));
            return Ok(());
        }
        if let Some(heading) = line.strip_prefix("# ") {
            self.heading = heading.to_owned();
            return Ok(());
        }
        for (word, list) in [("setting ", &mut self.settings), ("file ", &mut self.files)] {
            if let Some(pair) = line.strip_prefix(word) {
                let (name, value) = pair.split_once(' ').ok_or("a name and what it is")?;
                list.push((name.to_owned(), value.to_owned()));
                return Ok(());
            }
        }
        if let Some(case) = self.cases.last_mut()
            && case.names(line)?
        {
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

impl Case {
    fn new(id: &str, title: &str) -> Self {
        let (id, title) = (id.to_owned(), title.to_owned());
        Self { id, title, steps: Vec::new(), tests: Vec::new(), differences: Vec::new() }
    }

    /// Takes a line that names what else shows the case; tells whether it was one.
    fn names(&mut self, line: &str) -> Result<bool, String> {
        if let Some(test) = line.strip_prefix("TEST ") {
            let (file, name) = test.trim().split_once(' ').ok_or("a test is FILE NAME")?;
            self.tests.push(Test { file: file.to_owned(), name: name.trim().to_owned() });
            return Ok(true);
        }
        let difference = line.strip_prefix("DIFFERENCE ");
        self.differences.extend(difference.map(|words| words.trim().to_owned()));
        Ok(difference.is_some())
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
        } else if text.starts_with('/') || ["header ", "body ", "save "].iter().any(|word| text.starts_with(word)) {
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
        let (place, rest) = match (text.strip_prefix("header "), text.strip_prefix("body ")) {
            (Some(rest), _) => rest.split_once(' ').map(|(name, rest)| (Place::Header(name.to_owned()), rest)),
            (None, Some(rest)) => Some((Place::Body, rest)),
            (None, None) => text.split_once(' ').map(|(pointer, rest)| (Place::Pointer(pointer.to_owned()), rest)),
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

impl Place {
    /// `None`: not in the JSON of the answer.
    pub(super) fn pointer(&self) -> Option<&str> {
        match self {
            Self::Pointer(pointer) => Some(pointer),
            Self::Header(_) | Self::Body => None,
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
            "~" | "lacks" => match serde_json::from_str(rest) {
                Ok(Value::String(part)) if verb == "~" => Ok(Self::Contains(part)),
                Ok(Value::String(part)) => Ok(Self::Lacks(part)),
                _ => Err(format!("{verb} needs a quoted text")),
            },
            other => Err(format!("{other:?} is no claim")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# 08 Series\nsetting a:b [1, 2]\nfile x.json {}\nfixture\nPOST /<u>/streams as personal\n  {\"id\":\"s\"}\n  -> 201\n  save s = /stream/id\n\n\
        ## 3 A title of words\nGET /x @hfs gzip\n  Origin: https://x\n  -> 400 invalid-operation\n  /a/b absent\n  \
        /c = [1,2]\n  header X-Y ~ \"z\"\n  /d length 2\n";

    #[test]
    fn a_script_is_read_into_fixture_and_cases() {
        let script = Script::parse(Path::new("a/series.txt"), TEXT).unwrap();
        assert_eq!((script.name.as_str(), script.heading.as_str()), ("series", "08 Series"));
        assert_eq!(script.settings, [("a:b".to_owned(), "[1, 2]".to_owned())]);
        assert_eq!(script.files, [("x.json".to_owned(), "{}".to_owned())]);
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
    fn a_case_may_name_tests_and_differences_and_a_file_its_settings() {
        let text = "# 01 X\nsetting a:b c d\n\n## 1 t\nTEST src/x.rs some_name\nDIFFERENCE some words\nGET /\n  body lacks \"z\"\n";
        let script = Script::parse(Path::new("x.txt"), text).unwrap();
        assert_eq!(script.settings, [("a:b".to_owned(), "c d".to_owned())]);
        let case = &script.cases[0];
        assert_eq!(case.tests, [Test { file: "src/x.rs".to_owned(), name: "some_name".to_owned() }]);
        assert_eq!((case.differences.as_slice(), case.steps.len()), (["some words".to_owned()].as_slice(), 1));
        assert_eq!(case.steps[0].claims, [Claim { at: Place::Body, what: What::Lacks("z".to_owned()) }]);
    }

    #[test]
    fn what_is_not_understood_is_refused_with_its_line() {
        for text in ["  {\"orphan\":1}", "GET", "GET /x\n  nonsense", "GET /x\n  /a is 3"] {
            let error = Script::parse(Path::new("x.txt"), text).err().unwrap();
            assert!(error.starts_with("line "), "{error}");
        }
    }
}
