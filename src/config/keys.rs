//! Every configuration key there is: the reference's (spec 10 section 12 and its neighbours) and our own, in one table.
//!
//! A key outside of this table is an error in a file or an argument. `*` stands for any one segment; below a key of kind
//! `Map`, `List` or `Any` everything is allowed.

use std::fmt;

use Kind::{Any, Bool, Choice, List, Map, Text, Texts, Url};
use Status::{Honoured, Mapped, NoEffect};

#[derive(Debug)]
pub(crate) struct Key {
    /// Segments separated by `:`, as in `--http:port=80`.
    pub(crate) pattern: &'static str,
    pub(crate) kind: Kind,
    /// JSON; empty when there is none.
    pub(crate) default: &'static str,
    pub(crate) status: Status,
    pub(crate) meaning: &'static str,
    /// Never shown.
    pub(crate) secret: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Bool,
    Int {
        min: u64,
        max: u64,
    },
    Number {
        min: f64,
        max: f64,
    },
    Text,
    /// An absolute http or https URL (an empty text counts as unset).
    Url,
    Choice(&'static [&'static str]),
    Texts,
    List,
    Map,
    Any,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Honoured,
    /// Taken over by something else, named here.
    Mapped(&'static str),
    /// Accepted so that a reference file loads; the reason why it does nothing.
    NoEffect(&'static str),
}

impl fmt::Display for Kind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bool => write!(out, "true or false"),
            Kind::Int { min, max: u64::MAX } => write!(out, "an integer of at least {min}"),
            Kind::Int { min, max } => write!(out, "an integer from {min} to {max}"),
            Kind::Number { min, max } => write!(out, "a number from {min} to {max}"),
            Text => write!(out, "a text"),
            Url => write!(out, "an http or https URL"),
            Choice(values) => write!(out, "one of {}", values.join(", ")),
            Texts => write!(out, "a list of texts"),
            List => write!(out, "a list"),
            Map => write!(out, "a map"),
            Any => write!(out, "anything"),
        }
    }
}

const PORT: Kind = Kind::Int { min: 1, max: 65_535 };
const COUNT: Kind = Kind::Int { min: 1, max: 1_000_000 };
const AMOUNT: Kind = Kind::Int { min: 0, max: u64::MAX };
const POSITIVE: Kind = Kind::Int { min: 1, max: u64::MAX };
/// A year: a longer wait is a mistake of unit.
const WAIT_MS: Kind = Kind::Int { min: 1, max: 31_536_000_000 };
const LEVEL: Kind = Choice(&["error", "warn", "info", "debug", "trace"]);
const METHOD: Kind = Choice(&["POST", "GET", "PUT", "PATCH", "DELETE"]);
const POOL_THREADS: Kind = Kind::Int { min: 1, max: 256 };
const PASSWORD_CATEGORIES: Kind = Kind::Int { min: 0, max: 4 };

const H: Status = Honoured;
const LATER: Status = NoEffect("not built yet");
const TLS: Status = NoEffect("TLS is not built yet; refused when switched on");
const DNS: Status = NoEffect("the DNS server is not built yet; refused when switched on");
const ACME: Status = NoEffect("certificates are not built yet; refused when switched on");
const MAIL: Status = NoEffect("mail is not built yet: nothing is sent");
const SSO: Status = NoEffect("SSO is not built yet: no route is mounted");
const OAUTH: Status = NoEffect("OAuth 2 is not built yet: no route is mounted");
const MFA: Status = NoEffect("MFA is not built yet; a mode other than disabled is refused");
const OTHER_ENGINE: Status = NoEffect("this build does not have the engine; refused unless another one is selected");
const CLUSTER: Status = NoEffect("several cores are not built yet");
const PREVIEWS: Status = NoEffect("previews are not built yet");
const PII: Status = NoEffect("the embedded directory never leaves this node; hashing comes with shared directories");
const OUTBOUND: Status = NoEffect("webhooks are not built yet");
const SYSLOG: Status = NoEffect("syslog is not built yet; audit records are stored");

const fn key(pattern: &'static str, kind: Kind, default: &'static str, status: Status, meaning: &'static str) -> Key {
    Key { pattern, kind, default, status, meaning, secret: false }
}

const fn secret(
    pattern: &'static str,
    kind: Kind,
    default: &'static str,
    status: Status,
    meaning: &'static str,
) -> Key {
    Key { pattern, kind, default, status, meaning, secret: true }
}

