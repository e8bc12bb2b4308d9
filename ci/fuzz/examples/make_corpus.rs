//! Writes the stored inputs of the targets `log_recovery`, `segment` and `block`, small ones of every kind:
//!
//! `cargo run --release --example make_corpus`

use model::{Grant, Right, SeriesKey, ServerTask, SlotId, UserId};
use series::fault::{Fault, MemoryDisk};
use series::segment::block::{self, Effort};
use series::{Catalog, Cells, Column, Ingest, IngestLimits, LogOptions, LogWriter, Points, Retain};
use std::error::Error;
use std::path::Path;

const LOG: &str = "/log";
const SERIES: &str = "/series";
const AS_IT_IS: u8 = 0;
const SEALED: u8 = 1;
const SECOND_NS: i64 = 1_000_000_000;

type Done = Result<(), Box<dyn Error>>;

fn main() -> Done {
    logs()?;
    segments()?;
    blocks()
}

fn logs() -> Done {
    let mut node = Node::new(512);
    for number in 0..9 {
        node.post(vec![(key(number % 2), one_number(number))])?;
    }
    let chain = node.files(LOG);
    save("log_recovery", "chain", AS_IT_IS, &chain.concat())?;
    save("log_recovery", "chain-sealed", SEALED, &chain.concat())?;
    save("log_recovery", "file-missing", AS_IT_IS, &[&chain[..1], &chain[2..]].concat().concat())?;
    let mut damaged = chain.concat();
    damaged[150] ^= 4;
    save("log_recovery", "damaged", AS_IT_IS, &damaged)?;

    let mut node = Node::new(2048);
    node.post(vec![(key(1), all_kinds()), (key(2), one_number(3))])?;
    node.push(vec![(key(1), one_number(4))])?;
    node.push(vec![(key(2), all_kinds())])?;
    node.writer.step(&mut node.disk);
    let together = node.files(LOG).concat();
    save("log_recovery", "together", AS_IT_IS, &together)?;
    save("log_recovery", "together-sealed", SEALED, &together)?;
    let used = together.iter().rposition(|byte| *byte != 0).ok_or("an empty log")?;
    let mut torn = together.clone();
    torn[used - 40..].fill(0);
    save("log_recovery", "torn", AS_IT_IS, &torn)?;

    let mut node = Node::new(1024);
    node.post(vec![(key(1), one_number(1))])?;
    node.push(vec![(key(1), one_number(2))])?;
    node.disk.fail_after(0, Fault::NoSpace);
    node.push(vec![(key(1), all_kinds())])?;
    node.writer.step(&mut node.disk);
    node.post(vec![(key(1), one_number(3))])?;
    save("log_recovery", "refused", AS_IT_IS, &node.files(LOG).concat())
}

fn segments() -> Done {
    let mut node = Node::new(1024);
    node.post(vec![(key(1), all_kinds()), (key(2), steady(40))])?;
    node.post(vec![(key(1), one_number(2))])?;
    node.flush()?;
    for (mode, name) in [(AS_IT_IS, "flush"), (SEALED, "flush-sealed")] {
        save("segment", name, mode, &node.files(SERIES).concat())?;
    }
    let rule = |number, bucket_ns| Retain { key: key(number), before_ns: 20 * SECOND_NS, bucket_ns };
    node.catalog.retain(SlotId(1), &[rule(1, None), rule(2, Some(5 * SECOND_NS))], &mut node.disk)?;
    let reduced = node.files(SERIES).pop().ok_or("nothing was reduced")?;
    for (mode, name) in [(AS_IT_IS, "buckets-and-trims"), (SEALED, "buckets-and-trims-sealed")] {
        save("segment", name, mode, &reduced)?;
    }
    for (mode, name) in [(AS_IT_IS, "format-1"), (SEALED, "format-1-sealed")] {
        save("segment", name, mode, &format_1())?;
    }
    Ok(())
}

fn blocks() -> Done {
    let decimals = numbers((0..60).map(|row| f64::from(row * row % 37) / 100.0).collect());
    let doubles = numbers((1..40).map(|row| f64::from(row).sqrt().ln()).collect());
    let odd =
        numbers(vec![0.0, -0.0, f64::NAN, f64::INFINITY, f64::MIN_POSITIVE / 4.0, 1e300, 9_007_199_254_740_993.0]);
    let constant = numbers(vec![71.25; 100]);
    let empty = Points { times_ns: vec![i64::MIN, 0, i64::MAX - 1], columns: vec![] };
    let blocks = [
        ("steady", steady(100)),
        ("all-kinds", all_kinds()),
        ("decimals", decimals),
        ("doubles", doubles),
        ("odd-numbers", odd),
        ("constant", constant),
        ("no-columns", empty),
    ];
    for (name, points) in blocks {
        for (suffix, effort) in [("flush", Effort::Flush), ("merge", Effort::Merge)] {
            let mut bytes = Vec::new();
            block::encode(&points, effort, &mut bytes);
            let (first, rest) = bytes.split_first().ok_or("an empty block")?;
            save("block", &format!("{name}-{suffix}"), *first, rest)?;
        }
    }
    Ok(())
}

struct Node {
    disk: MemoryDisk,
    ingest: Ingest,
    writer: LogWriter,
    catalog: Catalog,
}

