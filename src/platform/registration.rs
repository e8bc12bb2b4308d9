//! `auth.register`: an account is made in three steps that a crash may separate (spec 09, section 2).
//!
//! 1. `Reserve`: one conditional write on the platform takes the username and the unique fields, or names all
//!    conflicts. 2. `CreateAccount`: one commit in the user's slot. 3. `Confirm`: the name leads to the account.
//!    A reservation without an account is swept at the next start, an account without confirmation is confirmed.

use std::rc::Rc;
use std::sync::LazyLock;

use model::permission::account_streams::CONFIGURED_PREFIX;
use model::permission::{AccountField, AccountStreams};
use model::schema::Schema;
use model::{Grant, NewAccount, Right, ServerTask, Session, UserEntry, UserId};
use serde_json::{Map, Value, json};
use shards::placement;
use storage::StoreError;
use storage::base::{self, Read, ReadCall, Write, WriteCall};
use storage::platform::{Answer, Command};

use crate::config::Secret;
use crate::error::{ApiError, ApiResult};
use crate::methods::{account_events, auth, params};
use crate::node::{Node, Shard};
use crate::passwords;
use crate::reply;

/// A username for dry runs: everything is checked, nothing stored.
const DRY_RUN_USERNAME: &str = "backloop";
/// The unique field that makes an invitation serve one account only.
const INVITATION: &str = "invitationToken";
pub const USERNAME_PATTERN: &str = "^[a-z0-9][a-z0-9-]{3,58}[a-z0-9]$";

/// The shipped account field, with messages of its own.
const EMAIL: &str = "email";
const EMAIL_CHARS_MAX: u64 = 300;

/// Code of a missing property in `messages`.
const MISSING: &str = "OBJECT_MISSING_REQUIRED_PROPERTY";

/// What a registration must look like, with the account fields of this platform (spec 09, section 2).
pub fn schema(streams: &AccountStreams) -> Schema {
    let mut properties = own_properties();
    let mut required = vec!["username", "password", "appId"];
    for field in streams.fields().iter().filter(|field| field.id.starts_with(CONFIGURED_PREFIX) && field.has_value) {
        properties.insert(field.field_name().to_owned(), property_of(field));
        if field.required {
            required.push(field.field_name());
        }
    }
    params::schema(json!({ "type": "object", "properties": properties, "required": required }))
}

fn message(code: &str, message: &str) -> Value {
    json!({ "code": code, "message": message })
}

/// A configured field: a text, with the messages that it has for its own pattern, or those of the shipped address.
fn property_of(field: &AccountField) -> Value {
    if field.field_name() == EMAIL {
        return json!({
            "type": "string", "maxLength": EMAIL_CHARS_MAX,
            "messages": {
                "INVALID_TYPE": message("email-invalid", "Email is invalid"),
                MISSING: message("email-required", "Email is required"),
            },
        });
    }
    let mut property = json!({ "type": "string", "maxLength": account_events::FIELD_CHARS_MAX });
    let Some(property_map) = property.as_object_mut() else { return property };
    if let Some(pattern) = &field.regex {
        property_map.insert("pattern".into(), pattern.as_str().into());
    }
    if let Some((code, text)) = &field.regex_error {
        property_map.insert("messages".into(), json!({ "PATTERN": message(code, text) }));
    }
    property
}

