//! The boot validation (spec 10, section 12): rules over the merged configuration, all of them checked before one is shown.

use std::path::Path;

use serde_json::Value;

use super::error::{Findings, Origin, Problem};
use super::service::origin_of;
use super::settings::Reader;
use super::tree::{Tree, join};

/// Runs every rule on the tree with its defaults filled in.
pub(super) fn validate(reader: &mut Reader<'_>) {
    engines(reader);
    placeholders(reader.tree, reader.findings);
    service(reader);
    secrets(reader);
    mail_pages(reader);
    naming(reader);
    sso(reader);
    audit(reader);
    cluster(reader);
    series(reader);
    not_built(reader);
    data_folder(reader);
}

/// `REPLACE`, or `${NAME}` with an upper-case name: what samples hold instead of values.
pub(super) fn is_placeholder(text: &str) -> bool {
    let variable = |(index, _)| {
        let rest: &str = text.get(index..).unwrap_or_default();
        let name = rest.trim_start_matches("${").split_once('}').map(|(name, _)| name);
        let allowed = |char: char| char.is_ascii_uppercase() || char.is_ascii_digit() || char == '_';
        name.is_some_and(|name| name.starts_with(|first: char| first.is_ascii_uppercase()) && name.chars().all(allowed))
    };
    text.contains("REPLACE") || text.match_indices("${").any(variable)
}

struct EngineRule {
    key: &'static str,
    existing: &'static str,
    remedy: &'static str,
    /// Blocks that say that the store may lie with another engine when none is named.
    served_by: &'static [&'static str],
}

const IMPORT: &str = "name the engine it has, and bring the data over with the backup tool";

const ENGINES: [EngineRule; 5] = [
    EngineRule {
        key: "storages:base:engine",
        existing: "sqlite",
        remedy: IMPORT,
        served_by: &["storages:engines:postgresql", "storages:engines:mongodb"],
    },
    EngineRule {
        key: "storages:platform:engine",
        existing: "sqlite",
        remedy: IMPORT,
        served_by: &["storages:engines:rqlite"],
    },
    EngineRule {
        key: "storages:series:engine",
        existing: "native",
        remedy: "use native, which keeps series in the data folder, and bring the data over with the backup tool",
        served_by: &["storages:engines:postgresql", "storages:engines:influxdb"],
    },
    EngineRule {
        key: "storages:file:engine",
        existing: "filesystem",
        remedy: IMPORT,
        served_by: &["storages:engines:s3"],
    },
    EngineRule { key: "storages:audit:engine", existing: "sqlite", remedy: IMPORT, served_by: &[] },
];

/// An operator's file must never open an empty store silently.
fn engines(reader: &mut Reader<'_>) {
    for rule in &ENGINES {
        let asked = reader.text(rule.key).unwrap_or_default();
        if asked != rule.existing && !is_placeholder(&asked) {
            let problem = Problem::Engine { asked, existing: rule.existing, remedy: rule.remedy };
            reader.findings.add(rule.key, problem);
        }
        let selected = reader.tree.origin(rule.key).is_some_and(|origin| *origin != Origin::Default);
        let configured = rule.served_by.iter().find(|block| !reader.map(block).is_empty());
        if let Some(block) = configured.filter(|_| !selected) {
            let problem = Problem::EngineNotSelected { configured: (*block).to_owned(), existing: rule.existing };
            reader.findings.add(rule.key, problem);
        }
    }
}

fn placeholders(tree: &Tree, findings: &mut Findings) {
    for (path, value, origin) in tree.leaves() {
        if holds_placeholder(value) && !below_switched_off(tree, &path) {
            findings.add(&join(&path), Problem::Placeholder { origin: origin.clone() });
        }
    }
}

fn holds_placeholder(value: &Value) -> bool {
    let switched_off = |name: &str| value.get(name) == Some(&Value::Bool(false));
    match value {
        Value::String(text) => is_placeholder(text),
        Value::Array(items) => items.iter().any(holds_placeholder),
        Value::Object(fields) => {
            !switched_off("active") && !switched_off("enabled") && fields.values().any(holds_placeholder)
        }
        _ => false,
    }
}

fn below_switched_off(tree: &Tree, path: &[String]) -> bool {
    (1..path.len()).filter_map(|length| path.get(..length)).any(|above| {
        let off = |name: &str| tree.get(&format!("{}:{name}", join(above))) == Some(Value::Bool(false));
        off("active") || off("enabled")
    })
}

