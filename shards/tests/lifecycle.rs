//! Start, limits in time and number, and the ordered stop, on both drivers.

mod common;

use std::net::TcpStream;
use std::time::Duration;

use common::{Client, DRIVERS, config, on_both_drivers, start};
use shards::{Config, DriverChoice, EpollCause, Pool, PoolConfig, SocketLimits, StartError};
use tokio::sync::oneshot;

const SHORT: Duration = Duration::from_millis(200);

fn with_limits(change: impl Fn(&mut SocketLimits)) -> Vec<common::Server> {
    let configs = DRIVERS.into_iter().map(|driver| {
        let mut config = config(driver);
        change(&mut config.limits);
        start(config)
    });
    configs.collect()
}

#[test]
fn a_head_that_does_not_come_to_its_end_is_answered_408() {
    for server in with_limits(|limits| limits.head_timeout = SHORT) {
        let mut client = server.client();
        let answer = client.send("GET /hello HTTP/1.1\r\nHost: x\r\n").answer();
        assert_eq!(answer.status, 408);
        assert!(client.is_closed());
        let timeouts: u64 = server.running.metrics().iter().map(|shard| shard.timeouts_total).sum();
        assert_eq!(timeouts, 1);
        server.stop();
    }
}

#[test]
fn a_body_that_stops_is_answered_408() {
    for server in with_limits(|limits| limits.body_progress_timeout = SHORT) {
        let mut client = server.client();
        let answer = client.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc").answer();
        assert_eq!((answer.status, answer.text().starts_with("/echo: ")), (408, true));
        assert!(client.is_closed());
        server.stop();
    }
}

#[test]
fn idle_connections_and_silent_ones_are_closed_without_a_word() {
    for server in with_limits(|limits| (limits.idle_timeout, limits.head_timeout) = (SHORT, SHORT)) {
        let (mut silent, mut idle) = (server.client(), server.client());
        assert_eq!(idle.get("/hello").status, 200);
        assert!(idle.is_closed());
        assert!(silent.is_closed());
        server.stop();
    }
}

#[test]
fn a_client_that_does_not_take_its_answer_is_cut() {
    for server in with_limits(|limits| limits.write_timeout = SHORT) {
        let mut client = server.client();
        client.send("GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
        while server.running.metrics().iter().all(|shard| shard.timeouts_total == 0) {
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(!client.answer().is_whole);
        server.stop();
    }
}

#[test]
fn connections_over_the_limit_are_answered_503() {
    for driver in DRIVERS {
        let mut config = config(driver);
        (config.shard_count, config.limits.connections_max) = (1, 2);
        let server = start(config);
        let mut clients = [server.client(), server.client()];
        for client in &mut clients {
            assert_eq!(client.get("/hello").status, 200);
        }
        let mut refused = server.client();
        assert_eq!(refused.answer().status, 503);
        assert!(refused.is_closed());
        assert_eq!(clients[0].get("/hello").status, 200);
        server.stop();
    }
}

#[test]
fn a_stop_lets_requests_in_flight_finish_closes_idle_connections_and_flushes_every_shard() {
    on_both_drivers(|server| {
        let (open_gate, gate) = oneshot::channel();
        *server.shared.gate.lock().unwrap() = Some(gate);
        let mut idle: Vec<Client> = (0..20).map(|_| server.client()).collect();
        for client in &mut idle {
            assert_eq!(client.get("/hello").status, 200);
        }
        let mut busy = server.client();
        busy.send("GET /gate HTTP/1.1\r\nHost: x\r\n\r\n");
        while server.shared.gate.lock().unwrap().is_some() {
            std::thread::yield_now();
        }
        let (address, shared) = (server.address, std::sync::Arc::clone(&server.shared));
        let stopping = std::thread::spawn(move || server.stop());
        for client in &mut idle {
            assert!(client.is_closed());
        }
        while TcpStream::connect(address).is_ok() {
            std::thread::yield_now();
        }
        assert!(shared.stopped.lock().unwrap().is_empty(), "nothing is flushed before the last request is answered");
        open_gate.send(()).unwrap();
        let answer = busy.answer();
        assert_eq!(answer.text(), "through the gate");
        assert!(answer.head.contains("Connection: close"), "{}", answer.head);
        stopping.join().unwrap();
        let mut stopped = shared.stopped.lock().unwrap().clone();
        stopped.sort_unstable();
        assert_eq!(stopped, [0, 1]);
    });
}

#[test]
fn a_request_that_outlasts_the_drain_is_cut() {
    on_both_drivers(|server| {
        let (_open_gate, gate) = oneshot::channel::<()>();
        *server.shared.gate.lock().unwrap() = Some(gate);
        let mut busy = server.client();
        busy.send("GET /gate HTTP/1.1\r\nHost: x\r\n\r\n");
        while server.shared.gate.lock().unwrap().is_some() {
            std::thread::yield_now();
        }
        server.running.stop(Duration::from_millis(50));
        assert!(busy.is_closed());
        assert_eq!(server.shared.stopped.lock().unwrap().len(), 2);
        server.pool.shutdown();
    });
}

#[test]
fn every_shard_ticks() {
    on_both_drivers(|server| {
        while *server.shared.ticks.lock().unwrap() < 4 {
            std::thread::yield_now();
        }
        server.stop();
    });
}

#[test]
fn a_port_in_use_is_named_with_the_remedy() {
    let server = start(config(DriverChoice::Auto));
    let second = Config { main: vec![server.address], hfs: None, ..config(DriverChoice::Auto) };
    let pool = Pool::start(PoolConfig::default()).unwrap();
    let result = shards::run(second, pool.clone(), |_| -> std::rc::Rc<common::Showcase> { unreachable!() });
    match result {
        Err(error @ StartError::PortTaken { address }) => {
            assert_eq!(address, server.address);
            assert!(error.to_string().contains("choose another port"), "{error}");
        }
        _ => panic!("two servers on one port"),
    }
    pool.shutdown();
    server.stop();
}

#[test]
fn a_service_that_cannot_be_made_fails_the_start() {
    for driver in DRIVERS {
        let pool = Pool::start(PoolConfig::default()).unwrap();
        let result = shards::run(config(driver), pool.clone(), |handle| -> std::rc::Rc<common::Showcase> {
            panic!("no service for shard {}", handle.index)
        });
        let text = result.err().unwrap().to_string();
        assert!(text.contains("no service for shard"), "{text}");
        pool.shutdown();
    }
}

#[test]
fn asking_for_epoll_is_its_cause() {
    let server = start(config(DriverChoice::Epoll));
    assert_eq!(*server.running.driver(), shards::Driver::Epoll { cause: EpollCause::Asked });
    server.stop();
}
