//! The thread that drives a shard's log: takes all waiting posts, one write run, one sync, tells the shard once.
//!
//! ```text
//! shard:  Ingest::append -> CommitSlot::commit --queue--> thread: LogWriter::step (write, fdatasync)
//! shard:  Ingest::durable / refused / poisoned <- Log::pump <--events--/     then the waiting posts get their result
//! ```
//! The events reach [`Log::pump`] in the order in which they happened; the ring learns each before any post that waits
//! for it, so an acknowledged point is always visible. A thread of its own on both drivers: on epoll a sync would block
//! the shard, and on the ring the kernel's worker would be pinned to the shard's core.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use series::{CheckpointError, Disk, Durable, FrameGroup, LogEvent, LogOptions, LogWriter};
use tokio::sync::{mpsc, oneshot, watch};

use crate::rt::PanicText;
use crate::threads;

/// Posts that wait for the writer before [`Log::reserve`] refuses. Their bytes are bounded by the ring.
pub const QUEUE_MAX: usize = 16 * 1024;
/// Events on the way to the shard; a step makes few, and the writer waits when the shard does not take them.
const EVENTS_MAX: usize = 64;
/// Posts that one step takes: more would keep the first of them waiting for no gain.
const GROUPS_PER_STEP_MAX: usize = 4096;

/// Why a post is not in the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogRefusal {
    #[error("the log's queue is full: answer 503 and let the client come again")]
    Full,
    #[error("{0}")]
    NoSpace(Arc<str>),
    #[error("the log has failed ({0}): series are read-only until the disk is repaired and the server restarted")]
    Poisoned(Arc<str>),
    #[error("the log is closed: the server is stopping")]
    Closed,
}

/// Why a checkpoint did not happen.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointRefusal {
    #[error(transparent)]
    Refused(#[from] LogRefusal),
    #[error(transparent)]
    Failed(#[from] CheckpointError),
}

enum Command {
    Commit(FrameGroup),
    Cut { reply: oneshot::Sender<()> },
    Checkpoint { through: u64, reply: oneshot::Sender<Result<usize, CheckpointError>> },
}

/// The shard's end of its log. Lives on the shard.
pub struct Log {
    commands: RefCell<Option<mpsc::Sender<Command>>>,
    events: RefCell<Option<mpsc::Receiver<LogEvent>>>,
    /// Posts without a result, in the order of their sequences.
    waiting: RefCell<VecDeque<Waiting>>,
    ended: watch::Sender<bool>,
    extent: Arc<Extent>,
}

/// How much log a restart would replay, as of the writer's last round.
#[derive(Default)]
struct Extent {
    files: AtomicU64,
    bytes: AtomicU64,
}

struct Waiting {
    sequence: u64,
    reply: oneshot::Sender<Result<Durable, LogRefusal>>,
}

/// A place in the queue of the log, taken before the ring appends, so that no appended post is left without a log.
pub struct CommitSlot<'a> {
    log: &'a Log,
    permit: mpsc::OwnedPermit<Command>,
}

impl Log {
    /// Starts the writer's thread. The folder must exist and its old chains must have been retired by the recovery.
    pub fn start(options: LogOptions, disk: Box<dyn Disk>, queue_max: usize) -> io::Result<Self> {
        let (commands, queue) = mpsc::channel(queue_max.max(1));
        let (event_sender, events) = mpsc::channel(EVENTS_MAX);
        let name = format!("coreward-log-{}", options.chain);
        let extent: Arc<Extent> = Arc::default();
        let told = Arc::clone(&extent);
        let thread = threads::spawn(name, move || work(LogWriter::new(options), disk, queue, &event_sender, &told))?;
        // The end of the thread is seen by the end of its events.
        drop(thread);
        Ok(Self {
            commands: RefCell::new(Some(commands)),
            events: RefCell::new(Some(events)),
            waiting: RefCell::default(),
            ended: watch::Sender::new(false),
            extent,
        })
    }

