//! Attachments that are too large for case files: many at once, up and down, while the server's memory stays small; and what
//! is left of them after a kill, a deletion, and the end of an account.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::time::Duration;

use serde_json::{Value, json};

use super::series::wait_until;
use crate::account::Account;
use crate::error::{CiError, Result};
use crate::http::{Client, HttpError, Request};
use crate::report::Report;
use crate::server::{Server, Setup};
use crate::tools;

const CLIENTS: usize = 20;
const ACCOUNTS: usize = 4;
const FILE_BYTES: usize = 49_000_000;
/// The promise: 200 MB for the whole process at its highest.
const MEMORY_BYTES_MAX: u64 = 200_000_000;
const SILENCE_MAX: Duration = Duration::from_secs(120);
const BOUNDARY: &str = "----coreward-ci";

pub(super) fn run(setup: Setup, report: &mut Report) -> Result<Server> {
    let setup = setup.setting("cluster:shards", super::SHARDS).setting("user-account:delete", r#"["personalToken"]"#);
    let server = Server::start(&setup)?;
    let accounts = (0..ACCOUNTS).map(|index| account(&server, index)).collect::<Result<Vec<_>>>()?;
    let owners: Vec<&Account> = accounts.iter().cycle().take(CLIENTS).collect();
    let files = at_once(&owners, |index, account| upload(account, index))?;
    let sizes_are_right = files.iter().all(|file| file.size == FILE_BYTES);
    report.check("uploads: all arrive whole", sizes_are_right, &format!("{files:?}"));
    let started = Barrier::new(CLIENTS);
    let wrong = at_once(&owners, |index, account| {
        files.get(index).map_or(Ok(Some(0)), |file| download(account, file, index, &started))
    })?;
    report.check("uploads: all are read back as they were", wrong.iter().all(Option::is_none), &format!("{wrong:?}"));
    let highest = highest_memory_bytes(&server)?;
    let figure = format!("{} MB at the highest", highest / 1_000_000);
    report.check("uploads: the process stays below 200 MB", highest < MEMORY_BYTES_MAX, &figure);
    println!("        {figure}, {CLIENTS} files of {} MB at once, up and down", FILE_BYTES / 1_000_000);
    let folder = setup.folder.join("data/files");
    check_after_a_kill(server, &setup, &folder, &owners, report).and_then(|server| {
        check_deletions(&server, &folder, &accounts, &files, report)?;
        Ok(server)
    })
}

fn account(server: &Server, index: usize) -> Result<Account> {
    let account = Account::register(server.address(), &format!("uploader-{index}"))?;
    account.create_stream("files")?;
    Ok(account)
}

/// One act for each client, all at the same time.
fn at_once<T: Send>(owners: &[&Account], act: impl Fn(usize, &Account) -> Result<T> + Sync) -> Result<Vec<T>> {
    let act = &act;
    std::thread::scope(|scope| {
        let started = owners.iter().enumerate().map(|(index, owner)| scope.spawn(move || act(index, owner)));
        let threads: Vec<_> = started.collect();
        let lost = || CiError::System { act: "run a client", source: std::io::Error::other("it panicked") };
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err(lost()))).collect()
    })
}

#[derive(Debug)]
struct File {
    event: String,
    id: String,
    size: usize,
}

/// The bytes of a client's file, again and again.
fn pattern(index: usize) -> Vec<u8> {
    let byte = |at: usize| {
        let [low, ..] = at.wrapping_mul(31).wrapping_add(at >> 9).wrapping_add(index).to_le_bytes();
        low
    };
    (0..1_000_000).map(byte).collect()
}

fn head_of_upload(account: &Account) -> (String, String) {
    let event = json!({ "streamIds": ["files"], "type": "file/attached" });
    let before = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"event\"\r\n\r\n{event}\r\n--{BOUNDARY}\r\n\
         Content-Disposition: form-data; name=\"file\"; filename=\"large.bin\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n"
    );
    let after = format!("\r\n--{BOUNDARY}--\r\n");
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: ci\r\nConnection: close\r\nAuthorization: {}\r\n\
         Content-Type: multipart/form-data; boundary={BOUNDARY}\r\nContent-Length: {}\r\n\r\n{before}",
        account.path("/events"),
        account.token,
        before.len() + FILE_BYTES + after.len()
    );
    (head, after)
}

