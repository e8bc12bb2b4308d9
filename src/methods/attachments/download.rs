//! `events.getAttachment` (spec 03, section 9.2): checked on the user's shard, then read on the `file` lane page by page as
//! the socket drains.

use std::borrow::Cow;
use std::rc::Rc;

use bytes::Bytes;
use model::Attachment;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};
use shards::{Aborted, Body, Lane, Pool, PoolError, Response};
use storage::base::Found;
use storage::files::StoredFile;
use tokio::sync::mpsc;

use super::range::{self, Wanted};
use super::{ReadTokens, files_error, read_token, refuse_link};
use crate::context::Context;
use crate::edge::Auth;
use crate::error::{ApiError, ApiResult};
use crate::methods::{MethodId, events, refused};
use crate::node::Shard;
use crate::reply::{self, Echo};
use crate::trunk::UserCall;

/// Bytes read at a time, and held for a client that is slow: two of these.
const PAGE_BYTES: usize = 256 * 1024;
/// ECMAScript's `encodeURIComponent`.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

/// A download on the shard that owns the user. `is_token_in_query`: `?auth=` was sent, which is not allowed here since
/// links to files are passed on.
pub async fn answer(shard: &Rc<Shard>, mut call: UserCall, event: &str, file: &str) -> Response {
    if call.is_auth_in_query {
        return refuse_link(
            shard,
            &call,
            "A file is read with the Authorization header or a readToken, not with `auth`.",
        );
    }
    if let Some(token) = call.query.remove("readToken") {
        match auth_of_link(shard, &call, file, token.as_str().unwrap_or_default()).await {
            Ok(Some(auth)) => call.auth = Some(auth),
            Ok(None) => return refuse_link(shard, &call, "Invalid read token."),
            Err(error) => return reply::failure(call.echo, &error, shard.node.serial()),
        }
    }
    let id = MethodId::EventsGetAttachment;
    let UserCall { entry, auth, source, echo, range, .. } = call;
    let mut context = match shard.open_context(&entry, id.as_str(), auth, &source).await {
        Ok(context) => context,
        Err(refusal) => {
            let response = reply::failure(echo, &refusal.error, shard.node.serial());
            return reply::with_access_id(response, refusal.access_id);
        }
    };
    context.audit.query = Map::from_iter([("id".into(), event.into()), ("fileId".into(), Value::from(file))]);
    let outcome = open(&context, event, file).await;
    shard.count_use(&context, id, outcome.is_ok());
    shard.audited(&entry, &context.audit, outcome.as_ref().err());
    let response = match outcome {
        Ok((attachment, stored)) => send(&shard.node.pool, echo, &attachment, stored, range.as_deref()),
        Err(error) => reply::failure(echo, &error, shard.node.serial()),
    };
    reply::with_access_id(response, Some(context.access.id.clone()))
}

/// The access that a read token was made for, when the token is right.
async fn auth_of_link(shard: &Rc<Shard>, call: &UserCall, file: &str, token: &str) -> ApiResult<Option<Auth>> {
    let space = shard.space(&call.entry).await?;
    let space = space.data.borrow();
    let Some((access_id, signature)) = read_token::split(token) else { return Ok(None) };
    let Some(access) = space.access(access_id) else { return Ok(None) };
    let tokens = ReadTokens::new(&shard.node.config.auth.files_read_token_secret, access);
    let auth = || Auth { token: access.token.clone(), caller_id: None, is_key_bound: false };
    Ok(tokens.is_valid(file, signature).then(auth))
}

async fn open(context: &Context, id: &str, file_id: &str) -> ApiResult<(Attachment, StoredFile)> {
    let event = match events::find(context, id).await? {
        Some(Found::Event(event) | Found::Kept(_, event)) => event,
        Some(Found::Deletion(_)) | None => return Err(ApiError::unknown_resource("event", id)),
    };
    context.caller(|caller, _| caller.read_event(&event.stream_ids)).map_err(refused)?;
    let unknown = || ApiError::unknown_resource("attachment", file_id);
    let attachment = event.attachments.into_iter().find(|file| file.id == file_id).ok_or_else(unknown)?;
    let user = context.space.data.borrow().entry.user.clone();
    let (files, id, name) = (context.shard.node.files.clone(), id.to_owned(), file_id.to_owned());
    let read = context.shard.node.pool.run(Lane::File, move || files.read(&user, &id, &name)).await;
    let stored = read.map_err(|_| ApiError::busy())?.map_err(files_error)?.ok_or_else(unknown)?;
    if stored.size != attachment.size {
        return Err(ApiError::unexpected(format!("the stored file {file_id} has not the size that its event tells")));
    }
    Ok((attachment, stored))
}

