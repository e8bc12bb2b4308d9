//! Requests and answers over real sockets, on both drivers.

mod common;

use std::io::Write;

use common::{BIG_BYTES, BODY_BYTES_MAX, PAGE, PAGE_COUNT, on_both_drivers};

#[test]
fn a_connection_is_kept_alive_for_many_requests() {
    on_both_drivers(|server| {
        let mut client = server.client();
        for _ in 0..50 {
            let answer = client.get("/hello");
            assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
            assert!(answer.head.contains("Connection: keep-alive"), "{}", answer.head);
            assert!(answer.head.contains(" GMT\r\n") && answer.head.contains("\r\nDate: "), "{}", answer.head);
        }
        let requests: u64 = server.running.metrics().iter().map(|shard| shard.requests_total).sum();
        assert_eq!(requests, 50);
        server.stop();
    });
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    on_both_drivers(|server| {
        let mut client = server.client();
        let mut wanted = Vec::new();
        for number in 0..200 {
            let body = format!("body {number}");
            client.send(&format!("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
            client.send("GET /hop HTTP/1.1\r\nHost: x\r\n\r\n");
            wanted.extend([body, "1".to_owned()]);
        }
        let got: Vec<String> = wanted.iter().map(|_| client.answer().text()).collect();
        assert_eq!(got, wanted);
        server.stop();
    });
}

#[test]
fn requests_arriving_byte_by_byte_are_understood() {
    on_both_drivers(|server| {
        let mut client = server.client();
        let request =
            "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n";
        client.stream.set_nodelay(true).unwrap();
        for byte in request.bytes() {
            client.send_bytes(&[byte]);
        }
        assert_eq!(client.answer().text(), "abcde");
        assert_eq!(client.get("/hello").status, 200);
        server.stop();
    });
}

#[test]
fn gzip_bodies_are_decoded_and_bounded_after_decoding() {
    on_both_drivers(|server| {
        let gzip = |text: &[u8]| {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        };
        let mut client = server.client();
        let text = "many times the same ".repeat(5000);
        let answer = client.post("/echo", "Content-Encoding: gzip\r\n", &gzip(text.as_bytes()));
        assert_eq!((answer.status, answer.text()), (200, text));
        let bomb = gzip(&vec![0; 100 * BODY_BYTES_MAX]);
        assert!(bomb.len() < BODY_BYTES_MAX);
        let answer = client.post("/echo", "Content-Encoding: gzip\r\n", &bomb);
        assert_eq!(answer.status, 413);
        assert!(client.is_closed());
        assert_eq!(server.client().post("/echo", "Content-Encoding: gzip\r\n", b"not gzip").status, 400);
        assert_eq!(server.client().post("/echo", "Content-Encoding: br\r\n", b"x").status, 415);
        server.stop();
    });
}

#[test]
fn a_client_that_waits_for_100_continue_gets_it_or_the_refusal() {
    on_both_drivers(|server| {
        let mut client = server.client();
        client.send("POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
        assert_eq!(client.answer().status, 100);
        assert_eq!(client.send("body").answer().text(), "body");
        let too_long = BODY_BYTES_MAX + 1;
        client.send(&format!(
            "POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {too_long}\r\n\r\n"
        ));
        let answer = client.answer();
        assert_eq!(answer.status, 413);
        assert!(answer.head.contains("Connection: close"), "{}", answer.head);
        assert!(client.is_closed());
        server.stop();
    });
}

#[test]
fn a_body_over_the_limit_is_refused_in_the_form_of_the_service_even_while_it_is_still_sent() {
    on_both_drivers(|server| {
        let mut client = server.client();
        let answer = client.post("/echo", "", &vec![b'x'; BODY_BYTES_MAX * 4]);
        assert_eq!(answer.status, 413);
        assert!(answer.text().starts_with("/echo: The body is larger than the 262144 bytes"), "{}", answer.text());
        let mut client = server.client();
        client.send("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
        for _ in 0..8 {
            client.send("10000\r\n").send_bytes(&[b'x'; 0x10000]).send("\r\n");
        }
        assert_eq!(client.answer().status, 413);
        let exact = server.client().post("/length", "", &vec![b'x'; BODY_BYTES_MAX]);
        assert_eq!(exact.text(), BODY_BYTES_MAX.to_string());
        server.stop();
    });
}

#[test]
fn head_requests_and_204_carry_no_body() {
    on_both_drivers(|server| {
        let mut client = server.client();
        let answer = client.send("HEAD /hello HTTP/1.1\r\nHost: x\r\n\r\n").answer_to("HEAD");
        assert!(answer.head.contains("Content-Length: 5"), "{}", answer.head);
        let answer = client.send("HEAD /stream HTTP/1.1\r\nHost: x\r\n\r\n").answer_to("HEAD");
        assert_eq!(answer.status, 200);
        assert_eq!(client.get("/none").status, 204);
        assert_eq!(client.get("/hello").text(), "hello");
        server.stop();
    });
}

#[test]
fn malformed_requests_get_their_status_and_the_connection_ends() {
    on_both_drivers(|server| {
        let long = "x".repeat(20_000);
        let cases = [
            ("GET / HTTP/1.1\nHost: x\n\n".to_owned(), 400),
            ("POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n".to_owned(), 400),
            (format!("GET / HTTP/1.1\r\nLong: {long}\r\n\r\n"), 431),
            ("GET / HTTP/3.0\r\n\r\n".to_owned(), 505),
        ];
        for (request, status) in cases {
            let mut client = server.client();
            let answer = client.send(&request).answer();
            assert_eq!(answer.status, status, "{request:.80}");
            assert!(answer.text().starts_with("-: "), "{}", answer.text());
            assert!(client.is_closed());
        }
        server.stop();
    });
}

#[test]
fn both_sides_can_end_the_connection_after_an_answer() {
    on_both_drivers(|server| {
        let mut client = server.client();
        assert!(client.get("/close").head.contains("Connection: close"));
        assert!(client.is_closed());
        // Requests behind the last answer are not answered, and do not destroy it.
        let mut client = server.client();
        client.send(&"GET /close HTTP/1.1\r\nHost: x\r\n\r\n".repeat(5000));
        assert_eq!(client.answer().text(), "bye");
        assert!(client.is_closed());
        let mut client = server.client();
        let answer = client.send("GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").answer();
        assert_eq!(answer.text(), "hello");
        assert!(client.is_closed());
        server.stop();
    });
}

#[test]
fn long_answers_arrive_whole_to_a_slow_reader() {
    on_both_drivers(|server| {
        let mut client = server.client();
        let answer = client.get("/big");
        assert_eq!(answer.body.len(), BIG_BYTES);
        assert!(answer.body.iter().all(|byte| *byte == b'b'));
        let answer = client.get("/stream");
        assert!(answer.head.contains("Transfer-Encoding: chunked"), "{}", answer.head);
        assert_eq!((answer.body.len(), answer.is_whole), (PAGE.len() * PAGE_COUNT, true));
        assert_eq!(client.get("/hello").text(), "hello");
        server.stop();
    });
}

#[test]
fn an_http_1_0_client_gets_a_stream_until_the_close() {
    on_both_drivers(|server| {
        let mut client = server.client();
        let answer = client.send("GET /stream HTTP/1.0\r\n\r\n").answer();
        assert!(!answer.head.contains("Transfer-Encoding"), "{}", answer.head);
        assert_eq!(answer.body.len(), PAGE.len() * PAGE_COUNT);
        server.stop();
    });
}

#[test]
fn an_aborted_stream_is_cut_without_its_last_chunk() {
    on_both_drivers(|server| {
        let mut client = server.client();
        let answer = client.get("/abort");
        assert_eq!((answer.body.len(), answer.is_whole), (PAGE.len() * PAGE_COUNT, false));
        assert_eq!(server.client().get("/hello").status, 200);
        server.stop();
    });
}

#[test]
fn a_producer_of_pages_waits_for_a_client_that_does_not_read() {
    on_both_drivers(|server| {
        // Small buffers on both sides, and many more bytes than they hold.
        let mut clients: Vec<_> = (0..8).map(|_| server.client()).collect();
        for client in &mut clients {
            client.send("GET /big HTTP/1.1\r\nHost: x\r\n\r\nGET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
        }
        assert_eq!(server.client().get("/hello").status, 200);
        // The stream waits behind the unread big answer, so no page has been asked for.
        assert_eq!(*server.shared.pages_sent.lock().unwrap(), 0);
        for client in &mut clients {
            assert_eq!(client.answer().body.len(), BIG_BYTES);
            assert!(client.answer().is_whole);
        }
        server.stop();
    });
}

#[test]
fn a_panic_in_a_call_is_answered_with_an_error_and_the_connection_lives_on() {
    on_both_drivers(|server| {
        let mut client = server.client();
        let answer = client.get("/panic");
        assert_eq!(answer.status, 500);
        assert!(!answer.text().contains("on purpose"), "the text of a panic is for the log");
        assert_eq!(client.get("/hello").text(), "hello");
        let panics: u64 = server.running.metrics().iter().map(|shard| shard.panics_total).sum();
        assert_eq!(panics, 1);
        server.stop();
    });
}

#[test]
fn shards_call_each_other_and_the_pool() {
    on_both_drivers(|server| {
        for _ in 0..20 {
            let mut client = server.client();
            assert_eq!(client.get("/hop").text(), "1");
            assert_eq!(client.get("/pool").text(), "Ok(42)");
        }
        server.stop();
    });
}

#[test]
fn each_port_says_which_it_is() {
    on_both_drivers(|server| {
        assert_eq!(server.client().get("/port").text(), "Main");
        let hfs = server.running.addresses().hfs.unwrap();
        assert_eq!(common::Client::to(hfs).get("/port").text(), "Hfs");
        server.stop();
    });
}
