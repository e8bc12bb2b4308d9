//! Flow 1, an API call: socket -> http1 -> edge -> router -> mailbox -> space -> permission -> method -> storage -> reply.
//! The first three hops are in `shards` and `wire`; the rest is named here, in order.

use std::rc::Rc;
use std::time::Instant;

use model::UserEntry;
use serde_json::{Map, Value};
use shards::{Request, Response};
use tokio::sync::{mpsc, oneshot};

use crate::audit::{ACCESS_INVALID, AuditDraft};
use crate::context::Context;
use crate::edge::{self, Auth, Body, Incoming, Source};
use crate::error::{ApiError, ApiResult};
use crate::methods::{self, MethodId, Outcome, params};
use crate::metrics::Hop;
use crate::node::{Message, Shard};
use crate::reply::{self, Echo};
use crate::router::{Action, Route};
use crate::routes;

/// How often a method runs again when what it was granted on has changed meanwhile.
const STALE_RUNS_MAX: usize = 4;

/// A call on one user's data, on its way to the user's owner.
#[derive(Debug)]
pub struct UserCall {
    pub entry: UserEntry,
    pub action: Action,
    pub auth: Option<Auth>,
    pub query: Map<String, Value>,
    pub body: Body,
    /// `?auth=` was sent: a download refuses it.
    pub is_auth_in_query: bool,
    pub range: Option<String>,
    pub origin: Option<String>,
    pub source: Source,
    pub echo: Echo,
    pub sent: Instant,
}

impl Shard {
    /// Any request, on the shard that accepted its connection.
    pub async fn serve(self: Rc<Self>, request: Request) -> Response {
        let echo = Echo::of(&request.head);
        let started = request.received;
        let incoming = match edge::read(&self.node.config, request) {
            Ok(incoming) => incoming,
            Err(error) => return reply::failure(echo, &error, self.node.serial()),
        };
        self.node.metrics.hop(Hop::Edge, started.elapsed());
        let response = match &incoming.route {
            Route::Preflight => reply::text(200, echo, "text/plain; charset=utf-8", "OK"),
            Route::Greeting => routes::greeting(&self, &incoming),
            Route::Operations(which) => routes::operations(&self, *which, &incoming),
            Route::Register(_) => routes::register(&self, incoming).await,
            Route::System => routes::system(&self, &incoming),
            Route::User { .. } => self.user_call(incoming).await,
            Route::Unknown => reply::failure(echo, &ApiError::unknown_route(&incoming.path), self.node.serial()),
        };
        self.node.metrics.answered(response.status, started.elapsed());
        response
    }

    /// Resolves the user, and carries the call to the shard that owns it.
    async fn user_call(self: &Rc<Self>, mut incoming: Incoming) -> Response {
        let is_auth_in_query = incoming.query.contains_key("auth");
        let auth = incoming.take_auth();
        let Incoming { route, query, body, range, origin, referer, source, echo, .. } = incoming;
        let Route::User { username, action } = route else { unreachable!("serve() sends user routes here") };
        let is_series = action.is_series();
        let refuse = |error: ApiError| match is_series {
            true => reply::bare_failure(echo.clone(), &error),
            false => reply::failure(echo.clone(), &error, self.node.serial()),
        };
        if action == Action::Removed {
            return refuse(ApiError::new(410, "removed-method", "This method is gone."));
        }
        if is_series && let Err(error) = crate::points::check_token_present(&action, auth.as_ref()) {
            return refuse(error);
        }
        let entry = match self.resolve(&username).await {
            Ok(entry) => entry,
            Err(error) => return refuse(error),
        };
        let origin = origin.or(referer);
        let mut call = UserCall {
            entry,
            action,
            auth,
            query,
            body,
            is_auth_in_query,
            range,
            origin,
            source,
            echo: echo.clone(),
            sent: Instant::now(),
        };
        if let Err(response) = self.receive_files(&mut call).await {
            return response;
        }
        self.to_owner(call).await.unwrap_or_else(|| refuse(ApiError::busy()))
    }

    /// Carries a call to the user's owner. `None`: its mailbox is full.
    async fn to_owner(self: &Rc<Self>, mut call: UserCall) -> Option<Response> {
        call.sent = Instant::now();
        let owner = self.owner_of(&call.entry);
        if owner == self.handle.index {
            return Some(self.answer(call).await);
        }
        let (sender, receiver) = oneshot::channel();
        let message = Message::Call { call: Box::new(call), reply: sender };
        self.handle.mailboxes.try_send(owner, message).ok()?;
        receiver.await.ok()
    }