fn service(reader: &mut Reader<'_>) {
    for name in ["name", "serial", "home", "support", "terms", "eventTypes"] {
        require(reader, &format!("service:{name}"), "service information that every client reads");
    }
    // Without a way to derive them, clients would get a service without addresses.
    let derived = reader.text("dnsLess:publicUrl").is_some_and(|_| reader.flag("dnsLess:isActive"))
        || reader.text("dns:domain").is_some_and(|_| !reader.flag("dnsLess:isActive"));
    let complete = ["api", "register", "access"].iter().all(|name| reader.text(&format!("service:{name}")).is_some());
    if !derived && !complete {
        let remedy = "set it (or dns:domain, or service:api, service:register and service:access), as clients need the addresses";
        reader.findings.missing("dnsLess:publicUrl", remedy);
    }
}

fn secrets(reader: &mut Reader<'_>) {
    require(reader, "auth:adminAccessKey", "a long random text, the key of the administration routes");
    require(reader, "auth:filesReadTokenSecret", "a long random text, the secret behind the read tokens of files");
    if reader.flag("letsEncrypt:enabled") {
        require(reader, "letsEncrypt:atRestKey", "base64 of 32 random bytes");
        require(reader, "letsEncrypt:email", "the contact for the certificate authority");
    }
}

fn mail_pages(reader: &mut Reader<'_>) {
    for (kind, page) in
        [("resetPassword", "auth:passwordResetPageURL"), ("verifyEmail", "auth:emailVerificationPageURL")]
    {
        let all = reader.tree.get("services:email:enabled");
        let one = reader.tree.get(&format!("services:email:enabled:{kind}"));
        let off = all == Some(Value::Bool(false)) || one == Some(Value::Bool(false));
        if !off {
            require(reader, page, &format!("the page mails link to, or set services:email:enabled:{kind} to false"));
        }
    }
}

fn naming(reader: &mut Reader<'_>) {
    let dns_less = reader.flag("dnsLess:isActive");
    if reader.flag("dns:active") && dns_less {
        reader.findings.rule("dns:active", "cannot be true together with dnsLess:isActive: set one of them to false");
    }
    if reader.text("dns:domain").is_some_and(|domain| domain.contains([' ', '/', ':'])) {
        reader.findings.rule("dns:domain", "must be a bare domain name such as example.com");
    }
    let id = reader.text("core:id").unwrap_or_default();
    let allowed = |char: char| char.is_ascii_alphanumeric() || char == '-' || char == '_';
    if id.is_empty() || !id.chars().all(allowed) {
        reader
            .findings
            .rule("core:id", "must be made of letters, digits, - and _: it is the first label of a host name");
    }
}

fn sso(reader: &mut Reader<'_>) {
    if !reader.flag("sso:enabled") {
        return;
    }
    if reader.flag("dns:active") {
        reader.findings.rule("sso:enabled", "cannot be true together with dns:active: set one of them to false");
    }
    let callback = reader.text("sso:callbackBaseURL");
    if callback.is_some_and(|url| !is_https(&url)) {
        reader.findings.rule("sso:callbackBaseURL", "must be an https URL");
    }
    let providers = match reader.tree.get("sso:providers") {
        None => return,
        Some(Value::Object(providers)) => providers,
        Some(_) => return reader.findings.rule("sso:providers", "must be a map of provider ids"),
    };
    if !providers.is_empty() {
        require(reader, "sso:landingPageURL", "the page that receives the outcome of a sign-in");
    }
    for (id, provider) in &providers {
        let path = format!("sso:providers:{id}");
        if !is_provider_id(id) {
            reader.findings.rule(
                &path,
                "must be named by a-z, 0-9, - and _, at most 32, beginning and ending with a letter or digit",
            );
        }
        let text = |name: &str| provider.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        if !text("issuer").is_some_and(is_https) {
            reader.findings.rule(&format!("{path}:issuer"), "must be an https URL");
        }
        for name in ["clientId", "clientSecret"] {
            if text(name).is_none() {
                reader.findings.missing(&format!("{path}:{name}"), "set it to what the provider gave you");
            }
        }
    }
}

fn is_https(url: &str) -> bool {
    origin_of(url).is_some_and(|origin| origin.starts_with("https://"))
}

