//! A statement that grows with its parameters.

use crate::base::Cursor;

/// Grows a statement and its parameters together, so that no value stands in the text.
#[derive(Default)]
pub(in crate::embedded) struct Sql {
    pub text: String,
    pub params: Vec<rusqlite::types::Value>,
}

impl Sql {
    pub(in crate::embedded) fn push(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    pub(in crate::embedded) fn bind(&mut self, text: &str, value: impl Into<rusqlite::types::Value>) -> &mut Self {
        self.text.push_str(text);
        self.params.push(value.into());
        self
    }

    /// Keyset: strictly behind the cursor, in the order of `(time, row)`.
    pub(super) fn behind(&mut self, (time, row): (&str, &str), after: &Cursor, ascending: bool) -> &mut Self {
        let (bound, beyond) = if ascending { (">=", ">") } else { ("<=", "<") };
        self.bind(&format!(" AND {time} {bound} ?"), after.time);
        self.bind(&format!(" AND ({time} {beyond} ?"), after.time);
        self.bind(&format!(" OR {row} {beyond} ?"), after.row).push(")")
    }

    pub(super) fn order(&mut self, (time, row): (&str, &str), ascending: bool) -> &mut Self {
        let order = if ascending { "ASC" } else { "DESC" };
        self.push(&format!(" ORDER BY {time} {order}, {row} {order}"))
    }
}
