//! Log files of any content: recovery ends, says what it means, and gives back no point that was not written.

use model::SeriesKey;
use series::fault::MemoryDisk;
use series::{Catalog, ReadPlan, RecoveryOptions, RecoveryReport, RingView, check, recover};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const LOG: &str = "/log";
const SERIES: &str = "/series";
const FILE_MAGIC: &[u8] = b"CWSERLOG";
const FRAME_MAGIC: &[u8] = b"CWFR";
const FILE_HEADER_BYTES: usize = 64;
const FRAME_HEADER_BYTES: usize = 48;
const ENTRY_HEADER_BYTES: usize = 16;
/// Small, so that a file becomes several segments.
const MEMORY_BYTES_MAX: u64 = 2_000;

/// The first byte tells whether the checksums are made right, so that what is behind them is reached, too; the rest are
/// files of one chain, each from one magic to the next.
pub fn fuzz_log_recovery(data: &[u8]) {
    let Some((mode, data)) = data.split_first() else { return };
    let mut files = files(data);
    if mode % 2 == 1 {
        // The sealing ends where there are no whole frames any more.
        files.iter_mut().for_each(|file| {
            let _ = seal(file);
        });
    }
    let written = written(&files);
    let disk = disk_with(&files);
    let checked = check(&mut disk.clone(), Path::new(LOG), &|_| true, MEMORY_BYTES_MAX);
    let strict = recovered(&disk_with(&files), false);
    let salvaged = recovered(&disk, true);
    let (Ok(checked), Ok(salvaged)) = (checked, salvaged) else {
        panic!("a disk that works, and no salvage");
    };
    assert_eq!((checked.posts, checked.points, &checked.damage), (salvaged.posts, salvaged.points, &salvaged.damage));
    if let Ok(strict) = strict {
        assert_eq!((strict.posts, strict.points), (salvaged.posts, salvaged.points), "nothing was to be salvaged");
    }
    assert!(salvaged.posts <= written.posts, "{} posts of {}", salvaged.posts, written.posts);
    let found = found(&disk);
    assert!(found.is_subset(&written.places), "invented: {:?}", found.difference(&written.places).next());
    assert!(!disk.paths().iter().any(|path| path.starts_with(LOG)), "a recovered log stays");
}

fn files(data: &[u8]) -> Vec<Vec<u8>> {
    let is_start = |position: &usize| data.get(*position..).is_some_and(|rest| rest.starts_with(FILE_MAGIC));
    let starts = (1..data.len()).filter(is_start);
    let bounds: Vec<usize> = std::iter::once(0).chain(starts).chain([data.len()]).collect();
    bounds.windows(2).filter_map(|bounds| Some(data.get(*bounds.first()?..*bounds.last()?)?.to_vec())).collect()
}

fn disk_with(files: &[Vec<u8>]) -> MemoryDisk {
    let disk = MemoryDisk::new(1);
    for (number, content) in (1..).zip(files) {
        disk.replace(&path(number), content.clone());
    }
    disk
}

fn path(number: u64) -> PathBuf {
    Path::new(LOG).join(format!("e0000000001-c00-n{number:06}.log"))
}

fn recovered(disk: &MemoryDisk, salvage: bool) -> Result<RecoveryReport, String> {
    let mut disk = disk.clone();
    let catalog = Catalog::open(Path::new(SERIES), &mut disk).map_err(|error| error.to_string())?;
    let options = RecoveryOptions { memory_bytes_max: MEMORY_BYTES_MAX, salvage };
    recover(&mut disk, Path::new(LOG), &catalog, &|_| true, options).map_err(|error| error.to_string())
}

/// All points of all segments.
fn found(disk: &MemoryDisk) -> BTreeSet<(u64, i64)> {
    let mut disk = disk.clone();
    let catalog = Catalog::open(Path::new(SERIES), &mut disk).expect("what a recovery wrote can be opened");
    let keys: BTreeSet<SeriesKey> = catalog.snapshot().iter().flat_map(|segment| segment.keys()).collect();
    let mut found = BTreeSet::new();
    for key in keys {
        let segments = catalog.for_key(key, i64::MIN, i64::MAX);
        let mut plan = ReadPlan::new(RingView::empty(key), segments, i64::MIN, i64::MAX);
        while let Some(page) = plan.next_page(&mut disk, 100).expect("what a recovery wrote can be read") {
            found.extend(page.times_ns.into_iter().map(|time_ns| (key.as_u64(), time_ns)));
        }
    }
    found
}

