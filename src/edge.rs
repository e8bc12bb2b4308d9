//! From an HTTP request to a call: method override, body, query, token (spec 01, sections 2 to 4).

use base64::Engine as _;
use bytes::Bytes;
use serde_json::{Map, Value};
use shards::{BodyReader, Port, Request};
use wire::http1::{Head, Method};
use wire::multipart::boundary_of;

use crate::config::Config;
use crate::error::{ApiError, ApiResult};
use crate::host_mapping;
use crate::methods::attachments::Uploads;
use crate::reply::Echo;
use crate::router::{self, Action, Route};

/// Where a call came from, for the audit.
#[derive(Clone, Debug)]
pub struct Source {
    pub name: &'static str,
    pub ip: String,
}

/// The token and the caller id of an auth string (spec 01, section 3).
#[derive(Clone, PartialEq, Eq)]
pub struct Auth {
    pub token: String,
    pub caller_id: Option<String>,
    /// Sent with the `DPoP` scheme: only for a token that is bound to a key.
    pub is_key_bound: bool,
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Auth(hidden)")
    }
}

/// A request that was read: what to do, with what, on whose behalf.
#[derive(Debug)]
pub struct Incoming {
    pub route: Route,
    /// After the override by a form.
    pub verb: Method,
    pub path: String,
    pub query: Map<String, Value>,
    pub body: Body,
    /// The `Authorization` header as it came (or the form's `_auth`): admin routes compare it verbatim.
    pub authorization: Option<String>,
    pub origin: Option<String>,
    pub referer: Option<String>,
    /// Unless a condition comes with it.
    pub range: Option<String>,
    pub accepts_html_only: bool,
    /// The peer is this machine, and no proxy speaks for another one.
    pub is_local: bool,
    pub source: Source,
    pub echo: Echo,
}

/// What a request brought.
#[derive(Debug)]
pub enum Body {
    Absent,
    /// An object or an array.
    Json(Value),
    /// Files on their way, to be read by [`crate::methods::attachments::receive`].
    Upload {
        reader: BodyReader,
        boundary: String,
    },
    /// Files that were received, and the part with JSON (an empty object without one).
    Multipart {
        json: Value,
        uploads: Uploads,
    },
    /// Left to the series routes, which parse straight into columns. `is_json` by its content type.
    Raw {
        bytes: Bytes,
        is_json: bool,
    },
}

impl Body {
    /// The files; the JSON stays.
    pub fn take_uploads(&mut self) -> Option<Uploads> {
        match std::mem::replace(self, Self::Absent) {
            Self::Multipart { json, uploads } => {
                *self = Self::Json(json);
                Some(uploads)
            }
            other => {
                *self = other;
                None
            }
        }
    }
}

/// Reads a request whose body is complete, or left to be read.
pub fn read(config: &Config, request: Request) -> ApiResult<Incoming> {
    let Request { head, body, reader, peer, port, .. } = request;
    let (sent_path, query_text) = router::split_target(head.target());
    let on_hfs_port = port == Port::Hfs;
    let path = host_mapping::path(config, head.host(), sent_path, on_hfs_port)?;
    let mut incoming = Incoming {
        route: router::route(&head.method, &path, on_hfs_port),
        verb: head.method.clone(),
        path: path.into_owned(),
        query: wire::query::parse(query_text),
        body: Body::Absent,
        authorization: head.headers.get("authorization").map(str::to_owned),
        origin: head.headers.get("origin").map(str::to_owned),
        referer: head.headers.get("referer").map(str::to_owned),
        // No validator is ever sent, so none can match (RFC 9110 13.1.5): then the whole file is the answer.
        range: head.headers.get("range").filter(|_| head.headers.get("if-range").is_none()).map(str::to_owned),
        accepts_html_only: head.headers.get("accept").is_some_and(|accept| !accepts_json(accept)),
        is_local: peer.ip().is_loopback() && head.headers.get("x-forwarded-for").is_none(),
        source: Source { name: "http", ip: source_ip(&head, peer.ip()) },
        echo: Echo::of(&head),
    };
    let kind = ContentKind::of(&head);
    let is_read_here = |kind| matches!(kind, ContentKind::Json | ContentKind::Form);
    let is_series = matches!(&incoming.route, Route::User { action, .. } if action.is_series());
    if is_series {
        incoming.body = Body::Raw { bytes: body, is_json: kind == ContentKind::Json };
        incoming.source.name = "hf";
    } else if let Some(reader) = reader {
        let content_type = head.headers.get("content-type").unwrap_or_default();
        let boundary = boundary_of(content_type).map_err(|error| ApiError::invalid_structure(error.to_string()))?;
        incoming.body = Body::Upload { reader, boundary };
    } else if !body.is_empty() {
        if is_read_here(kind) {
            check_charset(&head)?;
        }
        match kind {
            ContentKind::Json => incoming.body = Body::Json(parse_json(&body)?),
            ContentKind::Form => apply_form(&mut incoming, &body, on_hfs_port)?,
            // Routes that take no files take neither of them for a body (spec 01, section 4.1).
            ContentKind::Multipart | ContentKind::Other => {}
        }
    }
    Ok(incoming)
}

