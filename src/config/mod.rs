//! The configuration: the reference's keys with its precedence (spec 10, section 12), typed, each value with its origin.
//!
//! `load` merges, from the lowest: defaults, service information, the file, the environment, arguments, and
//! `override-config.yml` beside the file. It collects every problem before it gives up.

mod account_streams;
mod content_indexes;
mod docs;
mod error;
pub(crate) mod keys;
mod lookup;
pub(crate) mod retention;
pub(crate) mod secrets;
pub(crate) mod service;
pub(crate) mod settings;
mod show;
mod sources;
#[cfg(test)]
mod tests;
mod tree;
mod validate;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use model::permission::AccountStreams;
use serde_json::{Map, Value, json};

pub(crate) use docs::markdown;
pub(crate) use error::{ConfigErrors, Origin};
pub(crate) use retention::{RetentionRule, Then};
pub(crate) use secrets::{Secret, Secrets, SecretsError};
pub(crate) use show::{check, show};

use error::Findings;
use keys::KEYS;
use settings::{
    Audit, Auth, Cluster, Core, Dns, DnsLess, EventTypesSettings, Http, Integrity, Logs, Reader, Series, Storages,
    UserAccountDelete, Versioning,
};
use sources::Setting;
use tree::{Tree, join};

/// What the command line says about the configuration. No `Debug`: an override may be a secret.
#[derive(Clone, Default)]
pub(crate) struct Args {
    /// `--config FILE`
    pub(crate) config_file: Option<PathBuf>,
    /// `--key:sub=value` as (`key:sub`, `value`)
    pub(crate) overrides: Vec<(String, String)>,
}

#[derive(Clone)]
pub(crate) struct Config {
    pub(crate) http: Http,
    pub(crate) dns_less: DnsLess,
    pub(crate) dns: Dns,
    pub(crate) core: Core,
    pub(crate) cluster: Cluster,
    pub(crate) auth: Auth,
    /// `service.*` as configured; clients get `service_info`.
    pub(crate) service: Map<String, Value>,
    pub(crate) event_types: EventTypesSettings,
    pub(crate) storages: Storages,
    pub(crate) series: Series,
    pub(crate) upload_bytes_max: u64,
    pub(crate) ignore_protected_fields: bool,
    pub(crate) versioning: Versioning,
    pub(crate) audit: Audit,
    pub(crate) integrity: Integrity,
    /// `custom.systemStreams`, with the built-in fields.
    pub(crate) account_streams: AccountStreams,
    pub(crate) access_tracking: bool,
    /// `None`: open to everybody; empty: closed.
    pub(crate) invitation_tokens: Option<Vec<Secret>>,
    pub(crate) user_account_delete: UserAccountDelete,
    pub(crate) metrics: bool,
    pub(crate) logs: Logs,
    /// The file given by `--config`.
    pub(crate) file: Option<PathBuf>,
    /// To be shown at start: ignored variables, keys that were set and do nothing.
    pub(crate) warnings: Vec<String>,
    tree: Tree,
}

/// Says only where it comes from: what an operator wrote below `service` may be secret too.
impl fmt::Debug for Config {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Config").field("file", &self.file).finish_non_exhaustive()
    }
}

/// Reads and validates everything; writes nothing (see `Config::ensure_secrets`).
pub(crate) fn load(
    args: &Args,
    env: impl Iterator<Item = (String, String)>,
    cwd: &Path,
) -> Result<Config, ConfigErrors> {
    let mut findings = Findings::default();
    let file = args.config_file.as_ref().map(|path| cwd.join(path));
    let (settings, mut warnings) = read_sources(args, env, file.as_deref(), &mut findings);
    let mut tree = Tree::default();
    for Setting { path, value, origin } in settings {
        tree.merge(&path, value, &origin);
    }
    if let Some(url) = tree.get("serviceInfoUrl").as_ref().and_then(Value::as_str)
        && let Some(service) = sources::from_service_info(url, cwd, &mut findings)
    {
        fill_below(&mut tree, service);
    }
    fill_defaults(&mut tree, file.is_some(), cwd, &mut findings);
    warnings.extend(
        show::without_effect(&tree).into_iter().map(|(path, reason)| format!("[{path}] has no effect: {reason}")),
    );
    validate::validate(&mut Reader { tree: &tree, cwd, findings: &mut findings });
    let config = typed(tree, cwd, file, warnings, &mut findings);
    findings.into_result(config)
}

impl Config {
    /// The effective value at a path such as `hostings` or `dns:staticEntries`, defaults included.
    pub(crate) fn raw(&self, path: &str) -> Option<Value> {
        self.tree.get(path)
    }

    /// Where the value of a key comes from; `None` for sections and unset keys.
    #[cfg(test)]
    pub(crate) fn origin(&self, path: &str) -> Option<&Origin> {
        self.tree.origin(path)
    }