    /// Files are received here, where the connection is, once the owner has allowed it; then they travel by name.
    async fn receive_files(self: &Rc<Self>, call: &mut UserCall) -> Result<(), Response> {
        let (Body::Upload { .. }, Action::Method { id, item }) = (&call.body, &call.action) else { return Ok(()) };
        let event = item.clone().filter(|_| *id == MethodId::EventsAddAttachments);
        let question = UserCall {
            entry: call.entry.clone(),
            action: Action::MayUpload { event },
            auth: call.auth.clone(),
            query: Map::new(),
            body: Body::Absent,
            is_auth_in_query: call.is_auth_in_query,
            range: None,
            origin: None,
            source: call.source.clone(),
            echo: call.echo.clone(),
            sent: call.sent,
        };
        let refuse = |error: ApiError| reply::failure(call.echo.clone(), &error, self.node.serial());
        let allowed = Box::pin(self.to_owner(question)).await.unwrap_or_else(|| refuse(ApiError::busy()));
        if allowed.status != 200 {
            return Err(allowed);
        }
        if let Body::Upload { reader, boundary } = std::mem::replace(&mut call.body, Body::Absent) {
            let received = methods::attachments::receive(&self.node, reader, &boundary).await;
            call.body = received.map_err(|error| reply::failure(call.echo.clone(), &error, self.node.serial()))?;
        }
        Ok(())
    }

    /// A call on the shard that owns the user.
    pub async fn answer(self: &Rc<Self>, call: UserCall) -> Response {
        self.node.metrics.hop(Hop::Mailbox, call.sent.elapsed());
        if self.audit.is_full() {
            return reply::failure(call.echo, &ApiError::busy(), self.node.serial());
        }
        match &call.action {
            Action::ServiceInfo => reply::success(200, call.echo, self.node.service_info(), self.node.serial()),
            Action::AddPoints { .. } | Action::AddPointsBatch => self.add_points(call).await,
            Action::GetPoints { .. } => self.get_points(call).await,
            Action::Batch => methods::batch::answer(self, call).await,
            Action::Method { id: MethodId::AuthLogin, .. } => methods::auth::login(self, call).await,
            Action::MayUpload { event } => {
                let event = event.clone();
                methods::attachments::may_upload(self, call, event.as_deref()).await
            }
            Action::OfFile { id: MethodId::EventsGetAttachment, event, file } => {
                let (event, file) = (event.clone(), file.clone());
                methods::attachments::get(self, call, &event, &file).await
            }
            Action::Method { .. } | Action::OfFile { .. } => self.api_call(call).await,
            Action::Removed | Action::Unknown => {
                let error = ApiError::new(404, "unknown-resource", "Unknown resource: a user has no such path.");
                reply::failure(call.echo, &error, self.node.serial())
            }
        }
    }

    /// One method with one access: space -> permission -> method -> storage -> audit -> reply.
    async fn api_call(self: &Rc<Self>, call: UserCall) -> Response {
        let UserCall { entry, action, auth, mut query, mut body, source, echo, .. } = call;
        let (id, item) = match action {
            Action::Method { id, item } => (id, item),
            Action::OfFile { id, event, file } => {
                query.insert("fileId".into(), file.into());
                (id, Some(event))
            }
            other => unreachable!("answer() sends methods here, not {other:?}"),
        };
        let started = Instant::now();
        let mut context = match self.open_context(&entry, id.as_str(), auth, &source).await {
            Ok(context) => context,
            Err(refusal) => {
                let response = reply::failure(echo, &refusal.error, self.node.serial());
                return reply::with_access_id(response, refusal.access_id);
            }
        };
        context.audit.query = query.clone();
        self.node.metrics.hop(Hop::Space, started.elapsed());
        let started = Instant::now();
        context.uploads = body.take_uploads();
        let outcome = match params::of_call(id, item, query, body) {
            Ok(params) if id == MethodId::EventsAddAttachments || context.uploads.is_some() => {
                methods::attachments::run(id, &mut context, params).await
            }
            Ok(params) => run_fresh(id, &mut context, &params).await,
            Err(error) => Err(error),
        };
        methods::attachments::settle(&mut context).await;
        self.node.metrics.hop(Hop::Method, started.elapsed());
        self.finish(id, context, outcome, echo)
    }

