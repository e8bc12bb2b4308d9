//! The series engine: high-frequency points that survive a power cut once they are acknowledged.
//!
//! The way of a post: [`Ingest::append`] (shard thread) -> [`LogWriter::step`] (writer thread, group commit) ->
//! [`Ingest::durable`] + [`Ingest::acknowledge`] -> later [`Ingest::freeze`], [`Catalog::flush`], [`Ingest::flushed`],
//! [`LogWriter::checkpoint`]. A read: [`Ingest::snapshot`], then [`Catalog::for_key`], then [`ReadPlan`]. A start:
//! [`Catalog::open`], then [`recover`].
//!
//! Invariants of absence: no async, no clock, no random source, no thread, no JSON value in here; no file's content or
//! name depends on the number of shards.

#![forbid(unsafe_code)]

mod codec;
pub mod disk;
pub mod fault;
pub mod ingest;
pub mod log;
pub mod page;
pub mod points;
pub mod query;
pub mod recovery;
mod ring;
mod rows;
pub mod segment;

pub use codec::CodecError;
pub use disk::{Disk, DiskError, Op, Output, RealDisk};
pub use ingest::{Ack, Ingest, IngestError, IngestLimits, IngestStats, Ticket};
pub use log::frame::FrameGroup;
pub use log::writer::{CheckpointError, LogEvent, LogOptions, LogWriter, prepare_spare};
pub use log::{Durable, Refused};
pub use page::Page;
pub use points::{Cells, Column, Points, ShapeError};
pub use query::ReadPlan;
pub use recovery::{Damage, RecoveryError, RecoveryOptions, RecoveryReport, check, recover};
pub use ring::{Frozen, RingView};
pub use segment::SegmentError;
pub use segment::catalog::{Catalog, CatalogStats, MergeReport, MergeTotals};
pub use segment::format::SegmentName;
pub use segment::read::Segment;
pub use segment::retain::{Retain, Retained};