/// `^[a-z0-9](?:[a-z0-9_-]{0,30}[a-z0-9])?$`
fn is_provider_id(id: &str) -> bool {
    let plain = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit();
    let inner = |char: char| plain(char) || char == '_' || char == '-';
    (1..=32).contains(&id.len()) && id.chars().all(inner) && id.starts_with(plain) && id.ends_with(plain)
}

fn audit(reader: &mut Reader<'_>) {
    let text = match reader.text("audit:onUserDelete").as_deref() {
        Some("erase" | "keep") => return,
        Some("pseudonymise") => "pseudonymise is not supported: use erase or keep",
        _ => "must be erase or keep",
    };
    reader.findings.rule("audit:onUserDelete", text);
}

fn cluster(reader: &mut Reader<'_>) {
    let zero = |path: &str| reader.tree.get(path) == Some(Value::from(0));
    let hfs = !zero("cluster:hfsWorkers");
    if zero("cluster:apiWorkers") {
        reader
            .findings
            .rule("cluster:apiWorkers", "0 would leave no API to serve: remove the key (cluster:shards decides)");
    }
    if hfs && reader.tree.get("http:port") == reader.tree.get("http:hfsPort") {
        let remedy = "must differ from http:port: choose another port, or set cluster:hfsWorkers to 0 (the API port serves series too)";
        reader.findings.rule("http:hfsPort", remedy);
    }
}

fn series(reader: &mut Reader<'_>) {
    if reader.integer("series:ring:flushBytes") > reader.integer("series:ring:bytesMax") / 2 {
        let text = "must be at most half of series:ring:bytesMax, as points arrive while a ring is written";
        reader.findings.rule("series:ring:flushBytes", text);
    }
}

/// What is not built yet and whose silent absence would harm: open text instead of TLS, one factor instead of two.
fn not_built(reader: &mut Reader<'_>) {
    let on = |path: &str| reader.flag(path);
    let text = |path: &str| reader.text(path).is_some();
    let tls = "let a reverse proxy do TLS and remove the key";
    let list =
        |path: &str| reader.tree.get(path).is_some_and(|value| value.as_array().is_some_and(|items| !items.is_empty()));
    let mfa = reader.text("services:mfa:mode").is_some_and(|mode| mode != "disabled");
    let asked = [
        ("http:ssl:keyFile", text("http:ssl:keyFile"), tls),
        ("http:ssl:certFile", text("http:ssl:certFile"), tls),
        ("http:ssl:backloop.dev", on("http:ssl:backloop.dev"), tls),
        ("letsEncrypt:enabled", on("letsEncrypt:enabled"), tls),
        ("dns:active", on("dns:active"), "serve the domain from another DNS server and set it to false"),
        ("services:mfa:mode", mfa, "users who enabled a second factor would sign in without it; set it to disabled"),
        (
            "customExtensions:customAuthStepFn",
            text("customExtensions:customAuthStepFn"),
            "JavaScript plug-ins do not run here; remove it",
        ),
        ("custom:dataStores", list("custom:dataStores"), "JavaScript plug-ins do not run here; remove it"),
    ];
    for (path, _, remedy) in asked.into_iter().filter(|(_, asked, _)| *asked) {
        reader.findings.add(path, Problem::NotBuilt { remedy });
    }
}

/// A folder of the reference holds one folder per user; opening our own empty store in it would hide them.
fn data_folder(reader: &mut Reader<'_>) {
    const KEY: &str = "storages:engines:sqlite:path";
    /// Where the reference keeps its users when the file does not say.
    const REFERENCE_DEFAULT: &str = "var-pryv/users";
    let folder = reader.cwd.join(reader.text(KEY).unwrap_or_else(|| REFERENCE_DEFAULT.to_owned()));
    let ours = folder == reader.cwd.join(reader.text("storages:path").unwrap_or_default());
    if !(ours && is_ours(&folder)) && holds_something(&folder) {
        reader.findings.rule(
            KEY,
            format!(
                "means the folder {}, which holds data of the reference server; it is not read here: back it up with the reference, move it away, start, and restore",
                folder.display()
            ),
        );
    }
}

fn holds_something(folder: &Path) -> bool {
    std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some())
}

fn is_ours(folder: &Path) -> bool {
    ["epoch", "secrets.json", "slots"].iter().any(|name| folder.join(name).exists())
}

fn require(reader: &mut Reader<'_>, path: &str, what: &str) {
    if reader.text(path).is_none() {
        reader.findings.missing(path, format!("set it to {what}"));
    }
}
