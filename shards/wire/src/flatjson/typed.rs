//! The general way: serde_json with visitors, for every form the fast way does not know and for every error message.
//!
//! The body is walked four times without ever being held as values: is it JSON at all; what stands under the keys; do
//! the rows have the right shape; the cells. The checks are made in the order of spec 08 section 4.1.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de};
use serde_json::value::RawValue;

use super::columns::{Cell, Table, push_cell};
use super::{FORMAT, FlatJsonError, Points, Schema};

pub(super) fn parse(body: &[u8], schema: &Schema, event_time_seconds: f64) -> Result<Points, FlatJsonError> {
    check_json(body)?;
    let Some(envelope) = members(body, ["format", "fields", "points"])? else {
        return Err(FlatJsonError::structure("flatJSON structure must be an object."));
    };
    let [format, fields, points] = envelope;
    if text_of(format).is_none_or(|format| format != FORMAT) {
        return Err(FlatJsonError::structure("\"format\" field must contain the string \"flatJSON\"."));
    }
    let Some(fields) = fields.and_then(list_of) else {
        return Err(FlatJsonError::structure("Field names must be a list."));
    };
    let names: Option<Vec<Cow<'_, str>>> = fields.into_iter().map(|name| text_of(Some(name))).collect();
    let Some(names) = names else { return Err(FlatJsonError::structure("Field names must be strings.")) };
    let Some(points) = points.filter(|points| points.get().starts_with('[')) else {
        return Err(FlatJsonError::structure("\"points\" field must be a list of data points."));
    };
    let Some(mut table) = Table::new(schema, names.iter().map(|name| &**name), event_time_seconds) else {
        return Err(FlatJsonError::structure("\"fields\" field must contain valid field names for the series type."));
    };
    if !read(points, Rows(RowShape { cell_count: names.len() }))? {
        return Err(FlatJsonError::structure(
            "\"points\" matrix must contain correct data types according to series type.",
        ));
    }
    let mut fault = None;
    let result = read(points, Rows(RowCells { table: &mut table, schema, fault: &mut fault }));
    match (fault, result) {
        (Some(message), _) => Err(FlatJsonError::Structure(Cow::Owned(message))),
        (None, Err(error)) => Err(error.into()),
        (None, Ok(_)) => Ok(table.finish()),
    }
}

/// # Errors
/// If the text is not one JSON value that fits Rust's types. Everything below may rely on it.
pub(super) fn check_json(body: &[u8]) -> Result<(), FlatJsonError> {
    serde_json::from_slice::<Checked>(body)?;
    Ok(())
}

/// The values of these keys (the last of each, as `JSON.parse` does); `None` if the text is a bare value or null. A list
/// is an object without these keys, as in ECMAScript.
pub(super) fn members<'a, const COUNT: usize>(
    json: &'a [u8],
    keys: [&str; COUNT],
) -> Result<Option<[Option<&'a RawValue>; COUNT]>, FlatJsonError> {
    match json.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{') => {
            let mut deserializer = serde_json::Deserializer::from_slice(json);
            Ok(Some(Members(keys).deserialize(&mut deserializer)?))
        }
        Some(b'[') => Ok(Some([None; COUNT])),
        _ => Ok(None),
    }
}

pub(super) fn text_of(value: Option<&RawValue>) -> Option<Cow<'_, str>> {
    match read(value?, CellSeed) {
        Ok(Cell::Text(text)) => Some(text),
        _ => None,
    }
}

pub(super) fn list_of(value: &RawValue) -> Option<Vec<&RawValue>> {
    serde_json::from_str(value.get()).ok()
}

fn read<'a, S: DeserializeSeed<'a>>(value: &'a RawValue, seed: S) -> Result<S::Value, serde_json::Error> {
    seed.deserialize(&mut serde_json::Deserializer::from_str(value.get()))
}

/// Any value, looked at and dropped. serde's own `IgnoredAny` would let numbers and escapes pass unseen.
struct Checked;

impl<'de> Deserialize<'de> for Checked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Checked {
    type Value = Self;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self, A::Error> {
        while list.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        while map.next_entry::<Self, Self>()?.is_some() {}
        Ok(self)
    }
}

struct Members<'k, const COUNT: usize>([&'k str; COUNT]);

