//! Forms of requests that servers are known to read differently (request smuggling), and limits: what each must give.

use wire::http1::{BodyLength, Event, Limits, Method, Parser, ProtocolError};

/// A summary of the events: `head:<method> <target>`, the whole body, `end`, or the status of the error.
fn outcome(input: &[u8]) -> String {
    let mut parser = Parser::new(Limits::default());
    parser.feed(input);
    let mut parts = Vec::new();
    let mut body = Vec::new();
    loop {
        match parser.next() {
            Ok(Some(Event::Head(head))) => parts.push(format!("{} {}", head.method.as_str(), head.target())),
            Ok(Some(Event::Body(bytes))) => body.extend_from_slice(&bytes),
            Ok(Some(Event::End)) => {
                parts.push(format!("[{}]", String::from_utf8_lossy(&body)));
                body.clear();
            }
            Ok(None) if parser.is_between_requests() => break,
            Ok(None) => {
                parts.push("incomplete".to_owned());
                break;
            }
            Err(error) => {
                parts.push(error.status().to_string());
                break;
            }
        }
    }
    parts.join(" ")
}

fn check(forms: &[(&str, &str)]) {
    for (input, expected) in forms {
        assert_eq!(outcome(input.as_bytes()), *expected, "{input:?}");
    }
}

fn with_headers(headers: &str, body: &str) -> String {
    format!("POST /x HTTP/1.1\r\nHost: a\r\n{headers}\r\n{body}")
}

fn check_headers(forms: &[(&str, &str, &str)]) {
    for (headers, body, expected) in forms {
        assert_eq!(outcome(with_headers(headers, body).as_bytes()), *expected, "{headers:?} {body:?}");
    }
}

