//! Registration and discovery (spec 09), in the form of a single core.

use std::rc::Rc;

use serde_json::{Map, Value, json};
use shards::Response;

use crate::edge::{Body, Incoming};
use crate::error::{ApiError, ApiResult};
use crate::node::Shard;
use crate::platform::registration::owner_of_email;
use crate::platform::{erasure, registration};
use crate::reply;
use crate::router::{Register, Route};

/// Some of these routes answer without `meta`, errors included ("raw").
enum Answered {
    Fields(u16, Map<String, Value>),
    Raw(u16, Value),
    Text(&'static str),
    Redirect(String),
}

pub async fn register(shard: &Rc<Shard>, incoming: Incoming) -> Response {
    let echo = incoming.echo.clone();
    let Route::Register(route) = &incoming.route else { unreachable!("serve() sends register routes here") };
    let is_raw = matches!(route, Register::Server { .. } | Register::UsernameOf { .. } | Register::App { .. });
    match answer(shard, route, &incoming).await {
        Ok(Answered::Fields(status, fields)) => reply::success(status, echo, fields, shard.node.serial()),
        Ok(Answered::Raw(status, value)) => reply::raw_json(status, echo, &value),
        Ok(Answered::Text(text)) => reply::text(200, echo, "text/plain; charset=utf-8", text),
        Ok(Answered::Redirect(url)) => {
            let mut response = reply::empty(302, echo);
            response.headers.push(("Location".into(), url.into()));
            response
        }
        Err(error) if is_raw => reply::bare_failure(echo, &error),
        Err(error) => reply::failure(echo, &error, shard.node.serial()),
    }
}

async fn answer(shard: &Rc<Shard>, route: &Register, incoming: &Incoming) -> ApiResult<Answered> {
    match route {
        Register::ServiceInfo => service_info(shard, incoming),
        Register::CreateUser { legacy } => create_user(shard, &incoming.body, *legacy).await,
        Register::DeleteUser { username } => {
            Ok(Answered::Fields(200, erasure::delete_user(shard, incoming, username).await?))
        }
        Register::CheckUsername { username } => check_username(shard, username).await,
        Register::CheckEmail { email } => check_email(shard, email).await,
        Register::Cores => cores(shard, &incoming.query).await,
        Register::Hostings => Ok(fields(hostings(shard))),
        Register::Server { username, redirect } => server(shard, username, *redirect).await,
        Register::UsernameOf { email, key } => username_of(shard, email, key).await,
        Register::CheckInvitation => Ok(check_invitation(shard, &incoming.body).await),
        Register::Apps => Ok(Answered::Raw(200, json!({ "apps": apps(shard) }))),
        Register::App { id } => app(shard, id),
        Register::Removed => Err(ApiError::new(410, "removed-method", "This method is gone.")),
    }
}

fn fields(value: Value) -> Answered {
    Answered::Fields(200, value.as_object().cloned().unwrap_or_default())
}

fn service_info(shard: &Shard, incoming: &Incoming) -> ApiResult<Answered> {
    let is_at_root = !incoming.path.to_ascii_lowercase().starts_with("/reg");
    if is_at_root && shard.node.config.dns_less.is_active {
        return Err(ApiError::unknown_resource("user", "service"));
    }
    Ok(Answered::Fields(200, shard.node.service_info()))
}

async fn create_user(shard: &Rc<Shard>, body: &Body, legacy: bool) -> ApiResult<Answered> {
    let mut params = match body {
        Body::Json(value) => value.clone(),
        Body::Absent | Body::Raw { .. } | Body::Upload { .. } | Body::Multipart { .. } => json!({}),
    };
    if let (true, Some(params)) = (legacy, params.as_object_mut()) {
        // The v1 spelling, and only it.
        params.remove("appId");
        if let Some(app_id) = params.remove("appid") {
            params.insert("appId".into(), app_id);
        }
    }
    let created = registration::register(shard, &params).await?;
    Ok(Answered::Fields(201, created))
}

async fn user_exists(shard: &Shard, name: &str) -> ApiResult<bool> {
    match shard.resolve(name).await {
        Ok(_) => Ok(true),
        Err(error) if error.status == 404 => Ok(false),
        Err(error) => Err(error),
    }
}

async fn check_username(shard: &Shard, username: &str) -> ApiResult<Answered> {
    registration::check_username(username)?;
    Ok(fields(json!({ "reserved": user_exists(shard, username).await? })))
}

async fn check_email(shard: &Shard, email: &str) -> ApiResult<Answered> {
    const EMAIL_CHARS_MAX: usize = 300;
    if email.chars().count() > EMAIL_CHARS_MAX {
        return Err(ApiError::invalid_parameters(json!([{
            "code": "MAX_LENGTH", "message": "must NOT have more than 300 characters",
            "path": "#/email", "param": "email",
        }])));
    }
    match owner_of_email(shard, email).await? {
        None => Ok(fields(json!({ "reserved": false }))),
        Some(_) => Err(ApiError::already_exists("user", [("email".to_owned(), email.into())].into_iter().collect())),
    }
}

/// The one core, by username or e-mail; an unknown e-mail is not told from a known one by its status.
async fn cores(shard: &Shard, query: &Map<String, Value>) -> ApiResult<Answered> {
    let text = |name: &str| query.get(name).and_then(Value::as_str);
    let url = match (text("username"), text("email")) {
        (Some(username), None) => {
            let entry = shard.resolve(username).await?;
            shard.node.api_endpoint(&entry.username, None)
        }
        (None, Some(email)) => match owner_of_email(shard, email).await? {
            Some(owner) => shard.node.api_endpoint(&owner.username, None),
            None => core_url(shard),
        },
        _ => {
            return Err(ApiError::invalid_parameters_text("Please provide either \"username\" or \"email\"."));
        }
    };
    Ok(fields(json!({ "core": { "url": url } })))
}

fn core_url(shard: &Shard) -> String {
    let url = crate::config::service::core_url(&shard.node.config).unwrap_or_default();
    if url.ends_with('/') { url } else { format!("{url}/") }
}

/// `hostings.regions` with each leaf's core, or one made-up default.
fn hostings(shard: &Shard) -> Value {
    let url = core_url(shard);
    let own = shard.node.config.core.hosting.clone();
    let is_available = shard.node.config.core.available;
    let Some(mut regions) = shard.node.config.raw("hostings:regions").filter(Value::is_object) else {
        let hosting = json!({ "default": { "name": "Default", "available": true, "availableCore": url } });
        let zones = json!({ "default": { "name": "Default", "hostings": hosting } });
        return json!({ "regions": { "default": { "name": "Default", "zones": zones } } });
    };
    let children = |value: &mut Value, key: &str| {
        let taken = value.get_mut(key).and_then(Value::as_object_mut).map(std::mem::take);
        taken.unwrap_or_default()
    };
    let Some(named_regions) = regions.as_object_mut() else { return json!({ "regions": {} }) };
    for region in named_regions.values_mut() {
        let mut zones = children(region, "zones");
        for zone in zones.values_mut() {
            let mut hostings = children(zone, "hostings");
            for (key, hosting) in &mut hostings {
                let is_here = is_available && own.as_deref() == Some(key);
                if let Some(leaf) = hosting.as_object_mut() {
                    leaf.insert("available".into(), is_here.into());
                    leaf.insert("availableCore".into(), if is_here { url.clone() } else { String::new() }.into());
                }
            }
            zone.as_object_mut().map(|zone| zone.insert("hostings".into(), hostings.into()));
        }
        region.as_object_mut().map(|region| region.insert("zones".into(), zones.into()));
    }
    json!({ "regions": regions })
}

async fn server(shard: &Shard, username: &str, redirect: bool) -> ApiResult<Answered> {
    if !user_exists(shard, username).await? {
        return Err(ApiError::new(404, "unknown-user", format!("Unknown user \"{username}\"")));
    }
    let url = crate::config::service::core_url(&shard.node.config).unwrap_or_default();
    if redirect {
        return Ok(Answered::Redirect(format!("{url}?username={username}")));
    }
    let alias = match &shard.node.config.dns.domain {
        Some(domain) => format!("{username}.{domain}"),
        None => username.to_owned(),
    };
    Ok(Answered::Raw(200, json!({ "server": url, "alias": alias })))
}

async fn username_of(shard: &Shard, email: &str, key: &str) -> ApiResult<Answered> {
    match owner_of_email(shard, email).await? {
        Some(owner) => Ok(Answered::Raw(200, json!({ key: owner.username }))),
        None => Err(ApiError::new(404, "unknown-email", "Unknown e-mail")),
    }
}

async fn check_invitation(shard: &Shard, body: &Body) -> Answered {
    let given = match body {
        Body::Json(body) => body.get("invitationtoken").and_then(Value::as_str),
        _ => None,
    };
    let is_valid = registration::check_invitation(shard, given).await.is_ok();
    Answered::Text(if is_valid { "true" } else { "false" })
}

fn apps(shard: &Shard) -> Vec<Value> {
    let list = shard.node.config.raw("appList").and_then(|list| list.as_object().cloned()).unwrap_or_default();
    let app = |(id, config): (String, Value)| {
        let mut app = Map::new();
        app.insert("id".into(), id.into());
        app.extend(config.as_object().cloned().unwrap_or_default());
        Value::Object(app)
    };
    list.into_iter().map(app).collect()
}

fn app(shard: &Shard, id: &str) -> ApiResult<Answered> {
    let found = apps(shard).into_iter().find(|app| app.get("id").and_then(Value::as_str) == Some(id));
    found.map(|app| Answered::Raw(200, json!({ "app": app }))).ok_or_else(|| ApiError::unknown_resource("app", id))
}