/// What does not depend on the configuration.
fn own_properties() -> Map<String, Value> {
    let username =
        "Username should have from 5 to 60 characters and contain only lower-case letters, numbers or dashes.";
    let password = message("password-invalid", "Password should have from 6 to 100 characters");
    let app_id = message("appid-invalid", "Invalid app Id");
    let referer = message("referer-invalid", "Invalid referer");
    let language = message("language-invalid", "Invalid language");
    let properties = json!({
        "username": {
            "type": "string", "pattern": USERNAME_PATTERN,
            "messages": {
                "PATTERN": message("username-invalid", username),
                MISSING: message("username-required", "Username is required"),
            },
        },
        "password": {
            "type": "string", "minLength": 6, "maxLength": 100,
            "messages": {
                "MIN_LENGTH": password, "MAX_LENGTH": password, "INVALID_TYPE": password,
                MISSING: message("password-required", "Password is required"),
            },
        },
        "appId": {
            "type": "string", "minLength": 6, "maxLength": 99,
            "messages": { "MIN_LENGTH": app_id, "MAX_LENGTH": app_id, "INVALID_TYPE": app_id, MISSING: app_id },
        },
        INVITATION: {
            "type": "string",
            "messages": { "INVALID_TYPE": message("invitationToken-invalid", "Invalid invitation token") },
        },
        "referer": {
            "type": ["string", "null"], "minLength": 1, "maxLength": 99,
            "messages": { "MIN_LENGTH": referer, "MAX_LENGTH": referer, "INVALID_TYPE": referer },
        },
        "language": {
            "type": "string", "minLength": 1, "maxLength": 5,
            "messages": { "MIN_LENGTH": language, "MAX_LENGTH": language },
        },
    });
    properties.as_object().cloned().unwrap_or_default()
}

/// Creates an account and answers `{username, apiEndpoint}`.
pub async fn register(shard: &Rc<Shard>, params: &Value) -> ApiResult<Map<String, Value>> {
    let params = params::checked(&shard.node.registration, params)?;
    let text = |name: &str| params::text(params, name).unwrap_or_default();
    check_complexity(&shard.node, text("password"))?;
    let invitation = params::text(params, "invitationToken");
    check_invitation(shard, invitation).await?;
    let username = text("username");
    if model::username::is_reserved(username) {
        return Err(taken_user([("username".to_owned(), Value::from(username))].into_iter().collect()));
    }
    if username == DRY_RUN_USERNAME {
        return dry_run(shard, username, unique_fields(&shard.node.config.account_streams, params)).await;
    }
    let user = UserId::new(model::id::fresh_item_id());
    let slot = placement::slot_of(user.as_str(), shard.node.base.slots());
    let entry = UserEntry { user, slot: model::SlotId(slot), username: username.to_owned() };
    // The hash is made before the name is taken: it is the slow part, and may be refused.
    let hash =
        passwords::hash(&shard.node.pool, shard.node.config.auth.password_hash, text("password").to_owned()).await?;
    reserve(shard, &entry, unique_fields(&shard.node.config.account_streams, params), invitation).await?;
    let (account, token) = new_account(&shard.node, params, hash);
    create(shard, &entry, account).await?;
    shard.platform(Command::Confirm { user: entry.user.clone() }).await?;
    let mut out = Map::new();
    out.insert("username".into(), username.into());
    out.insert("apiEndpoint".into(), shard.node.api_endpoint(username, Some(&token)).into());
    Ok(out)
}

/// Takes the name and what may be used once, or names all conflicts.
async fn reserve(
    shard: &Shard,
    entry: &UserEntry,
    mut unique: Vec<(String, String)>,
    invitation: Option<&str>,
) -> ApiResult<()> {
    if let (Some(token), Some(_)) = (invitation, &shard.node.config.invitation_tokens) {
        unique.push((INVITATION.to_owned(), token.to_owned()));
    }
    match shard.platform(Command::Reserve { entry: entry.clone(), unique }).await {
        Ok(_) => Ok(()),
        // Used by another registration since it was checked.
        Err(StoreError::Taken(taken)) if taken.contains_key(INVITATION) => Err(invalid_invitation()),
        Err(StoreError::Taken(taken)) => Err(taken_user(taken.into_iter().collect())),
        Err(other) => Err(other.into()),
    }
}

