//! The data folder: created private, locked by the running process, with the epoch counter of its starts.

use std::fs::{DirBuilder, File};
use std::io::{Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// Sub-folders that the server writes to.
const FOLDERS: [&str; 7] = ["epoch", "slots", "log", "series", "files", "previews", "platform"];

#[derive(Debug, thiserror::Error)]
pub enum DataFolderError {
    #[error("{path}: {source}; check `storages.path` and that the folder may be written", path = path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error("the data folder {path} is in use by another coreward: stop it, or set `storages.path` to another folder", path = path.display())]
    Locked { path: PathBuf },
    #[error("{path} does not hold a number: restore the data folder from a backup", path = path.display())]
    EpochUnreadable { path: PathBuf },
}

/// The folder, locked until this is dropped.
pub struct DataFolder {
    path: PathBuf,
    _lock: File,
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> DataFolderError {
    let path = path.to_owned();
    move |source| DataFolderError::Io { path, source }
}

impl DataFolder {
    pub fn open(path: &Path) -> Result<Self, DataFolderError> {
        let mut private = DirBuilder::new();
        private.recursive(true).mode(0o700);
        private.create(path).map_err(io(path))?;
        for folder in FOLDERS {
            private.create(path.join(folder)).map_err(io(&path.join(folder)))?;
        }
        let lock_path = path.join("lock");
        let lock = File::create(&lock_path).map_err(io(&lock_path))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| DataFolderError::Locked { path: path.to_owned() })?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The number of this start: one more than the last, synced before it is used. Log chains bear it.
    pub fn next_epoch(&self) -> Result<u64, DataFolderError> {
        let folder = self.join("epoch");
        let path = folder.join("epoch");
        let last = match File::open(&path) {
            Ok(mut file) => {
                let mut text = String::new();
                file.read_to_string(&mut text).map_err(io(&path))?;
                text.trim().parse::<u64>().map_err(|_| DataFolderError::EpochUnreadable { path: path.clone() })?
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
            Err(error) => return Err(io(&path)(error)),
        };
        let next = last + 1;
        let temporary = folder.join("epoch.new");
        let mut file = File::create(&temporary).map_err(io(&temporary))?;
        writeln!(file, "{next}").and_then(|()| file.sync_all()).map_err(io(&temporary))?;
        std::fs::rename(&temporary, &path).map_err(io(&path))?;
        File::open(&folder).and_then(|folder| folder.sync_all()).map_err(io(&folder))?;
        Ok(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_start_gets_a_higher_epoch() {
        let dir = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(dir.path()).unwrap();
        assert_eq!(folder.next_epoch().unwrap(), 1);
        drop(folder);
        assert_eq!(DataFolder::open(dir.path()).unwrap().next_epoch().unwrap(), 2);
    }

    #[test]
    fn a_folder_in_use_is_refused_and_named() {
        let dir = tempfile::tempdir().unwrap();
        let _held = DataFolder::open(dir.path()).unwrap();
        let error = DataFolder::open(dir.path()).err().unwrap().to_string();
        assert!(error.contains("in use") && error.contains("storages.path"), "{error}");
    }
}