fn send(pool: &Pool, echo: Echo, attachment: &Attachment, stored: StoredFile, range: Option<&str>) -> Response {
    let size = stored.size;
    let (status, offset, length) = match range::wanted(range, size) {
        Wanted::Whole => (200, 0, size),
        Wanted::Part { offset, length } => (206, offset, length),
        Wanted::Unsatisfiable => {
            let text = "The range lies behind the end of the file.";
            return reply::text(416, echo, "text/plain; charset=utf-8", text)
                .header("Content-Range", format!("bytes */{size}"));
        }
    };
    let (sender, pages) = mpsc::channel(1);
    shards::rt::spawn(send_pages(pool.clone(), stored, offset, length, sender));
    let mut response = reply::file(status, echo, content_type(&attachment.kind), Body::Sized { length, pages });
    let name = utf8_percent_encode(&attachment.file_name, COMPONENT);
    response = response.header("Content-Disposition", format!("attachment; filename*=UTF-8''{name}"));
    // What a person uploaded is never taken for a page or a script of this server.
    response = response.header("X-Content-Type-Options", "nosniff").header("Accept-Ranges", "bytes");
    if let Some(digest) = attachment.integrity.as_deref().and_then(digest) {
        response = response.header("Digest", digest);
    }
    if status == 206 {
        let last = offset + length - 1;
        response = response.header("Content-Range", format!("bytes {offset}-{last}/{size}"));
    }
    response
}

async fn send_pages(
    pool: Pool,
    stored: StoredFile,
    offset: u64,
    length: u64,
    sender: mpsc::Sender<Result<Bytes, Aborted>>,
) {
    let (mut at, end) = (offset, offset + length);
    while at < end {
        let count = usize::try_from(end - at).unwrap_or(usize::MAX).min(PAGE_BYTES);
        let file = stored.clone();
        let page = match pool.run(Lane::File, move || file.read_at(at, count)).await {
            Ok(Ok(page)) => Ok(Bytes::from(page)),
            Ok(Err(error)) => cut(&error),
            Err(error @ (PoolError::LaneFull(_) | PoolError::Panicked(_))) => cut(&error),
        };
        let ends = page.is_err();
        // The client went away, or will find that a part is missing.
        if sender.send(page).await.is_err() || ends {
            return;
        }
        at += u64::try_from(count).unwrap_or(u64::MAX);
    }
}

fn cut(error: &dyn std::fmt::Display) -> Result<Bytes, Aborted> {
    tracing::warn!(%error, "a download was cut off");
    Err(Aborted)
}

/// Texts get a charset (spec 03, section 9.2).
fn content_type(kind: &str) -> Cow<'static, str> {
    let is_text = kind.get(..5).is_some_and(|class| class.eq_ignore_ascii_case("text/"));
    match is_text && !kind.to_ascii_lowercase().contains("charset=") {
        true => format!("{kind}; charset=utf-8").into(),
        false => kind.to_owned().into(),
    }
}

/// `sha256-...` as `SHA-256=...` (RFC 3230).
fn digest(integrity: &str) -> Option<String> {
    let (algorithm, hash) = integrity.split_once('-')?;
    let name = match algorithm {
        "sha256" => "SHA-256",
        "sha512" => "SHA-512",
        "sha1" => "SHA",
        "md5" => "MD5",
        _ => return None,
    };
    Some(format!("{name}={hash}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_get_a_charset_and_other_types_stay_as_they_were_sent() {
        assert_eq!(content_type("text/plain"), "text/plain; charset=utf-8");
        assert_eq!(content_type("Text/CSV"), "Text/CSV; charset=utf-8");
        for kind in ["text/html; Charset=latin1", "image/png", "application/json", ""] {
            assert_eq!(content_type(kind), kind);
        }
    }

    #[test]
    fn names_are_encoded_as_ecmascript_does() {
        let encoded = utf8_percent_encode("a é(1)*'\"\r\n;.txt", COMPONENT).to_string();
        assert_eq!(encoded, "a%20%C3%A9(1)*'%22%0D%0A%3B.txt");
    }

    #[test]
    fn digests_have_the_names_of_their_header() {
        assert_eq!(digest("sha256-abc=").as_deref(), Some("SHA-256=abc="));
        assert_eq!(digest("md5-x").as_deref(), Some("MD5=x"));
        assert_eq!(digest("other-x"), None);
    }
}
