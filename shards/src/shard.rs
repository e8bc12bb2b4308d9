//! The life of one shard on its thread: make the service, listen, serve, drain, flush, end.

use std::cell::{Cell, Ref, RefCell};
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant, SystemTime};

use socket2::Socket;
use tokio::sync::{Semaphore, mpsc as async_mpsc, watch};

use crate::config::SocketLimits;
use crate::date::DateText;
use crate::metrics::{Metrics, ShardMetrics};
use crate::rt;
use crate::rt::net::Listener;
use crate::service::{Port, Service, ShardHandle};
use crate::socket::link::Links;
use crate::socket::listener::{BACKLOG, accept_all};

/// How often a shard looks at the clock, and calls `Service::tick`.
pub const TICK: Duration = Duration::from_millis(100);
/// Deadlines of connections are looked at every so many ticks: the grain of all socket timeouts is half a second.
const SWEEP_TICKS: u32 = 5;
/// How often a draining shard looks whether its connections have ended.
const DRAIN_STEP: Duration = Duration::from_millis(10);
/// Time that connections cut at the end of the drain have to notice it.
const CUT_GRACE: Duration = Duration::from_secs(1);
/// The read buffer of a shard: what one read takes from a socket.
const READ_BUFFER_BYTES: usize = 64 * 1024;
/// Write buffers a shard keeps for the next answers, and the size beyond which one is not kept.
const WRITE_BUFFERS_KEPT: usize = 64;
const WRITE_BUFFER_KEPT_BYTES_MAX: usize = 128 * 1024;

/// What the shards are told to do, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
pub(crate) enum Phase {
    Prepare,
    Serve,
    Drain { until: Instant },
    Flush,
    Exit,
}

/// What a shard says when a phase is behind it.
#[derive(Debug)]
pub(crate) enum Report {
    Ready,
    Serving,
    Drained,
    Flushed,
    Failed(String),
}

/// What a shard is made of, apart from the factory of its service.
pub(crate) struct ShardParts<M> {
    pub(crate) handle: ShardHandle<M>,
    pub(crate) limits: SocketLimits,
    pub(crate) sockets: Vec<(Socket, Port)>,
    pub(crate) mail: async_mpsc::Receiver<M>,
    pub(crate) phase: watch::Receiver<Phase>,
    pub(crate) reports: mpsc::Sender<(usize, Report)>,
}

/// What the connections of a shard share.
pub(crate) struct Shard<S: Service> {
    pub(crate) service: Rc<S>,
    pub(crate) limits: SocketLimits,
    pub(crate) links: Rc<Links>,
    pub(crate) read_buffer: RefCell<Box<[u8]>>,
    write_buffers: RefCell<Vec<Vec<u8>>>,
    now: Cell<Instant>,
    date: RefCell<DateText>,
    metrics: Metrics,
    index: usize,
    spare_metrics: ShardMetrics,
}

impl<S: Service> Shard<S> {
    /// The time of the last tick: enough for deadlines, and free.
    pub(crate) fn now(&self) -> Instant {
        self.now.get()
    }

    /// The value of the `Date` header now.
    pub(crate) fn date(&self) -> Ref<'_, DateText> {
        self.date.borrow()
    }

    fn read_clocks(&self) {
        self.now.set(Instant::now());
        self.date.borrow_mut().update(SystemTime::now());
    }

    pub(crate) fn metrics(&self) -> &ShardMetrics {
        self.metrics.shards.get(self.index).unwrap_or(&self.spare_metrics)
    }

    /// An empty buffer to write an answer into.
    pub(crate) fn take_write_buffer(&self) -> Vec<u8> {
        self.write_buffers.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes a buffer back for the next answer.
    pub(crate) fn give_write_buffer(&self, mut buffer: Vec<u8>) {
        let mut kept = self.write_buffers.borrow_mut();
        if kept.len() < WRITE_BUFFERS_KEPT && buffer.capacity() <= WRITE_BUFFER_KEPT_BYTES_MAX {
            buffer.clear();
            kept.push(buffer);
        }
    }
}