    /// Takes a place in the queue, to be used in the same turn: between [`series::Ingest::append`] and
    /// [`CommitSlot::commit`] there must be no await, so that posts enter the queue in the order of their sequences.
    pub fn reserve(&self) -> Result<CommitSlot<'_>, LogRefusal> {
        let commands = self.commands.borrow().clone().ok_or(LogRefusal::Closed)?;
        match commands.try_reserve_owned() {
            Ok(permit) => Ok(CommitSlot { log: self, permit }),
            Err(mpsc::error::TrySendError::Full(_)) => Err(LogRefusal::Full),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(LogRefusal::Closed),
        }
    }

    /// Gives the events to `on_event` (which tells them to the ring), then the results to the posts that wait. Runs
    /// until the log is closed and all is written; spawn it once.
    pub async fn pump(&self, mut on_event: impl FnMut(&LogEvent)) {
        let Some(mut events) = self.events.borrow_mut().take() else { return };
        while let Some(event) = events.recv().await {
            on_event(&event);
            self.settle(&event);
        }
        for waiting in self.waiting.take() {
            // A post that went away needs no result, here and below.
            let _ = waiting.reply.send(Err(LogRefusal::Closed));
        }
        self.ended.send_replace(true);
    }

    /// Ends the log's current file: a later checkpoint can then remove all that was appended until now, although posts go on.
    pub async fn cut(&self) -> Result<(), LogRefusal> {
        let commands = self.commands.borrow().clone().ok_or(LogRefusal::Closed)?;
        let (reply, done) = oneshot::channel();
        commands.send(Command::Cut { reply }).await.map_err(|_| LogRefusal::Closed)?;
        done.await.map_err(|_| LogRefusal::Closed)
    }

    /// All posts up to `through` are in segments: removes whole log files behind it. Gives the number removed.
    pub async fn checkpoint(&self, through: u64) -> Result<usize, CheckpointRefusal> {
        let commands = self.commands.borrow().clone().ok_or(LogRefusal::Closed)?;
        let (reply, result) = oneshot::channel();
        let command = Command::Checkpoint { through, reply };
        commands.send(command).await.map_err(|_| LogRefusal::Closed)?;
        drop(commands);
        Ok(result.await.map_err(|_| LogRefusal::Closed)??)
    }

    /// Takes no more posts, and waits until those in the queue are written and [`Log::pump`] has told their results.
    pub async fn close(&self) {
        drop(self.commands.borrow_mut().take());
        // Fails only when this value is dropped, which the borrow excludes.
        let _ = self.ended.subscribe().wait_for(|ended| *ended).await;
    }

    /// Files and bytes that a restart would replay, as of the writer's last round.
    pub fn extent(&self) -> (u64, u64) {
        (self.extent.files.load(Ordering::Relaxed), self.extent.bytes.load(Ordering::Relaxed))
    }

    /// Posts that wait for their result.
    pub fn waiting_count(&self) -> usize {
        self.waiting.borrow().len()
    }

    fn settle(&self, event: &LogEvent) {
        match event {
            LogEvent::Durable(durable) => self.settle_through(durable.through(), &Ok(*durable)),
            LogEvent::NoSpace { refused, why } => {
                self.settle_through(refused.last(), &Err(LogRefusal::NoSpace(Arc::clone(why))));
            }
            LogEvent::Poisoned { why } => {
                self.settle_through(u64::MAX, &Err(LogRefusal::Poisoned(Arc::clone(why))));
            }
        }
    }

    /// Events come in the order of the sequences, so each settles what waits at the front.
    fn settle_through(&self, last: u64, result: &Result<Durable, LogRefusal>) {
        let mut waiting = self.waiting.borrow_mut();
        while let Some(first) = waiting.pop_front() {
            if first.sequence > last {
                waiting.push_front(first);
                return;
            }
            let _ = first.reply.send(result.clone());
        }
    }
}

impl CommitSlot<'_> {
    /// Puts the post into the queue. The result comes when the log has decided; a `Durable` is what
    /// [`series::Ingest::acknowledge`] needs.
    pub fn commit(self, group: FrameGroup) -> oneshot::Receiver<Result<Durable, LogRefusal>> {
        let (reply, result) = oneshot::channel();
        let waiting = Waiting { sequence: group.sequence(), reply };
        self.log.waiting.borrow_mut().push_back(waiting);
        self.permit.send(Command::Commit(group));
        result
    }
}

/// The life of the thread: until the shard lets go of its end and the queue is empty.
fn work(
    mut writer: LogWriter,
    mut disk: Box<dyn Disk>,
    mut queue: mpsc::Receiver<Command>,
    events: &mpsc::Sender<LogEvent>,
    extent: &Extent,
) {
    let mut panicked: Option<Arc<str>> = None;
    while let Some(first) = queue.blocking_recv() {
        let round = AssertUnwindSafe(|| round(&mut writer, disk.as_mut(), first, &mut queue));
        let told = match &panicked {
            // The state of the writer is unknown: nothing is written any more, every post learns why.
            Some(why) => vec![LogEvent::Poisoned { why: Arc::clone(why) }],
            None => std::panic::catch_unwind(round).unwrap_or_else(|payload| {
                let why: Arc<str> = PanicText::of(payload.as_ref()).to_string().into();
                panicked = Some(Arc::clone(&why));
                vec![LogEvent::Poisoned { why }]
            }),
        };
        let (files, bytes) = writer.extent();
        extent.files.store(files, Ordering::Relaxed);
        extent.bytes.store(bytes, Ordering::Relaxed);
        for event in told {
            if let LogEvent::Poisoned { why } = &event {
                tracing::error!(%why, "the log failed; series are read-only until a restart");
            }
            if events.blocking_send(event).is_err() {
                return;
            }
        }
    }
}

/// Everything that waits, then one step, then the cuts and checkpoints that were asked for.
fn round(
    writer: &mut LogWriter,
    disk: &mut dyn Disk,
    first: Command,
    queue: &mut mpsc::Receiver<Command>,
) -> Vec<LogEvent> {
    let (mut cuts, mut checkpoints) = (Vec::new(), Vec::new());
    let mut next = Some(first);
    let mut groups = 0;
    let mut commits = false;
    while let Some(command) = next {
        match command {
            Command::Commit(group) => {
                writer.push(group);
                commits = true;
            }
            Command::Cut { reply } => cuts.push(reply),
            Command::Checkpoint { through, reply } => checkpoints.push((through, reply)),
        }
        groups += 1;
        next = if groups < GROUPS_PER_STEP_MAX { queue.try_recv().ok() } else { None };
    }
    let events = if commits { writer.step(disk) } else { Vec::new() };
    for reply in cuts {
        writer.cut();
        let _ = reply.send(());
    }
    for (through, reply) in checkpoints {
        let result = writer.checkpoint(through, disk);
        if let Err(error) = &result {
            tracing::warn!(%error, through, "log files behind a checkpoint stay");
        }
        let _ = reply.send(result);
    }
    events
}
