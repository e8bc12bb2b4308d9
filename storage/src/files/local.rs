//! Attachments in a folder. All of it blocks: call it on the `file` lane.
//!
//! ```text
//! files/tmp/FILE              while it arrives; removed by the next start
//! files/USER/EVENT/FILE       one folder for each event that has files
//! ```
//! A file is written and synced under `tmp`, then renamed to its place before its event is committed. A crash in between
//! leaves an orphan, which [`LocalFiles::keep_only`] removes: the event does not list it. Folders have mode 0700, files 0600.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use model::UserId;
use model::integrity::{Algorithm, Hasher};

use super::FilesError;

const TEMPORARY: &str = "tmp";
/// Names of users, events and files: those that a server makes have 24 or 25 letters.
const NAME_BYTES_MAX: usize = 64;

/// The folder of all attachments.
#[derive(Clone, Debug)]
pub struct LocalFiles {
    root: Arc<Path>,
}

impl LocalFiles {
    /// Opens the folder, and removes what was arriving when the last process ended.
    pub fn open(root: &Path) -> Result<Self, FilesError> {
        let temporary = root.join(TEMPORARY);
        match fs::remove_dir_all(&temporary) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed("remove", &temporary, error)),
            _ => {}
        }
        make_folder(&temporary)?;
        Ok(Self { root: root.into() })
    }

    /// A new file, not in its place yet. `algorithm`: what its content is hashed with.
    pub fn begin(&self, algorithm: Option<Algorithm>) -> Result<Upload, FilesError> {
        let id = model::id::fresh_item_id();
        let path = self.root.join(TEMPORARY).join(&id);
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(&path).map_err(on("create", &path))?;
        Ok(Upload { id, file, temporary: Temporary(Some(path)), hasher: algorithm.map(Hasher::new), size: 0 })
    }

    /// Moves received files to their event, and makes that durable. Files that are there already stay.
    pub fn place<'a>(
        &self,
        user: &UserId,
        event: &str,
        files: impl IntoIterator<Item = &'a mut ReceivedFile>,
    ) -> Result<(), FilesError> {
        let folder = self.folder_of(user, event)?;
        let user_folder = folder.parent().unwrap_or(&self.root);
        if !folder.exists() {
            make_folder(&folder)?;
            sync_folder(&self.root)?;
            sync_folder(user_folder)?;
        }
        for file in files {
            let Some(path) = &file.temporary.0 else { continue };
            fs::rename(path, folder.join(&file.id)).map_err(on("move", path))?;
            file.temporary.0 = None;
        }
        sync_folder(&folder)
    }

    /// A stored file; `None` when there is none.
    pub fn read(&self, user: &UserId, event: &str, file: &str) -> Result<Option<StoredFile>, FilesError> {
        let path = self.folder_of(user, event)?.join(checked(file)?);
        let open = || -> io::Result<StoredFile> {
            let file = File::open(&path)?;
            let size = file.metadata()?.len();
            Ok(StoredFile { file: Arc::new(file), size })
        };
        match open() {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("open", &path, error)),
        }
    }

    /// Which of these events have a folder of files.
    pub fn with_files(&self, user: &UserId, events: Vec<String>) -> Vec<String> {
        let mut events = events;
        match self.root.join(user.as_str()).is_dir() {
            true => events.retain(|event| self.folder_of(user, event).is_ok_and(|folder| folder.is_dir())),
            false => events.clear(),
        }
        events
    }

    /// Removes the event's files but these, and its folder when nothing is left. How many went.
    pub fn keep_only(&self, user: &UserId, event: &str, kept: &[String]) -> Result<usize, FilesError> {
        let folder = self.folder_of(user, event)?;
        let mut removed = 0;
        for name in names_in(&folder)? {
            if !kept.contains(&name) {
                let path = folder.join(&name);
                match fs::remove_file(&path) {
                    Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed("remove", &path, error)),
                    _ => removed += 1,
                }
            }
        }
        if kept.is_empty() {
            match fs::remove_dir(&folder) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed("remove", &folder, error)),
                _ => {}
            }
        }
        Ok(removed)
    }

    /// Removes all files of an account.
    pub fn remove_user(&self, user: &UserId) -> Result<(), FilesError> {
        let folder = self.root.join(checked(user.as_str())?);
        match fs::remove_dir_all(&folder) {
            Ok(()) => sync_folder(&self.root),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(failed("remove", &folder, error)),
        }
    }

    /// Users with a folder.
    pub fn users(&self) -> Result<Vec<UserId>, FilesError> {
        let names = names_in(&self.root)?.into_iter();
        Ok(names.filter(|name| name != TEMPORARY).map(UserId::new).collect())
    }

    /// Events with a folder that did not change since then: nothing of theirs is on its way.
    pub fn events_at_rest(&self, user: &UserId, since: SystemTime) -> Result<Vec<String>, FilesError> {
        let folder = self.root.join(checked(user.as_str())?);
        let mut events = names_in(&folder)?;
        events.retain(|event| {
            let changed = fs::metadata(folder.join(event)).and_then(|metadata| metadata.modified());
            changed.is_ok_and(|changed| changed < since)
        });
        Ok(events)
    }

    fn folder_of(&self, user: &UserId, event: &str) -> Result<PathBuf, FilesError> {
        Ok(self.root.join(checked(user.as_str())?).join(checked(event)?))
    }
}