    /// `dns.domain` when users are found by host name.
    pub(crate) fn active_domain(&self) -> Option<&str> {
        self.dns.domain.as_deref().filter(|_| !self.dns_less.is_active)
    }

    /// With what events are hashed; `None` when `integrity.isActive.events` is off.
    pub fn event_integrity(&self) -> Option<model::integrity::Algorithm> {
        self.hash_algorithm().filter(|_| self.integrity.events)
    }

    pub fn access_integrity(&self) -> Option<model::integrity::Algorithm> {
        self.hash_algorithm().filter(|_| self.integrity.accesses)
    }

    /// With what attachments are hashed (spec 03, section 9); `None` when `integrity.isActive.attachments` is off.
    pub fn attachment_integrity(&self) -> Option<model::integrity::Algorithm> {
        self.integrity.attachments.then_some(model::integrity::Algorithm::Sha256)
    }

    fn hash_algorithm(&self) -> Option<model::integrity::Algorithm> {
        use model::integrity::Algorithm;
        Some(match self.integrity.algorithm {
            settings::HashAlgorithm::Sha1 => Algorithm::Sha1,
            settings::HashAlgorithm::Sha256 => Algorithm::Sha256,
            settings::HashAlgorithm::Sha512 => Algorithm::Sha512,
        })
    }

    /// Takes the secrets that are still unset from the data folder, making them at the first start (then `true`).
    /// The caller holds the lock of the data folder.
    pub(crate) fn ensure_secrets(&mut self) -> Result<bool, SecretsError> {
        if !self.secrets_are_missing() {
            return Ok(false);
        }
        let (stored, created) = secrets::load_or_create(&self.storages.data_dir)?;
        self.take_secrets(stored);
        Ok(created)
    }

    fn secrets_are_missing(&self) -> bool {
        self.auth.admin_access_key.is_empty() || self.auth.files_read_token_secret.is_empty()
    }

    fn take_secrets(&mut self, stored: Secrets) {
        let origin = Origin::Generated(secrets::path(&self.storages.data_dir));
        let slots = [
            ("auth:adminAccessKey", &mut self.auth.admin_access_key, stored.admin_access_key),
            ("auth:filesReadTokenSecret", &mut self.auth.files_read_token_secret, stored.files_read_token_secret),
        ];
        for (path, slot, secret) in slots.into_iter().filter(|(_, slot, _)| slot.is_empty()) {
            self.tree.replace(path, secret.expose().into(), &origin);
            *slot = secret;
        }
    }
}

/// All settings, the lowest source first.
fn read_sources(
    args: &Args,
    env: impl Iterator<Item = (String, String)>,
    file: Option<&Path>,
    findings: &mut Findings,
) -> (Vec<Setting>, Vec<String>) {
    let mut settings =
        file.map_or_else(Vec::new, |path| sources::from_file(path, &Origin::File(path.to_owned()), findings));
    let (variables, warnings) = sources::from_environment(env, findings);
    settings.extend(variables);
    settings.extend(sources::from_arguments(&args.overrides, findings));
    if let Some(path) = file.and_then(sources::override_file) {
        settings.extend(sources::from_file(&path, &Origin::OverrideFile(path.clone()), findings));
    }
    (settings, warnings)
}

/// Lays a low source under what is there already, field by field.
fn fill_below(tree: &mut Tree, setting: Setting) {
    let mut lower = Tree::default();
    lower.merge(&setting.path, setting.value, &setting.origin);
    for (path, value, origin) in lower.leaves() {
        tree.fill(&join(&path), value.clone(), origin);
    }
}