fn upload(account: &Account, index: usize) -> Result<File> {
    let call = || "an upload".to_owned();
    let broken = |error: std::io::Error| CiError::Http { call: call(), source: HttpError::Io(error) };
    let send = || {
        let mut stream = connect(account.address)?;
        let (head, after) = head_of_upload(account);
        stream.write_all(head.as_bytes())?;
        let block = pattern(index);
        for _ in 0..FILE_BYTES / block.len() {
            stream.write_all(&block)?;
        }
        stream.write_all(after.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer: String = send().map_err(broken)?;
    let body: Value =
        answer.split_once("\r\n\r\n").and_then(|(_, body)| serde_json::from_str(body).ok()).unwrap_or_default();
    let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    if !answer.starts_with("HTTP/1.1 201") {
        return Err(CiError::Answer { call: call(), status: 0, expected: "201", body: answer });
    }
    let size = body.pointer("/event/attachments/0/size").and_then(Value::as_u64).unwrap_or_default();
    let size = usize::try_from(size).unwrap_or_default();
    Ok(File { event: text("/event/id"), id: text("/event/attachments/0/id"), size })
}

/// Asks for the file, and takes it only when all have asked: where the content is wrong.
fn download(account: &Account, file: &File, index: usize, all_asked: &Barrier) -> Result<Option<usize>> {
    let broken = |error: std::io::Error| CiError::Http { call: "a download".to_owned(), source: HttpError::Io(error) };
    let asked = (|| {
        let mut stream = connect(account.address)?;
        let path = account.path(&format!("/events/{}/{}", file.event, file.id));
        let token = &account.token;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: ci\r\nConnection: close\r\nAuthorization: {token}\r\n\r\n")?;
        Ok(BufReader::new(stream))
    })();
    all_asked.wait();
    let compare = |mut input: BufReader<TcpStream>| {
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            if input.read_line(&mut line)? == 0 {
                return Ok(Some(0));
            }
        }
        let block = pattern(index);
        let mut read = vec![0; block.len()];
        for round in 0..FILE_BYTES / block.len() {
            if input.read_exact(&mut read).is_err() || read != block {
                return Ok(Some(round * block.len()));
            }
        }
        Ok(None)
    };
    asked.and_then(compare).map_err(broken)
}

fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    stream.set_write_timeout(Some(SILENCE_MAX))?;
    Ok(stream)
}

/// What the kernel has noted down as the highest resident set.
fn highest_memory_bytes(server: &Server) -> Result<u64> {
    let path = PathBuf::from(format!("/proc/{}/status", server.process_id()));
    let text = tools::read_text(&path)?;
    let kib = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).and_then(|rest| rest.split_whitespace().next());
    let kib: u64 = kib.and_then(|kib| kib.parse().ok()).ok_or_else(|| CiError::format(&path, "no VmHWM"))?;
    Ok(kib * 1024)
}

/// A kill in the middle of an upload, and a file whose event was never committed: the next start removes both.
fn check_after_a_kill(
    mut server: Server,
    setup: &Setup,
    folder: &Path,
    owners: &[&Account],
    report: &mut Report,
) -> Result<Server> {
    let account = owners.first().expect("there are clients");
    let mut stream = connect(account.address).map_err(CiError::system("connect"))?;
    let (head, _) = head_of_upload(account);
    stream.write_all(head.as_bytes()).map_err(CiError::system("send a part of an upload"))?;
    stream.write_all(&pattern(0)).map_err(CiError::system("send a part of an upload"))?;
    let missing =
        wait_until(|| Ok((count_files(&folder.join("tmp"))? != 1).then(|| "nothing in files/tmp".to_owned())))?;
    report.check("uploads: a file arrives under a temporary name", missing.is_none(), "nothing in files/tmp");
    server.kill()?;
    let mut entries = std::fs::read_dir(folder).map_err(CiError::file(folder))?.flatten().map(|entry| entry.path());
    let user = entries.find(|path| !path.ends_with("tmp")).unwrap_or_default();
    let orphan = user.join("cnobody000000000000000000/corphan000000000000000000");
    std::fs::create_dir_all(orphan.parent().unwrap_or(&user)).map_err(CiError::file(&orphan))?;
    std::fs::write(&orphan, "an orphan").map_err(CiError::file(&orphan))?;
    let stored_before = count_files(folder)?;
    let server = Server::start(setup)?;
    let left = wait_until(|| Ok(orphan.exists().then(|| "it is still there".to_owned())))?;
    report.check("uploads: a file without an event goes after the next start", left.is_none(), "it is still there");
    let left = count_files(folder)?;
    let figure = format!("{left} of {stored_before} files, {CLIENTS} uploaded");
    report.check("uploads: a kill leaves what was acknowledged and nothing else", left == CLIENTS, &figure);
    Ok(server)
}

fn check_deletions(
    server: &Server,
    folder: &Path,
    accounts: &[Account],
    files: &[File],
    report: &mut Report,
) -> Result<()> {
    let [first, second, ..] = accounts else { return Ok(()) };
    let of_first: Vec<&File> = files.iter().step_by(ACCOUNTS).collect();
    for file in &of_first {
        for _ in 0..2 {
            first.call("DELETE", &format!("/events/{}", file.event), None)?;
        }
    }
    let left = count_files(folder)?;
    let expected = CLIENTS - of_first.len();
    report.check("uploads: the files of deleted events are gone with the answer", left == expected, &left.to_string());
    let path = format!("/users/{}", second.username);
    let request = Request::new("DELETE", &path).token(&second.token);
    let reply = Client::new(server.address()).send(&request);
    let reply = reply.map_err(|source| CiError::Http { call: format!("DELETE {path}"), source })?;
    let left = count_files(folder)?;
    let is_right = reply.is_success() && left == expected - CLIENTS / ACCOUNTS;
    report.check("uploads: the files of a deleted account are gone with the answer", is_right, &left.to_string());
    Ok(())
}

fn count_files(folder: &Path) -> Result<usize> {
    Ok(tools::files_below(folder, "")?.len())
}
