//! Requests as ready bytes, and a blocking client over one keep-alive connection for the preparation of a measurement.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use crate::answer::Answer;
use crate::error::{BenchError, Result};

/// A server that says nothing for this long counts as broken.
const SILENCE_MAX: Duration = Duration::from_secs(60);
const READ_BYTES: usize = 16 * 1024;

/// The bytes of one request; `token` and `body` may be empty.
pub(crate) fn request(method: &str, path: &str, token: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = head(method, path, token, body.len()).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// The head of a request whose body has `body_bytes`.
pub(crate) fn head(method: &str, path: &str, token: &str, body_bytes: usize) -> String {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n");
    if !token.is_empty() {
        head.push_str(&format!("Authorization: {token}\r\n"));
    }
    if body_bytes > 0 {
        head.push_str(&format!("Content-Type: application/json\r\nContent-Length: {body_bytes}\r\n"));
    }
    head.push_str("\r\n");
    head
}

pub(crate) struct Client {
    stream: TcpStream,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Result<Self> {
        let open = || -> std::io::Result<TcpStream> {
            let stream = TcpStream::connect_timeout(&address, SILENCE_MAX)?;
            stream.set_nodelay(true)?;
            Ok(stream)
        };
        Self::over(open().map_err(BenchError::system("connect to the server"))?)
    }

    pub(crate) fn over(stream: TcpStream) -> Result<Self> {
        stream.set_read_timeout(Some(SILENCE_MAX)).map_err(BenchError::system("set a time limit"))?;
        stream.set_write_timeout(Some(SILENCE_MAX)).map_err(BenchError::system("set a time limit"))?;
        Ok(Self { stream })
    }

    /// Sends ready bytes and reads the whole answer.
    pub(crate) fn exchange(&mut self, bytes: &[u8]) -> Result<Answer> {
        self.stream.write_all(bytes).map_err(BenchError::system("send a request"))?;
        let mut answer = Answer::keeping_body();
        let mut buffer = [0; READ_BYTES];
        while !answer.is_done() {
            let count = self.stream.read(&mut buffer).map_err(BenchError::system("read an answer"))?;
            if count == 0 {
                return Err(BenchError::Malformed("the connection ended within an answer".to_owned()));
            }
            let bytes = buffer.get(..count).unwrap_or_default();
            if answer.feed(bytes)? < count {
                return Err(BenchError::Malformed("bytes behind the answer that nobody asked for".to_owned()));
            }
        }
        Ok(answer)
    }

    /// A call of the preparation: anything but success ends the run.
    pub(crate) fn call(&mut self, method: &str, path: &str, token: &str, body: Option<&Value>) -> Result<Value> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let answer = self.exchange(&request(method, path, token, body.as_bytes()))?;
        let text = || String::from_utf8_lossy(answer.body()).chars().take(600).collect();
        let named = || format!("{method} {path}");
        if !answer.is_success() {
            return Err(BenchError::Refused { request: named(), status: answer.status(), text: text() });
        }
        serde_json::from_slice(answer.body()).map_err(|_| BenchError::Unexpected { request: named(), text: text() })
    }
}
