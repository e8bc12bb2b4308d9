//! Where cells go: one target per column of the request, in the order sent, filled row by row.

use std::borrow::Cow;
use std::collections::HashMap;

use super::javascript::number_text;
use super::{CellKind, Cells, Column, DELTA_TIME, Field, Points, Schema, TIMESTAMP};

/// Nanoseconds from here on do not fit 64 bits: 2^63.
const TIME_NS_END: f64 = 9_223_372_036_854_775_808.0;
const NS_PER_SECOND: f64 = 1e9;
/// Bytes of a refused value repeated in the error message.
const SHOWN_VALUE_BYTES_MAX: usize = 256;

/// All columns of one request under construction.
pub(super) struct Table {
    pub(super) times_ns: Vec<i64>,
    /// Subtracted from every time: the event's time for `timestamp`, else 0.
    time_offset_seconds: f64,
    pub(super) targets: Vec<Target>,
}

pub(super) enum Target {
    Time,
    Number(Builder<f64>),
    Text(TextBuilder),
    Boolean(Builder<bool>),
    /// Kind null: whatever comes is dropped.
    Nothing,
    Unsupported {
        field: usize,
        required: bool,
        kind: Box<str>,
    },
}

pub(super) struct Builder<T> {
    pub(super) field: usize,
    pub(super) required: bool,
    cells: Vec<T>,
    present: Option<Vec<bool>>,
}

pub(super) struct TextBuilder {
    pub(super) codes: Builder<u32>,
    dictionary: Vec<Box<str>>,
    code_by_text: HashMap<Box<str>, u32>,
    last_code: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimeFault {
    NotANumber,
    Negative,
    TooLarge,
}

impl Table {
    /// Checks the column names (step 6 of spec 08 section 4.1); `None` if they do not fit the schema.
    pub(super) fn new<'a>(
        schema: &Schema,
        names: impl Iterator<Item = &'a str>,
        event_time_seconds: f64,
    ) -> Option<Self> {
        let mut time_offset_seconds = None;
        let mut is_used = vec![false; schema.fields.len()];
        let mut targets = Vec::with_capacity(schema.fields.len() + 1);
        for name in names {
            if name == DELTA_TIME || name == TIMESTAMP {
                let offset = if name == TIMESTAMP { event_time_seconds } else { 0.0 };
                if time_offset_seconds.replace(offset).is_some() {
                    return None;
                }
                targets.push(Target::Time);
                continue;
            }
            let field = schema.fields.iter().position(|field| *field.name == *name)?;
            if std::mem::replace(is_used.get_mut(field)?, true) {
                return None;
            }
            targets.push(Target::new(schema.fields.get(field)?, field));
        }
        let is_missing = |(field, is_used): (&Field, &bool)| field.required && !is_used;
        if schema.fields.iter().zip(&is_used).any(is_missing) {
            return None;
        }
        Some(Self { times_ns: Vec::new(), time_offset_seconds: time_offset_seconds?, targets })
    }

    /// Room for more rows, so that columns do not grow step by step.
    pub(super) fn reserve(&mut self, row_count: usize) {
        self.times_ns.reserve(row_count);
        for target in &mut self.targets {
            match target {
                Target::Number(column) => column.cells.reserve(row_count),
                Target::Boolean(column) => column.cells.reserve(row_count),
                Target::Text(column) => column.codes.cells.reserve(row_count),
                Target::Time | Target::Nothing | Target::Unsupported { .. } => {}
            }
        }
    }

    pub(super) fn time_offset_seconds(&self) -> f64 {
        self.time_offset_seconds
    }

    pub(super) fn finish(self) -> Points {
        let mut columns: Vec<Column> = self.targets.into_iter().filter_map(Target::finish).collect();
        columns.sort_by_key(|column| column.field);
        Points { times_ns: self.times_ns, columns }
    }
}

