//! The typed sections of the configuration, read once from the merged tree.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value};
use storage::embedded::ContentIndex;

use super::content_indexes;
use super::error::Findings;
use super::retention::{self, RetentionRule};
use super::secrets::Secret;
use super::service::origin_of;
use super::tree::Tree;

#[derive(Clone, Debug)]
pub(crate) struct Http {
    pub(crate) ip: IpAddr,
    pub(crate) port: u16,
    pub(crate) hfs_port: u16,
    pub(crate) limits: HttpLimits,
}

#[derive(Clone, Debug)]
pub(crate) struct HttpLimits {
    pub(crate) head_bytes_max: usize,
    pub(crate) header_count_max: usize,
    pub(crate) head_timeout: Duration,
    pub(crate) body_progress_timeout: Duration,
    pub(crate) write_timeout: Duration,
    pub(crate) idle_timeout: Duration,
    pub(crate) progress_bytes_min: usize,
    /// Of each shard.
    pub(crate) connections_max: usize,
}

#[derive(Clone, Debug)]
pub(crate) struct DnsLess {
    pub(crate) is_active: bool,
    /// Origin only: no path, no final slash.
    pub(crate) public_url: Option<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct Dns {
    pub(crate) domain: Option<String>,
    /// Lower-case names that are not users although they are below the domain.
    pub(crate) static_names: BTreeSet<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct Core {
    pub(crate) id: String,
    /// Without a final slash.
    pub(crate) url: Option<String>,
    pub(crate) hosting: Option<String>,
    pub(crate) available: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Driver {
    /// io_uring, or epoll when the ring is refused.
    Auto,
    Epoll,
}

#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    pub(crate) shards: usize,
    pub(crate) driver: Driver,
    pub(crate) pin: bool,
    pub(crate) mailbox_messages_max: usize,
    pub(crate) pool: Pool,
    /// False closes `http.hfsPort` and sets `features.noHF`.
    pub(crate) hfs: bool,
}

/// Threads of the blocking lanes.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    pub(crate) db_threads: usize,
    pub(crate) cpu_threads: usize,
    pub(crate) file_threads: usize,
    /// Jobs that wait in each lane.
    pub(crate) jobs_max: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PasswordHash {
    Argon2id,
    Bcrypt,
}

#[derive(Clone, Debug)]
pub(crate) struct Auth {
    /// Empty only before `Config::ensure_secrets`.
    pub(crate) admin_access_key: Secret,
    /// Empty only before `Config::ensure_secrets`.
    pub(crate) files_read_token_secret: Secret,
    /// Unset: the methods for trusted applications fail (spec 02, section 1).
    pub(crate) trusted_apps: Option<String>,
    pub(crate) session_max_age: Duration,
    pub(crate) password_hash: PasswordHash,
    /// 0: off.
    pub(crate) password_min_char_categories: u64,
    /// 0: off.
    pub(crate) password_min_length: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct EventTypesSettings {
    /// `service.eventTypes`
    pub(crate) url: String,
    /// Zero: at the start only.
    pub(crate) refresh_every: Duration,
}

#[derive(Clone, Debug)]
pub(crate) struct Storages {
    /// Absolute.
    pub(crate) data_dir: PathBuf,
    pub(crate) slots: usize,
    /// Of all slots together.
    pub(crate) cache_bytes: u64,
    pub(crate) content_indexes: Vec<ContentIndex>,
}

#[derive(Clone, Debug)]
pub(crate) struct Series {
    /// Per shard.
    pub(crate) ring_bytes_max: u64,
    /// Per shard.
    pub(crate) flush_bytes: u64,
    /// A point rests in memory and log at most this long.
    pub(crate) flush_after: Duration,
    pub(crate) log_file_bytes: u64,
    /// Upper bound of a merged segment file.
    pub(crate) segment_bytes_max: u64,
    /// How long a deletion waits for others before the segments that hold its points are rewritten.
    pub(crate) erase_after: Duration,
    /// The first that matches a series counts.
    pub(crate) retention: Vec<RetentionRule>,
    /// How often retention is applied.
    pub(crate) retention_every: Duration,
}

/// What stays of a deleted event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeletionMode {
    Nothing,
    Authors,
    Everything,
}

#[derive(Clone, Debug)]
pub(crate) struct Versioning {
    pub(crate) force_keep_history: bool,
    pub(crate) deletion_mode: DeletionMode,
}

#[derive(Clone, Debug)]
pub(crate) struct Audit {
    pub(crate) active: bool,
    /// The log outlives its erased user.
    pub(crate) keep_on_user_delete: bool,
    pub(crate) include: Vec<String>,
    pub(crate) exclude: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HashAlgorithm {
    Sha1,
    Sha256,
    Sha512,
}

#[derive(Clone, Debug)]
pub(crate) struct Integrity {
    pub(crate) attachments: bool,
    pub(crate) events: bool,
    pub(crate) accesses: bool,
    pub(crate) algorithm: HashAlgorithm,
}

/// Who may delete an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UserAccountDelete {
    pub(crate) admin_token: bool,
    pub(crate) personal_token: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Logs {
    pub(crate) active: bool,
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub(crate) level: String,
    pub(crate) color: bool,
    pub(crate) time: bool,
    pub(crate) json: bool,
}

/// The sections, and the working directory that relative paths start from.
pub(super) struct Reader<'a> {
    pub(super) tree: &'a Tree,
    pub(super) cwd: &'a Path,
    pub(super) findings: &'a mut Findings,
}

impl Reader<'_> {
    pub(super) fn http(&mut self) -> Http {
        let text = self.text("http:ip").unwrap_or_default();
        let ip = text.parse().unwrap_or_else(|_| {
            self.findings.rule("http:ip", "must be an IPv4 or IPv6 address to listen on, such as 127.0.0.1 or 0.0.0.0");
            IpAddr::V4(Ipv4Addr::LOCALHOST)
        });
        let limits = HttpLimits {
            head_bytes_max: self.size("http:limits:headBytesMax"),
            header_count_max: self.size("http:limits:headerCountMax"),
            head_timeout: self.duration_ms("http:limits:headTimeoutMs"),
            body_progress_timeout: self.duration_ms("http:limits:bodyProgressTimeoutMs"),
            write_timeout: self.duration_ms("http:limits:writeTimeoutMs"),
            idle_timeout: self.duration_ms("http:limits:idleTimeoutMs"),
            progress_bytes_min: self.size("http:limits:progressBytesMin"),
            connections_max: self.size("http:limits:connectionsMax"),
        };
        Http { ip, port: self.port("http:port"), hfs_port: self.port("http:hfsPort"), limits }
    }

    pub(super) fn dns_less(&self) -> DnsLess {
        let public_url = self.text("dnsLess:publicUrl").and_then(|url| origin_of(&url));
        DnsLess { is_active: self.flag("dnsLess:isActive"), public_url }
    }

    pub(super) fn dns(&self) -> Dns {
        let entries = self.map("dns:staticEntries");
        let static_names = entries.keys().map(|name| name.to_lowercase()).collect();
        Dns { domain: self.text("dns:domain").map(|domain| domain.to_lowercase()), static_names }
    }

    pub(super) fn core(&self) -> Core {
        Core {
            id: self.text("core:id").unwrap_or_default(),
            url: self.text("core:url").map(|url| url.trim_end_matches('/').to_owned()),
            hosting: self.text("core:hosting"),
            available: self.flag("core:available"),
        }
    }

    pub(super) fn cluster(&self) -> Cluster {
        let driver = if self.text("cluster:driver").as_deref() == Some("epoll") { Driver::Epoll } else { Driver::Auto };
        Cluster {
            shards: self.size("cluster:shards"),
            driver,
            pin: self.flag("cluster:pin"),
            mailbox_messages_max: self.size("cluster:mailbox:messagesMax"),
            pool: Pool {
                db_threads: self.size("cluster:pool:dbThreads"),
                cpu_threads: self.size("cluster:pool:cpuThreads"),
                file_threads: self.size("cluster:pool:fileThreads"),
                jobs_max: self.size("cluster:pool:jobsMax"),
            },
            hfs: self.integer("cluster:hfsWorkers") > 0,
        }
    }

    pub(super) fn auth(&self) -> Auth {
        let bcrypt = self.text("auth:passwordHash").as_deref() == Some("bcrypt");
        Auth {
            admin_access_key: Secret::new(self.text("auth:adminAccessKey").unwrap_or_default()),
            files_read_token_secret: Secret::new(self.text("auth:filesReadTokenSecret").unwrap_or_default()),
            trusted_apps: self.text("auth:trustedApps"),
            session_max_age: self.duration_ms("auth:sessionMaxAge"),
            password_hash: if bcrypt { PasswordHash::Bcrypt } else { PasswordHash::Argon2id },
            password_min_char_categories: self.integer("auth:passwordComplexityMinCharCategories"),
            password_min_length: self.integer("auth:passwordComplexityMinLength"),
        }
    }

    pub(super) fn event_types(&self) -> EventTypesSettings {
        EventTypesSettings {
            url: self.text("service:eventTypes").unwrap_or_default(),
            refresh_every: self.duration_s("eventTypes:refreshEveryS"),
        }
    }

    pub(super) fn storages(&mut self) -> Storages {
        let path = self.text("storages:path").unwrap_or_default();
        Storages {
            data_dir: self.cwd.join(path),
            slots: self.size("storages:engines:sqlite:slots"),
            cache_bytes: self.integer("storages:engines:sqlite:cacheBytes"),
            content_indexes: self.content_indexes(),
        }
    }

    fn content_indexes(&mut self) -> Vec<ContentIndex> {
        let list = self.tree.get(content_indexes::KEY);
        list.as_ref()
            .and_then(Value::as_array)
            .map_or_else(Vec::new, |list| content_indexes::indexes(list, self.findings))
    }

    pub(super) fn series(&mut self) -> Series {
        Series {
            ring_bytes_max: self.integer("series:ring:bytesMax"),
            flush_bytes: self.integer("series:ring:flushBytes"),
            flush_after: self.duration_s("series:ring:flushAfterS"),
            log_file_bytes: self.integer("series:log:fileBytes"),
            segment_bytes_max: self.integer("series:merge:segmentBytesMax"),
            erase_after: self.duration_s("series:merge:eraseAfterS"),
            retention: self.retention(),
            retention_every: self.duration_s("series:retentionEveryS"),
        }
    }

    fn retention(&mut self) -> Vec<RetentionRule> {
        let list = self.tree.get(retention::KEY);
        match (list.as_ref().and_then(Value::as_array), self.tree.origin(retention::KEY)) {
            (Some(list), Some(origin)) => retention::rules(list, origin, self.findings),
            _ => Vec::new(),
        }
    }

    pub(super) fn versioning(&self) -> Versioning {
        let deletion_mode = match self.text("versioning:deletionMode").as_deref() {
            Some("keep-everything") => DeletionMode::Everything,
            Some("keep-authors") => DeletionMode::Authors,
            _ => DeletionMode::Nothing,
        };
        Versioning { force_keep_history: self.flag("versioning:forceKeepHistory"), deletion_mode }
    }

    pub(super) fn audit(&self) -> Audit {
        Audit {
            active: self.flag("audit:active"),
            keep_on_user_delete: self.text("audit:onUserDelete").as_deref() == Some("keep"),
            include: self.texts("audit:storage:filter:methods:include").unwrap_or_default(),
            exclude: self.texts("audit:storage:filter:methods:exclude").unwrap_or_default(),
        }
    }

    pub(super) fn integrity(&self) -> Integrity {
        let algorithm = match self.text("integrity:algorithm").as_deref() {
            Some("sha1") => HashAlgorithm::Sha1,
            Some("sha512") => HashAlgorithm::Sha512,
            _ => HashAlgorithm::Sha256,
        };
        Integrity {
            attachments: self.flag("integrity:isActive:attachments"),
            events: self.flag("integrity:isActive:events"),
            accesses: self.flag("integrity:isActive:accesses"),
            algorithm,
        }
    }

    pub(super) fn user_account_delete(&mut self) -> UserAccountDelete {
        const KEY: &str = "user-account:delete";
        let names = self.texts(KEY).unwrap_or_default();
        if !names.iter().all(|name| name == "adminToken" || name == "personalToken") {
            self.findings.rule(KEY, "may only list adminToken and personalToken");
        }
        let has = |wanted: &str| names.iter().any(|name| name == wanted);
        UserAccountDelete { admin_token: has("adminToken"), personal_token: has("personalToken") }
    }

    pub(super) fn logs(&self) -> Logs {
        Logs {
            active: self.flag("logs:console:active"),
            level: self.text("logs:console:level").unwrap_or_default(),
            color: self.flag("logs:console:format:color"),
            time: self.flag("logs:console:format:time"),
            json: self.flag("logs:console:format:json"),
        }
    }

    /// `uploads.maxSizeMb` in bytes. Printed without a fraction and parsed: the range check keeps it far inside u64.
    pub(super) fn upload_bytes_max(&self) -> u64 {
        const BYTES_PER_MB: f64 = 1_048_576.0;
        let megabytes = self.tree.get("uploads:maxSizeMb").and_then(|value| value.as_f64()).unwrap_or_default();
        format!("{:.0}", megabytes * BYTES_PER_MB).parse().unwrap_or_default()
    }

    pub(super) fn flag(&self, path: &str) -> bool {
        self.tree.get(path).and_then(|value| value.as_bool()).unwrap_or_default()
    }

    /// An empty text counts as unset, as in the reference's defaults.
    pub(super) fn text(&self, path: &str) -> Option<String> {
        let value = self.tree.get(path)?;
        value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
    }

    pub(super) fn texts(&self, path: &str) -> Option<Vec<String>> {
        let value = self.tree.get(path)?;
        Some(value.as_array()?.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect())
    }

    pub(super) fn map(&self, path: &str) -> Map<String, Value> {
        match self.tree.get(path) {
            Some(Value::Object(fields)) => fields,
            _ => Map::new(),
        }
    }

    pub(super) fn integer(&self, path: &str) -> u64 {
        self.tree.get(path).and_then(|value| value.as_u64()).unwrap_or_default()
    }

    fn size(&self, path: &str) -> usize {
        usize::try_from(self.integer(path)).unwrap_or(usize::MAX)
    }

    fn port(&self, path: &str) -> u16 {
        u16::try_from(self.integer(path)).unwrap_or_default()
    }

    fn duration_s(&self, path: &str) -> Duration {
        Duration::from_secs(self.integer(path))
    }

    fn duration_ms(&self, path: &str) -> Duration {
        Duration::from_millis(self.integer(path))
    }
}