impl Node {
    fn new(file_bytes: u64) -> Self {
        let mut disk = MemoryDisk::new(1);
        let options = LogOptions {
            dir: LOG.into(),
            epoch: 1,
            chain: 0,
            file_bytes,
            next_spare: Box::new(|| None),
            next_file_id: Box::new(|| 0x1234_5678_9abc_def0),
        };
        let limits = IngestLimits { ring_bytes_max: 1 << 20, flush_bytes: 1 << 20 };
        let catalog = Catalog::open(Path::new(SERIES), &mut disk).expect("an empty folder");
        Self { disk, ingest: Ingest::new(limits, 1, 0), writer: LogWriter::new(options), catalog }
    }

    fn push(&mut self, batch: Vec<(SeriesKey, Points)>) -> Done {
        let batch = batch.into_iter().map(|(key, points)| (may_write(key), points)).collect();
        let (_, group) = self.ingest.append(batch)?;
        self.writer.push(group);
        Ok(())
    }

    fn post(&mut self, batch: Vec<(SeriesKey, Points)>) -> Done {
        self.push(batch)?;
        for event in self.writer.step(&mut self.disk) {
            if let series::LogEvent::Durable(durable) = event {
                self.ingest.durable(&durable);
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Done {
        self.ingest.freeze();
        let frozen = self.ingest.frozen_ready().ok_or("nothing to flush")?;
        self.catalog.flush(&frozen, &mut self.disk)?;
        self.ingest.flushed(frozen.through());
        Ok(())
    }

    fn files(&self, folder: &str) -> Vec<Vec<u8>> {
        let paths = self.disk.paths().into_iter().filter(|path| path.starts_with(folder));
        paths.filter_map(|path| self.disk.content(&path)).collect()
    }
}

fn may_write(key: SeriesKey) -> Grant {
    Grant::server_itself(ServerTask::Operator, UserId::new("u"), key.slot(), Right::WriteSeries(key))
}

/// All in slot 1.
fn key(number: i64) -> SeriesKey {
    SeriesKey::new(SlotId(1), number.unsigned_abs()).expect("a small number")
}

fn column(name: &str, cells: Cells, present: Option<Vec<bool>>) -> Column {
    Column { name: name.into(), cells, present }
}

fn one_number(number: i64) -> Points {
    Points { times_ns: vec![number * SECOND_NS], ..numbers(vec![71.5]) }
}

/// A second apart.
fn numbers(values: Vec<f64>) -> Points {
    let times_ns = (0..).map(|row| row * SECOND_NS).take(values.len()).collect();
    Points { times_ns, columns: vec![column("value", Cells::Number(values), None)] }
}

fn steady(rows: i32) -> Points {
    numbers((0..rows).map(f64::from).collect())
}

/// Every kind of cell, absent ones, two kinds of one name.
fn all_kinds() -> Points {
    let text = Cells::Text { dictionary: vec!["idle".into(), "é \"x\"".into()], codes: vec![0, 1, 0, 1] };
    let columns = vec![
        column("lat", Cells::Number(vec![46.52, 46.53, 0.0, -1.5]), Some(vec![true, true, false, true])),
        column("on", Cells::Boolean(vec![true, false, true, true]), None),
        column("state", text, Some(vec![true, true, true, false])),
        column("lat", Cells::Boolean(vec![false, false, true, false]), Some(vec![false, false, true, false])),
    ];
    Points { times_ns: vec![-5, 1_000, 2_000, 90 * SECOND_NS], columns }
}

/// Two rows of one series, byte by byte as docs of format 1 say: no program writes it any more.
fn format_1() -> Vec<u8> {
    let key = key(1).as_u64();
    let mut block = [2_u32.to_le_bytes().as_slice(), &1_u16.to_le_bytes(), &[0; 2]].concat();
    [0_i64, SECOND_NS].iter().for_each(|time_ns| block.extend_from_slice(&time_ns.to_le_bytes()));
    block.extend_from_slice(&5_u16.to_le_bytes());
    block.extend_from_slice(&[0, 0]);
    block.extend_from_slice(b"value");
    [1.5_f64, 2.5].iter().for_each(|value| block.extend_from_slice(&value.to_le_bytes()));

    let mut index = [1_u32, 1, 1, 5].map(u32::to_le_bytes).concat();
    index.extend_from_slice(b"value");
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&key.to_le_bytes()), &block);
    [key, 16, 0, SECOND_NS.unsigned_abs()].iter().for_each(|word| index.extend_from_slice(&word.to_le_bytes()));
    let block_bytes = u32::try_from(block.len()).expect("a small block");
    [block_bytes, 2, checksum, 0].iter().for_each(|word| index.extend_from_slice(&word.to_le_bytes()));

    let index_offset = 16 + u64::from(block_bytes);
    let index_bytes = u64::try_from(index.len()).expect("a small index");
    let mut trailer = [index_offset, index_bytes, 1].map(u64::to_le_bytes).concat();
    [1, 1, crc32c::crc32c(&index)].iter().for_each(|word: &u32| trailer.extend_from_slice(&word.to_le_bytes()));
    let checksum = crc32c::crc32c(&trailer);
    trailer.extend_from_slice(&checksum.to_le_bytes());
    trailer.extend_from_slice(b"CWSEGEND");
    [b"CWSEGMNT".as_slice(), &1_u32.to_le_bytes(), &[0; 4], &block, &index, &trailer].concat()
}

fn save(target: &str, name: &str, first: u8, rest: &[u8]) -> Done {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join(name), [&[first], rest].concat())?;
    Ok(())
}
