//! A small HTTP server for the tests: a thread for each connection, answers by a closure.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

pub(crate) struct Said {
    pub(crate) status: u16,
    pub(crate) body: String,
    pub(crate) closes: bool,
}

impl Said {
    pub(crate) fn ok(body: &str) -> Self {
        Self { status: 200, body: body.to_owned(), closes: false }
    }
}

/// Gets `METHOD /path` and the body.
type Answering = dyn Fn(&str, &[u8]) -> Said + Send + Sync;

pub(crate) struct Fake(SocketAddr);

impl Fake {
    /// Serves until the test process ends.
    pub(crate) fn start(answering: impl Fn(&str, &[u8]) -> Said + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let answering: Arc<Answering> = Arc::new(answering);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let answering = Arc::clone(&answering);
                let _ = std::thread::spawn(move || serve(&stream.unwrap(), &*answering));
            }
        });
        Self(address)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0
    }
}

fn serve(stream: &TcpStream, answering: &Answering) -> Option<()> {
    let mut input = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if input.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        input.read_exact(&mut body).ok()?;
        let target = head.split(" HTTP/1.1").next().unwrap();
        let said = answering(target, &body);
        let close = if said.closes { "Connection: close\r\n" } else { "" };
        let answer =
            format!("HTTP/1.1 {} X\r\n{close}Content-Length: {}\r\n\r\n{}", said.status, said.body.len(), said.body);
        let mut output = stream;
        output.write_all(answer.as_bytes()).ok()?;
        if said.closes {
            return None;
        }
    }
}