#[test]
fn request_lines_of_every_form_give_their_class() {
    check(&[
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / []"),
        ("GET / HTTP/1.0\r\n\r\n", "GET / []"),
        ("GET / HTTP/1.1\r\n\r\n", "GET / []"),
        ("BREW /pot HTTP/1.1\r\n\r\n", "BREW /pot []"),
        ("get / HTTP/1.1\r\n\r\n", "get / []"),
        ("OPTIONS * HTTP/1.1\r\n\r\n", "OPTIONS * []"),
        ("GET http://a/b?c HTTP/1.1\r\n\r\n", "GET http://a/b?c []"),
        ("GET /é?ü HTTP/1.1\r\n\r\n", "GET /é?ü []"),
        ("\r\n\r\nGET / HTTP/1.1\r\n\r\n", "GET / []"),
        ("\r\n\r\n\r\nGET / HTTP/1.1\r\n\r\n", "400"),
        ("\nGET / HTTP/1.1\r\n\r\n", "400"),
        ("\r\rGET / HTTP/1.1\r\n\r\n", "400"),
        (" GET / HTTP/1.1\r\n\r\n", "400"),
        ("GET  / HTTP/1.1\r\n\r\n", "400"),
        ("GET /  HTTP/1.1\r\n\r\n", "400"),
        ("GET / HTTP/1.1 \r\n\r\n", "400"),
        ("GET /a b HTTP/1.1\r\n\r\n", "400"),
        ("GET\t/\tHTTP/1.1\r\n\r\n", "400"),
        ("GET /\x0b HTTP/1.1\r\n\r\n", "400"),
        ("GET /\x00 HTTP/1.1\r\n\r\n", "400"),
        ("GET /\r HTTP/1.1\r\n\r\n", "400"),
        ("GET /\r\n\r\n", "400"),
        ("GET\r\n\r\n", "400"),
        ("G(T / HTTP/1.1\r\n\r\n", "400"),
        ("GÉT / HTTP/1.1\r\n\r\n", "400"),
        ("GET * HTTP/1.1\r\n\r\n", "400"),
        ("GET a HTTP/1.1\r\n\r\n", "400"),
        ("GET ftp://a/ HTTP/1.1\r\n\r\n", "400"),
        ("GET http:///a HTTP/1.1\r\n\r\n", "400"),
        ("GET http://user@a/ HTTP/1.1\r\n\r\n", "400"),
        ("GET /a#b HTTP/1.1\r\n\r\n", "400"),
        ("CONNECT a:443 HTTP/1.1\r\n\r\n", "400"),
        ("GET / http/1.1\r\n\r\n", "400"),
        ("GET / HTTP/1,1\r\n\r\n", "400"),
        ("GET / HTTP/1.11\r\n\r\n", "400"),
        ("GET / HTTP/01.1\r\n\r\n", "400"),
        ("GET / XTTP/1.1\r\n\r\n", "400"),
        ("GET / HTTP/1.2\r\n\r\n", "505"),
        ("GET / HTTP/0.9\r\n\r\n", "505"),
        ("GET / HTTP/2\r\n\r\n", "505"),
        ("GET / HTTP/2.0\r\n\r\n", "505"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505"),
        ("\x16\x03\x01\x02\x00", "400"),
    ]);
}

#[test]
fn header_lines_of_every_form_give_their_class() {
    check_headers(&[
        ("A: 1\r\n", "", "POST /x []"),
        ("A:1\r\n", "", "POST /x []"),
        ("A:\r\n", "", "POST /x []"),
        ("A: \t1\t \r\n", "", "POST /x []"),
        ("A: b: c\r\n", "", "POST /x []"),
        ("A : 1\r\n", "", "400"),
        ("A\t: 1\r\n", "", "400"),
        (" A: 1\r\n", "", "400"),
        ("A: 1\r\n B: 2\r\n", "", "400"),
        ("A: 1\r\n\tfolded\r\n", "", "400"),
        ("A: 1\nB: 2\r\n", "", "400"),
        ("A: 1\rB: 2\r\n", "", "400"),
        ("A: 1\r\r\n", "", "400"),
        ("A: 1\x00\r\n", "", "400"),
        ("A: 1\x01\r\n", "", "400"),
        ("A: 1\x0b\r\n", "", "400"),
        ("A: 1\x7f\r\n", "", "400"),
        ("A\r\n", "", "400"),
        (": 1\r\n", "", "400"),
        ("A(: 1\r\n", "", "400"),
        ("Ä: 1\r\n", "", "400"),
        ("Host: b\r\n", "", "400"),
        ("Host: a\r\n", "", "400"),
        ("hOST: b\r\n", "", "400"),
        ("Expect: 100-continue\r\nContent-Length: 1\r\n", "x", "POST /x [x]"),
        ("Expect: 200-ok\r\n", "", "417"),
    ]);
    for host in ["a b", "a,b", "a/b", "u@a", "a?b", "a\\b"] {
        assert_eq!(outcome(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()), "400", "{host}");
    }
    for host in ["", "a:3000", "[::1]:3000", "x_y.z"] {
        assert_eq!(outcome(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()), "GET / []", "{host}");
    }
}

#[test]
fn a_bare_line_feed_anywhere_in_the_head_is_refused() {
    check(&[
        ("GET / HTTP/1.1\nHost: a\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\n\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\n\n", "400"),
    ]);
}

#[test]
fn content_lengths_of_every_form_give_their_class() {
    check_headers(&[
        ("Content-Length: 3\r\n", "abc", "POST /x [abc]"),
        ("content-length:3\r\n", "abc", "POST /x [abc]"),
        ("Content-Length: 003\r\n", "abc", "POST /x [abc]"),
        ("Content-Length: 0\r\n", "", "POST /x []"),
        ("Content-Length: 3\r\n", "ab", "POST /x incomplete"),
        ("Content-Length: 3\r\nContent-Length: 3\r\n", "abc", "400"),
        ("Content-Length: 3\r\nContent-Length: 4\r\n", "abc", "400"),
        ("Content-Length: 3, 3\r\n", "abc", "400"),
        ("Content-Length: 3,4\r\n", "abc", "400"),
        ("Content-Length: +3\r\n", "abc", "400"),
        ("Content-Length: -3\r\n", "abc", "400"),
        ("Content-Length: 0x3\r\n", "abc", "400"),
        ("Content-Length: 3 3\r\n", "abc", "400"),
        ("Content-Length: 3.0\r\n", "abc", "400"),
        ("Content-Length: ３\r\n", "abc", "400"),
        ("Content-Length:\r\n", "abc", "400"),
        ("Content-Length: 18446744073709551616\r\n", "abc", "400"),
        ("Content-Length: 18446744073709551615\r\n", "", "POST /x incomplete"),
        ("Content-Length : 3\r\n", "abc", "400"),
    ]);
}

#[test]
fn transfer_encodings_of_every_form_give_their_class() {
    let body = "3\r\nabc\r\n0\r\n\r\n";
    check_headers(&[
        ("Transfer-Encoding: chunked\r\n", body, "POST /x [abc]"),
        ("transfer-encoding: CHUNKED\r\n", body, "POST /x [abc]"),
        ("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", body, "400"),
        ("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", body, "400"),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", body, "400"),
        ("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n", body, "400"),
        ("Transfer-Encoding: gzip, chunked\r\n", body, "400"),
        ("Transfer-Encoding: chunked, identity\r\n", body, "400"),
        ("Transfer-Encoding: chunked,\r\n", body, "400"),
        ("Transfer-Encoding: identity\r\n", body, "400"),
        ("Transfer-Encoding: xchunked\r\n", body, "400"),
        ("Transfer-Encoding: chunked;q=1\r\n", body, "400"),
        ("Transfer-Encoding: \"chunked\"\r\n", body, "400"),
        ("Transfer-Encoding: \x0bchunked\r\n", body, "400"),
        ("Transfer-Encoding:\r\n", body, "400"),
        ("Transfer-Encoding : chunked\r\n", body, "400"),
        ("Transfer-Encoding\r\n : chunked\r\n", body, "400"),
        ("Transfer-Encoding:\r\n chunked\r\n", body, "400"),
        ("X: y\r\n\r\nTransfer-Encoding: chunked\r\n", "", "POST /x [] 400"),
    ]);
    check(&[("POST /x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400")]);
}

#[test]
fn chunked_bodies_of_every_form_give_their_class() {
    let forms = [
        ("0\r\n\r\n", "POST /x []"),
        ("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", "POST /x [abcde]"),
        ("A\r\n0123456789\r\n0\r\n\r\n", "POST /x [0123456789]"),
        ("000000000000003\r\nabc\r\n0\r\n\r\n", "POST /x [abc]"),
        ("3;a=b;c=\"d;e\"\r\nabc\r\n0;x\r\n\r\n", "POST /x [abc]"),
        ("0\r\nA: 1\r\nContent-Length: 5\r\n\r\n", "POST /x []"),
        ("3\r\nabc\r\n0\r\n\r\nGET /y HTTP/1.1\r\n\r\n", "POST /x [abc] GET /y []"),
        ("3\r\nabc", "POST /x incomplete"),
        ("3\r\nabc\r\n0\r\n", "POST /x incomplete"),
        ("\r\nabc\r\n0\r\n\r\n", "POST /x 400"),
        ("g\r\n", "POST /x 400"),
        ("-1\r\n", "POST /x 400"),
        ("+3\r\nabc\r\n", "POST /x 400"),
        ("0x3\r\nabc\r\n", "POST /x 400"),
        (" 3\r\nabc\r\n", "POST /x 400"),
        ("3 \r\nabc\r\n", "POST /x 400"),
        ("3 ;x\r\nabc\r\n", "POST /x 400"),
        ("3_0\r\nabc\r\n", "POST /x 400"),
        ("3\nabc\r\n0\r\n\r\n", "POST /x 400"),
        ("3\rabc\r\n0\r\n\r\n", "POST /x 400"),
        ("3\r\nabc\n0\r\n\r\n", "POST /x 400"),
        ("3\r\nabcd\r\n0\r\n\r\n", "POST /x 400"),
        ("3\r\nabc0\r\n\r\n", "POST /x 400"),
        ("3;\na\r\nabc\r\n0\r\n\r\n", "POST /x 400"),
        ("3;a\x00\r\nabc\r\n0\r\n\r\n", "POST /x 400"),
        ("3;a\rb\r\nabc\r\n0\r\n\r\n", "POST /x 400"),
        ("ffffffffffffffff\r\n", "POST /x incomplete"),
        ("10000000000000000\r\n", "POST /x 400"),
        ("fffffffffffffffff\r\n", "POST /x 400"),
        ("00000000000000000\r\n\r\n", "POST /x 400"),
        ("0\r\nA : 1\r\n\r\n", "POST /x 400"),
        ("0\r\n A: 1\r\n\r\n", "POST /x 400"),
        ("0\r\nA\r\n\r\n", "POST /x 400"),
        ("0\r\nA: 1\n\r\n", "POST /x 400"),
        ("0\r\nGET /evil HTTP/1.1\r\n\r\n", "POST /x 400"),
        ("0\r\n\n", "POST /x 400"),
    ];
    for (body, expected) in forms {
        let request = with_headers("Transfer-Encoding: chunked\r\n", body);
        assert_eq!(outcome(request.as_bytes()), expected, "{body:?}");
    }
}

#[test]
fn what_is_over_a_limit_is_refused_with_431_or_400() {
    let long = |count: usize| "x".repeat(count);
    let head_of = |bytes: usize| {
        let frame = "GET / HTTP/1.1\r\nA: \r\n\r\n".len();
        format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", long(bytes - frame))
    };
    assert_eq!(outcome(head_of(16 * 1024).as_bytes()), "GET / []");
    assert_eq!(outcome(head_of(16 * 1024 + 1).as_bytes()), "431");
    assert_eq!(outcome(format!("GET /{}", long(17_000)).as_bytes()), "431");
    assert_eq!(outcome(format!("GET / HTTP/1.1\r\n{}\r\n", "A: 1\r\n".repeat(100)).as_bytes()), "GET / []");
    assert_eq!(outcome(format!("GET / HTTP/1.1\r\n{}\r\n", "A: 1\r\n".repeat(101)).as_bytes()), "431");
    let chunked = |body: &str| outcome(with_headers("Transfer-Encoding: chunked\r\n", body).as_bytes());
    assert_eq!(chunked(&format!("1;{}\r\na\r\n0\r\n\r\n", long(1000))), "POST /x [a]");
    assert_eq!(chunked(&format!("1;{}", long(1100))), "POST /x 400");
    assert_eq!(chunked(&format!("{}0\r\n\r\n", format!("1;{}\r\na\r\n", long(900)).repeat(19))), "POST /x 400");
    assert_eq!(chunked(&format!("0\r\nA: {}\r\n\r\n", long(4000))), "POST /x []");
    assert_eq!(chunked(&format!("0\r\nA: {}\r\n\r\n", long(4100))), "POST /x 431");
    assert_eq!(chunked(&format!("0\r\n{}", "A: 1\r\n".repeat(1000))), "POST /x 431");
}

#[test]
fn connection_and_version_decide_whether_the_connection_goes_on() {
    for (version, connection, expected) in [
        ("1.1", "", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: keep-alive, Close\r\n", false),
        ("1.1", "Connection: keep-alive\r\nConnection: close\r\n", false),
        ("1.1", "Connection: closed\r\n", true),
        ("1.0", "", false),
        ("1.0", "Connection: Keep-Alive\r\n", true),
        ("1.0", "Connection: keep-alive, close\r\n", false),
    ] {
        let head = head(&format!("GET / HTTP/{version}\r\n{connection}\r\n"));
        assert_eq!(head.keep_alive, expected, "{version} {connection}");
    }
}

#[test]
fn only_a_client_that_sends_a_body_in_http_1_1_is_told_to_continue() {
    let expects = |text: &str| head(text).expect_continue;
    assert!(expects("POST / HTTP/1.1\r\nExpect: 100-Continue\r\nContent-Length: 3\r\n\r\n"));
    assert!(expects("POST / HTTP/1.1\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n"));
    assert!(!expects("POST / HTTP/1.1\r\nExpect: 100-continue\r\n\r\n"));
    assert!(!expects("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"));
}

#[test]
fn targets_are_split_into_path_query_and_host() {
    for (target, path, query, host) in [
        ("/", "/", None, Some("h")),
        ("/a%20b?c=d?e", "/a%20b", Some("c=d?e"), Some("h")),
        ("/a?", "/a", Some(""), Some("h")),
        ("http://Other:80/a?b", "/a", Some("b"), Some("Other:80")),
        ("HTTPS://other", "/", None, Some("other")),
        ("http://other?q", "/", Some("q"), Some("other")),
        ("//a/b", "//a/b", None, Some("h")),
    ] {
        let head = head(&format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n"));
        assert_eq!((head.target(), head.path(), head.query(), head.host()), (target, path, query, host));
    }
    let head = head("OPTIONS * HTTP/1.1\r\n\r\n");
    assert_eq!((head.method.clone(), head.path(), head.host()), (Method::Options, "*", None));
}

#[test]
fn headers_are_found_without_regard_to_case_and_values_that_are_not_utf_8_are_latin_1() {
    let head = head("GET /é HTTP/1.1\r\nX-A: 1 \r\nx-a: 2\r\nName: é\r\nEmpty:\r\n\r\n");
    assert_eq!(head.headers.get("X-a"), Some("1"));
    assert_eq!(head.headers.all("x-A").collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(head.headers.get("name"), Some("é"));
    assert_eq!(head.headers.get("empty"), Some(""));
    assert_eq!(head.headers.get("absent"), None);
    assert_eq!(head.headers.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["X-A", "x-a", "Name", "Empty"]);

    let mut parser = Parser::new(Limits::default());
    parser.feed(b"GET / HTTP/1.1\r\nName: Andr\xe9\r\nB: 2\r\n\r\n");
    let Ok(Some(Event::Head(head))) = parser.next() else { panic!("a head with a Latin-1 value is accepted") };
    assert_eq!((head.headers.get("name"), head.headers.get("b")), (Some("André"), Some("2")));
    assert_eq!(outcome(b"GET /\xe9 HTTP/1.1\r\n\r\n"), "400");
}

#[test]
fn after_an_error_the_parser_gives_the_same_error_for_ever() {
    let mut parser = Parser::new(Limits::default());
    parser.feed(b"GET / HTTP/3.0\r\n\r\n");
    assert_eq!(parser.next(), Err(ProtocolError::Version));
    parser.feed(b"GET / HTTP/1.1\r\n\r\n");
    assert_eq!(parser.next(), Err(ProtocolError::Version));
    assert_eq!((parser.buffered_bytes(), parser.is_between_requests()), (0, false));
}

#[test]
fn bytes_behind_an_upgrade_request_can_be_taken_out() {
    let mut parser = Parser::new(Limits::default());
    parser.feed(b"GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n\x81\x00");
    assert!(matches!(parser.next(), Ok(Some(Event::Head(head))) if head.body == BodyLength::None));
    assert_eq!(parser.next(), Ok(Some(Event::End)));
    assert_eq!(parser.take_buffered().as_ref(), b"\x81\x00");
}

fn head(text: &str) -> wire::http1::Head {
    let mut parser = Parser::new(Limits::default());
    parser.feed(text.as_bytes());
    match parser.next() {
        Ok(Some(Event::Head(head))) => head,
        other => panic!("{text:?} gave {other:?}"),
    }
}

#[test]
fn an_error_names_what_is_wrong() {
    for (input, expected) in [
        ("\x16\x03\x01", ProtocolError::NotHttp),
        ("GET / HTTP/1.1\r\nA: 1\r\n b\r\n\r\n", ProtocolError::FoldedHeader),
        ("GET / HTTP/1.1\r\n A: 1\r\n\r\n", ProtocolError::FoldedHeader),
        ("GET / HTTP/1.1\r\nA : 1\r\n\r\n", ProtocolError::HeaderName),
        ("GET / HTTP/1.1\r\nA: \x01\r\n\r\n", ProtocolError::HeaderValue),
        ("GET / HTTP/1.1\r\nA: 1\n", ProtocolError::BareLineBreak),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", ProtocolError::Host),
        ("GET  / HTTP/1.1\r\n\r\n", ProtocolError::RequestLine),
        ("GET x HTTP/1.1\r\n\r\n", ProtocolError::Target),
        ("GET / HTTP/1.1\r\nContent-Length: a\r\n\r\n", ProtocolError::ContentLength),
        ("GET / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", ProtocolError::TransferEncoding),
        ("GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", ProtocolError::LengthAndEncoding),
    ] {
        let mut parser = Parser::new(Limits::default());
        parser.feed(input.as_bytes());
        assert_eq!(parser.next(), Err(expected), "{input:?}");
    }
}
