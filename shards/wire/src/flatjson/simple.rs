//! The fast way: one pass over a body of the usual form,
//! `{"format":"flatJSON","fields":["deltaTime","value"],"points":[[0,1.5],[1,2]]}`, keys in any order.
//!
//! It knows only what needs no conversion and no message: texts without escapes, numbers for number columns, and so on.
//! At anything else it gives up (`None`) and the typed way reads the body again. What it accepts is strict JSON.

use super::columns::{Table, Target, time_ns};
use super::{FORMAT, Points, Schema, number};

pub(super) fn parse(body: &[u8], schema: &Schema, event_time_seconds: f64) -> Option<Points> {
    let mut reader = Reader { bytes: body, at: 0 };
    let (mut has_format, mut table, mut points_at, mut has_points) = (false, None, None, false);
    reader.expect(b'{')?;
    loop {
        let key = reader.text()?;
        reader.expect(b':')?;
        match key {
            "format" if !has_format && reader.text()? == FORMAT => has_format = true,
            "fields" if table.is_none() => table = Some(fields(&mut reader, schema, event_time_seconds)?),
            "points" if !has_points => {
                has_points = true;
                match &mut table {
                    Some(table) => points(&mut reader, table)?,
                    None => points_at = Some(skip_list(&mut reader)?),
                }
            }
            _ => return None,
        }
        if !reader.list_goes_on(b'}')? {
            break;
        }
    }
    reader.white_space();
    let mut table = table?;
    if !has_format || !has_points || reader.at != body.len() {
        return None;
    }
    if let Some(range) = points_at {
        let mut skipped = Reader { bytes: body, at: range.start };
        points(&mut skipped, &mut table)?;
        if skipped.at != range.end {
            return None;
        }
    }
    Some(table.finish())
}

fn fields(reader: &mut Reader<'_>, schema: &Schema, event_time_seconds: f64) -> Option<Table> {
    let mut names = Vec::with_capacity(schema.fields.len() + 1);
    reader.expect(b'[')?;
    loop {
        if names.len() > schema.fields.len() {
            return None;
        }
        names.push(reader.text()?);
        if !reader.list_goes_on(b']')? {
            return Table::new(schema, names.into_iter(), event_time_seconds);
        }
    }
}

/// `points` came before `fields`: where the list starts and ends, to be read later.
fn skip_list(reader: &mut Reader<'_>) -> Option<std::ops::Range<usize>> {
    reader.white_space();
    let start = reader.at;
    let mut depth = 0_usize;
    loop {
        match reader.peek()? {
            b'[' => depth += 1,
            b']' => depth = depth.checked_sub(1)?,
            b'"' => {
                reader.text()?;
                continue;
            }
            _ => {}
        }
        reader.at += 1;
        if depth == 0 {
            return Some(start..reader.at);
        }
    }
}

fn points(reader: &mut Reader<'_>, table: &mut Table) -> Option<()> {
    reader.expect(b'[')?;
    if reader.is_next(b']') {
        return Some(());
    }
    let first_row_at = reader.at;
    row(reader, table)?;
    // Rows are about as long as the first; what is reserved stays proportional to the body.
    let row_bytes = reader.at - first_row_at + 1;
    table.reserve((reader.bytes.len() - reader.at) / row_bytes + 1);
    while reader.list_goes_on(b']')? {
        row(reader, table)?;
    }
    Some(())
}

#[inline]
fn row(reader: &mut Reader<'_>, table: &mut Table) -> Option<()> {
    let offset_seconds = table.time_offset_seconds();
    reader.expect(b'[')?;
    let mut is_first = true;
    for target in &mut table.targets {
        if !std::mem::take(&mut is_first) {
            reader.expect(b',')?;
        }
        reader.white_space();
        match target {
            Target::Time => table.times_ns.push(time_ns(reader.number()?, offset_seconds).ok()?),
            Target::Number(column) => match reader.peek()? {
                b'n' if !column.required => {
                    reader.literal(b"null")?;
                    column.push_absent();
                }
                _ => column.push(reader.number()?),
            },
            Target::Boolean(column) => match reader.peek()? {
                b'n' if !column.required => {
                    reader.literal(b"null")?;
                    column.push_absent();
                }
                b't' => {
                    reader.literal(b"true")?;
                    column.push(true);
                }
                _ => {
                    reader.literal(b"false")?;
                    column.push(false);
                }
            },
            Target::Text(column) => match reader.peek()? {
                b'n' if !column.codes.required => {
                    reader.literal(b"null")?;
                    column.codes.push_absent();
                }
                _ => column.push(reader.text()?),
            },
            Target::Nothing | Target::Unsupported { required: false, .. } => reader.literal(b"null")?,
            Target::Unsupported { required: true, .. } => return None,
        }
    }
    reader.expect(b']')
}

/// A place in the body. Every method gives `None` where the body is not of the expected form.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    #[inline]
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline]
    fn white_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    /// Takes this byte if it comes next, behind any white space.
    #[inline]
    fn is_next(&mut self, byte: u8) -> bool {
        if self.peek() != Some(byte) {
            self.white_space();
            if self.peek() != Some(byte) {
                return false;
            }
        }
        self.at += 1;
        true
    }

    #[inline]
    fn expect(&mut self, byte: u8) -> Option<()> {
        self.is_next(byte).then_some(())
    }

    /// True behind a comma, false behind the end of the list.
    #[inline]
    fn list_goes_on(&mut self, end: u8) -> Option<bool> {
        if self.is_next(b',') {
            return Some(true);
        }
        self.is_next(end).then_some(false)
    }

    #[inline]
    fn number(&mut self) -> Option<f64> {
        let (number, length) = number::parse(self.bytes.get(self.at..)?)?;
        self.at += length;
        Some(number)
    }

    fn literal(&mut self, literal: &[u8]) -> Option<()> {
        self.bytes.get(self.at..)?.starts_with(literal).then(|| self.at += literal.len())
    }

    /// A text without escapes.
    fn text(&mut self) -> Option<&'a str> {
        self.expect(b'"')?;
        let rest = self.bytes.get(self.at..)?;
        let length = rest.iter().position(|byte| *byte == b'"' || *byte == b'\\' || *byte < b' ')?;
        if rest.get(length) != Some(&b'"') {
            return None;
        }
        self.at += length + 1;
        std::str::from_utf8(rest.get(..length)?).ok()
    }
}
