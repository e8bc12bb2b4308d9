//! Attachments in a folder: durable at their place, gone with their event, nothing left of what did not arrive.
#![allow(clippy::unwrap_used, reason = "helpers of tests; clippy.toml covers test functions only")]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use model::UserId;
use model::integrity::Algorithm;
use storage::files::{FilesError, LocalFiles, ReceivedFile};

const EVENT: &str = "cevent0000000000000000001";

struct Shelf {
    folder: tempfile::TempDir,
    files: LocalFiles,
    user: UserId,
}

impl Shelf {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let files = LocalFiles::open(folder.path()).unwrap();
        Self { folder, files, user: UserId::new("cuser00000000000000000001") }
    }

    fn receive(&self, content: &[u8]) -> ReceivedFile {
        let mut upload = self.files.begin(Some(Algorithm::Sha256)).unwrap();
        content.chunks(3).for_each(|piece| upload.write(piece).unwrap());
        upload.finish().unwrap()
    }

    fn store(&self, event: &str, content: &[u8]) -> String {
        let mut file = [self.receive(content)];
        self.files.place(&self.user, event, &mut file).unwrap();
        let [file] = file;
        file.id.clone()
    }

    fn content(&self, event: &str, file: &str) -> Option<Vec<u8>> {
        let stored = self.files.read(&self.user, event, file).unwrap()?;
        Some(stored.read_at(0, usize::try_from(stored.size).unwrap()).unwrap())
    }

    fn all_paths(&self) -> Vec<PathBuf> {
        fn walk(folder: &Path, out: &mut Vec<PathBuf>) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    walk(&path, out);
                }
                out.push(path);
            }
        }
        let mut paths = Vec::new();
        walk(self.folder.path(), &mut paths);
        paths
    }
}

#[test]
fn a_file_is_hashed_counted_and_read_back_from_its_place() {
    let shelf = Shelf::new();
    let mut received = [shelf.receive(b"abc")];
    assert_eq!(received[0].size, 3);
    let sha = "sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=";
    assert_eq!(received[0].integrity.as_deref(), Some(sha));
    let id = received[0].id.clone();
    assert_eq!(shelf.content(EVENT, &id), None);
    shelf.files.place(&shelf.user, EVENT, &mut received).unwrap();
    // A method that runs again places again.
    shelf.files.place(&shelf.user, EVENT, &mut received).unwrap();
    drop(received);
    assert_eq!(shelf.content(EVENT, &id).as_deref(), Some(&b"abc"[..]));
    let stored = shelf.files.read(&shelf.user, EVENT, &id).unwrap().unwrap();
    assert_eq!(stored.read_at(1, 2).unwrap(), b"bc");
    assert!(stored.read_at(1, 3).is_err());
}

#[test]
fn folders_and_files_are_private() {
    let shelf = Shelf::new();
    shelf.store(EVENT, b"abc");
    for path in shelf.all_paths() {
        let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, if path.is_dir() { 0o700 } else { 0o600 }, "{}", path.display());
    }
}

#[test]
fn what_did_not_arrive_whole_leaves_nothing() {
    let shelf = Shelf::new();
    let mut upload = shelf.files.begin(None).unwrap();
    upload.write(b"half").unwrap();
    drop(upload);
    drop(shelf.receive(b"whole, but nobody wanted it"));
    assert_eq!(shelf.all_paths(), [shelf.folder.path().join("tmp")]);
    std::mem::forget(shelf.receive(b"cut by a kill"));
    assert_eq!(shelf.all_paths().len(), 2);
    LocalFiles::open(shelf.folder.path()).unwrap();
    assert_eq!(shelf.all_paths().len(), 1);
}

#[test]
fn files_that_an_event_does_not_list_go_and_so_does_an_empty_folder() {
    let shelf = Shelf::new();
    let (kept, gone) = (shelf.store(EVENT, b"kept"), shelf.store(EVENT, b"gone"));
    assert_eq!(shelf.files.keep_only(&shelf.user, EVENT, std::slice::from_ref(&kept)).unwrap(), 1);
    assert_eq!(shelf.content(EVENT, &gone), None);
    assert_eq!(shelf.content(EVENT, &kept).as_deref(), Some(&b"kept"[..]));
    let events = vec![EVENT.to_owned(), "cevent0000000000000000002".to_owned(), ":odd:id".to_owned()];
    assert_eq!(shelf.files.with_files(&shelf.user, events.clone()), [EVENT]);
    assert_eq!(shelf.files.keep_only(&shelf.user, EVENT, &[]).unwrap(), 1);
    assert!(shelf.files.with_files(&shelf.user, events).is_empty());
    assert_eq!(shelf.files.keep_only(&shelf.user, EVENT, &[]).unwrap(), 0);
}

#[test]
fn an_account_leaves_with_all_its_files_and_others_stay() {
    let shelf = Shelf::new();
    let other = UserId::new("cuser00000000000000000002");
    shelf.store(EVENT, b"abc");
    let mut file = [shelf.receive(b"of another one")];
    shelf.files.place(&other, EVENT, &mut file).unwrap();
    shelf.files.remove_user(&shelf.user).unwrap();
    shelf.files.remove_user(&shelf.user).unwrap();
    assert_eq!(shelf.files.users().unwrap(), [other]);
}

#[test]
fn a_sweep_sees_only_what_is_at_rest() {
    let shelf = Shelf::new();
    shelf.store(EVENT, b"abc");
    let hour = Duration::from_secs(3600);
    assert!(shelf.files.events_at_rest(&shelf.user, SystemTime::now() - hour).unwrap().is_empty());
    assert_eq!(shelf.files.events_at_rest(&shelf.user, SystemTime::now() + hour).unwrap(), [EVENT]);
}

#[test]
fn no_id_leads_out_of_the_folder() {
    let shelf = Shelf::new();
    shelf.store(EVENT, b"abc");
    let long = "x".repeat(65);
    for name in ["", ".", "..", "../x", "a/b", "/etc/passwd", "a\0b", "tmp", long.as_str()] {
        let bad = |error: Option<FilesError>| matches!(error, Some(FilesError::BadName(_)));
        assert!(bad(shelf.files.read(&shelf.user, name, "a").err()), "{name:?}");
        assert!(bad(shelf.files.read(&shelf.user, EVENT, name).err()), "{name:?}");
        assert!(bad(shelf.files.keep_only(&shelf.user, name, &[]).err()), "{name:?}");
        assert!(bad(shelf.files.remove_user(&UserId::new(name)).err()), "{name:?}");
    }
}