/// Whether the request brings files, so that its body is read while it arrives.
pub fn is_upload(config: &Config, head: &Head) -> bool {
    if head.method != Method::Post || ContentKind::of(head) != ContentKind::Multipart {
        return false;
    }
    let (sent_path, _) = router::split_target(head.target());
    let route =
        host_mapping::path(config, head.host(), sent_path, false).map(|path| router::route(&head.method, &path, false));
    matches!(route, Ok(Route::User { action, .. }) if action.takes_files())
}

/// A client that takes any kind takes JSON: a browser too, which asks for `text/html, ..., */*` (spec 01, 9.1).
fn accepts_json(accept: &str) -> bool {
    accept.trim().is_empty() || ["json", "*/*", "application/*"].iter().any(|kind| accept.contains(kind))
}

/// `X-Forwarded-For` wins (spec 01, section 2); it is recorded, never trusted for access.
fn source_ip(head: &Head, peer: std::net::IpAddr) -> String {
    const FORWARDED_BYTES_MAX: usize = 200;
    match head.headers.get("x-forwarded-for") {
        Some(forwarded) => forwarded.chars().take(FORWARDED_BYTES_MAX).collect(),
        None => peer.to_string(),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ContentKind {
    Json,
    Form,
    Multipart,
    Other,
}

impl ContentKind {
    fn of(head: &Head) -> Self {
        let kind = head.headers.get("content-type").unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if kind.eq_ignore_ascii_case("application/json") {
            Self::Json
        } else if kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            Self::Form
        } else if kind.eq_ignore_ascii_case("multipart/form-data") {
            Self::Multipart
        } else {
            Self::Other
        }
    }
}

/// JSON and forms are read as UTF-8 and nothing else; a body in another charset would be read wrongly.
fn check_charset(head: &Head) -> ApiResult<()> {
    let kind = head.headers.get("content-type").unwrap_or_default();
    let named = kind.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
    let charset = named.filter(|(name, _)| name.trim().eq_ignore_ascii_case("charset")).map(|(_, value)| value).next();
    let charset = charset.map_or("utf-8", |value| value.trim().trim_matches('"'));
    match ["utf-8", "utf8", "us-ascii"].iter().any(|known| charset.eq_ignore_ascii_case(known)) {
        true => Ok(()),
        false => Err(ApiError::invalid_structure("Unsupported charset of the request body: send it as UTF-8.")),
    }
}

pub fn parse_json(body: &[u8]) -> ApiResult<Value> {
    const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
    let body = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    let value: Value = serde_json::from_slice(body)
        .map_err(|error| ApiError::invalid_structure(format!("The request body is not valid JSON: {error}")))?;
    if value.is_object() || value.is_array() {
        Ok(value)
    } else {
        Err(ApiError::invalid_structure("The request body must be a JSON object or array."))
    }
}

fn method_named(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "OPTIONS" => Method::Options,
        other => Method::Other(other.into()),
    }
}

/// Urlencoded bodies may override method, authorization and body (spec 01, section 4.2).
fn apply_form(incoming: &mut Incoming, body: &[u8], on_hfs_port: bool) -> ApiResult<()> {
    const FORM_BYTES_MAX: usize = 100 * 1024;
    if body.len() > FORM_BYTES_MAX {
        return Err(ApiError::invalid_structure("The form is larger than 100 kB."));
    }
    let text = std::str::from_utf8(body).map_err(|_| ApiError::invalid_structure("The form is not valid UTF-8."))?;
    let mut form = wire::query::parse_flat(text);
    let mut take = |name: &str| form.remove(name).and_then(|value| value.as_str().map(str::to_owned));
    let (method, auth, json) = (take("_method"), take("_auth"), take("_json"));
    if let Some(auth) = auth {
        incoming.authorization = Some(auth);
    }
    if let Some(method) = method {
        incoming.verb = method_named(&method.to_ascii_uppercase());
        incoming.route = router::route(&incoming.verb, &incoming.path, on_hfs_port);
        if matches!(&incoming.route, Route::User { action: Action::AddPoints { .. } | Action::AddPointsBatch, .. }) {
            incoming.body = Body::Raw { bytes: Bytes::new(), is_json: false };
            return Ok(());
        }
    }
    incoming.body = Body::Json(match json {
        Some(json) => parse_json(json.as_bytes())?,
        None => Value::Object(form),
    });
    Ok(())
}

