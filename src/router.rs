//! From a request line to a route: the whole URL space on one page (spec 00, sections 2 to 4; spec 01, section 1.4).
//!
//! Fixed words are compared without case, parameters keep theirs; one trailing slash is tolerated; `HEAD` is
//! served by `GET` routes. Fixed root routes come before `/{username}/...`.

use percent_encoding::percent_decode_str;
use wire::http1::Method;

use crate::methods::MethodId;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    Greeting,
    Preflight,
    Operations(Operations),
    Register(Register),
    /// `/system/*` but `/system/status` of the HFS port.
    System,
    User {
        username: String,
        action: Action,
    },
    Unknown,
}

/// Our own routes, for operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operations {
    Health,
    Ready,
    Metrics,
    /// `/system/status` on the HFS port.
    Status,
}

/// Registration and discovery (spec 09).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Register {
    ServiceInfo,
    CreateUser { legacy: bool },
    DeleteUser { username: String },
    CheckUsername { username: String },
    CheckEmail { email: String },
    Cores,
    Hostings,
    Server { username: String, redirect: bool },
    UsernameOf { email: String, key: &'static str },
    CheckInvitation,
    Apps,
    App { id: String },
    Removed,
}

/// What is asked of one user's data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    Method {
        id: MethodId,
        item: Option<String>,
    },
    /// A method on a file of an event.
    OfFile {
        id: MethodId,
        event: String,
        file: String,
    },
    /// Not a route: asked before the files of an upload are read. `event`: the one that is to get them.
    MayUpload {
        event: Option<String>,
    },
    Batch,
    AddPoints {
        event: String,
    },
    GetPoints {
        event: String,
    },
    AddPointsBatch,
    ServiceInfo,
    Removed,
    Unknown,
}

impl Action {
    /// Routes that take files (`multipart/form-data`).
    pub fn takes_files(&self) -> bool {
        matches!(self, Self::Method { id: MethodId::EventsCreate | MethodId::EventsAddAttachments, .. })
    }

    /// Series routes: served on the HFS port too, with errors that carry no `meta`.
    pub fn is_series(&self) -> bool {
        matches!(self, Self::AddPoints { .. } | Self::GetPoints { .. } | Self::AddPointsBatch)
    }
}

/// The path of a request target, without its query.
pub fn split_target(target: &str) -> (&str, &str) {
    target.split_once('?').unwrap_or((target, ""))
}

/// Whether the answer, even to a request that was never read whole, is one of a series route.
pub fn is_series_target(method: &Method, target: &str) -> bool {
    let (path, _) = split_target(target);
    matches!(route(method, path, false), Route::User { action, .. } if action.is_series())
}

pub fn route(method: &Method, path: &str, on_hfs_port: bool) -> Route {
    if *method == Method::Options {
        return Route::Preflight;
    }
    let segments: Vec<String> = path
        .trim_start_matches('/')
        .split('/')
        .map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned())
        .collect();
    // `/a/` and `/a` are the same; so is the root.
    let segments = match segments.split_last() {
        Some((last, rest)) if last.is_empty() => rest,
        _ => segments.as_slice(),
    };
    let words: Vec<String> = segments.iter().map(|segment| segment.to_ascii_lowercase()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let verb = if *method == Method::Head { &Method::Get } else { method };
    if on_hfs_port {
        return hfs_port_route(verb, segments, &words);
    }
    root_route(verb, segments, &words).unwrap_or_else(|| user_route(verb, segments, &words))
}

fn hfs_port_route(verb: &Method, segments: &[String], words: &[&str]) -> Route {
    if let (Method::Get, ["system", "status"]) = (verb, words) {
        return Route::Operations(Operations::Status);
    }
    match user_route(verb, segments, words) {
        route @ Route::User { .. } if matches!(&route, Route::User { action, .. } if action.is_series()) => route,
        _ => Route::Unknown,
    }
}

/// Routes that do not belong to a user. `None`: go on with the user routes.
fn root_route(verb: &Method, segments: &[String], words: &[&str]) -> Option<Route> {
    use Method::{Delete, Get, Post};
    let given = |at: usize| segments.get(at).cloned().unwrap_or_default();
    let register = match (verb, words) {
        (Get, []) => return Some(Route::Greeting),
        (Get, ["health"]) => return Some(Route::Operations(Operations::Health)),
        (Get, ["ready"]) => return Some(Route::Operations(Operations::Ready)),
        (Get, ["metrics"]) => return Some(Route::Operations(Operations::Metrics)),
        (_, ["system", ..]) => return Some(Route::System),
        (Get, ["reg", "service", "info"] | ["service", "info"]) => Register::ServiceInfo,
        (Post, ["users"] | ["reg", "users"]) => Register::CreateUser { legacy: false },
        (Post, ["reg", "user"]) => Register::CreateUser { legacy: true },
        (Delete, ["users", _]) => Register::DeleteUser { username: given(1) },
        (Get, ["reg", "cores"]) => Register::Cores,
        (Get, ["reg", "hostings"]) => Register::Hostings,
        (Get, ["reg", _, "check_username"]) => Register::CheckUsername { username: given(1) },
        (Get, ["reg", _, "check_email"]) => Register::CheckEmail { email: given(1) },
        (Get, ["reg", _, "server"]) => Register::Server { username: given(1), redirect: true },
        (Post, ["reg", _, "server"]) => Register::Server { username: given(1), redirect: false },
        (Get, ["reg", _, "username"]) => Register::UsernameOf { email: given(1), key: "username" },
        (Get, ["reg", _, "uid"]) => Register::UsernameOf { email: given(1), key: "uid" },
        (Post, ["reg", "username" | "email", "check"]) => Register::Removed,
        (Post, ["access", "invitationtoken", "check"]) => Register::CheckInvitation,
        (Get, ["apps"]) => Register::Apps,
        (Get, ["apps", _]) => Register::App { id: given(1) },
        // A real-time client must learn that there is no such thing here, instead of being greeted.
        (_, ["socket.io", ..]) => return Some(Route::Unknown),
        (Get, [_]) => return Some(Route::Greeting),
        _ => return None,
    };
    Some(Route::Register(register))
}