/// What must be unique on the platform, of this registration.
fn unique_fields(streams: &AccountStreams, params: &Map<String, Value>) -> Vec<(String, String)> {
    let unique = streams.fields().iter().filter(|field| field.unique);
    let named = |field: &AccountField| {
        let value = value_of(field, params)?;
        Some((field.field_name().to_owned(), account_events::text_of(&value)))
    };
    unique.filter_map(named).collect()
}

/// As it was given, or else the default.
fn value_of(field: &AccountField, params: &Map<String, Value>) -> Option<Value> {
    let given = params.get(field.field_name()).filter(|value| !value.is_null()).cloned();
    given.or_else(|| field.default.clone()).filter(|value| field.has_value && !value.is_null())
}

fn taken_user(taken: Map<String, Value>) -> ApiError {
    ApiError::already_exists("user", taken)
}

/// The user whose address this is.
pub async fn owner_of_email(shard: &Shard, email: &str) -> ApiResult<Option<UserEntry>> {
    owner_of(shard, "email", email).await
}

async fn owner_of(shard: &Shard, field: &str, value: &str) -> ApiResult<Option<UserEntry>> {
    let command = Command::FindUnique { field: field.to_owned(), value: value.to_owned() };
    match shard.platform(command).await? {
        Answer::User(user) => Ok(user),
        other => Err(ApiError::unexpected(format!("the owner of {field} was asked for, not {other:?}"))),
    }
}

async fn dry_run(shard: &Shard, username: &str, unique: Vec<(String, String)>) -> ApiResult<Map<String, Value>> {
    let mut taken = Map::new();
    for (field, value) in unique {
        if owner_of(shard, &field, &value).await?.is_some() {
            taken.insert(field, value.into());
        }
    }
    if !taken.is_empty() {
        return Err(taken_user(taken));
    }
    let fields = json!({
        "id": "dummy-test-user",
        "username": username,
        "apiEndpoint": shard.node.api_endpoint(username, None),
    });
    Ok(fields.as_object().cloned().unwrap_or_default())
}

/// `auth.passwordComplexity*` (spec 02, section 4): the data of these errors is one text.
fn check_complexity(node: &Node, password: &str) -> ApiResult<()> {
    let auth = &node.config.auth;
    let refuse = |text: String| Err(ApiError::invalid_parameters(json!([text])));
    let length_min = auth.password_min_length;
    if u64::try_from(password.chars().count()).unwrap_or(u64::MAX) < length_min {
        return refuse(format!("Password is too short: it must be at least {length_min} characters long."));
    }
    let is_kind: [fn(char) -> bool; 4] = [
        |c| c.is_ascii_lowercase(),
        |c| c.is_ascii_uppercase(),
        |c| c.is_ascii_digit(),
        |c| !c.is_ascii_alphanumeric(),
    ];
    let kinds = is_kind.iter().filter(|is_kind| password.chars().any(**is_kind)).count();
    let kinds_min = auth.password_min_char_categories;
    if u64::try_from(kinds).unwrap_or(0) < kinds_min {
        return refuse(format!(
            "Password does not contain characters from at least {kinds_min} categories (lower case, upper case, digits, other)."
        ));
    }
    Ok(())
}

/// Without a list everybody may register; an empty list closes the platform; a listed token serves one account
/// (spec 09, section 3).
pub async fn check_invitation(shard: &Shard, given: Option<&str>) -> ApiResult<()> {
    use subtle::ConstantTimeEq;
    let Some(tokens) = &shard.node.config.invitation_tokens else { return Ok(()) };
    let given = given.unwrap_or_default();
    let is_same = |token: &Secret| bool::from(token.expose().as_bytes().ct_eq(given.as_bytes()));
    let is_listed = tokens.iter().fold(false, |found, token| found | is_same(token));
    match is_listed && owner_of(shard, INVITATION, given).await?.is_none() {
        true => Ok(()),
        false => Err(invalid_invitation()),
    }
}

fn invalid_invitation() -> ApiError {
    ApiError::invalid_operation("Invalid invitation token")
}