impl Incoming {
    /// The access token: the header, else `?auth=` (which never goes further than here).
    pub fn take_auth(&mut self) -> Option<Auth> {
        let from_query = self.query.remove("auth");
        match &self.authorization {
            Some(header) => parse_auth(header),
            None => {
                let text = match from_query? {
                    Value::String(text) => text,
                    Value::Array(items) => items.first()?.as_str()?.to_owned(),
                    _ => return None,
                };
                Some(split_caller(&text))
            }
        }
    }
}

/// The forms of the `Authorization` header (spec 01, section 3).
pub fn parse_auth(header: &str) -> Option<Auth> {
    let (scheme, rest) = header.split_once(' ').unwrap_or((header, ""));
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(split_caller(rest.trim_start()));
    }
    if scheme.eq_ignore_ascii_case("basic") {
        let decoded = base64::engine::general_purpose::STANDARD.decode(rest.trim()).ok()?;
        let text: String = decoded.iter().map(|byte| char::from(byte & 0x7f)).collect();
        // `https://@host/` sends nothing: no token at all, while `:x` is an empty token.
        if text.is_empty() {
            return None;
        }
        return Some(split_caller(text.split(':').next().unwrap_or_default()));
    }
    if scheme.eq_ignore_ascii_case("dpop") {
        return Some(Auth { token: rest.trim().to_owned(), caller_id: None, is_key_bound: true });
    }
    Some(split_caller(header))
}

fn split_caller(text: &str) -> Auth {
    match text.split_once(' ') {
        Some((token, caller)) if !token.is_empty() => {
            let caller_id = Some(caller.to_owned()).filter(|caller| !caller.is_empty());
            Auth { token: token.to_owned(), caller_id, is_key_bound: false }
        }
        _ => Auth { token: text.to_owned(), caller_id: None, is_key_bound: false },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auth(token: &str, caller: Option<&str>) -> Option<Auth> {
        Some(Auth { token: token.into(), caller_id: caller.map(str::to_owned), is_key_bound: false })
    }

    #[test]
    fn a_bare_token_may_be_followed_by_a_caller_id_with_spaces() {
        assert_eq!(parse_auth("tok"), auth("tok", None));
        assert_eq!(parse_auth("tok some caller"), auth("tok", Some("some caller")));
    }

    #[test]
    fn schemes_are_stripped_without_regard_to_case() {
        assert_eq!(parse_auth("Bearer tok"), auth("tok", None));
        assert_eq!(parse_auth("bEaReR tok caller"), auth("tok", Some("caller")));
        for text in ["tok", "tok:", "tok:x"] {
            let header = format!("bAsIc {}", base64::engine::general_purpose::STANDARD.encode(text));
            assert_eq!(parse_auth(&header), auth("tok", None), "{text}");
        }
        let with_caller = base64::engine::general_purpose::STANDARD.encode("tok some caller:x");
        assert_eq!(parse_auth(&format!("Basic {with_caller}")), auth("tok", Some("some caller")));
        assert!(parse_auth("dPoP tok").is_some_and(|auth| auth.is_key_bound && auth.token == "tok"));
    }

    #[test]
    fn only_a_client_that_does_not_take_json_is_greeted_in_html() {
        for accept in ["*/*", "application/json", "application/*", "text/html,application/xml;q=0.9,*/*;q=0.8", ""] {
            assert!(accepts_json(accept), "{accept}");
        }
        assert!(!accepts_json("text/html"));
        assert!(!accepts_json("text/plain"));
    }

    #[test]
    fn an_empty_user_in_basic_is_an_empty_token_not_a_missing_one() {
        let header = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(":tok"));
        assert_eq!(parse_auth(&header), auth("", None));
        assert_eq!(parse_auth("Basic "), None);
    }
}
