//! Bodies that the service reads while they arrive, and answers of a known length, over real sockets, on both drivers.

mod common;

use common::{BODY_BYTES_MAX, PAGE, PAGE_COUNT, on_both_drivers};

#[test]
fn a_service_reads_bodies_of_every_framing_and_the_connection_goes_on() {
    on_both_drivers(|server| {
        let mut client = server.client();
        let body = vec![b'x'; BODY_BYTES_MAX];
        assert_eq!(client.post("/read/count", "", &body).text(), BODY_BYTES_MAX.to_string());
        client.send("POST /read/count HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
        for _ in 0..10 {
            client.send("3\r\nabc\r\n");
        }
        client.send("0\r\n\r\n");
        assert_eq!(client.answer().text(), "30");
        let pipelined = "POST /read/count HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab";
        client.send(&pipelined.repeat(3));
        for _ in 0..3 {
            assert_eq!(client.answer().text(), "2");
        }
        server.stop();
    });
}

#[test]
fn a_body_is_asked_of_the_client_only_when_the_service_wants_it() {
    on_both_drivers(|server| {
        let head = |path: &str| {
            format!("POST {path} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        };
        let mut client = server.client();
        client.send(&head("/read/count"));
        assert_eq!(client.answer().status, 100);
        assert_eq!(client.send("body").answer().text(), "4");
        client.send(&head("/read/refuse"));
        let answer = client.answer();
        assert_eq!((answer.status, answer.text().as_str()), (403, "not wanted"));
        assert!(answer.head.contains("Connection: close"), "{}", answer.head);
        assert!(client.is_closed());
        server.stop();
    });
}

#[test]
fn an_early_answer_reaches_a_client_that_is_still_sending() {
    on_both_drivers(|server| {
        let mut client = server.client();
        let answer = client.post("/read/refuse", "", &vec![b'x'; BODY_BYTES_MAX]);
        assert_eq!((answer.status, answer.text().as_str()), (403, "not wanted"));
        let answer = server.client().post("/read/panic", "", b"abc");
        assert_eq!(answer.status, 500);
        server.stop();
    });
}

#[test]
fn a_body_that_is_too_long_or_encoded_is_refused_and_the_service_learns_that_it_was_cut() {
    on_both_drivers(|server| {
        let answer = server.client().post("/read/count", "", &vec![b'x'; BODY_BYTES_MAX + 1]);
        assert_eq!(answer.status, 413);
        assert_eq!(server.client().post("/read/count", "Content-Encoding: gzip\r\n", b"x").status, 415);
        assert_eq!(*server.shared.bodies_cut.lock().unwrap(), 0, "refused by the head alone");
        let mut client = server.client();
        client.send("POST /read/count HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
        for _ in 0..8 {
            client.send("10000\r\n").send_bytes(&[b'x'; 0x10000]).send("\r\n");
        }
        let answer = client.answer();
        assert!(answer.text().starts_with("/read/count: The body is larger"), "{}", answer.text());
        assert_eq!((answer.status, *server.shared.bodies_cut.lock().unwrap()), (413, 1));
        server.stop();
    });
}

#[test]
fn a_client_that_goes_away_in_the_middle_cuts_the_body() {
    on_both_drivers(|server| {
        let mut client = server.client();
        client.send("POST /read/count HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc");
        drop(client);
        // A stop would end a connection that was not accepted yet. Ends with the test's own time limit if it is never cut.
        while *server.shared.bodies_cut.lock().unwrap() == 0 {
            std::thread::yield_now();
        }
        assert_eq!(*server.shared.bodies_cut.lock().unwrap(), 1);
        server.stop();
    });
}

#[test]
fn an_answer_of_known_length_has_it_and_one_that_is_shorter_is_cut() {
    on_both_drivers(|server| {
        let mut client = server.client();
        let answer = client.get("/sized");
        assert!(answer.head.contains("Content-Length: 2000000\r\n"), "{}", answer.head);
        assert!(!answer.head.contains("Transfer-Encoding"), "{}", answer.head);
        assert_eq!((answer.body.len(), answer.is_whole), (PAGE.len() * PAGE_COUNT, true));
        let answer = client.send("HEAD /sized HTTP/1.1\r\nHost: x\r\n\r\n").answer_to("HEAD");
        assert!(answer.head.contains("Content-Length: 2000000\r\n"), "{}", answer.head);
        assert_eq!(client.get("/hello").status, 200);
        let answer = client.get("/too-short");
        assert_eq!((answer.body.len(), answer.is_whole), (PAGE.len() * PAGE_COUNT, false));
        assert!(client.is_closed());
        server.stop();
    });
}
