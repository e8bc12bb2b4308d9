//! Finished JSON of items, written without building values.

use bytes::Bytes;

use crate::StoreError;
use crate::base::{Cursor, FilePlace, Page};

/// A page is closed when it has reached this; one item may exceed it.
pub(crate) const PAGE_BYTES: usize = 256 << 10;
/// Rows looked at for one page, so that no read keeps its lane for long.
pub(crate) const SCAN_ROWS_MAX: u64 = 200_000;

/// Items of one page so far, and the bounds that end it.
pub(crate) struct PageBuilder {
    json: Vec<u8>,
    files: Vec<FilePlace>,
    item_count: u64,
    delivered_before: u64,
    skip: u64,
    limit: u64,
    scanned: u64,
    last: Option<(f64, i64)>,
}

/// Whether another row is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Row,
    /// The page is full: it goes on after the last row.
    PageFull,
    /// The limit is reached: there is no further page.
    LimitReached,
}

impl PageBuilder {
    pub(crate) fn new(skip: u64, limit: Option<u64>, after: Option<&Cursor>) -> Self {
        Self {
            json: Vec::with_capacity(4096),
            files: Vec::new(),
            item_count: 0,
            delivered_before: after.map_or(0, |cursor| cursor.delivered),
            // The first page has done it.
            skip: if after.is_some() { 0 } else { skip },
            limit: limit.unwrap_or(u64::MAX),
            scanned: 0,
            last: None,
        }
    }

    pub(crate) fn wants_none(&self) -> bool {
        self.delivered_before >= self.limit
    }

    /// A row matched: `write` puts its JSON, and tells the places of its attachments, unless it is skipped.
    pub(crate) fn matched(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>, &mut Vec<FilePlace>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        if self.skip > 0 {
            self.skip -= 1;
            return Ok(());
        }
        if self.item_count > 0 {
            self.json.push(b',');
        }
        write(&mut self.json, &mut self.files)?;
        self.item_count += 1;
        Ok(())
    }

    /// A row was looked at (and maybe written).
    pub(crate) fn seen(&mut self, time: f64, row: i64) -> Next {
        self.last = Some((time, row));
        self.scanned += 1;
        if self.delivered_before + self.item_count >= self.limit {
            Next::LimitReached
        } else if self.json.len() >= PAGE_BYTES || (self.scanned >= SCAN_ROWS_MAX && self.skip == 0) {
            Next::PageFull
        } else {
            Next::Row
        }
    }

    pub(crate) fn finish(self, more: bool) -> Page {
        let delivered = self.delivered_before + self.item_count;
        let next = self.last.filter(|_| more).map(|(time, row)| Cursor { time, row, delivered });
        let (json, files) = (Bytes::from(self.json), self.files);
        Page { json, files, item_count: self.item_count, skip_left: self.skip, next }
    }
}

pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) -> Result<(), StoreError> {
    Ok(serde_json::to_writer(out, text)?)
}

/// As [`model::time::number`].
pub(crate) fn put_number(out: &mut Vec<u8>, value: f64) -> Result<(), StoreError> {
    Ok(serde_json::to_writer(out, &model::time::number(value))?)
}

/// A list of attachments as it is stored, one by one so that their places are known.
pub(crate) fn put_attachments(out: &mut Vec<u8>, files: &mut Vec<FilePlace>, list: &str) -> Result<(), StoreError> {
    #[derive(serde::Deserialize)]
    struct Named {
        id: String,
    }
    let attachments: Vec<&serde_json::value::RawValue> = serde_json::from_str(list)?;
    out.push(b'[');
    for (index, attachment) in attachments.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        let Named { id } = serde_json::from_str(attachment.get())?;
        out.extend_from_slice(attachment.get().as_bytes());
        // It is an object, since it has an id: its last byte is the brace.
        files.push(FilePlace { at: out.len() - 1, id });
    }
    out.push(b']');
    Ok(())
}

pub(crate) fn put_key(out: &mut Vec<u8>, key: &str) {
    out.extend_from_slice(key.as_bytes());
}