/// What the intact frames hold, wherever they are.
#[derive(Default)]
struct Written {
    posts: u64,
    places: BTreeSet<(u64, i64)>,
}

/// Reads the files again, in its own way.
fn written(files: &[Vec<u8>]) -> Written {
    let mut written = Written::default();
    for file in files {
        let seed = seed_of(file);
        let offsets = (FILE_HEADER_BYTES..file.len()).step_by(8);
        for body in offsets.filter_map(|offset| intact_body(file, offset, seed)) {
            written.posts += 1;
            // A body that is no body has no points.
            let _ = note_points(body, &mut written.places);
        }
    }
    written
}

fn intact_body(file: &[u8], offset: usize, seed: u32) -> Option<&[u8]> {
    let header = file.get(offset..offset + FRAME_HEADER_BYTES)?;
    let body = file.get(offset + FRAME_HEADER_BYTES..)?.get(..usize::try_from(u32_at(header, 32)?).ok()?)?;
    let is_intact = header.starts_with(FRAME_MAGIC)
        && u32_at(header, 4)? == crc32c::crc32c_append(seed, header.get(8..)?)
        && u32_at(header, 36)? == crc32c::crc32c(body);
    is_intact.then_some(body)
}

fn note_points(body: &[u8], places: &mut BTreeSet<(u64, i64)>) -> Option<()> {
    let mut rest = body;
    while !rest.is_empty() {
        let (header, after) = rest.split_at_checked(ENTRY_HEADER_BYTES)?;
        let (points, behind) = after.split_at_checked(usize::try_from(u32_at(header, 8)?).ok()?)?;
        let rows = usize::try_from(u32_at(points, 0)?).ok()?;
        for row in 0..rows {
            let time_ns = u64_at(points, row.checked_mul(8)?.checked_add(8)?)?;
            places.insert((u64_at(header, 0)?, time_ns.cast_signed()));
        }
        rest = behind;
    }
    Some(())
}

/// Makes the checksums fit what the file holds now: of its header, and of the frames one behind the other. `None` at the
/// end: where no frame follows.
fn seal(file: &mut [u8]) -> Option<()> {
    let checksum = crc32c::crc32c(file.get(16..FILE_HEADER_BYTES)?);
    put(file, 12, checksum)?;
    let seed = seed_of(file);
    let mut offset = FILE_HEADER_BYTES;
    loop {
        let frame = file.get_mut(offset..).filter(|frame| frame.starts_with(FRAME_MAGIC))?;
        let body_bytes = usize::try_from(u32_at(frame, 32)?).ok()?;
        let body = frame.get(FRAME_HEADER_BYTES..)?.get(..body_bytes)?;
        let checksum = crc32c::crc32c(body);
        put(frame, 36, checksum)?;
        let checksum = crc32c::crc32c_append(seed, frame.get(8..FRAME_HEADER_BYTES)?);
        put(frame, 4, checksum)?;
        offset += FRAME_HEADER_BYTES + body_bytes.next_multiple_of(8);
    }
}

fn seed_of(file: &[u8]) -> u32 {
    crc32c::crc32c(file.get(32..40).unwrap_or_default())
}

pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    bytes.get(offset..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

pub(crate) fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    bytes.get(offset..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

pub(crate) fn put(bytes: &mut [u8], offset: usize, checksum: u32) -> Option<()> {
    *bytes.get_mut(offset..)?.first_chunk_mut()? = checksum.to_le_bytes();
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stored_logs_are_read_to_their_end() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/log_recovery");
        for (name, posts) in [("chain", 9), ("together", 3), ("torn", 2), ("refused", 2)] {
            let data = std::fs::read(folder.join(name)).expect("a stored input");
            let files = files(&data[1..]);
            let report = recovered(&disk_with(&files), false).expect(name);
            assert_eq!((report.posts, written(&files).posts >= posts), (posts, true), "{name}");
        }
        let chain = std::fs::read(folder.join("chain")).expect("a stored input");
        for file in files(&chain[1..]) {
            let mut sealed = file.clone();
            assert_eq!(seal(&mut sealed), None);
            assert!(sealed == file, "sealing changed something where the checksums hold");
        }
        let damaged = std::fs::read(folder.join("damaged")).expect("a stored input");
        recovered(&disk_with(&files(&damaged[1..])), false).expect_err("damaged");
    }
}
