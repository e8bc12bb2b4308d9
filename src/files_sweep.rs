//! Files that no event lists: left by a crash between their placing and the commit, or between a deletion and theirs. A
//! thread of its own looks for them after the start, and once a day.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use model::{Grant, Right, ServerTask, SlotId, UserId};
use shards::placement;
use storage::base::{Read, ReadCall};
use storage::files::FilesError;

use crate::methods::attachments::listed;
use crate::node::Node;

const EVERY: Duration = Duration::from_hours(24);
/// A folder that changed since then may hold files whose event is being committed.
const REST: Duration = Duration::from_hours(1);

/// The thread; it ends with this value, after the event that it is at.
pub struct Sweep {
    stop: SyncSender<()>,
    thread: JoinHandle<()>,
}

/// `started`: before the server listened. Of what is older nothing is on its way.
pub fn start(node: Arc<Node>, started: SystemTime) -> std::io::Result<Sweep> {
    let (stop, stopped) = sync_channel(1);
    let work = move || {
        let mut since = started;
        loop {
            match pass(&node, since, &stopped) {
                Ok(0) => {}
                Ok(removed) => tracing::info!(removed, "files without an event were removed"),
                Err(error) => tracing::warn!(%error, "the sweep of files is tried again tomorrow"),
            }
            match stopped.recv_timeout(EVERY) {
                Err(RecvTimeoutError::Timeout) => since = SystemTime::now() - REST,
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    };
    let thread = std::thread::Builder::new().name("coreward-sweep".into()).spawn(work)?;
    Ok(Sweep { stop, thread })
}

impl Sweep {
    pub fn stop(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            tracing::error!("the sweep of files ended with a panic; files without an event stay until the next start");
        }
    }
}

/// One look at all folders; how many files went.
fn pass(node: &Node, since: SystemTime, stopped: &Receiver<()>) -> Result<usize, FilesError> {
    let mut removed = 0;
    for user in node.files.users()? {
        for event in node.files.events_at_rest(&user, since)? {
            if !matches!(stopped.try_recv(), Err(std::sync::mpsc::TryRecvError::Empty)) {
                return Ok(removed);
            }
            let grant = server_grant(node, &user);
            let read = ReadCall { grant, read: Read::Event { id: event.clone() }, batch: None };
            // An engine that has stopped answers nothing: everything stays.
            let Ok(found) = node.base.read(read).blocking_recv() else { return Ok(removed) };
            if let Some(kept) = listed(found) {
                removed += node.files.keep_only(&user, &event, &kept)?;
            }
        }
    }
    Ok(removed)
}

fn server_grant(node: &Node, user: &UserId) -> Grant {
    let slot = SlotId(placement::slot_of(user.as_str(), node.base.slots()));
    Grant::server_itself(ServerTask::Bookkeeping, user.clone(), slot, Right::Read)
}
