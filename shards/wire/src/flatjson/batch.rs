//! seriesBatch: the envelope around the flatJSON bodies of several series (spec 08 section 4.5).

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::FlatJsonError;
use super::typed::{check_json, list_of, members, text_of};

const FORMAT: &str = "seriesBatch";
/// What [`super::parse`] answers as the reference does to an element without `data`.
const NO_DATA: &[u8] = b"null";

/// One series' part of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchElement<'a> {
    pub event_id: Cow<'a, str>,
    /// For [`super::parse`]; a slice of the body.
    pub flat_json: &'a [u8],
}

/// Reads the envelope. The whole body is checked to be JSON; the flatJSON of the elements is not looked into.
///
/// Elements are to be handled strictly in order, each wholly (access, type, points) before the next is looked at, so a
/// malformed element is an `Err` in its place: the elements before it come first.
///
/// # Errors
/// `Syntax`, or `Structure` with the message about the envelope.
pub fn parse_batch(body: &[u8]) -> Result<Vec<Result<BatchElement<'_>, FlatJsonError>>, FlatJsonError> {
    check_json(body)?;
    let Some([format, data]) = members(body, ["format", "data"])? else {
        return Err(FlatJsonError::structure("Request body needs to be in JSON format."));
    };
    if text_of(format).is_none_or(|format| format != FORMAT) {
        return Err(FlatJsonError::structure("Envelope \"format\" must be \"seriesBatch\""));
    }
    let Some(elements) = data.and_then(list_of) else {
        return Err(FlatJsonError::structure("Envelope must have a data list, containing individual batch elements"));
    };
    Ok(elements.into_iter().map(element).collect())
}

fn element(element: &RawValue) -> Result<BatchElement<'_>, FlatJsonError> {
    let Some([event_id, data]) = members(element.get().as_bytes(), ["eventId", "data"])? else {
        return Err(FlatJsonError::structure("Batch element must be an object with properties."));
    };
    let Some(event_id) = text_of(event_id) else {
        return Err(FlatJsonError::structure("Batch element must contain an eventId of the series event."));
    };
    Ok(BatchElement { event_id, flat_json: data.map_or(NO_DATA, |data| data.get().as_bytes()) })
}