/// The account with its fields and defaults, and the token of its first session.
fn new_account(node: &Node, params: &Map<String, Value>, password: model::PasswordHash) -> (NewAccount, String) {
    let mut fields = Map::new();
    for field in node.config.account_streams.fields() {
        if let Some(value) = value_of(field, params) {
            fields.insert(field.field_name().to_owned(), value);
        }
    }
    let now = reply::now();
    let app_id = params::text(params, "appId").unwrap_or_default();
    let token = model::id::fresh_item_id();
    let session = Session { token: token.clone(), app_id: app_id.to_owned(), expires: now + node.session_max_s() };
    let access = auth::personal_access(app_id, &token, now);
    let account = NewAccount {
        username: params::text(params, "username").unwrap_or_default().to_owned(),
        password,
        fields,
        session: Some((session, access)),
    };
    (account, token)
}

async fn create(shard: &Shard, entry: &UserEntry, account: NewAccount) -> ApiResult<()> {
    let grant = Grant::server_itself(ServerTask::Account, entry.user.clone(), entry.slot, Right::Write);
    let write = Write::CreateAccount(Box::new(account));
    let call = WriteCall { grant, write, audit: None, batch: None, now: reply::now() };
    match shard.node.base.write(call).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => {
            // Not answered as created, so the name is given back; a crash here is swept at the next start.
            let _ = shard.platform(Command::Release { user: entry.user.clone() }).await;
            Err(error.into())
        }
        // Nobody knows whether it was committed: the sweep of the next start finds out.
        Err(_) => Err(ApiError::busy()),
    }
}

static USERNAME: LazyLock<Schema> = LazyLock::new(|| {
    let text = "Username should have from 5 to 60 characters and contain only lower-case letters, numbers or dashes.";
    params::schema(json!({
        "type": "object",
        "properties": { "username": {
            "type": "string",
            "pattern": USERNAME_PATTERN,
            "messages": { "PATTERN": { "code": "username-invalid", "message": text } },
        } },
    }))
});

/// 400 `username-invalid` in the form of every validation error.
pub fn check_username(username: &str) -> ApiResult<()> {
    params::check(&USERNAME, &json!({ "username": username }))
}

/// Half-made users: reservations whose account exists are confirmed, the others released. Runs before listening.
pub fn sweep(node: &Node) -> Result<usize, StoreError> {
    let ask = |command: Command| {
        let reply = node.platform.call(command);
        reply.blocking_recv().unwrap_or_else(|_| Err(StoreError::Unavailable("the platform store stopped".into())))
    };
    settle_unique(node, &ask)?;
    let Answer::Users(half_made) = ask(Command::HalfMade)? else { return Ok(0) };
    for entry in &half_made {
        let accounts = node.base.accounts(entry.slot)?;
        let exists = accounts.iter().any(|(user, _)| *user == entry.user);
        let user = entry.user.clone();
        ask(if exists { Command::Confirm { user } } else { Command::Release { user } })?;
    }
    Ok(half_made.len())
}

/// A change of a unique field that a crash has cut in two: what the account says counts.
fn settle_unique(node: &Node, ask: &impl Fn(Command) -> Result<Answer, StoreError>) -> Result<(), StoreError> {
    let Answer::Fields(doubled) = ask(Command::DoubledUnique)? else { return Ok(()) };
    for (entry, field) in doubled {
        let grant = Grant::server_itself(ServerTask::LoadSpace, entry.user.clone(), entry.slot, Right::Read);
        let stopped = || StoreError::Unavailable("the storage engine has stopped".into());
        let reply = node.base.read(ReadCall { grant, read: Read::Space, batch: None });
        let base::Answer::Space(space) = reply.blocking_recv().unwrap_or_else(|_| Err(stopped()))? else { continue };
        let value = space.fields.get(&field).map(account_events::text_of);
        ask(Command::SetUnique { user: entry.user, field, value })?;
    }
    Ok(())
}
