//! The log's next file, made by a thread of its own while the current one is written: zeroing tens of megabytes would
//! hold up every post that waits for the log.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use series::RealDisk;

use crate::threads;

/// Where the files go and how large they are.
#[derive(Clone, Debug)]
struct Plan {
    dir: PathBuf,
    chain: u32,
    bytes: u64,
}

/// For [`series::LogOptions::next_spare`]: gives the spare file if one is ready. The first call starts the thread, so
/// that a log which never fills a file makes no spare.
pub fn spares(dir: &Path, chain: u32, bytes: u64) -> Box<dyn FnMut() -> Option<PathBuf> + Send> {
    let plan = Plan { dir: dir.to_owned(), chain, bytes };
    let mut made: Option<Receiver<PathBuf>> = None;
    let mut number = 0;
    Box::new(move || {
        if let Some(receiver) = &made {
            match receiver.try_recv() {
                Ok(path) => return Some(path),
                Err(std::sync::mpsc::TryRecvError::Empty) => return None,
                // The thread has ended for want of space, say: another one tries.
                Err(std::sync::mpsc::TryRecvError::Disconnected) => {}
            }
        }
        number += 1_000_000;
        // One that is offered, none that waits: a single spare is ready at a time.
        let (sender, receiver) = sync_channel(0);
        let (plan, first) = (plan.clone(), number);
        let name = format!("coreward-spare-{}", plan.chain);
        match threads::spawn(name, move || make_spares(&plan, first, &sender)) {
            Ok(_) => made = Some(receiver),
            Err(error) => tracing::warn!(%error, "no thread for spare log files: posts wait for each new file"),
        }
        None
    })
}

/// Until nobody takes them any more, or one cannot be made.
fn make_spares(plan: &Plan, first: u64, sender: &SyncSender<PathBuf>) {
    for number in first.. {
        // A disk for each: its descriptors would keep the bytes of removed files.
        match series::prepare_spare(&plan.dir, plan.chain, number, plan.bytes, &mut RealDisk::new()) {
            Ok(path) => {
                if sender.send(path.clone()).is_err() {
                    // The recovery removes what stays.
                    let _ = std::fs::remove_file(path);
                    return;
                }
            }
            Err(error) => {
                // The log says it louder when it needs the file.
                tracing::debug!(%error, "no spare log file could be made");
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Waits for the thread; ends with the test's own time limit if it never offers one.
    fn next(spares: &mut (dyn FnMut() -> Option<PathBuf> + Send)) -> PathBuf {
        loop {
            if let Some(path) = spares() {
                return path;
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn spares_are_zeroed_files_of_the_asked_size_and_never_given_twice() {
        let dir = tempfile::tempdir().unwrap();
        let mut spares = spares(dir.path(), 3, 2 << 20);
        let (first, second) = (next(&mut *spares), next(&mut *spares));
        assert_ne!(first, second);
        for path in [first, second] {
            let bytes = std::fs::read(path).unwrap();
            assert_eq!(bytes.len(), 2 << 20);
            assert!(bytes.iter().all(|byte| *byte == 0));
        }
    }

    #[test]
    fn without_room_there_is_no_spare_and_the_log_goes_on_without() {
        let mut spares = spares(Path::new("/no/such/folder"), 0, 1 << 20);
        assert_eq!(spares(), None);
        assert_eq!(spares(), None);
    }
}
