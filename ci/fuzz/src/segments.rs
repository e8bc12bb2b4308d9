//! Segment files and blocks of any content: an error or points, never a panic.

use crate::logs::{put, u32_at, u64_at};
use model::SeriesKey;
use series::fault::MemoryDisk;
use series::segment::block::{self, Effort};
use series::{Catalog, Cells, Disk, Points, ReadPlan, RingView, SegmentError};
use std::path::Path;

const SERIES: &str = "/series";
const SEGMENT_BYTES_MAX: u64 = 1 << 20;

/// The first byte tells whether the checksums of index and trailer are made right; the rest is the file.
pub fn fuzz_segment(data: &[u8]) {
    let Some((mode, data)) = data.split_first() else { return };
    let mut file = data.to_vec();
    let is_v1 = u32_at(&file, 8) == Some(1);
    if mode % 2 == 1 {
        // What is too short to have a trailer has no checksum, either.
        let _ = if is_v1 { seal(&mut file, V1) } else { seal(&mut file, V2) };
    }
    let disk = MemoryDisk::new(1);
    disk.replace(&Path::new(SERIES).join(name_of(&file, is_v1)), file);
    // An error names file and place, and is all right.
    let _ = use_all(&mut disk.clone());
}

/// The name that the trailer gives the file, so that it gets further than to its name.
fn name_of(file: &[u8], is_v1: bool) -> String {
    let trailer = |bytes: usize| file.len().checked_sub(bytes).and_then(|start| file.get(start..)).unwrap_or_default();
    let number = |trailer: &[u8], offset| u64_at(trailer, offset).unwrap_or(1);
    let slot = |trailer: &[u8], offset| u32_at(trailer, offset).map_or(1, |slot| slot & 0xffff);
    if is_v1 {
        let trailer = trailer(V1.bytes);
        return format!("s{:04}-n{:020}.seg", slot(trailer, 24), number(trailer, 16));
    }
    let trailer = trailer(V2.bytes);
    let [first, last, version] = [16, 24, 32].map(|offset| number(trailer, offset));
    format!("s{:04}-n{first:012}-{last:012}-v{version:012}.seg", slot(trailer, 40))
}

/// All that a server does with a segment.
fn use_all(disk: &mut dyn Disk) -> Result<(), SegmentError> {
    let catalog = Catalog::open(Path::new(SERIES), disk)?;
    let segments = catalog.snapshot();
    let keys: Vec<SeriesKey> = segments.iter().flat_map(|segment| segment.keys()).collect();
    for key in &keys {
        // A block that is damaged must not keep the others from being read.
        let _ = read(&catalog, *key, disk);
    }
    segments.iter().try_for_each(|segment| segment.verify(&|_| true, disk))?;
    catalog.forget(keys.get(..1).unwrap_or_default());
    for due in catalog.due() {
        catalog.erase(due, disk)?;
    }
    catalog.merge_once(SEGMENT_BYTES_MAX, disk)?;
    for key in keys.get(1..).unwrap_or_default() {
        read(&catalog, *key, disk)?;
    }
    Ok(())
}

fn read(catalog: &Catalog, key: SeriesKey, disk: &mut dyn Disk) -> Result<(), SegmentError> {
    let (from_ns, to_ns) = (i64::MIN, i64::MAX);
    let segments = catalog.for_key(key, from_ns, to_ns);
    let mut plan = ReadPlan::new(RingView::empty(key), segments, from_ns, to_ns);
    let mut last_ns = None;
    while let Some(page) = plan.next_page(disk, 100)? {
        assert!((1..=100).contains(&page.rows()));
        assert!(page.times_ns.is_sorted_by(|earlier, later| earlier < later), "a page is not in order");
        assert!(last_ns < page.times_ns.first().copied(), "the pages are not in order");
        last_ns = page.times_ns.last().copied();
    }
    Ok(())
}

/// What is decoded can be encoded again, in either way, and is the same.
pub fn fuzz_block(data: &[u8]) {
    let Ok(points) = block::decode(data) else { return };
    for effort in [Effort::Flush, Effort::Merge] {
        let mut bytes = Vec::new();
        block::encode(&points, effort, &mut bytes);
        let again = block::decode(&bytes).expect("what was encoded is decoded");
        assert!(is_same(&points, &again), "{points:?}\n{again:?}");
    }
}

/// Numbers bit by bit; what stands in an absent cell is nobody's business.
fn is_same(a: &Points, b: &Points) -> bool {
    let is_same_cell = |a: &Cells, b: &Cells, row: usize| match (a, b) {
        (Cells::Number(a), Cells::Number(b)) => a.get(row).map(|a| a.to_bits()) == b.get(row).map(|b| b.to_bits()),
        (Cells::Boolean(a), Cells::Boolean(b)) => a.get(row) == b.get(row),
        (Cells::Text { dictionary: words_a, codes: a }, Cells::Text { dictionary: words_b, codes: b }) => {
            let text = |words: &[Box<str>], codes: &[u32]| {
                words.get(usize::try_from(*codes.get(row)?).ok()?).map(|word| word.to_string())
            };
            text(words_a, a) == text(words_b, b)
        }
        _ => false,
    };
    let is_same_column = |(a, b): (&series::Column, &series::Column)| {
        let is_same_row = |row| {
            a.is_present(row) == b.is_present(row) && (!a.is_present(row) || is_same_cell(&a.cells, &b.cells, row))
        };
        a.name == b.name && (0..a.cells.len()).all(is_same_row)
    };
    a.times_ns == b.times_ns
        && a.columns.len() == b.columns.len()
        && a.columns.iter().zip(&b.columns).all(is_same_column)
}

/// Where a trailer has its checksums.
struct Trailer {
    bytes: usize,
    of_index: usize,
    of_trailer: usize,
}

const V1: Trailer = Trailer { bytes: 48, of_index: 32, of_trailer: 36 };
const V2: Trailer = Trailer { bytes: 64, of_index: 48, of_trailer: 52 };

fn seal(file: &mut [u8], trailer: Trailer) -> Option<()> {
    let start = file.len().checked_sub(trailer.bytes)?;
    let index_offset = usize::try_from(u64_at(file, start)?).ok()?;
    let index_bytes = usize::try_from(u64_at(file, start + 8)?).ok()?;
    let checksum = crc32c::crc32c(file.get(index_offset..)?.get(..index_bytes)?);
    put(file, start + trailer.of_index, checksum)?;
    let checksum = crc32c::crc32c(file.get(start..start + trailer.of_trailer)?);
    put(file, start + trailer.of_trailer, checksum)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(target: &str) -> Vec<(String, Vec<u8>)> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
        let files = std::fs::read_dir(folder).expect("stored inputs").map(|file| file.expect("a file").path());
        files.map(|path| (path.display().to_string(), std::fs::read(path).expect("a file"))).collect()
    }

    #[test]
    fn the_stored_segments_and_blocks_are_whole() {
        for (name, data) in stored("segment") {
            let file = data[1..].to_vec();
            let is_v1 = u32_at(&file, 8) == Some(1);
            let mut sealed = file.clone();
            seal(&mut sealed, if is_v1 { V1 } else { V2 }).expect(&name);
            assert_eq!(sealed, file, "{name}: sealing changes nothing where the checksums hold");
            let mut disk = MemoryDisk::new(1);
            disk.replace(&Path::new(SERIES).join(name_of(&file, is_v1)), file);
            use_all(&mut disk).expect(&name);
        }
        for (name, data) in stored("block") {
            assert!(block::decode(&data).expect(&name).rows() > 0, "{name}");
        }
    }
}