#[rustfmt::skip] // one key, one line: a table reads as a table
pub(crate) static KEYS: &[Key] = &[
    key("dnsLess:isActive", Bool, "true", H, "path-based routing: users at `publicUrl/<username>/`"),
    key("dnsLess:publicUrl", Url, "", H, "public base URL; only its origin is used"),
    // http
    key("http:ip", Text, "\"127.0.0.1\"", H, "address to listen on"),
    key("http:port", PORT, "3000", H, "port of the API"),
    key("http:hfsPort", PORT, "4000", H, "port of the series paths and `/system/status`"),
    key("http:previewsPort", PORT, "3001", PREVIEWS, "port of the previews"),
    key("http:ssl:keyFile", Text, "", TLS, "private key"),
    key("http:ssl:certFile", Text, "", TLS, "certificate chain"),
    key("http:ssl:caFile", Text, "", TLS, "certificate authorities"),
    key("http:ssl:backloop.dev", Bool, "", TLS, "development certificate"),
    key("http:ssl:tlsDir", Text, "", TLS, "folder of `init-ca-holder`"),
    key("http:limits:headBytesMax", Kind::Int { min: 1024, max: 1_048_576 }, "16384", H, "own: request line and headers, bytes; beyond: 431"),
    key("http:limits:headerCountMax", Kind::Int { min: 8, max: 128 }, "100", H, "own: headers of a request; beyond: 431"),
    key("http:limits:headTimeoutMs", WAIT_MS, "10000", H, "own: from a request's first byte to the end of its head; beyond: 408 and close"),
    key("http:limits:bodyProgressTimeoutMs", WAIT_MS, "30000", H, "own: time in which `progressBytesMin` of a body must arrive; beyond: 408 and close"),
    key("http:limits:writeTimeoutMs", WAIT_MS, "30000", H, "own: time in which a client must take `progressBytesMin` of an answer; beyond: close"),
    key("http:limits:idleTimeoutMs", WAIT_MS, "60000", H, "own: keep-alive connection without a request; beyond: close"),
    key("http:limits:progressBytesMin", Kind::Int { min: 1, max: 1_048_576 }, "4096", H, "own: bytes that count as progress"),
    key("http:limits:connectionsMax", COUNT, "10000", H, "own: connections of each shard; beyond: 503 and close"),
    // storages
    key("storages:path", Text, "\"data\"", H, "own: data folder, relative to the working directory; also `COREWARD_DATA`"),
    key("storages:base:engine", Text, "\"sqlite\"", H, "engine of accounts, streams, events, accesses: `sqlite`"),
    key("storages:platform:engine", Text, "\"sqlite\"", H, "engine of the platform directory: `sqlite`"),
    key("storages:series:engine", Text, "\"native\"", H, "engine of the high-frequency series: `native`"),
    key("storages:file:engine", Text, "\"filesystem\"", H, "engine of the attachments: `filesystem`"),
    key("storages:audit:engine", Text, "\"sqlite\"", H, "engine of the audit log: `sqlite`"),
    key("storages:contentIndexes", List, "[]", H, "indexes for conditions on events: `{ field, path, types? }`, see operations.md"),
    key("storages:engines:sqlite:path", Text, "", Mapped("storages.path (refused when it holds the reference's data)"), "data folder of the reference"),
    key("storages:engines:sqlite:slots", Kind::Int { min: 1, max: 64 }, "4", H, "own: SQLite files the users are spread over; fixed when the data folder is created"),
    key("storages:engines:sqlite:cacheBytes", Kind::Int { min: 1_048_576, max: u64::MAX }, "134217728", H, "own: page cache of all slots together"),
    key("storages:engines:filesystem:previewsDirPath", Text, "", Mapped("storages.path + /previews"), "preview cache of the reference"),
    key("storages:engines:filesystem:attachmentsDirPath", Text, "", Mapped("storages.path + /files"), "attachments folder of older files"),
    secret("storages:engines:postgresql", Map, "", OTHER_ENGINE, "PostgreSQL connection"),
    secret("storages:engines:mongodb", Map, "", OTHER_ENGINE, "MongoDB connection (version 1)"),
    secret("storages:engines:influxdb", Map, "", OTHER_ENGINE, "InfluxDB connection"),
    secret("storages:engines:s3", Map, "", OTHER_ENGINE, "S3 bucket"),
    secret("storages:engines:rqlite", Map, "", OTHER_ENGINE, "rqlite node"),
    // series
    key("series:ring:bytesMax", Kind::Int { min: 1_048_576, max: u64::MAX }, "67108864", H, "own: points in memory, per shard; beyond: 503"),
    key("series:ring:flushBytes", Kind::Int { min: 524_288, max: u64::MAX }, "25165824", H, "own: from here a ring becomes a segment; at most half of `bytesMax`"),
    key("series:ring:flushAfterS", Kind::Int { min: 1, max: 604_800 }, "600", H, "own: a point rests in memory and log at most this long before it becomes part of a segment, seconds"),
    key("series:log:fileBytes", Kind::Int { min: 1_048_576, max: 4_294_967_296 }, "33554432", H, "own: size of a log file; each shard has one in use and one spare"),
    key("series:merge:segmentBytesMax", Kind::Int { min: 1_048_576, max: u64::MAX }, "268435456", H, "own: size up to which segments are merged into one file"),
    key("series:merge:eraseAfterS", Kind::Int { min: 0, max: 86_400 }, "60", H, "own: a deletion waits this long for others before their points are erased from the segments, seconds"),
    key("series:retention", List, "[]", H, "own: how long points are kept: rules `{ types?, streams?, keepDays, then, bucketSeconds? }`, see operations.md"),
    key("series:retentionEveryS", Kind::Int { min: 1, max: 604_800 }, "3600", H, "own: how often the rules of `series.retention` are applied, seconds"),
    // files, invitations
    key("eventFiles:previewsCacheMaxAge", AMOUNT, "604800000", PREVIEWS, "age of cached previews, ms"),
    key("eventFiles:previewsCacheCleanUpCronTime", Text, "\"00 00 2 * * *\"", PREVIEWS, "when the cache is cleaned"),
    secret("invitationTokens", Texts, "", H, "null: everybody may register; a list: only with one of its tokens"),
    // auth
    secret("auth:adminAccessKey", Text, "", H, "key of the administration routes (required; generated without a file)"),
    secret("auth:filesReadTokenSecret", Text, "", H, "secret behind the read tokens of files (required; generated without a file)"),
    key("auth:trustedApps", Text, "", H, "`appId@origin` patterns, separated by commas (without a file: this host's origins)"),
    key("auth:passwordHash", Choice(&["argon2id", "bcrypt"]), "\"argon2id\"", H, "own: hash of new passwords; `bcrypt` stays exportable to the reference"),
    key("auth:passwordResetPageURL", Url, "", MAIL, "page that receives the reset token"),
    key("auth:emailVerificationPageURL", Url, "", MAIL, "page that receives the verification token"),
    key("auth:sessionMaxAge", POSITIVE, "1209600000", H, "life of an unused session, ms"),
    key("auth:passwordResetRequestMaxAge", POSITIVE, "3600000", LATER, "life of a reset token, ms"),
    key("auth:usernameChangeLimit", AMOUNT, "2", LATER, "username changes an account may make"),
    key("auth:ssoCookieDomain", Text, "", NoEffect("nothing reads the legacy cookie"), "legacy cookie"),
    secret("auth:ssoCookieSignSecret", Text, "", NoEffect("nothing reads the legacy cookie"), "legacy cookie"),
    key("auth:passwordComplexityMinCharCategories", PASSWORD_CATEGORIES, "0", H, "kinds of characters a password needs; 0: off"),
    key("auth:passwordComplexityMinLength", Kind::Int { min: 0, max: 100 }, "0", H, "length a password needs; 0: off"),
    key("auth:passwordAgeMaxDays", AMOUNT, "0", LATER, "days until a password must be changed; 0: off"),
    key("auth:passwordAgeMinDays", AMOUNT, "0", LATER, "days until a password can be changed; 0: off"),
    key("auth:passwordPreventReuseHistoryLength", AMOUNT, "0", LATER, "former passwords that cannot be used; 0: off"),
    key("access:defaultAuthUrl", Url, "", LATER, "sign-in page of access requests"),
    key("access:trustedAuthUrls", Texts, "[]", LATER, "other sign-in pages a request may name"),
    key("accessState:sweepIntervalMs", WAIT_MS, "900000", LATER, "how often expired access requests are swept"),
    key("appList", Map, "", LATER, "applications shown at `/apps`"),
    // service
    key("service:name", Text, "", H, "name of the platform (required)"),
    key("service:serial", Text, "", H, "changes when the service information does (required)"),
    key("service:home", Text, "", H, "home page (required)"),
    key("service:support", Text, "", H, "support page (required)"),
    key("service:terms", Text, "", H, "terms of use (required)"),
    key("service:eventTypes", Text, "", H, "URL of the event types (required)"),
    key("eventTypes:refreshEveryS", Kind::Int { min: 0, max: 31_536_000 }, "86400", H, "own: how often the list behind `service.eventTypes` is fetched again, seconds; 0: at the start only"),
    key("service:api", Text, "", H, "API template; derived from `dnsLess.publicUrl` or `dns.domain`"),
    key("service:register", Text, "", H, "registration URL; derived likewise"),
    key("service:access", Text, "", H, "access-request URL; derived likewise"),
    key("service:assets", Map, "", H, "assets; derived when absent"),
    key("service:features", Map, "", H, "feature flags, merged with the derived ones"),
    key("service:*", Any, "", H, "passed through"),
    key("serviceInfoUrl", Text, "", H, "`file://` of a service information, below `service.*` of the file"),
    // sign-in extensions
    key("sso:enabled", Bool, "false", SSO, "OpenID Connect sign-in"),
    key("sso:landingPageURL", Text, "\"\"", SSO, "page after the sign-in"),
    key("sso:callbackBaseURL", Text, "\"\"", SSO, "public https base of the callbacks"),
    secret("sso:providers", Any, "", SSO, "`id: { issuer, clientId, clientSecret, label? }`"),
    key("customExtensions:defaultFolder", Text, "", NoEffect("no JavaScript plug-ins"), "folder of plug-ins"),
    key("customExtensions:customAuthStepFn", Text, "\"\"", NoEffect("no JavaScript plug-ins; refused when set"), "plug-in of the authentication"),
    key("services:mfa:mode", Choice(&["disabled", "challenge-verify", "single"]), "\"disabled\"", MFA, "second factor"),
    secret("services:mfa:sms:endpoints:*:url", Text, "", MFA, "SMS provider"),
    key("services:mfa:sms:endpoints:*:method", METHOD, "", MFA, "SMS provider"),
    secret("services:mfa:sms:endpoints:*:body", Any, "", MFA, "SMS provider"),
    secret("services:mfa:sms:endpoints:*:headers", Map, "", MFA, "SMS provider"),
    key("services:mfa:sessions:ttlSeconds", POSITIVE, "1800", MFA, "life of an `mfaToken`"),
    key("services:email:enabled", Bool, "", MAIL, "false switches all mail off"),
    key("services:email:enabled:welcome", Bool, "true", MAIL, "welcome mail"),
    key("services:email:enabled:resetPassword", Bool, "true", MAIL, "password reset mail"),
    key("services:email:enabled:verifyEmail", Bool, "false", MAIL, "address verification mail"),
    key("services:email:method", Choice(&["in-process", "microservice", "mandrill"]), "\"in-process\"", MAIL, "transport"),
    key("services:email:url", Text, "\"http://127.0.0.1:9000/sendmail/\"", MAIL, "external mailer"),
    secret("services:email:key", Text, "\"\"", MAIL, "key of the external mailer"),
    key("services:email:welcomeTemplate", Text, "\"welcome-email\"", MAIL, "template"),
    key("services:email:resetPasswordTemplate", Text, "\"reset-password\"", MAIL, "template"),
    key("services:email:verifyEmailTemplate", Text, "\"verify-email\"", MAIL, "template"),
    key("services:email:defaultLang", Text, "\"en\"", MAIL, "language when the user's has no template"),
    key("services:email:templatesRootDir", Text, "\"\"", MAIL, "templates of the first start"),
    key("services:email:smtp:host", Text, "\"\"", MAIL, "SMTP server"),
    key("services:email:smtp:port", PORT, "587", MAIL, "SMTP server"),
    key("services:email:smtp:secure", Bool, "false", MAIL, "TLS from the first byte"),
    key("services:email:smtp:auth:user", Text, "\"\"", MAIL, "SMTP user"),
    secret("services:email:smtp:auth:pass", Text, "\"\"", MAIL, "SMTP password"),
    secret("services:email:smtp:*", Any, "", MAIL, "other options of the SMTP library"),
    key("services:email:from:name", Text, "\"\"", MAIL, "sender"),
    key("services:email:from:address", Text, "\"\"", MAIL, "sender"),
    key("testNotifications:enabled", Bool, "false", NoEffect("of the reference's own tests"), "test notifications"),
    // behaviour of the API
    key("updates:ignoreProtectedFields", Bool, "false", H, "ignore instead of refuse read-only fields in updates"),
    key("tcpBroker:port", PORT, "4222", NoEffect("one process: no broker"), "messages between processes"),
    key("webhooks:minIntervalMs", AMOUNT, "5000", OUTBOUND, "shortest time between two calls"),
    key("webhooks:maxRetries", AMOUNT, "5", OUTBOUND, "retries of a failed call"),
    key("webhooks:runsSize", AMOUNT, "20", OUTBOUND, "runs kept"),
    key("webhooks:inProcess", Bool, "true", OUTBOUND, "run the dispatcher"),
    key("versioning:forceKeepHistory", Bool, "false", H, "keep the former versions of events"),
    key("versioning:deletionMode", Choice(&["keep-nothing", "keep-authors", "keep-everything"]), "\"keep-nothing\"", H, "what stays of a deleted event"),
    key("user-account:delete", Texts, "[\"adminToken\"]", H, "who may delete an account: `adminToken`, `personalToken`"),
    key("account:maxEmails", Kind::Int { min: 1, max: 20 }, "5", LATER, "e-mail addresses of an account"),
    key("account:emailVerification:tokenMaxAgeMs", POSITIVE, "86400000", MAIL, "life of a verification token"),
    key("account:emailVerification:resendCooldownMs", AMOUNT, "300000", MAIL, "shortest time between two verification mails"),
    key("custom:systemStreams:account", List, "", H, "account fields: `{ id, type, name?, default?, isIndexed?, isUnique?, isShown?, isEditable?, isRequiredInValidation?, regexValidation?, regexError?, children? }`; without a list: the e-mail address"),
    key("custom:systemStreams:other", List, "", NoEffect("validated, but no store serves them (as in the reference)"), "other system streams"),
    key("custom:dataStores", List, "[]", NoEffect("no JavaScript plug-ins; refused when set"), "data store plug-ins"),
    key("caching:isActive", Bool, "true", NoEffect("a user's space on its shard is never stale"), "caches"),
    // logs
    key("logs:console:active", Bool, "false", H, "log on the console; also `LOGS=<level>`"),
    key("logs:console:level", LEVEL, "\"info\"", H, "level of the console"),
    key("logs:console:format:color", Bool, "true", H, "colours"),
    key("logs:console:format:time", Bool, "true", H, "time stamps"),
    key("logs:console:format:aligned", Bool, "true", NoEffect("one layout"), "aligned columns"),
    key("logs:console:format:json", Bool, "false", H, "one JSON object per line; also `LOG_FORMAT=json`"),
    key("logs:file:active", Bool, "false", LATER, "log in a file"),
    key("logs:file:path", Text, "\"var-pryv/logs/core.log\"", LATER, "its path"),
    key("logs:file:level", LEVEL, "\"info\"", LATER, "its level"),
    key("logs:file:rotation:isActive", Bool, "true", LATER, "daily rotation"),
    key("logs:file:rotation:days", COUNT, "14", LATER, "days kept"),
    key("logs:file:maxFileBytes", POSITIVE, "", LATER, "rotation by size"),
    key("logs:file:maxNbFiles", COUNT, "", LATER, "rotation by size"),
    key("logs:fileSync:active", Bool, "false", LATER, "synchronous log file"),
    key("logs:fileSync:path", Text, "\"var-pryv/logs/core-sync.log\"", LATER, "its path"),
    key("logs:fileSync:level", LEVEL, "\"warn\"", LATER, "its level"),
    key("logs:custom:active", Bool, "false", NoEffect("no JavaScript plug-ins"), "log plug-in"),
    key("logs:custom:path", Text, "", NoEffect("no JavaScript plug-ins"), "log plug-in"),
    secret("logs:custom:settings", Any, "", NoEffect("no JavaScript plug-ins"), "log plug-in"),
    key("uploads:maxSizeMb", Kind::Number { min: 0.001, max: 4096.0 }, "50", H, "size of a body, or of each uploaded file; beyond: 400"),
    key("trace:enable", Bool, "false", NoEffect("hop timings are in `/metrics`"), "tracing"),
    key("metrics:active", Bool, "true", H, "own: `/metrics`, for the loopback interface or the admin key"),
    key("integrity:isActive:attachments", Bool, "true", H, "hashes of attachments"),
    key("integrity:isActive:events", Bool, "true", H, "hashes of events"),
    key("integrity:isActive:accesses", Bool, "true", H, "hashes of accesses"),
    key("integrity:algorithm", Choice(&["sha1", "sha256", "sha512"]), "\"sha256\"", H, "hash of the integrity fields"),
    key("accessTracking:isActive", Bool, "true", H, "`lastUsed` and `calls` of accesses"),
    // core, dns, cluster
    key("core:id", Text, "\"single\"", H, "name of this core"),
    key("core:ip", Text, "", CLUSTER, "its address"),
    key("core:ipv6", Text, "", CLUSTER, "its address"),
    key("core:cname", Text, "", CLUSTER, "its name"),
    key("core:hosting", Text, "", H, "hosting this core belongs to"),
    key("core:available", Bool, "true", CLUSTER, "takes new users"),
    key("core:nonVoter", Bool, "false", CLUSTER, "joins the directory without a vote"),
    key("core:url", Url, "", H, "explicit public URL of this core"),
    key("dns:domain", Text, "", H, "domain mode: users at `https://<username>.<domain>/`"),
    key("dns:active", Bool, "false", DNS, "embedded DNS server"),
    key("dns:port", PORT, "5353", DNS, "its port"),
    key("dns:ip", Text, "\"0.0.0.0\"", DNS, "its address"),
    key("dns:ip6", Text, "", DNS, "its address"),
    key("dns:publicIp", Text, "", DNS, "public address of this core"),
    key("dns:defaultTTL", AMOUNT, "300", DNS, "seconds"),
    key("dns:staticEntries:*", Any, "", H, "names that are not users; served by the DNS server when built"),
    key("dns:records:root", Map, "", DNS, "records of the domain itself"),
    key("hostings", Any, "", H, "`{ regions: … }` of `/reg/hostings`"),
    key("cluster:shards", Kind::Int { min: 1, max: 1024 }, "", H, "own: threads that own users; default: one for each processor core"),
    key("cluster:driver", Choice(&["auto", "epoll"]), "\"auto\"", H, "own: `epoll` never tries io_uring; also `COREWARD_DRIVER`"),
    key("cluster:pin", Bool, "true", H, "own: pin each shard to a processor core of its own, when there are enough"),
    key("cluster:mailbox:messagesMax", COUNT, "1024", H, "own: messages a shard holds for its users; beyond: 503"),
    key("cluster:pool:dbThreads", POOL_THREADS, "4", H, "own: threads for the embedded engine"),
    key("cluster:pool:cpuThreads", POOL_THREADS, "", H, "own: threads for password hashes and large bodies; default: half of the processor cores"),
    key("cluster:pool:fileThreads", POOL_THREADS, "4", H, "own: threads for attachments"),
    key("cluster:pool:jobsMax", COUNT, "4096", H, "own: jobs that wait in each lane of the pool; beyond: 503"),
    key("cluster:apiWorkers", Kind::Int { min: 0, max: 1024 }, "2", Mapped("cluster.shards decides; 0 is refused"), "API processes of the reference"),
    key("cluster:hfsWorkers", Kind::Int { min: 0, max: 1024 }, "1", Mapped("cluster.shards decides; 0 closes http.hfsPort and sets features.noHF"), "series processes of the reference"),
    key("cluster:previewsWorker", Bool, "true", NoEffect("previews are not built yet"), "previews process of the reference"),
    key("cluster:discoveryEnabled", Bool, "", CLUSTER, "peers by DNS"),
    key("cluster:ca:path", Text, "\"/etc/pryv/ca\"", CLUSTER, "certificate authority of the cluster"),
    key("cluster:tokens:path", Text, "\"/var/lib/pryv/bootstrap-tokens.json\"", CLUSTER, "join tokens"),
    key("platform:piiMode", Choice(&["hashed", "cleartext"]), "\"hashed\"", PII, "personal data in the directory"),
    secret("platform:piiHmacKey", Text, "\"\"", PII, "its key, base64 of 32 bytes"),
    key("platform:piiAlgorithm", Choice(&["hmac-sha256"]), "\"hmac-sha256\"", PII, "its algorithm"),
    key("letsEncrypt:enabled", Bool, "false", ACME, "certificates from Let's Encrypt"),
    key("letsEncrypt:email", Text, "", ACME, "contact"),
    secret("letsEncrypt:atRestKey", Text, "", ACME, "key of the stored private keys"),
    key("letsEncrypt:renewBeforeDays", COUNT, "30", ACME, "renewal"),
    key("letsEncrypt:staging", Bool, "false", ACME, "test authority"),
    key("letsEncrypt:tlsDir", Text, "\"var-pryv/tls\"", ACME, "folder of the certificates"),
    key("letsEncrypt:certRenewer", Bool, "false", ACME, "this core renews"),
    key("letsEncrypt:onRotateScript", Text, "", ACME, "script after a renewal"),
    key("letsEncrypt:directoryUrl", Url, "", ACME, "other authority"),
    key("observability:enabled", Bool, "", LATER, "OTLP export"),
    key("observability:appName", Text, "", LATER, "its name"),
    key("observability:otlp:endpoint", Text, "\"\"", LATER, "collector"),
    secret("observability:otlp:headers", Any, "", LATER, "headers for the collector"),
    key("observability:otlp:flushIntervalSeconds", POSITIVE, "300", LATER, "interval"),
    key("migrations:autoRunOnStart", Bool, "true", NoEffect("own data formats are always migrated at start"), "schema migrations"),
    // audit
    key("audit:active", Bool, "true", H, "audit log"),
    key("audit:onUserDelete", Text, "\"erase\"", H, "what happens to the log of an erased user: `erase`, `keep`"),
    key("audit:storage:filter:methods:include", Texts, "[\"all\"]", H, "methods stored"),
    key("audit:storage:filter:methods:exclude", Texts, "[]", H, "methods not stored"),
    key("audit:syslog:active", Bool, "false", SYSLOG, "audit lines to syslog"),
    key("audit:syslog:options", Map, "", SYSLOG, "transport"),
    key("audit:syslog:formats", Map, "", SYSLOG, "templates"),
    key("audit:syslog:filter", Map, "", SYSLOG, "methods"),
    // oauth and the rest
    key("oauth:issuer", Url, "", OAUTH, "issuer"),
    key("oauth:consentUrl", Url, "", OAUTH, "consent page"),
    key("oauth:accessTokenTTL", POSITIVE, "3600", OAUTH, "seconds"),
    key("oauth:refreshTokenTTL", POSITIVE, "2592000", OAUTH, "seconds, sliding"),
    key("oauth:refreshTokenAbsoluteTTL", POSITIVE, "7776000", OAUTH, "seconds, hard limit"),
    key("oauth:refreshReuseGraceSeconds", AMOUNT, "10", OAUTH, "seconds; 0: strict"),
    key("oauth:dpop:clockSkewSeconds", AMOUNT, "120", OAUTH, "seconds"),
    key("oauth:dpop:keyRevokeCheckSeconds", AMOUNT, "30", OAUTH, "seconds"),
    key("oauth:clientRevokeCheckSeconds", AMOUNT, "30", OAUTH, "seconds"),
    key("oauth:clientRegistration:mode", Choice(&["curated"]), "\"curated\"", OAUTH, "who registers clients"),
    // Spec 10 can be read as placing these three below `clientRegistration`, spec 12 places them beside it.
    key("oauth:clientRegistration:requireAppAccountMfa", Bool, "", OAUTH, "not read by the reference"),
    key("oauth:clientRegistration:audAllowList", Texts, "", OAUTH, "not read by the reference"),
    key("oauth:clientRegistration:grantTypesSupported", Texts, "", OAUTH, "discovery"),
    key("oauth:requireAppAccountMfa", Bool, "true", OAUTH, "not read by the reference"),
    key("oauth:audAllowList", Texts, "[]", OAUTH, "not read by the reference"),
    key("oauth:grantTypesSupported", Texts, "[\"authorization_code\"]", OAUTH, "discovery"),
    key("sharedSecrets:enabled", Bool, "true", LATER, "one-time secrets"),
    key("sharedSecrets:maxSizeBytes", POSITIVE, "4096", LATER, "size"),
    key("sharedSecrets:maxTtl", POSITIVE, "2592000", LATER, "life, seconds"),
    key("reporting:templateVersion", Text, "\"1.0.0\"", NoEffect("nothing is reported"), "reporting"),
];
