//! Reads one log file back: its frames in order up to the tail, and the verdict whether that tail is a normal one.

use super::file::{FileHeader, FileName, HEADER_BYTES};
use super::frame::{self, FrameHeader, seed_of};
use crate::disk::{Disk, DiskError};
use std::path::{Path, PathBuf};

/// Read at once; a larger frame is read as a whole.
const WINDOW_BYTES: usize = 4 << 20;

pub(crate) struct LogReader {
    name: FileName,
    window: Window,
    seed: u32,
    /// Where the frames end, if the file after this one says so; what is behind was refused, or is damage.
    limit: Option<u64>,
    /// Behind the last valid frame.
    end: u64,
    sequence_last: u64,
}

pub(crate) struct Frame<'a> {
    pub(crate) offset: u64,
    pub(crate) body: &'a [u8],
}

impl LogReader {
    /// `Ok(None)`: the header is damaged, or the file was cut off. `sequence_before` is the last sequence of the
    /// chain's file before, `limit` what the file after it says of its end.
    pub(crate) fn open(
        path: &Path,
        name: FileName,
        sequence_before: u64,
        limit: Option<u64>,
        disk: &mut dyn Disk,
    ) -> Result<Option<Self>, DiskError> {
        let mut window = Window::open(path, disk)?;
        let Some(header) = window.header(name, disk)? else { return Ok(None) };
        let end = u64::try_from(HEADER_BYTES).expect("64 fits");
        Ok(Some(Self { name, window, seed: seed_of(header.file_id()), limit, end, sequence_last: sequence_before }))
    }

    /// The next frame; `None` at the tail.
    pub(crate) fn next(&mut self, disk: &mut dyn Disk) -> Result<Option<Frame<'_>>, DiskError> {
        let offset = self.end;
        if self.limit.is_some_and(|limit| offset >= limit) {
            return Ok(None);
        }
        let Some(header) = self.header_at(offset, disk)? else { return Ok(None) };
        let Ok(body_bytes) = usize::try_from(header.body_bytes()) else { return Ok(None) };
        if header.frame_bytes() > self.window.length - offset {
            return Ok(None);
        }
        let Some(body) = self.window.get(offset + frame_header_bytes(), body_bytes, disk)? else { return Ok(None) };
        if !header.body_is_intact(body) {
            return Ok(None);
        }
        self.end = offset + header.frame_bytes();
        self.sequence_last = header.sequence();
        Ok(Some(Frame { offset, body }))
    }

    /// Asked at the tail: had the bytes here been synced? Then they were acknowledged and are broken now. The file
    /// after this one knows, or a later frame of this file.
    pub(crate) fn is_damaged_here(&mut self, disk: &mut dyn Disk) -> Result<bool, DiskError> {
        if let Some(limit) = self.limit {
            return Ok(self.end < limit);
        }
        let mut later = self.end;
        while let Some((offset, header)) = self.find_frame(later, disk)? {
            if header.synced() > self.end {
                return Ok(true);
            }
            later = offset + frame::ALIGNMENT;
        }
        Ok(false)
    }

    /// Salvage: goes on at the next frame that is intact from header to end, if there is one.
    pub(crate) fn skip_damage(&mut self, disk: &mut dyn Disk) -> Result<bool, DiskError> {
        let mut from = self.end;
        while let Some((offset, header)) = self.find_frame(from, disk)? {
            // As `next` will see it: a frame that it refused would be found here again and again.
            let fits = header.frame_bytes() <= self.window.length.saturating_sub(offset)
                && self.limit.is_none_or(|limit| offset < limit);
            let body = match usize::try_from(header.body_bytes()) {
                Ok(bytes) if fits => self.window.get(offset + frame_header_bytes(), bytes, disk)?,
                _ => None,
            };
            if body.is_some_and(|body| header.body_is_intact(body)) {
                self.end = offset;
                return Ok(true);
            }
            from = offset + frame::ALIGNMENT;
        }
        Ok(false)
    }

    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    pub(crate) fn sequence_last(&self) -> u64 {
        self.sequence_last
    }

    fn header_at(&mut self, offset: u64, disk: &mut dyn Disk) -> Result<Option<FrameHeader>, DiskError> {
        let bytes = self.window.get(offset, frame::HEADER_BYTES, disk)?.unwrap_or_default();
        let header = FrameHeader::read(bytes, self.seed);
        Ok(header.filter(|header| {
            // A lower sequence: left over from a run that was refused and written over.
            let follows = header.sequence() > self.sequence_last;
            follows && header.epoch() == self.name.epoch && header.chain() == self.name.chain
        }))
    }

    /// The first valid frame header at or behind `from` that continues the sequence.
    fn find_frame(&mut self, from: u64, disk: &mut dyn Disk) -> Result<Option<(u64, FrameHeader)>, DiskError> {
        let mut offset = from;
        while let Some(bytes) = self.window.rest(offset, frame::HEADER_BYTES, disk)? {
            let step = usize::try_from(frame::ALIGNMENT).expect("8 fits");
            let looked_at = bytes.len() - frame::HEADER_BYTES + 1;
            let found = bytes.chunks(step).take(looked_at.div_ceil(step)).position(|c| c.starts_with(&frame::MAGIC));
            let Some(chunks) = found else {
                offset += u64::try_from(looked_at.next_multiple_of(step)).expect("a usize fits");
                continue;
            };
            offset += u64::try_from(chunks * step).expect("a usize fits");
            if let Some(header) = self.header_at(offset, disk)? {
                return Ok(Some((offset, header)));
            }
            offset += frame::ALIGNMENT;
        }
        Ok(None)
    }
}

