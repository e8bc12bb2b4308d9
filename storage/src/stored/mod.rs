//! How items rest and come back, the same in every engine: the texts of their columns, their finished JSON, their hashes
//! and stamps, what a deletion leaves. No engine's types are in here.

pub(crate) mod access;
pub(crate) mod audit;
pub(crate) mod conditions;
pub(crate) mod deletion;
pub(crate) mod event;
pub(crate) mod page;
mod seals;
mod stamp;
pub(crate) mod streams;

pub use deletion::DeletionMode;
pub use seals::Seals;
pub(crate) use stamp::next_stamp;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::StoreError;

impl From<serde_json::Error> for StoreError {
    fn from(error: serde_json::Error) -> Self {
        Self::Corrupt(error.to_string())
    }
}

pub(crate) fn taken<const N: usize>(pairs: [(&str, Value); N]) -> StoreError {
    StoreError::Taken(pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<BTreeMap<_, _>>())
}

pub(crate) fn map_text(map: Option<&Map<String, Value>>) -> Result<Option<String>, StoreError> {
    Ok(map.map(serde_json::to_string).transpose()?)
}

fn missing(what: &str) -> StoreError {
    StoreError::Corrupt(format!("a stored {what} is missing or unknown"))
}
