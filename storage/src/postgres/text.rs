//! Texts that anybody may choose. PostgreSQL's `text` cannot hold U+0000, so that it rests as `\0`, and `\` as `\\`.
//! Columns of JSON need none of it: JSON has its own escapes.

use std::borrow::Cow;
use std::error::Error;

use bytes::BytesMut;
use tokio_postgres::Row;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use crate::StoreError;

/// A text on its way into a column or a comparison with one.
#[derive(Debug)]
pub(super) struct Text<'a>(pub &'a str);

impl ToSql for Text<'_> {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        resting(self.0).as_ref().to_sql(kind, out)
    }

    fn accepts(kind: &Type) -> bool {
        <&str as ToSql>::accepts(kind)
    }

    to_sql_checked!();
}

pub(super) fn texts(all: &[String]) -> Vec<Text<'_>> {
    all.iter().map(|text| Text(text)).collect()
}

/// A text out of its column.
pub(super) fn text(row: &Row, column: usize) -> Result<Cow<'_, str>, StoreError> {
    Ok(original(row.try_get(column)?))
}

pub(super) fn optional_text(row: &Row, column: usize) -> Result<Option<Cow<'_, str>>, StoreError> {
    Ok(row.try_get::<_, Option<&str>>(column)?.map(original))
}

fn resting(text: &str) -> Cow<'_, str> {
    if !text.contains(['\0', '\\']) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.replace('\\', "\\\\").replace('\0', "\\0"))
}

fn original(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        out.push(match letter {
            '\\' => match letters.next() {
                Some('0') => '\0',
                other => other.unwrap_or('\\'),
            },
            other => other,
        });
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_comes_back_as_it_was_and_rests_without_the_forbidden_letter() {
        for text in ["", "plain é", "a\0b", "\\", "\\0", "\\\\0\0\\", "\0"] {
            assert!(!resting(text).contains('\0'));
            assert_eq!(original(&resting(text)), text);
        }
    }

    #[test]
    fn different_texts_rest_differently() {
        let all = ["\0", "\\0", "\\\\0", "0", "\\"];
        let resting: std::collections::BTreeSet<_> = all.iter().map(|text| resting(text)).collect();
        assert_eq!(resting.len(), all.len());
    }
}