/// Where the file before `name` ends, as `name` says. `None`: its header is damaged.
pub(crate) fn previous_end_of(path: &Path, name: FileName, disk: &mut dyn Disk) -> Result<Option<u64>, DiskError> {
    let header = Window::open(path, disk)?.header(name, disk)?;
    Ok(header.map(|header| header.previous_end()))
}

fn frame_header_bytes() -> u64 {
    u64::try_from(frame::HEADER_BYTES).expect("48 fits")
}

/// A piece of the file in memory that moves along.
struct Window {
    path: PathBuf,
    length: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl Window {
    fn open(path: &Path, disk: &mut dyn Disk) -> Result<Self, DiskError> {
        Ok(Self { path: path.to_owned(), length: disk.length(path)?, start: 0, bytes: Vec::new() })
    }

    /// The file's header, unless it is damaged or says that the file was longer.
    fn header(&mut self, name: FileName, disk: &mut dyn Disk) -> Result<Option<FileHeader>, DiskError> {
        let length = self.length;
        let bytes = self.get(0, HEADER_BYTES, disk)?.unwrap_or_default();
        Ok(FileHeader::read(bytes, name).filter(|header| header.length() <= length))
    }

    /// `None` when the file ends before.
    fn get(&mut self, offset: u64, bytes: usize, disk: &mut dyn Disk) -> Result<Option<&[u8]>, DiskError> {
        Ok(self.rest(offset, bytes, disk)?.and_then(|rest| rest.get(..bytes)))
    }

    /// All of the window from `offset` on, at least `bytes_min`.
    fn rest(&mut self, offset: u64, bytes_min: usize, disk: &mut dyn Disk) -> Result<Option<&[u8]>, DiskError> {
        let available = usize::try_from(self.length.saturating_sub(offset)).unwrap_or(usize::MAX);
        if available < bytes_min {
            return Ok(None);
        }
        let has = |window: &Self| {
            let skip = usize::try_from(offset.checked_sub(window.start)?).ok()?;
            (window.bytes.len().checked_sub(skip)? >= bytes_min).then_some(skip)
        };
        let skip = match has(self) {
            Some(skip) => skip,
            None => {
                self.bytes.resize(available.min(WINDOW_BYTES.max(bytes_min)), 0);
                self.start = offset;
                disk.read_at(&self.path, offset, &mut self.bytes)?;
                0
            }
        };
        Ok(self.bytes.get(skip..))
    }
}