/// Runs a shard until it is told to exit.
pub(crate) async fn run<S: Service>(
    parts: ShardParts<S::Message>,
    factory: &(impl Fn(ShardHandle<S::Message>) -> Rc<S> + Send + Sync + 'static),
) {
    let ShardParts { handle, limits, sockets, mail, mut phase, reports } = parts;
    let (index, metrics) = (handle.index, handle.metrics.clone());
    let say = |report| {
        // Nobody listens any more only when the start was given up.
        let _ = reports.send((index, report));
    };
    let shard = Rc::new(Shard {
        service: factory(handle),
        limits,
        links: Rc::new(Links::default()),
        read_buffer: RefCell::new(vec![0; READ_BUFFER_BYTES].into_boxed_slice()),
        write_buffers: RefCell::default(),
        now: Cell::new(Instant::now()),
        date: RefCell::default(),
        metrics,
        index,
        spare_metrics: ShardMetrics::default(),
    });
    rt::spawn(receive_all(Rc::clone(&shard), mail));
    say(Report::Ready);
    if wait_phase(&mut phase, |phase| phase != Phase::Prepare).await == Phase::Exit {
        return;
    }
    let listeners = match listen(&shard, sockets) {
        Ok(listeners) => listeners,
        Err(error) => {
            say(Report::Failed(format!("cannot listen: {error}")));
            return;
        }
    };
    rt::spawn(tick_all(Rc::clone(&shard)));
    say(Report::Serving);
    let drain_until = match wait_phase(&mut phase, |phase| phase > Phase::Serve).await {
        Phase::Drain { until } => until,
        _ => Instant::now(),
    };
    drain(&shard, &listeners, drain_until).await;
    say(Report::Drained);
    wait_phase(&mut phase, |phase| matches!(phase, Phase::Flush | Phase::Exit)).await;
    let service = Rc::clone(&shard.service);
    if let Err(panic) = rt::catch_panic(async move { service.stop().await }).await {
        tracing::error!(%panic, "the flush at the stop of a shard panicked");
    }
    say(Report::Flushed);
    wait_phase(&mut phase, |phase| phase == Phase::Exit).await;
}

/// Waits until the phase is one that is `wanted`. A conductor that went away means the end.
async fn wait_phase(phase: &mut watch::Receiver<Phase>, wanted: impl Fn(Phase) -> bool) -> Phase {
    match phase.wait_for(|phase| wanted(*phase)).await {
        Ok(phase) => *phase,
        Err(_) => Phase::Exit,
    }
}

fn listen<S: Service>(shard: &Rc<Shard<S>>, sockets: Vec<(Socket, Port)>) -> std::io::Result<Vec<Rc<Listener>>> {
    // The making of the service may have taken a while.
    shard.read_clocks();
    let mut listeners = Vec::with_capacity(sockets.len());
    for (socket, port) in sockets {
        socket.listen(BACKLOG)?;
        let listener = Rc::new(Listener::from_std(TcpListener::from(socket))?);
        rt::spawn(accept_all(Rc::clone(shard), Rc::clone(&listener), port));
        listeners.push(listener);
    }
    Ok(listeners)
}

/// Ends the connections: idle ones at once, busy ones after their request, what is left at `until`.
async fn drain<S: Service>(shard: &Rc<Shard<S>>, listeners: &[Rc<Listener>], until: Instant) {
    shard.links.drain();
    for listener in listeners {
        listener.close();
    }
    while shard.links.count() > 0 && Instant::now() < until {
        rt::sleep(DRAIN_STEP).await;
    }
    let left = shard.links.count();
    if left == 0 {
        return;
    }
    tracing::warn!(connections = left, "the drain time is over; the connections left are cut");
    shard.links.cut_all();
    let grace = Instant::now() + CUT_GRACE;
    while shard.links.count() > 0 && Instant::now() < grace {
        rt::sleep(DRAIN_STEP).await;
    }
}

/// Takes messages out of the mailbox, each into a task of its own, no more at a time than the box holds.
async fn receive_all<S: Service>(shard: Rc<Shard<S>>, mut mail: async_mpsc::Receiver<S::Message>) {
    let room = Arc::new(Semaphore::new(mail.max_capacity()));
    while let Some(message) = mail.recv().await {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        shard.metrics().messages.add(1);
        let service = Rc::clone(&shard.service);
        rt::spawn(async move {
            service.receive(message).await;
            drop(permit);
        });
    }
}

/// Keeps the clock, the deadlines and the service's own rhythm.
async fn tick_all<S: Service>(shard: Rc<Shard<S>>) {
    let service_ticks = Rc::clone(&shard.service);
    rt::spawn(async move {
        loop {
            rt::sleep(TICK).await;
            let service = Rc::clone(&service_ticks);
            if let Err(panic) = rt::catch_panic(async move { service.tick().await }).await {
                tracing::error!(%panic, "a tick of the service panicked; the next one comes");
            }
        }
    });
    let mut ticks: u32 = 0;
    loop {
        rt::sleep(TICK).await;
        shard.read_clocks();
        ticks = ticks.wrapping_add(1);
        if ticks.is_multiple_of(SWEEP_TICKS) {
            shard.links.sweep(shard.now(), shard.metrics());
        }
    }
}
