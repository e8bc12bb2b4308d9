//! A trivial GET, for measuring what the shards themselves cost: `cargo run --release -p shards --example hello`.
//!
//! Arguments: port (default 3000), shards (default 1), seconds to run (default for ever). `COREWARD_DRIVER=epoll` as
//! for the server. At the end it prints requests and CPU time.

use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use shards::{Body, Config, Pool, PoolConfig, Refusal, Request, Response, Service};
use wire::http1::Head;

struct Hello;

impl Service for Hello {
    type Message = ();

    fn body_bytes_max(&self, _: &Head) -> usize {
        1024 * 1024
    }

    fn call(self: Rc<Self>, request: Request) -> impl Future<Output = Response> + 'static {
        let body = if request.body.is_empty() { Bytes::from_static(b"Hello, world!") } else { request.body };
        std::future::ready(Response::new(200, Body::Full(body)).header("Content-Type", "text/plain"))
    }

    async fn receive(self: Rc<Self>, (): ()) {}

    fn refuse(&self, why: &Refusal, _: Option<&Head>) -> Response {
        Response::new(why.status(), Body::Full(why.to_string().into()))
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<u64> = std::env::args().skip(1).map(|text| text.parse()).collect::<Result<_, _>>()?;
    let argument = |index: usize, default| arguments.get(index).copied().unwrap_or(default);
    let address = SocketAddr::from(([127, 0, 0, 1], u16::try_from(argument(0, 3000))?));
    let shard_count = usize::try_from(argument(1, 1))?;
    let config = Config { shard_count, main: vec![address], ..Config::default() };
    let running = shards::run(config, Pool::start(PoolConfig::default())?, |_| Rc::new(Hello))?;
    println!("listening on {address}, driver {}, {shard_count} shards", running.driver());
    std::thread::sleep(Duration::from_secs(argument(2, u64::from(u32::MAX))));
    for (index, shard) in running.metrics().iter().enumerate() {
        println!("shard {index}: {shard:?}");
    }
    running.stop(Duration::from_secs(1));
    Ok(())
}