fn user_route(verb: &Method, segments: &[String], words: &[&str]) -> Route {
    let (Some(username), Some(words)) = (segments.first(), words.get(1..)) else {
        return Route::Unknown;
    };
    let action = user_action(verb, segments.get(1..).unwrap_or_default(), words);
    Route::User { username: username.clone(), action }
}

fn user_action(verb: &Method, segments: &[String], words: &[&str]) -> Action {
    use Method::{Delete, Get, Post, Put};
    let given = |at: usize| segments.get(at).cloned().unwrap_or_default();
    let method = |id: MethodId| Action::Method { id, item: None };
    let on_item = |id: MethodId| Action::Method { id, item: Some(given(1)) };
    let on_file = |id: MethodId| Action::OfFile { id, event: given(1), file: given(2) };
    match (verb, words) {
        (Post, []) => Action::Batch,
        (Get, ["access-info"]) => method(MethodId::GetAccessInfo),
        (Get, ["service", "info" | "infos"]) => Action::ServiceInfo,
        (Post, ["auth", "login"]) => method(MethodId::AuthLogin),
        (Post, ["auth", "logout"]) => method(MethodId::AuthLogout),
        (Get, ["auth", "who-am-i"]) => Action::Removed,
        (Post, ["events", "start" | "stop"]) => Action::Removed,
        (Get, ["accesses"]) => method(MethodId::AccessesGet),
        (Post, ["accesses"]) => method(MethodId::AccessesCreate),
        (Delete, ["accesses", _]) => on_item(MethodId::AccessesDelete),
        (Get, ["streams"]) => method(MethodId::StreamsGet),
        (Post, ["streams"]) => method(MethodId::StreamsCreate),
        (Put, ["streams", _]) => on_item(MethodId::StreamsUpdate),
        (Delete, ["streams", _]) => on_item(MethodId::StreamsDelete),
        (Get, ["events"]) => method(MethodId::EventsGet),
        (Post, ["events"]) => method(MethodId::EventsCreate),
        (Post, ["events", _]) => on_item(MethodId::EventsAddAttachments),
        (Get, ["events", _]) => on_item(MethodId::EventsGetOne),
        (Put, ["events", _]) => on_item(MethodId::EventsUpdate),
        (Delete, ["events", _]) => on_item(MethodId::EventsDelete),
        (Get, ["events", event, "series"]) if !event.is_empty() => Action::GetPoints { event: given(1) },
        (Post, ["events", event, "series"]) if !event.is_empty() => Action::AddPoints { event: given(1) },
        // Behind the series routes: no file is called `series`.
        (Get, ["events", _, _] | ["events", _, _, _]) => on_file(MethodId::EventsGetAttachment),
        (Delete, ["events", _, _]) => on_file(MethodId::EventsDeleteAttachment),
        (Post, ["series", "batch"]) => Action::AddPointsBatch,
        _ => Action::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(method: Method, path: &str) -> Action {
        match route(&method, path, false) {
            Route::User { action, .. } => action,
            other => panic!("{path} is not a user route: {other:?}"),
        }
    }

    #[test]
    fn a_trailing_slash_and_the_case_of_fixed_words_do_not_matter() {
        for path in ["/alice/streams", "/alice/streams/", "/alice/STREAMS"] {
            assert_eq!(user(Method::Get, path), Action::Method { id: MethodId::StreamsGet, item: None });
        }
        assert_eq!(user(Method::Post, "/alice"), Action::Batch);
        assert_eq!(user(Method::Post, "/alice/"), Action::Batch);
    }

    #[test]
    fn parameters_keep_their_case_and_are_decoded() {
        let expected = Action::Method { id: MethodId::StreamsUpdate, item: Some(":_cmc:Ab c".into()) };
        assert_eq!(user(Method::Put, "/alice/streams/%3A_cmc:Ab%20c"), expected);
    }

    #[test]
    fn fixed_root_routes_come_before_user_names() {
        assert_eq!(route(&Method::Get, "/health", false), Route::Operations(Operations::Health));
        assert_eq!(route(&Method::Post, "/users", false), Route::Register(Register::CreateUser { legacy: false }));
        assert_eq!(route(&Method::Get, "/system/anything", false), Route::System);
        assert_eq!(route(&Method::Get, "/anybody", false), Route::Greeting);
    }

    #[test]
    fn the_hfs_port_serves_series_and_its_status_only() {
        assert_eq!(route(&Method::Get, "/system/status", true), Route::Operations(Operations::Status));
        assert!(matches!(
            route(&Method::Post, "/alice/events/e1/series", true),
            Route::User { action: Action::AddPoints { .. }, .. }
        ));
        assert_eq!(route(&Method::Get, "/alice/streams", true), Route::Unknown);
        assert_eq!(route(&Method::Post, "/alice/events//series", true), Route::Unknown);
    }
}