/// Seconds as sent to nanoseconds since the event's time.
#[inline]
pub(super) fn time_ns(seconds: f64, offset_seconds: f64) -> Result<i64, TimeFault> {
    let seconds = seconds - offset_seconds;
    if seconds.is_nan() {
        return Err(TimeFault::NotANumber);
    }
    if seconds < 0.0 {
        return Err(TimeFault::Negative);
    }
    let ns = seconds * NS_PER_SECOND;
    if ns >= TIME_NS_END {
        return Err(TimeFault::TooLarge);
    }
    #[allow(clippy::cast_possible_truncation, reason = "0 <= ns < 2^63, and truncation is the rule")]
    Ok(ns as i64)
}

impl Target {
    fn new(schema_field: &Field, field: usize) -> Self {
        let required = schema_field.required;
        match &schema_field.kind {
            CellKind::Number => Self::Number(Builder::new(field, required)),
            CellKind::Boolean => Self::Boolean(Builder::new(field, required)),
            CellKind::Text => Self::Text(TextBuilder {
                codes: Builder::new(field, required),
                dictionary: Vec::new(),
                code_by_text: HashMap::new(),
                last_code: 0,
            }),
            CellKind::Null => Self::Nothing,
            CellKind::Unsupported(kind) => Self::Unsupported { field, required, kind: kind.clone() },
        }
    }

    fn finish(self) -> Option<Column> {
        match self {
            Self::Number(Builder { field, cells, present, .. }) => {
                Some(Column { field, cells: Cells::Number(cells), present })
            }
            Self::Boolean(Builder { field, cells, present, .. }) => {
                Some(Column { field, cells: Cells::Boolean(cells), present })
            }
            Self::Text(TextBuilder { codes: Builder { field, cells, present, .. }, dictionary, .. }) => {
                Some(Column { field, cells: Cells::Text { dictionary, codes: cells }, present })
            }
            Self::Time | Self::Nothing | Self::Unsupported { .. } => None,
        }
    }
}

impl<T: Default> Builder<T> {
    fn new(field: usize, required: bool) -> Self {
        Self { field, required, cells: Vec::new(), present: None }
    }

    #[inline]
    pub(super) fn push(&mut self, cell: T) {
        self.cells.push(cell);
        if let Some(present) = &mut self.present {
            present.push(true);
        }
    }

    /// Appends the coerced cell, or nothing for a null in an optional column; false if the cell cannot be accepted.
    fn push_or_absent(&mut self, cell: &Cell<'_>, coerced: Option<T>) -> bool {
        match (coerced, cell) {
            (Some(value), _) => self.push(value),
            (None, Cell::Null) if !self.required => self.push_absent(),
            (None, _) => return false,
        }
        true
    }

    pub(super) fn push_absent(&mut self) {
        let count_before = self.cells.len();
        self.cells.push(T::default());
        self.present.get_or_insert_with(|| vec![true; count_before]).push(false);
    }
}

impl TextBuilder {
    pub(super) fn push(&mut self, text: &str) {
        let code = self.code_of(text);
        self.codes.push(code);
    }

    fn code_of(&mut self, text: &str) -> u32 {
        // Neighbours are often equal.
        let last = usize::try_from(self.last_code).ok().and_then(|last| self.dictionary.get(last));
        if last.is_some_and(|last| **last == *text) {
            return self.last_code;
        }
        let code = match self.code_by_text.get(text) {
            Some(code) => *code,
            None => self.add(text),
        };
        self.last_code = code;
        code
    }

    fn add(&mut self, text: &str) -> u32 {
        let code = u32::try_from(self.dictionary.len()).expect("a body below 4 GiB has fewer texts than 2^32");
        self.dictionary.push(text.into());
        self.code_by_text.insert(text.into(), code);
        code
    }
}

/// A cell of any JSON type, as far as coercion tells them apart.
#[derive(Debug)]
pub(super) enum Cell<'a> {
    Null,
    Boolean(bool),
    Number(f64),
    Text(Cow<'a, str>),
    /// A list as ECMAScript prints it, elements joined by commas.
    List(String),
    Object,
}

