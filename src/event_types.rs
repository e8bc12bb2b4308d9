//! The event types that this server knows: those it was built with, and over them the list behind `service.eventTypes`.
//!
//! A start never waits for the network: it takes the last good copy from the data folder (and a list that is a file on this
//! machine), a thread fetches the list then and from time to time. A list that cannot be fetched, read or compiled changes
//! nothing: the one before goes on.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use model::types::{Catalogue, CatalogueError};
use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::config::service::API_VERSION;

/// The published list has about a tenth of it.
const LIST_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// For a list as a whole, its connection included.
const FETCH_TIMEOUT: Duration = Duration::from_secs(30);
/// After a failure, unless lists are fetched more often anyway.
const RETRY: Duration = Duration::from_secs(300);
/// In the data folder: the list that was fetched last and was good.
const COPY: &str = "event-types.json";

#[derive(Debug, thiserror::Error)]
enum ListError {
    #[error("{0} is neither a http(s) nor a file URL; correct service.eventTypes")]
    Scheme(String),
    #[error("{0} is no file; correct service.eventTypes")]
    NotAFile(PathBuf),
    #[error("the list has more than {LIST_BYTES_MAX} bytes")]
    TooLarge,
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("the list could not be fetched: {0}")]
    Http(#[from] Box<ureq::Error>),
    #[error("the list is not JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
}

pub struct EventTypes {
    url: String,
    copy: PathBuf,
    bundled: Catalogue,
    current: RwLock<Arc<Catalogue>>,
    /// Grows with each change of `current`.
    generation: AtomicU64,
    /// The bytes that `current` was made from; `None` after the end, when nothing may be written any more.
    source: Mutex<Option<Vec<u8>>>,
}

/// The thread that refreshes; dropping it lets the thread end.
pub struct Refresher {
    types: Arc<EventTypes>,
    _wake: SyncSender<()>,
}

impl EventTypes {
    /// With what is on this machine: the last good copy, then the list itself if it is a file.
    pub fn open(url: &str, data_dir: &Path) -> Self {
        let types = Self::with(url, data_dir);
        match types.take_copy() {
            Ok(()) => {}
            Err(ListError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(%error, file = %types.copy.display(), "the copy of the event types is passed over")
            }
        }
        if file_of(url).is_some() {
            types.refresh_or_warn();
        }
        types
    }

    fn with(url: &str, data_dir: &Path) -> Self {
        Self {
            url: url.to_owned(),
            copy: data_dir.join(COPY),
            bundled: Catalogue::bundled(),
            current: RwLock::new(Arc::new(Catalogue::bundled())),
            generation: AtomicU64::new(0),
            source: Mutex::new(Some(Vec::new())),
        }
    }

    pub fn current(&self) -> Arc<Catalogue> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What was derived from the list while another number stood here is out of date.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    fn take_copy(&self) -> Result<(), ListError> {
        let bytes = read_file(&self.copy)?;
        self.replace(&bytes, false)
    }

    fn refresh_or_warn(&self) -> bool {
        let refreshed = fetch(&self.url).and_then(|bytes| self.replace(&bytes, true));
        if let Err(error) = &refreshed {
            tracing::warn!(%error, url = self.url, "the event types stay as they are");
        }
        refreshed.is_ok()
    }

    /// Takes a list if it is good, and keeps it for the next start.
    fn replace(&self, bytes: &[u8], is_new: bool) -> Result<(), ListError> {
        let mut source = self.source.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(before) = source.as_mut() else { return Ok(()) };
        if before == bytes {
            return Ok(());
        }
        let list: Value = serde_json::from_slice(bytes)?;
        let merged = self.bundled.merged(&list)?;
        tracing::info!(types = merged.len(), "the list of event types was taken over");
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(merged);
        self.generation.fetch_add(1, Ordering::AcqRel);
        before.clear();
        before.extend_from_slice(bytes);
        if is_new {
            write_whole(&self.copy, bytes)?;
        }
        Ok(())
    }
}

