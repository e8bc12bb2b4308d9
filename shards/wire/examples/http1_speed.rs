//! What a request head and its reply cost one core: `cargo run --release -p wire --example http1_speed`.

use std::hint::black_box;
use std::time::Instant;

use wire::http1::reply::{ReplyLength, write_head};
use wire::http1::{Event, Limits, Parser};

const ROUNDS: u32 = 5;
const REQUESTS_PER_ROUND: u32 = 500_000;
const REQUEST: &[u8] = b"GET /alice/events?limit=20&streams[]=diary HTTP/1.1\r\nHost: alice.example.com:3000\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0\r\nAccept: application/json\r\n\
    Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br\r\nAuthorization: ck1abcdefghijklmnopqrstuv\r\n\
    Origin: https://app.example.com\r\nReferer: https://app.example.com/\r\nConnection: keep-alive\r\n\r\n";

fn main() {
    let best = (0..ROUNDS).map(|_| round()).fold(0.0, f64::max);
    println!("{:.2} M requests/s ({} bytes, 9 headers), {:.0} ns each", best / 1e6, REQUEST.len(), 1e9 / best);
}

/// Parse, look three headers up, write a reply head: requests per second.
fn round() -> f64 {
    let mut parser = Parser::new(Limits::default());
    let mut out = Vec::new();
    let start = Instant::now();
    for _ in 0..REQUESTS_PER_ROUND {
        parser.feed(black_box(REQUEST));
        while let Ok(Some(event)) = parser.next() {
            if let Event::Head(head) = event {
                for name in ["authorization", "content-type", "origin"] {
                    black_box(head.headers.get(name));
                }
                out.clear();
                let headers = [("Content-Type", "application/json; charset=utf-8"), ("API-Version", "2.0.0")];
                write_head(&mut out, 200, headers.into_iter(), ReplyLength::Length(1234), head.keep_alive);
                black_box(&out);
            }
        }
        assert!(parser.is_between_requests(), "the request of the bench must be readable");
    }
    f64::from(REQUESTS_PER_ROUND) / start.elapsed().as_secs_f64()
}
