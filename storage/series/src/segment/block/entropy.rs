//! Entropy coding of integers by the crate `pco`: smaller than packing by the skew of their distribution, slower to
//! write. Only a small part of pco's format is read back, so that bytes from a damaged disk meet little of it: its
//! classic mode with plain differences, no dictionaries, no windows.
//!
//! ```text
//!        2  pco's format version, major 4
//!           pco's chunk metadata (lowest four bits 0: classic mode) and one page, as its wrapped API writes them
//! ```

use crate::codec::CodecError;
use pco::metadata::DeltaEncoding;
use pco::wrapped::{FileCompressor, FileDecompressor};
use pco::{ChunkConfig, DeltaSpec, ModeSpec, PagingSpec};

/// Measured on blocks of 4096 sensor values: one percent larger than level 8, without its price on irregular values.
const LEVEL: usize = 6;
const FORMAT_MAJOR: u8 = 4;
const MODE_MASK: u8 = 0x0f;
const MODE_CLASSIC: u8 = 0;

/// `None`: pco refuses, which leaves the packed form.
pub(super) fn encode(values: &[u64], order: usize) -> Option<Vec<u8>> {
    let config = ChunkConfig::default()
        .with_compression_level(LEVEL)
        .with_mode_spec(ModeSpec::Classic)
        .with_delta_spec(DeltaSpec::TryConsecutive(order))
        .with_paging_spec(PagingSpec::Exact(vec![values.len()]));
    let file = FileCompressor::default();
    let mut chunk = file.chunk_compressor(values, &config).ok()?;
    let mut out = Vec::with_capacity(chunk.meta_size_hint() + chunk.page_size_hint(0));
    file.write_header(&mut out).ok()?;
    chunk.write_meta(&mut out).ok()?;
    chunk.write_page(0, &mut out).ok()?;
    Some(out)
}

pub(super) fn decode(bytes: &[u8], count: usize) -> Result<Vec<u64>, CodecError> {
    const FAULT: CodecError = CodecError("entropy-coded integers are damaged");
    let [major, _, mode, ..] = bytes else { return Err(FAULT) };
    if *major != FORMAT_MAJOR || mode & MODE_MASK != MODE_CLASSIC {
        return Err(FAULT);
    }
    let (file, rest) = FileDecompressor::new(bytes).map_err(|_| FAULT)?;
    let (mut chunk, rest) = file.chunk_decompressor::<u64, _>(rest).map_err(|_| FAULT)?;
    let is_plain = matches!(chunk.meta().delta_encoding, DeltaEncoding::NoOp | DeltaEncoding::Consecutive { .. });
    if !is_plain {
        return Err(FAULT);
    }
    let mut page = chunk.page_decompressor(rest, count).map_err(|_| FAULT)?;
    let mut values = vec![0; count];
    let progress = page.read(&mut values).map_err(|_| FAULT)?;
    let is_whole = progress.finished && progress.n_processed == count && page.into_src().is_empty();
    if is_whole { Ok(values) } else { Err(FAULT) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pco::data_types::Number;

    fn values() -> Vec<u64> {
        (0..2000u64).map(|row| row * 1000 + row * row % 97).collect()
    }

    fn coded_by_pco<T: Number>(values: &[T], mode: ModeSpec, delta: DeltaSpec) -> Vec<u8> {
        let paging = PagingSpec::Exact(vec![values.len()]);
        let config = ChunkConfig::default().with_mode_spec(mode).with_delta_spec(delta).with_paging_spec(paging);
        let file = FileCompressor::default();
        let mut chunk = file.chunk_compressor(values, &config).unwrap();
        let mut out = Vec::new();
        file.write_header(&mut out).unwrap();
        chunk.write_meta(&mut out).unwrap();
        chunk.write_page(0, &mut out).unwrap();
        out
    }

    #[test]
    fn integers_of_every_order_are_read_back_and_a_far_other_count_is_refused() {
        for order in 0..=2 {
            let bytes = encode(&values(), order).unwrap();
            assert_eq!(decode(&bytes, 2000).unwrap(), values());
            for count in [1, 1000, 4096] {
                assert!(decode(&bytes, count).is_err(), "{count}");
            }
        }
    }

    #[test]
    fn parts_of_pcos_format_that_are_never_written_are_refused() {
        let values: Vec<u64> = (0..2000u64).map(|row| row % 7 * 1_000_003 * 1_000_003).collect();
        let bytes = coded_by_pco(&values, ModeSpec::Classic, DeltaSpec::NoOp);
        assert_eq!(decode(&bytes, 2000).unwrap(), values, "the plain part is read");
        for (mode, delta) in [
            (ModeSpec::TryDict, DeltaSpec::NoOp),
            (ModeSpec::TryIntMult(1_000_003), DeltaSpec::NoOp),
            (ModeSpec::Classic, DeltaSpec::TryLookback),
        ] {
            let bytes = coded_by_pco(&values, mode, delta);
            let (file, rest) = FileDecompressor::new(bytes.as_slice()).unwrap();
            let meta = file.chunk_decompressor::<u64, _>(rest).unwrap().0.meta().clone();
            assert!(decode(&bytes, 2000).is_err(), "{:?} {:?}", meta.mode, meta.delta_encoding);
        }
    }

    #[test]
    fn an_older_or_newer_format_of_pco_is_refused() {
        let mut bytes = encode(&values(), 1).unwrap();
        for major in [0, 1, 2, 3, 5, 255] {
            bytes[0] = major;
            assert!(decode(&bytes, 2000).is_err(), "{major}");
        }
    }
}
