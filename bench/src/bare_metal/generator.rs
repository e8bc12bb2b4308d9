//! A thread of the generator: connections with one post in flight on each, on a core of its own.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use futures_lite::{AsyncReadExt, AsyncWriteExt};
use glommio::net::TcpStream;
use glommio::{ExecutorJoinHandle, GlommioError, LocalExecutorBuilder, Placement};

use crate::answer::Answer;
use crate::drive::Counts;
use crate::error::{BenchError, Result};
use crate::peers::{Posts, Values};

const READ_BYTES: usize = 4 * 1024;

/// What all threads are told.
#[derive(Clone)]
pub(super) struct Order {
    pub(super) address: SocketAddr,
    pub(super) values: Arc<Values>,
    /// Answers count between these moments; no request goes out after the second one.
    pub(super) from: Instant,
    pub(super) until: Instant,
}

pub(super) struct Outcome {
    pub(super) share: Vec<Posts>,
    pub(super) counts: Counts,
}

pub(super) struct Thread(ExecutorJoinHandle<Result<Outcome>>);

impl Thread {
    pub(super) fn join(self) -> Result<Outcome> {
        self.0.join().map_err(failed)?
    }
}

/// Starts a thread with a connection for each of the series.
pub(super) fn start(core: usize, order: Order, share: Vec<Posts>) -> Result<Thread> {
    let builder = LocalExecutorBuilder::new(Placement::Fixed(core)).name("generator");
    builder.spawn(move || drive(order, share)).map(Thread).map_err(failed)
}

async fn drive(order: Order, share: Vec<Posts>) -> Result<Outcome> {
    let order = Rc::new(order);
    let connections: Vec<_> =
        share.into_iter().map(|posts| glommio::spawn_local(connection(Rc::clone(&order), posts))).collect();
    let mut outcome = Outcome { share: Vec::new(), counts: Counts::new(1) };
    for connection in connections {
        let (posts, counts) = connection.await?;
        outcome.share.push(posts);
        outcome.counts.merge(counts);
    }
    Ok(outcome)
}

async fn connection(order: Rc<Order>, mut posts: Posts) -> Result<(Posts, Counts)> {
    let mut counts = Counts::new(1);
    let mut stream = open(order.address).await?;
    let (mut request, mut answer) = (Vec::new(), Answer::new());
    while Instant::now() < order.until {
        request.clear();
        answer.reset();
        posts.write_next(&order.values, &mut request);
        let sent_at = Instant::now();
        let said = exchange(&mut stream, &request, &mut answer).await;
        let is_counted = (order.from..order.until).contains(&Instant::now());
        if answer.is_done() && answer.is_success() {
            posts.acknowledge();
        }
        if answer.is_done() && is_counted {
            counts.count(&answer, sent_at.elapsed());
        }
        if said.is_err() || answer.closes() {
            counts.broken += u64::from(is_counted);
            stream = open(order.address).await?;
        }
    }
    Ok((posts, counts))
}

async fn open(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(address).await.map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    Ok(stream)
}

async fn exchange(stream: &mut TcpStream, request: &[u8], answer: &mut Answer) -> std::io::Result<()> {
    stream.write_all(request).await?;
    let mut buffer = [0; READ_BYTES];
    while !answer.is_done() {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        answer.feed(buffer.get(..count).unwrap_or_default()).map_err(std::io::Error::other)?;
    }
    Ok(())
}

fn failed(error: GlommioError<()>) -> BenchError {
    BenchError::Glommio(error.to_string())
}
