//! The only door to files. The engine says what is to be done ([`Op`]); a [`Disk`] does it: std files here, a simulated
//! disk in [`crate::fault`]. Files are named by path: names are never reused, so a cached descriptor is never stale.

use rustc_hash::FxHashMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub enum Op<'a> {
    /// An empty file, for writing. One of that name is emptied (only ever a temporary one left behind).
    Create {
        path: &'a Path,
    },
    /// Writes zeroes over the first `bytes` bytes, so that later writes in place neither run out of space nor change
    /// what the file system knows of the file.
    Allocate {
        path: &'a Path,
        bytes: u64,
    },
    WriteAt {
        path: &'a Path,
        offset: u64,
        bytes: &'a [u8],
    },
    /// Content and length of the file survive a power cut after this.
    Sync {
        path: &'a Path,
    },
    /// The names in the folder survive a power cut after this.
    SyncDir {
        path: &'a Path,
    },
    Rename {
        from: &'a Path,
        to: &'a Path,
    },
    Remove {
        path: &'a Path,
    },
    /// The names of the files in the folder, sorted.
    List {
        path: &'a Path,
    },
    /// Fills `into` completely or fails.
    ReadAt {
        path: &'a Path,
        offset: u64,
        into: &'a mut [u8],
    },
    Length {
        path: &'a Path,
    },
}

