//! The simulated disk with a memory of what was asked of it: two runs of a seed must ask and be answered the same.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use series::fault::MemoryDisk;
use series::{Disk, DiskError, Op, Output};

use super::ground::LOG;

/// Clones are the same disk, and add to the same trace.
#[derive(Clone)]
pub(super) struct TracedDisk {
    memory: MemoryDisk,
    trace: Arc<Mutex<Trace>>,
}

#[derive(Default)]
struct Trace {
    hash: u64,
    failures: u64,
    has_log_sync_failed: bool,
    /// Only kept for a seed that has failed.
    lines: Option<Vec<String>>,
}

impl TracedDisk {
    pub(super) fn new(memory: MemoryDisk, told: bool) -> Self {
        let trace = Trace { lines: told.then(Vec::new), ..Trace::default() };
        Self { memory, trace: Arc::new(Mutex::new(trace)) }
    }

    pub(super) fn memory(&self) -> &MemoryDisk {
        &self.memory
    }

    /// The same for the same operations and results.
    pub(super) fn hash(&self) -> u64 {
        self.trace().hash
    }

    pub(super) fn failures(&self) -> u64 {
        self.trace().failures
    }

    /// A sync of a log file has failed since this was asked last: what it should have saved is in the cache, may be lost all
    /// the same, and no later sync tells.
    pub(super) fn take_log_sync_failed(&self) -> bool {
        std::mem::take(&mut self.trace().has_log_sync_failed)
    }

    /// A line of the story, between the operations; made only when somebody reads it.
    pub(super) fn tell(&self, line: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.trace().lines {
            lines.push(line());
        }
    }

    pub(super) fn story(&self) -> Vec<String> {
        self.trace().lines.take().unwrap_or_default()
    }

    fn trace(&self) -> MutexGuard<'_, Trace> {
        self.trace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk for TracedDisk {
    fn execute(&mut self, op: Op<'_>) -> Result<Output, DiskError> {
        let (mut hash, shown) = {
            let trace = self.trace();
            (hash_of_op(trace.hash, &op), trace.lines.is_some().then(|| shown(&op)))
        };
        let is_log_sync = matches!(op, Op::Sync { path } if path.starts_with(LOG));
        let result = self.memory.execute(op);
        match &result {
            Ok(Output::Done) => mix(&mut hash, 1),
            Ok(Output::Length(bytes)) => mix(&mut hash, *bytes),
            Ok(Output::Names(names)) => names.iter().for_each(|name| mix_bytes(&mut hash, name.as_bytes())),
            Err(_) => mix(&mut hash, 2),
        }
        let mut trace = self.trace();
        trace.hash = hash;
        trace.failures += u64::from(result.is_err());
        trace.has_log_sync_failed |= is_log_sync && result.is_err();
        if let (Some(lines), Some(shown)) = (&mut trace.lines, shown) {
            lines.push(format!("    {shown}{}", if result.is_err() { ": FAILED" } else { "" }));
        }
        result
    }
}

fn hash_of_op(hash: u64, op: &Op<'_>) -> u64 {
    let mut hash = hash;
    let (kind, path) = match op {
        Op::Create { path } => (1, path),
        Op::Allocate { path, .. } => (2, path),
        Op::WriteAt { path, .. } => (3, path),
        Op::Sync { path } => (4, path),
        Op::SyncDir { path } => (5, path),
        Op::Rename { from, .. } => (6, from),
        Op::Remove { path } => (7, path),
        Op::List { path } => (8, path),
        Op::ReadAt { path, .. } => (9, path),
        Op::Length { path } => (10, path),
    };
    mix(&mut hash, kind);
    mix_bytes(&mut hash, path.as_os_str().as_encoded_bytes());
    match op {
        Op::Allocate { bytes, .. } => mix(&mut hash, *bytes),
        Op::WriteAt { offset, bytes, .. } => {
            mix(&mut hash, *offset);
            mix_bytes(&mut hash, bytes);
        }
        Op::Rename { to, .. } => mix_bytes(&mut hash, to.as_os_str().as_encoded_bytes()),
        // What is read was written before, by operations that are in the trace.
        Op::ReadAt { offset, into, .. } => {
            mix(&mut hash, *offset);
            mix(&mut hash, u64::try_from(into.len()).unwrap_or(u64::MAX));
        }
        _ => {}
    }
    hash
}

fn mix_bytes(hash: &mut u64, bytes: &[u8]) {
    let (words, rest) = bytes.as_chunks::<8>();
    words.iter().for_each(|word| mix(hash, u64::from_le_bytes(*word)));
    rest.iter().for_each(|byte| mix(hash, u64::from(*byte)));
}

fn mix(hash: &mut u64, word: u64) {
    *hash = (hash.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
}

fn shown(op: &Op<'_>) -> String {
    match op {
        Op::Create { path } => format!("create {}", path.display()),
        Op::Allocate { path, bytes } => format!("allocate {} {bytes}", path.display()),
        Op::WriteAt { path, offset, bytes } => format!("write {} {offset}+{}", path.display(), bytes.len()),
        Op::Sync { path } => format!("sync {}", path.display()),
        Op::SyncDir { path } => format!("sync folder {}", path.display()),
        Op::Rename { from, to } => format!("rename {} {}", from.display(), to.display()),
        Op::Remove { path } => format!("remove {}", path.display()),
        Op::List { path } => format!("list {}", path.display()),
        Op::ReadAt { path, offset, into } => format!("read {} {offset}+{}", path.display(), into.len()),
        Op::Length { path } => format!("length {}", path.display()),
    }
}