/// Starts the thread; `every`: zero fetches once only.
pub fn start(types: Arc<EventTypes>, every: Duration) -> io::Result<Refresher> {
    let (wake, stopped) = mpsc::sync_channel::<()>(1);
    let refreshed = Arc::clone(&types);
    let run = move || {
        loop {
            let was_refreshed = refreshed.refresh_or_warn();
            let wait = match (was_refreshed, every.is_zero()) {
                (true, true) => return,
                (true, false) => every,
                (false, true) => RETRY,
                (false, false) => every.min(RETRY),
            };
            if stopped.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    };
    std::thread::Builder::new().name("coreward-types".into()).spawn(run)?;
    Ok(Refresher { types, _wake: wake })
}

impl Refresher {
    /// Nothing is written to the data folder after this; a fetch on its way is not waited for.
    pub fn stop(self) {
        *self.types.source.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

fn fetch(url: &str) -> Result<Vec<u8>, ListError> {
    if let Some(path) = file_of(url) {
        return read_file(&path);
    }
    if !(url.starts_with("http://") || url.starts_with("https://")) {
        return Err(ListError::Scheme(url.to_owned()));
    }
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(FETCH_TIMEOUT))
        .user_agent(format!("Pryv.io/{API_VERSION}"))
        .build()
        .into();
    let mut response = agent.get(url).call().map_err(Box::new)?;
    let bytes = response.body_mut().with_config().limit(LIST_BYTES_MAX).read_to_vec();
    bytes.map_err(|error| match error {
        ureq::Error::BodyExceedsLimit(_) => ListError::TooLarge,
        other => ListError::Http(Box::new(other)),
    })
}

/// A path relative to the working directory, or an absolute one.
fn file_of(url: &str) -> Option<PathBuf> {
    let path = url.strip_prefix("file://")?;
    Some(percent_decode_str(path).decode_utf8_lossy().into_owned().into())
}

/// Not from a pipe or a device: those may keep a start waiting.
fn read_file(path: &Path) -> Result<Vec<u8>, ListError> {
    if !fs::metadata(path)?.is_file() {
        return Err(ListError::NotAFile(path.to_owned()));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(LIST_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > LIST_BYTES_MAX {
        return Err(ListError::TooLarge);
    }
    Ok(bytes)
}

/// All of it or what was there before, also after a power cut.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let unfinished = path.with_extension("tmp");
    let mut file = File::create(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = r#"{"types": {"my-own/number": {"type": "number", "minimum": 0}}}"#;

    fn knows(types: &EventTypes) -> (bool, bool) {
        let current = types.current();
        (current.contains("my-own/number"), current.contains("mass/kg"))
    }

    fn file_url(folder: &Path) -> String {
        format!("file://{}", folder.join("list.json").display())
    }

    #[test]
    fn a_list_is_laid_over_the_bundled_one_and_outlives_its_url() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("list.json"), LIST).unwrap();
        let types = EventTypes::open(&file_url(folder.path()), folder.path());
        assert_eq!((knows(&types), types.generation()), ((true, true), 1));
        fs::remove_file(folder.path().join("list.json")).unwrap();
        let types = EventTypes::open(&file_url(folder.path()), folder.path());
        assert_eq!(knows(&types), (true, true));
    }

    #[test]
    fn a_list_that_is_bad_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let types = EventTypes::open("http://127.0.0.1:9/", folder.path());
        assert_eq!(knows(&types), (false, true));
        types.replace(LIST.as_bytes(), true).unwrap();
        for bad in ["", "{", "[]", "{\"types\": []}", "{\"types\": {\"a/b\": {\"type\": 3}}}"] {
            assert!(types.replace(bad.as_bytes(), true).is_err(), "{bad}");
        }
        assert_eq!((knows(&types), types.generation()), ((true, true), 1));
        assert_eq!(fs::read(folder.path().join(COPY)).unwrap(), LIST.as_bytes());
    }

    #[test]
    fn the_same_list_again_is_no_change() {
        let folder = tempfile::tempdir().unwrap();
        let types = EventTypes::open("http://127.0.0.1:9/", folder.path());
        types.replace(LIST.as_bytes(), true).unwrap();
        types.replace(LIST.as_bytes(), true).unwrap();
        assert_eq!(types.generation(), 1);
    }

    #[test]
    fn a_copy_that_does_not_read_back_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(COPY), "half a li").unwrap();
        assert_eq!(knows(&EventTypes::open("file:///nowhere/at/all", folder.path())), (false, true));
    }

    #[test]
    fn a_folder_a_large_file_and_another_scheme_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(read_file(folder.path()), Err(ListError::NotAFile(_))));
        let large = folder.path().join("large");
        File::create(&large).unwrap().set_len(LIST_BYTES_MAX + 1).unwrap();
        assert!(matches!(read_file(&large), Err(ListError::TooLarge)));
        assert!(matches!(fetch("ftp://example.com/x"), Err(ListError::Scheme(_))));
    }

    /// Answers one request, and gives the head of it.
    fn serve_once(answer: &'static str) -> (String, std::thread::JoinHandle<String>) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/flat.json", listener.local_addr().unwrap());
        let serve = move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                head.extend(byte);
            }
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8(head).unwrap()
        };
        (url, std::thread::spawn(serve))
    }

    #[test]
    fn a_list_is_fetched_over_http_and_the_server_names_itself() {
        let (url, server) = serve_once("HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{\"types\": {}}");
        assert_eq!(fetch(&url).unwrap(), b"{\"types\": {}}");
        let head = server.join().unwrap().to_ascii_lowercase();
        assert!(head.starts_with("get /flat.json http/1.1") && head.contains("user-agent: pryv.io/2"), "{head}");
    }

    #[test]
    fn an_error_of_the_other_side_is_no_list() {
        let (url, server) = serve_once("HTTP/1.1 404 Not Found\r\nContent-Length: 13\r\n\r\n{\"types\": {}}");
        assert!(matches!(fetch(&url), Err(ListError::Http(_))));
        server.join().unwrap();
    }

    #[test]
    fn nothing_is_written_after_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let types = Arc::new(EventTypes::open("http://127.0.0.1:9/", folder.path()));
        Refresher { types: Arc::clone(&types), _wake: mpsc::sync_channel(1).0 }.stop();
        types.replace(LIST.as_bytes(), true).unwrap();
        assert!(!folder.path().join(COPY).exists());
    }
}