impl<'a> Op<'a> {
    /// What it is about.
    pub fn path(&self) -> &'a Path {
        match *self {
            Op::Create { path }
            | Op::Allocate { path, .. }
            | Op::WriteAt { path, .. }
            | Op::Sync { path }
            | Op::SyncDir { path }
            | Op::Rename { from: path, .. }
            | Op::Remove { path }
            | Op::List { path }
            | Op::ReadAt { path, .. }
            | Op::Length { path } => path,
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    Done,
    Names(Vec<String>),
    Length(u64),
}

#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    #[error("no space left to {action} {path}: free space on the volume of the data folder, writing resumes by itself")]
    NoSpace { action: &'static str, path: PathBuf },
    #[error("could not {action} {path}: {source}; check the volume and the permissions of the data folder")]
    Io { action: &'static str, path: PathBuf, source: io::Error },
}

impl DiskError {
    pub fn new(action: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => DiskError::NoSpace { action, path },
            _ => DiskError::Io { action, path, source },
        }
    }

    pub fn is_no_space(&self) -> bool {
        matches!(self, DiskError::NoSpace { .. })
    }

    pub fn is_not_found(&self) -> bool {
        matches!(self, DiskError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// One thread's disk. Not shared: each thread that reads or writes has its own.
pub trait Disk: Send {
    fn execute(&mut self, op: Op<'_>) -> Result<Output, DiskError>;

    fn read_at(&mut self, path: &Path, offset: u64, into: &mut [u8]) -> Result<(), DiskError> {
        self.execute(Op::ReadAt { path, offset, into }).map(drop)
    }

    fn write_at(&mut self, path: &Path, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        self.execute(Op::WriteAt { path, offset, bytes }).map(drop)
    }

    fn list(&mut self, path: &Path) -> Result<Vec<String>, DiskError> {
        match self.execute(Op::List { path })? {
            Output::Names(names) => Ok(names),
            _ => Ok(Vec::new()),
        }
    }

    fn length(&mut self, path: &Path) -> Result<u64, DiskError> {
        match self.execute(Op::Length { path })? {
            Output::Length(bytes) => Ok(bytes),
            _ => Ok(0),
        }
    }
}

/// What a file is filled with, a piece at a time.
static ZEROES: [u8; 1 << 20] = [0; 1 << 20];

/// Descriptors that one thread keeps open; beyond it the cache starts anew.
pub const OPEN_FILES_MAX: usize = 64;

/// The real thing: blocking calls of std. Never on a shard's thread.
#[derive(Default)]
pub struct RealDisk {
    open: FxHashMap<PathBuf, File>,
}

impl RealDisk {
    pub fn new() -> Self {
        Self::default()
    }

    fn file(&mut self, path: &Path) -> io::Result<&File> {
        if !self.open.contains_key(path) {
            // A file that was only ever read may be read-only for this process.
            let writable = OpenOptions::new().read(true).write(true).open(path);
            let file = writable.or_else(|_| File::open(path))?;
            self.keep(path, file);
        }
        self.open.get(path).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn keep(&mut self, path: &Path, file: File) {
        if self.open.len() >= OPEN_FILES_MAX {
            self.open.clear();
        }
        self.open.insert(path.to_owned(), file);
    }

    fn create(&mut self, path: &Path) -> io::Result<()> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(path)?;
        self.keep(path, file);
        Ok(())
    }

    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)?;
        self.open.remove(to);
        if let Some(file) = self.open.remove(from) {
            self.open.insert(to.to_owned(), file);
        }
        Ok(())
    }

    fn remove(&mut self, path: &Path) -> io::Result<()> {
        self.open.remove(path);
        std::fs::remove_file(path)
    }
}

impl Disk for RealDisk {
    fn execute(&mut self, op: Op<'_>) -> Result<Output, DiskError> {
        let (action, path, result) = match op {
            Op::Create { path } => ("create", path, self.create(path)),
            Op::Allocate { path, bytes } => ("preallocate", path, self.file(path).and_then(|f| allocate(f, bytes))),
            Op::WriteAt { path, offset, bytes } => {
                ("write", path, self.file(path).and_then(|f| f.write_all_at(bytes, offset)))
            }
            Op::Sync { path } => ("sync", path, self.file(path).and_then(|f| f.sync_data())),
            Op::SyncDir { path } => ("sync the folder", path, File::open(path).and_then(|folder| folder.sync_all())),
            Op::Rename { from, to } => ("rename", from, self.rename(from, to)),
            Op::Remove { path } => ("remove", path, self.remove(path)),
            Op::ReadAt { path, offset, into } => {
                ("read", path, self.file(path).and_then(|file| read_at(file, offset, into)))
            }
            Op::List { path } => {
                return names(path).map(Output::Names).map_err(|source| DiskError::new("list", path, source));
            }
            Op::Length { path } => {
                let length = self.file(path).and_then(|f| f.metadata()).map(|metadata| metadata.len());
                return length.map(Output::Length).map_err(|source| DiskError::new("measure", path, source));
            }
        };
        result.map(|()| Output::Done).map_err(|source| DiskError::new(action, path, source))
    }
}

/// From here on a read tells the kernel at once what it wants, and as much again behind it: a log that is replayed is else
/// fetched in pieces of the kernel's usual read-ahead, each waited for.
const READ_AHEAD_BYTES_MIN: usize = 1 << 20;

fn read_at(file: &File, offset: u64, into: &mut [u8]) -> io::Result<()> {
    if into.len() >= READ_AHEAD_BYTES_MIN {
        let ahead = u64::try_from(into.len()).ok().and_then(|bytes| std::num::NonZeroU64::new(bytes.saturating_mul(2)));
        // Only a hint: without it the read is as right, and slower.
        let _ = rustix::fs::fadvise(file, offset, ahead, rustix::fs::Advice::WillNeed);
    }
    file.read_exact_at(into, offset)
}

/// Reserves the blocks, so that a lack of space shows at once, then writes them. Blocks that were only reserved make
/// every later sync wait for the file system's journal, which has to note that they hold data now; and a sync that the
/// power cut meets in there was seen to report success for bytes that were gone (docs/decisions/0011).
fn allocate(file: &File, bytes: u64) -> io::Result<()> {
    match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, bytes) {
        Ok(()) | Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {}
        Err(errno) => return Err(errno.into()),
    }
    let mut offset = 0;
    while offset < bytes {
        let zeroes = usize::try_from(bytes - offset).map_or(ZEROES.len(), |rest| rest.min(ZEROES.len()));
        file.write_all_at(ZEROES.get(..zeroes).unwrap_or_default(), offset)?;
        offset += u64::try_from(zeroes).unwrap_or(bytes);
    }
    Ok(())
}

fn names(path: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path)? {
        // A name that is not UTF-8 is none of ours.
        names.extend(entry?.file_name().into_string());
    }
    names.sort_unstable();
    Ok(names)
}