impl Cell<'_> {
    /// `String(cell)`.
    pub(super) fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Null => Cow::Borrowed("null"),
            Self::Boolean(true) => Cow::Borrowed("true"),
            Self::Boolean(false) => Cow::Borrowed("false"),
            Self::Number(number) => Cow::Owned(number_text(*number)),
            Self::Text(text) => Cow::Borrowed(text),
            Self::List(text) => Cow::Borrowed(text),
            Self::Object => Cow::Borrowed("[object Object]"),
        }
    }

    fn shown(&self) -> String {
        let text = self.text();
        if text.len() <= SHOWN_VALUE_BYTES_MAX {
            return text.into_owned();
        }
        let mut end = SHOWN_VALUE_BYTES_MAX;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        format!("{}...", text.get(..end).unwrap_or_default())
    }
}

/// Coerces one cell (spec 08 sections 4.2 to 4.4) and appends it to its column.
///
/// # Errors
/// The message of step 8.
pub(super) fn push_cell(
    target: &mut Target,
    times_ns: &mut Vec<i64>,
    offset_seconds: f64,
    cell: &Cell<'_>,
    schema: &Schema,
) -> Result<(), String> {
    let is_accepted = match target {
        Target::Time => {
            let time = coerce_time(cell, offset_seconds);
            times_ns.push(time.map_err(|detail| coercion_message(DELTA_TIME, cell, &detail))?);
            true
        }
        Target::Nothing => true,
        Target::Number(column) => column.push_or_absent(cell, coerce_number(cell)),
        Target::Boolean(column) => column.push_or_absent(cell, coerce_boolean(cell)),
        Target::Text(column) if column.codes.required || !matches!(cell, Cell::Null) => {
            column.push(&cell.text());
            true
        }
        Target::Text(column) => column.codes.push_or_absent(cell, None),
        Target::Unsupported { required, .. } => !*required && matches!(cell, Cell::Null),
    };
    if is_accepted { Ok(()) } else { Err(refusal(target, cell, schema)) }
}

fn refusal(target: &Target, cell: &Cell<'_>, schema: &Schema) -> String {
    let (field, detail) = match target {
        Target::Number(column) => (column.field, format!("Cannot coerce {} into number.", cell.shown())),
        Target::Boolean(column) => (column.field, format!("Cannot coerce {} into boolean.", cell.shown())),
        Target::Text(column) => (column.codes.field, format!("Cannot coerce {} into string.", cell.shown())),
        Target::Unsupported { field, kind, .. } => (*field, format!("Unknown inner type: '{kind}'.")),
        Target::Time | Target::Nothing => return coercion_message(DELTA_TIME, cell, "Cannot be coerced."),
    };
    coercion_message(schema.fields.get(field).map_or("", |field| &field.name), cell, &detail)
}

fn coercion_message(column: &str, cell: &Cell<'_>, detail: &str) -> String {
    format!("Error during field coercion of [{column}] => [{}]: Error: {detail}", cell.shown())
}

fn coerce_time(cell: &Cell<'_>, offset_seconds: f64) -> Result<i64, String> {
    let seconds = match cell {
        Cell::Number(seconds) => *seconds,
        Cell::Text(text) => super::javascript::parse_float(text),
        _ => f64::NAN,
    };
    time_ns(seconds, offset_seconds).map_err(|fault| match fault {
        TimeFault::NotANumber => format!("Cannot coerce {} into deltaTime.", cell.shown()),
        TimeFault::Negative => "Deltatime must be greater than 0".to_owned(),
        TimeFault::TooLarge => {
            "Deltatime must fit 64 bits of nanoseconds, send less than 9223372036 seconds".to_owned()
        }
    })
}

/// A number, or a text of the form `^\d+(\.\d+)?$`: no sign, no exponent, no spaces.
fn coerce_number(cell: &Cell<'_>) -> Option<f64> {
    match cell {
        Cell::Number(number) => Some(*number),
        Cell::Text(text) => {
            let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
            let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            let number: f64 = fast_float2::parse(text.as_bytes()).ok()?;
            (is_digits(whole) && is_digits(fraction) && number.is_finite()).then_some(number)
        }
        _ => None,
    }
}

fn coerce_boolean(cell: &Cell<'_>) -> Option<bool> {
    match cell {
        Cell::Boolean(boolean) => Some(*boolean),
        Cell::Text(text) if *text == "true" => Some(true),
        Cell::Text(text) if *text == "false" => Some(false),
        _ => None,
    }
}