impl<'de, const COUNT: usize> DeserializeSeed<'de> for Members<'_, COUNT> {
    type Value = [Option<&'de RawValue>; COUNT];

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, const COUNT: usize> Visitor<'de> for Members<'_, COUNT> {
    type Value = [Option<&'de RawValue>; COUNT];

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut values = [None; COUNT];
        while let Some(key) = map.next_key_seed(CellSeed)? {
            let value: &RawValue = map.next_value()?;
            let slot = self.0.iter().position(|name| *name == key.text());
            if let Some(slot) = slot.and_then(|slot| values.get_mut(slot)) {
                *slot = Some(value);
            }
        }
        Ok(values)
    }
}

/// What is done with each row; false ends the walk.
trait Row<'de> {
    fn read<A: SeqAccess<'de>>(&mut self, cells: A) -> Result<bool, A::Error>;
}

/// Are all rows lists of this many cells?
struct RowShape {
    cell_count: usize,
}

impl<'de> Row<'de> for RowShape {
    fn read<A: SeqAccess<'de>>(&mut self, mut cells: A) -> Result<bool, A::Error> {
        let mut count = 0;
        while cells.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok(count == self.cell_count)
    }
}

struct RowCells<'t> {
    table: &'t mut Table,
    schema: &'t Schema,
    fault: &'t mut Option<String>,
}

impl<'de> Row<'de> for RowCells<'_> {
    fn read<A: SeqAccess<'de>>(&mut self, mut cells: A) -> Result<bool, A::Error> {
        let offset_seconds = self.table.time_offset_seconds();
        for target in &mut self.table.targets {
            let cell = cells.next_element_seed(CellSeed)?.ok_or_else(|| A::Error::custom("a short row"))?;
            if let Err(message) = push_cell(target, &mut self.table.times_ns, offset_seconds, &cell, self.schema) {
                *self.fault = Some(message);
                return Err(A::Error::custom("a cell that cannot be coerced"));
            }
        }
        cells.next_element::<IgnoredAny>()?;
        Ok(true)
    }
}

/// Walks the rows of a list; false if one is not a list or was refused.
struct Rows<R>(R);

impl<'de, R: Row<'de>> DeserializeSeed<'de> for Rows<R> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, R: Row<'de>> Visitor<'de> for Rows<R> {
    type Value = bool;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut rows: A) -> Result<bool, A::Error> {
        let mut are_right = true;
        while let Some(is_right) = rows.next_element_seed(OneRow(&mut self.0))? {
            are_right &= is_right;
        }
        Ok(are_right)
    }
}

struct OneRow<'r, R>(&'r mut R);

impl<'de, R: Row<'de>> DeserializeSeed<'de> for OneRow<'_, R> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// Anything but a list is a wrong row.
impl<'de, R: Row<'de>> Visitor<'de> for OneRow<'_, R> {
    type Value = bool;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a row")
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_bool<E>(self, _: bool) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_i64<E>(self, _: i64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_u64<E>(self, _: u64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_f64<E>(self, _: f64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_str<E>(self, _: &str) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(false)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, cells: A) -> Result<bool, A::Error> {
        self.0.read(cells)
    }
}

struct CellSeed;

impl<'de> DeserializeSeed<'de> for CellSeed {
    type Value = Cell<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cell<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for CellSeed {
    type Value = Cell<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a cell")
    }

    fn visit_unit<E>(self) -> Result<Cell<'de>, E> {
        Ok(Cell::Null)
    }

    fn visit_bool<E>(self, boolean: bool) -> Result<Cell<'de>, E> {
        Ok(Cell::Boolean(boolean))
    }

    // ECMAScript has doubles only; the conversions below round as its reader does.
    fn visit_i64<E>(self, number: i64) -> Result<Cell<'de>, E> {
        Ok(Cell::Number(number as f64))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Cell<'de>, E> {
        Ok(Cell::Number(number as f64))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Cell<'de>, E> {
        Ok(Cell::Number(number))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Cell<'de>, E> {
        Ok(Cell::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Cell<'de>, E> {
        Ok(Cell::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Cell<'de>, A::Error> {
        let (mut joined, mut is_first) = (String::new(), true);
        while let Some(cell) = list.next_element_seed(Self)? {
            if !std::mem::take(&mut is_first) {
                joined.push(',');
            }
            if !matches!(cell, Cell::Null) {
                joined.push_str(&cell.text());
            }
        }
        Ok(Cell::List(joined))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Cell<'de>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Cell::Object)
    }
}