    /// Usage and audit, then the answer.
    fn finish(self: &Rc<Self>, id: MethodId, context: Context, outcome: ApiResult<Outcome>, echo: Echo) -> Response {
        let access_id = Some(context.access.id.clone());
        self.count_use(&context, id, outcome.is_ok());
        let entry = context.space.data.borrow().entry.clone();
        let response = match outcome {
            Ok(Outcome::Fields(fields)) => {
                self.audited(&entry, &context.audit, None);
                if fields.contains_key(methods::streams::UPDATED_EVENTS) {
                    return reply::with_access_id(self.in_chunks(echo, fields), access_id);
                }
                reply::success(id.success_status(), echo, fields, self.node.serial())
            }
            Ok(Outcome::Events(answer)) => methods::events_query::stream(self, *answer, entry, context, echo),
            Err(error) => {
                self.audited(&entry, &context.audit, Some(&error));
                reply::failure(echo, &error, self.node.serial())
            }
        };
        reply::with_access_id(response, access_id)
    }

    /// A finished result as the reference sends it while it works: in chunks, `meta` last (spec 04, section 5.2).
    fn in_chunks(&self, echo: Echo, mut fields: Map<String, Value>) -> Response {
        fields.insert("meta".into(), reply::meta(self.node.serial()));
        let (sender, receiver) = mpsc::channel(1);
        // The channel is empty: there is room for the one chunk.
        let _ = sender.try_send(Ok(Value::Object(fields).to_string().into()));
        reply::streamed(echo, receiver)
    }

    /// Space, access, session: what every call with a token needs. Refusals are audited here.
    pub async fn open_context(
        self: &Rc<Self>,
        entry: &UserEntry,
        action: &'static str,
        auth: Option<Auth>,
        source: &Source,
    ) -> Result<Context, crate::space::Refusal> {
        use crate::space::Refusal;
        let space = self.space(entry).await.map_err(|error| Refusal::new(error, None))?;
        let now = reply::now();
        let caller_id = auth.as_ref().and_then(|auth| auth.caller_id.clone());
        let found = match &auth {
            None => Err(Refusal::new(ApiError::invalid_token(401, "The access token is missing."), None)),
            Some(auth) => space.data.borrow_mut().authenticate(&auth.token, now, self.node.session_max_s()),
        };
        // No access is bound to a key yet, so nobody can prove one.
        let is_key_bound = auth.as_ref().is_some_and(|auth| auth.is_key_bound);
        let found = match found {
            Ok(access) if is_key_bound => Err(Refusal::new(ApiError::not_key_bound(), Some(access.id.clone()))),
            found => found,
        };
        let mut audit = AuditDraft::new(action, ACCESS_INVALID, source);
        match found {
            Ok(access) => {
                // Kept only now: with an unknown token nobody knows which of the words is a secret.
                audit.caller_id = caller_id.clone();
                audit.access_id = access.id.clone();
                audit.access_serial = access.serial;
                let shard = Rc::clone(self);
                let source = source.clone();
                Ok(Context {
                    shard,
                    space,
                    access,
                    caller_id,
                    source,
                    batch: None,
                    after_batch: Vec::new(),
                    audit,
                    now,
                    uploads: None,
                    unsettled: Vec::new(),
                })
            }
            Err(refusal) => {
                if let Some(id) = &refusal.access_id {
                    audit.access_id = id.clone();
                }
                self.audited(entry, &audit, Some(&refusal.error));
                Err(refusal)
            }
        }
    }

    pub fn count_use(&self, context: &Context, id: MethodId, is_success: bool) {
        if self.node.config.access_tracking && id != MethodId::CallBatch {
            let counter = (is_success || id.counts_failures()).then(|| id.counter());
            context.space.data.borrow_mut().count_use(&context.access.id, counter, context.now);
        }
    }
}

/// Runs a method, and again when the writer found its grant stale: what it checked has changed meanwhile.
pub async fn run_fresh(id: MethodId, context: &mut Context, params: &Value) -> ApiResult<Outcome> {
    let mut outcome = methods::run(id, context, params).await;
    for run in 1..STALE_RUNS_MAX {
        match outcome {
            Err(error) if error.is_stale => outcome = run_again(id, context, params, run > 1).await,
            outcome => return outcome,
        }
    }
    outcome.map_err(|error| if error.is_stale { ApiError::busy() } else { error })
}

/// A method on fresh data. One that changes an event then keeps everybody else from streams and accesses, and reads
/// in the writer, where it also sees what the calls of a batch have not committed yet: so it cannot be stale again.
async fn run_again(id: MethodId, context: &mut Context, params: &Value, from_store: bool) -> ApiResult<Outcome> {
    let turn = context.refresh(from_store).await?;
    if !id.changes_event() || context.batch.is_some() {
        // Methods that change streams or accesses take their turn themselves.
        let _turn = id.changes_event().then_some(turn);
        return methods::run(id, context, params).await;
    }
    context.open_batch().await?;
    let outcome = methods::run(id, context, params).await;
    if let Err(error) = context.end_batch().await {
        context.audit.is_stored = false;
        return Err(error);
    }
    drop(turn);
    outcome
}