fn fill_defaults(tree: &mut Tree, has_file: bool, cwd: &Path, findings: &mut Findings) {
    // Spec 10, section 2: a domain means domain mode, unless the operator says otherwise.
    if tree.has("dns:domain") {
        tree.fill("dnsLess:isActive", false.into(), &Origin::Derived("dns:domain"));
    }
    if let Some(path) = tree.get("storages:engines:sqlite:path") {
        tree.fill("storages:path", path, &Origin::Derived("storages:engines:sqlite:path"));
    }
    for key in KEYS.iter().filter(|key| !key.default.is_empty()) {
        if let Ok(value) = serde_json::from_str(key.default) {
            tree.fill(key.pattern, value, &Origin::Default);
        }
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    tree.fill("cluster:shards", cores.into(), &Origin::Default);
    // Password hashing must leave the shards at least half of the machine.
    tree.fill("cluster:pool:cpuThreads", (cores / 2).max(1).into(), &Origin::Default);
    let half_ring = tree.get("series:ring:bytesMax").and_then(|bytes| bytes.as_u64()).unwrap_or_default() / 2;
    if tree.origin("series:ring:flushBytes") == Some(&Origin::Default)
        && tree.get("series:ring:flushBytes").and_then(|bytes| bytes.as_u64()) > Some(half_ring)
    {
        tree.replace("series:ring:flushBytes", half_ring.into(), &Origin::Derived("series:ring:bytesMax"));
    }
    if !has_file {
        fill_without_file(tree, cwd, findings);
    }
}

/// With no file at all, the server must work as it is, for this host only.
fn fill_without_file(tree: &mut Tree, cwd: &Path, findings: &mut Findings) {
    if !tree.has("dns:domain") {
        let url = listener_url(&Reader { tree, cwd, findings });
        tree.fill("dnsLess:publicUrl", url.into(), &Origin::Derived("http:ip, http:port"));
    }
    let defaults = [
        ("service:name", json!("Coreward")),
        ("service:serial", json!("1")),
        ("service:home", json!("https://github.com/pryv")),
        ("service:support", json!("https://github.com/pryv")),
        ("service:terms", json!("https://pryv.github.io/")),
        ("service:eventTypes", json!("https://pryv.github.io/event-types/flat.json")),
        ("auth:trustedApps", json!(trusted_apps(tree))),
    ];
    for (path, value) in defaults {
        tree.fill(path, value, &Origin::Default);
    }
    // No mail can be sent before an operator says how, so no page is needed for its links.
    for kind in ["welcome", "resetPassword", "verifyEmail"] {
        let path = format!("services:email:enabled:{kind}");
        if tree.origin(&path) == Some(&Origin::Default) {
            tree.replace(&path, false.into(), &Origin::Default);
        }
    }
    // Until the data folder holds them, the secrets only have to look present to the validation.
    for path in ["auth:adminAccessKey", "auth:filesReadTokenSecret"] {
        let data_dir = tree.get("storages:path").as_ref().and_then(Value::as_str).map(|path| cwd.join(path));
        let origin = Origin::Generated(secrets::path(&data_dir.unwrap_or_default()));
        tree.fill(path, GENERATED_LATER.into(), &origin);
    }
}

/// Stands in the tree for a secret that is in the data folder, or will be after the first start.
const GENERATED_LATER: &str = "generated at the first start";

fn listener_url(reader: &Reader<'_>) -> String {
    let host = match reader.text("http:ip").as_deref().map(str::parse) {
        Some(Ok(IpAddr::V6(ip))) if ip != Ipv6Addr::UNSPECIFIED => format!("[{ip}]"),
        Some(Ok(IpAddr::V4(ip))) if ip != Ipv4Addr::UNSPECIFIED => ip.to_string(),
        _ => Ipv4Addr::LOCALHOST.to_string(),
    };
    let port = reader.tree.get("http:port").and_then(|port| port.as_u64()).unwrap_or_default();
    format!("http://{host}:{port}")
}

/// Pages of this host on any port, and of the public URL (the npm client sends the register URL as its origin).
fn trusted_apps(tree: &Tree) -> String {
    let mut patterns = Vec::new();
    for host in ["localhost", "127.0.0.1", "[::1]"] {
        for scheme in ["http", "https"] {
            // Not `host*`: that would also trust `localhost.example.com`.
            patterns.extend(["", ":*", "/*"].map(|end| format!("*@{scheme}://{host}{end}")));
        }
    }
    let public_url = tree.get("dnsLess:publicUrl");
    if let Some(origin) = public_url.as_ref().and_then(Value::as_str).and_then(service::origin_of) {
        patterns.extend([format!("*@{origin}"), format!("*@{origin}/*")]);
    }
    patterns.join(", ")
}

fn typed(tree: Tree, cwd: &Path, file: Option<PathBuf>, warnings: Vec<String>, findings: &mut Findings) -> Config {
    let mut reader = Reader { tree: &tree, cwd, findings };
    let mut config = Config {
        http: reader.http(),
        dns_less: reader.dns_less(),
        dns: reader.dns(),
        core: reader.core(),
        cluster: reader.cluster(),
        auth: reader.auth(),
        service: reader.map("service"),
        event_types: reader.event_types(),
        storages: reader.storages(),
        series: reader.series(),
        upload_bytes_max: reader.upload_bytes_max(),
        ignore_protected_fields: reader.flag("updates:ignoreProtectedFields"),
        versioning: reader.versioning(),
        audit: reader.audit(),
        integrity: reader.integrity(),
        account_streams: account_streams::read(&mut reader),
        access_tracking: reader.flag("accessTracking:isActive"),
        invitation_tokens: reader.texts("invitationTokens").map(|tokens| tokens.into_iter().map(Secret::new).collect()),
        user_account_delete: reader.user_account_delete(),
        metrics: reader.flag("metrics:active"),
        logs: reader.logs(),
        file,
        warnings,
        tree: Tree::default(),
    };
    for secret in [&mut config.auth.admin_access_key, &mut config.auth.files_read_token_secret] {
        if secret.expose() == GENERATED_LATER {
            *secret = Secret::default();
        }
    }
    config.tree = tree;
    config
}
