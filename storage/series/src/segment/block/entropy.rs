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