/// A file that is arriving. Dropped before its end, it leaves nothing.
#[derive(Debug)]
pub struct Upload {
    id: String,
    file: File,
    temporary: Temporary,
    hasher: Option<Hasher>,
    size: u64,
}

impl Upload {
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), FilesError> {
        self.file.write_all(bytes).map_err(|error| self.failed(error))?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(bytes);
        }
        self.size = self.size.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        Ok(())
    }

    /// Makes the content durable.
    pub fn finish(self) -> Result<ReceivedFile, FilesError> {
        self.file.sync_all().map_err(|error| self.failed(error))?;
        let Self { id, temporary, hasher, size, .. } = self;
        Ok(ReceivedFile { id, size, integrity: hasher.map(Hasher::finish), temporary })
    }

    fn failed(&self, error: io::Error) -> FilesError {
        failed("write", Path::new(&self.id), error)
    }
}

/// A whole file that waits for its event. Dropped before [`LocalFiles::place`], it is removed.
#[derive(Debug)]
pub struct ReceivedFile {
    /// The attachment's id.
    pub id: String,
    pub size: u64,
    /// `sha256-...`
    pub integrity: Option<String>,
    temporary: Temporary,
}

/// A file under `tmp`, removed when this is dropped.
#[derive(Debug)]
struct Temporary(Option<PathBuf>);

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(path) = self.0.take()
            && let Err(error) = fs::remove_file(&path)
        {
            tracing::warn!(%error, path = %path.display(), "an unfinished upload stays until the next start");
        }
    }
}

/// A stored file, open for reading.
#[derive(Clone, Debug)]
pub struct StoredFile {
    file: Arc<File>,
    pub size: u64,
}

impl StoredFile {
    /// Exactly these bytes; fewer is an error.
    pub fn read_at(&self, offset: u64, count: usize) -> Result<Vec<u8>, FilesError> {
        let mut bytes = vec![0; count];
        self.file.read_exact_at(&mut bytes, offset).map_err(|error| failed("read", Path::new("a file"), error))?;
        Ok(bytes)
    }
}

/// Ids become names of files only in this form, so that none leads elsewhere.
fn checked(name: &str) -> Result<&str, FilesError> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let is_name = (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_plain) && name != TEMPORARY;
    if is_name { Ok(name) } else { Err(FilesError::BadName(name.chars().take(NAME_BYTES_MAX).collect())) }
}

fn names_in(folder: &Path) -> Result<Vec<String>, FilesError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed("list", folder, error)),
    };
    let name = |entry: io::Result<fs::DirEntry>| entry.map(|entry| entry.file_name().to_string_lossy().into_owned());
    entries.map(name).collect::<io::Result<_>>().map_err(on("list", folder))
}

fn make_folder(path: &Path) -> Result<(), FilesError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(on("make", path))
}

fn sync_folder(path: &Path) -> Result<(), FilesError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(on("sync", path))
}

fn on<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> FilesError + use<'a> {
    move |error| failed(what, path, error)
}

fn failed(what: &'static str, path: &Path, error: io::Error) -> FilesError {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => FilesError::NoSpace,
        _ => FilesError::Io { what: format!("cannot {what} {}", path.display()), cause: error.to_string() },
    }
}
