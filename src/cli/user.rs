//! `coreward user create NAME`: registers a user on the running server and prints what an app needs.

use serde_json::{Value, json};

use super::{Options, UsageError, http};
use crate::boot::BootError;
use crate::config::{Args, Config};

/// The app id of the first session when none is given.
const APP_ID: &str = "coreward-cli";

pub fn run(words: &[String], options: &Options, args: &Args) -> Result<(), BootError> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["create", name] => create(name, options, args),
        _ => Err(UsageError::Usage(
            "user create NAME [--email E] [--password P] [--app-id A] [--invitation TOKEN] [--field NAME=VALUE]... [--url URL]",
        )
        .into()),
    }
}

/// Where the server listens, for commands on the same machine.
pub fn server_url(config: &Config) -> String {
    let ip = if config.http.ip.is_unspecified() { "127.0.0.1".to_owned() } else { config.http.ip.to_string() };
    let ip = if ip.contains(':') { format!("[{ip}]") } else { ip };
    format!("http://{ip}:{}", config.http.port)
}

fn create(name: &str, options: &Options, args: &Args) -> Result<(), BootError> {
    let url = match options.get("url") {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None => server_url(&super::load(args)?),
    };
    let email = options.get("email").map_or_else(|| format!("{name}@localhost.invalid"), str::to_owned);
    let password = options.get("password").map_or_else(model::id::fresh_item_id, str::to_owned);
    let mut body = json!({
        "username": name,
        "email": email,
        "password": password,
        "appId": options.get("app-id").unwrap_or(APP_ID),
    });
    let invitation = options.get("invitation").map(|token| ("invitationToken", token));
    for (name, value) in options.fields()?.into_iter().chain(invitation) {
        if let Some(fields) = body.as_object_mut() {
            fields.insert(name.into(), value.into());
        }
    }
    let (status, answer) = http::request("POST", &format!("{url}/users"), None, Some(&body))?;
    if status != 201 {
        return Err(http::refusal(status, &answer).into());
    }
    let field = |name: &str| answer.get(name).and_then(Value::as_str).unwrap_or_default();
    println!("username     {}\npassword     {password}\napiEndpoint  {}", field("username"), field("apiEndpoint"));
    Ok(())
}
