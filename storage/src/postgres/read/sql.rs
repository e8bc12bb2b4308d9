//! A statement that grows with its parameters, so that no value stands in its text.

use tokio_postgres::types::ToSql;

use crate::postgres::connection::Param;

#[derive(Default)]
pub(super) struct Sql<'a> {
    pub text: String,
    pub params: Vec<Param<'a>>,
}

impl<'a> Sql<'a> {
    pub(super) fn push(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// The `?` of the text stands for the value.
    pub(super) fn bind(&mut self, text: &str, value: impl ToSql + Sync + Send + 'a) -> &mut Self {
        self.params.push(Box::new(value));
        let place = format!("${}", self.params.len());
        self.push(&text.replacen('?', &place, 1))
    }

    /// Keyset: strictly behind a row, in the order of `(time, row)`.
    pub(super) fn behind(&mut self, columns: (&str, &str), (time, row): (f64, i64), ascending: bool) -> &mut Self {
        let beyond = if ascending { ">" } else { "<" };
        self.bind(&format!(" AND ({}, {}) {beyond} (?::float8, ", columns.0, columns.1), time).bind("?::bigint)", row)
    }

    /// The first so many rows in the order of `(time, row)`.
    pub(super) fn first(&mut self, (time, row): (&str, &str), ascending: bool, count: i64) -> &mut Self {
        let order = if ascending { "ASC" } else { "DESC" };
        self.bind(&format!(" ORDER BY {time} {order}, {row} {order} LIMIT ?::bigint"), count)
    }
}
