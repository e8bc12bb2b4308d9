//! The behaviour of the whole module: sources, precedence, validation, defaults, what is shown.

use std::fs;
use std::path::Path;

use serde_json::json;
use tempfile::TempDir;

use super::retention::Then;
use super::settings::{DeletionMode, Driver, HashAlgorithm, PasswordHash};
use super::*;

/// A file that passes the validation.
const VALID: &str = "
service:
  name: Test
  serial: 2019062301
  home: https://home.example.com
  support: https://support.example.com
  terms: https://terms.example.com
  eventTypes: https://types.example.com/flat.json
dnsLess: { publicUrl: 'http://localhost:3000' }
auth: { adminAccessKey: hush-admin, filesReadTokenSecret: hush-files }
services: { email: { enabled: false } }
";

struct Case {
    folder: TempDir,
    args: Args,
    env: Vec<(String, String)>,
}

impl Case {
    fn without_file() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), args: Args::default(), env: Vec::new() }
    }

    fn with_file(text: &str) -> Self {
        let mut case = Self::without_file();
        fs::write(case.folder.path().join("c.yml"), text).unwrap();
        case.args.config_file = Some("c.yml".into());
        case
    }

    /// A valid file with these keys in the override file.
    fn valid_with(text: &str) -> Self {
        Self::with_file(VALID).over(text)
    }

    fn over(self, text: &str) -> Self {
        fs::write(self.folder.path().join("override-config.yml"), text).unwrap();
        self
    }

    fn arg(mut self, key: &str, value: &str) -> Self {
        self.args.overrides.push((key.to_owned(), value.to_owned()));
        self
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    fn load(&self) -> Result<Config, ConfigErrors> {
        load(&self.args, self.env.clone().into_iter(), self.folder.path())
    }

    fn config(&self) -> Config {
        self.load().unwrap_or_else(|errors| panic!("{errors}"))
    }

    /// The findings as `[path] text`.
    fn problems(&self) -> Vec<String> {
        let errors = self.load().expect_err("the configuration is wrong");
        errors.findings.iter().map(|finding| format!("[{}] {}", finding.path, finding.problem)).collect()
    }

    /// The paths of the findings.
    fn wrong_keys(&self) -> Vec<String> {
        let errors = self.load().expect_err("the configuration is wrong");
        errors.findings.into_iter().map(|finding| finding.path).collect()
    }
}

pub(super) fn config(arguments: &[(&str, &str)], env: &[(&str, &str)]) -> Config {
    let case = arguments.iter().fold(Case::without_file(), |case, (key, value)| case.arg(key, value));
    env.iter().fold(case, |case, (name, value)| case.env(name, value)).config()
}

pub(super) fn loaded(over: &str) -> Config {
    Case::valid_with(over).config()
}

#[test]
fn the_override_file_beats_arguments_beat_environment_beats_the_file_beats_defaults() {
    let all =
        Case::with_file(&format!("{VALID}\nhttp: {{port: 1001, hfsPort: 1001, ip: 10.0.0.1}}\ncluster: {{shards: 1}}"))
            .env("http__port", "1002")
            .env("http__hfsPort", "1002")
            .env("cluster__shards", "2")
            .arg("http:port", "1003")
            .arg("cluster:shards", "3")
            .over("cluster: {shards: 4}");
    let config = all.config();
    assert_eq!(config.cluster.shards, 4);
    assert_eq!(config.http.port, 1003);
    assert_eq!(config.http.hfs_port, 1002);
    assert_eq!(config.http.ip.to_string(), "10.0.0.1");
    assert_eq!(config.upload_bytes_max, 50 * 1024 * 1024);
    let folder = all.folder.path();
    assert_eq!(config.origin("cluster:shards"), Some(&Origin::OverrideFile(folder.join("override-config.yml"))));
    assert_eq!(config.origin("http:port"), Some(&Origin::Argument("--http:port".into())));
    assert_eq!(config.origin("http:hfsPort"), Some(&Origin::Environment("http__hfsPort".into())));
    assert_eq!(config.origin("http:ip"), Some(&Origin::File(folder.join("c.yml"))));
    assert_eq!(config.origin("uploads:maxSizeMb"), Some(&Origin::Default));
}

#[test]
fn environment_values_are_json_when_possible_and_names_may_be_upper_case() {
    let config = config(
        &[],
        &[
            ("HTTP__PORT", "1234"),
            ("AUDIT__ACTIVE", "false"),
            ("service__name", "12"),
            ("SERVICE__features", "{\"mine\":true}"),
            ("service__home", "\"quoted\""),
            ("audit__storage__filter__methods__include", "\"[\\\"events.get\\\"]\""),
            ("AUTH__sessionMaxAge", "1e6"),
        ],
    );
    assert_eq!(config.http.port, 1234);
    assert!(!config.audit.active);
    assert_eq!(config.service["name"], "12");
    assert_eq!(config.service["features"], json!({"mine": true}));
    assert_eq!(config.service["home"], "quoted");
    assert_eq!(config.audit.include, ["events.get"]);
    assert_eq!(config.auth.session_max_age.as_millis(), 1_000_000);
}

#[test]
fn unknown_variables_warn_in_our_sections_and_are_ignored_elsewhere() {
    let config = config(&[], &[("HTTP__prot", "1"), ("OTHER__thing", "1"), ("HOME", "/root"), ("HTTP_PROXY", "x")]);
    assert_eq!(config.warnings.len(), 1, "{:?}", config.warnings);
    assert!(config.warnings[0].contains("HTTP__prot") && config.warnings[0].contains("http__port"));
}

#[test]
fn a_known_variable_of_the_wrong_type_is_an_error() {
    let case = Case::without_file().env("http__port", "many");
    assert_eq!(
        case.problems(),
        ["[http:port] must be an integer from 1 to 65535, got a text (environment http__port)"]
    );
}

#[test]
fn unknown_keys_of_files_and_arguments_are_errors_that_name_the_nearest() {
    let case = Case::valid_with("htpp: {port: 1}\nauth: {trustedApp: x}").arg("cluster:shard", "2");
    let problems = case.problems().join("\n");
    assert!(problems.contains("[htpp] is not a known key; the nearest one is [http]"), "{problems}");
    assert!(
        problems.contains("[auth:trustedApp] is not a known key; the nearest one is [auth:trustedApps]"),
        "{problems}"
    );
    assert!(problems.contains("[cluster:shard] is not a known key; the nearest one is [cluster:shards]"), "{problems}");
    assert!(problems.contains("override-config.yml"), "{problems}");
}

#[test]
fn an_unreadable_or_malformed_file_is_one_clear_problem() {
    let mut missing = Case::without_file();
    missing.args.config_file = Some("nowhere.yml".into());
    assert!(missing.problems()[0].contains("cannot be read"));
    for text in ["a: [", "- 1", "http: {port: .nan}", "http: {port: 1}\nhttp: {port: 2}", "http: {port: !x 1}"] {
        assert!(Case::with_file(text).problems()[0].contains("cannot be read"), "{text}");
    }
}

#[test]
fn without_a_file_everything_has_a_working_default() {
    let case = Case::without_file();
    let config = case.config();
    assert_eq!(config.http.port, 3000);
    assert_eq!(config.http.hfs_port, 4000);
    assert!(config.dns_less.is_active && config.cluster.hfs);
    assert_eq!(config.dns_less.public_url.as_deref(), Some("http://127.0.0.1:3000"));
    assert_eq!(config.storages.data_dir, case.folder.path().join("data"));
    assert_eq!(config.storages.slots, 4);
    assert_eq!(config.invitation_tokens, None);
    assert!(config.cluster.shards >= 1);
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    let trusted = config.auth.trusted_apps.unwrap();
    for pattern in
        ["*@http://localhost:*", "*@https://localhost:*", "*@http://127.0.0.1:*", "*@http://127.0.0.1:3000/*"]
    {
        assert!(trusted.split(", ").any(|one| one == pattern), "{pattern} not in {trusted}");
    }
    assert!(!trusted.contains("localhost*"), "would trust localhost.example.com");
}

#[test]
fn loading_writes_nothing_and_secrets_are_made_once() {
    let case = Case::without_file();
    let mut config = case.config();
    assert!(config.auth.admin_access_key.is_empty());
    assert_eq!(fs::read_dir(case.folder.path()).unwrap().count(), 0);
    assert!(config.ensure_secrets().unwrap());
    let key = config.auth.admin_access_key.clone();
    assert_eq!(
        config.origin("auth:adminAccessKey"),
        Some(&Origin::Generated(case.folder.path().join("data/secrets.json")))
    );
    let mut again = case.config();
    assert!(!again.ensure_secrets().unwrap());
    assert_eq!(again.auth.admin_access_key, key);
}

#[test]
fn a_given_admin_key_is_kept_when_the_other_secret_is_generated() {
    let case = Case::without_file().env("auth__adminAccessKey", "12345");
    let mut config = case.config();
    assert!(config.ensure_secrets().unwrap());
    assert_eq!(config.auth.admin_access_key.expose(), "12345");
    assert_eq!(config.auth.files_read_token_secret.expose().len(), 64);
}

#[test]
fn the_data_folder_can_be_named_by_variable_or_argument() {
    assert_eq!(config(&[], &[("COREWARD_DATA", "/srv/data")]).storages.data_dir, Path::new("/srv/data"));
    let both = config(&[("storages:path", "/srv/argument")], &[("COREWARD_DATA", "/srv/data")]);
    assert_eq!(both.storages.data_dir, Path::new("/srv/argument"));
    assert_eq!(config(&[], &[("COREWARD_DRIVER", "epoll")]).cluster.driver, Driver::Epoll);
    assert_eq!(Case::without_file().env("COREWARD_DRIVER", "kqueue").wrong_keys(), ["cluster:driver"]);
    let logs = config(&[], &[("LOGS", "debug"), ("LOG_FORMAT", "json")]).logs;
    assert!(logs.active && logs.json && logs.level == "debug");
}

#[test]
fn a_file_must_hold_what_is_required_and_all_problems_come_in_one_run() {
    let wrong = Case::with_file("http: {port: 80000}").wrong_keys();
    for key in [
        "http:port",
        "service:name",
        "service:serial",
        "service:home",
        "service:support",
        "service:terms",
        "service:eventTypes",
        "auth:adminAccessKey",
        "auth:filesReadTokenSecret",
        "auth:passwordResetPageURL",
        "dnsLess:publicUrl",
    ] {
        assert!(wrong.iter().any(|path| path == key), "{key} not in {wrong:?}");
    }
    assert_eq!(wrong.len(), 11, "{wrong:?}");
}

#[test]
fn the_printed_problems_have_the_reference_format() {
    let text = Case::valid_with("audit: {onUserDelete: pseudonymise}").load().unwrap_err().to_string();
    assert_eq!(
        text,
        "[config-validation] Configuration is invalid \u{2014} 1 problem(s) found:\n\
         Configuration is invalid at [audit:onUserDelete] pseudonymise is not supported: use erase or keep"
    );
}

#[test]
fn placeholders_are_found_anywhere_except_below_something_switched_off() {
    let wrong = Case::valid_with(
        "service: {support: 'https://${DOMAIN}/x', extra: [{deep: REPLACE_ME}]}
letsEncrypt: {email: REPLACE ME, atRestKey: REPLACE ME}
observability: {enabled: false, appName: REPLACE ME}
logs: {file: {active: false, path: '${PRYV_LOGSDIR}/x'}}
auth: {adminAccessKey: REPLACE_ME, trustedApps: '${lower}@x, $HOME@y'}",
    )
    .wrong_keys();
    assert_eq!(wrong, ["service:support", "service:extra", "auth:adminAccessKey"]);
}

#[test]
fn mail_pages_are_required_only_for_mails_that_are_sent() {
    let on = "services: {email: {enabled: {welcome: true, resetPassword: true, verifyEmail: true}}}";
    let wrong = Case::valid_with(on).wrong_keys();
    assert_eq!(wrong, ["auth:passwordResetPageURL", "auth:emailVerificationPageURL"]);
    let off = "services: {email: {enabled: {resetPassword: false}}}";
    assert!(Case::valid_with(off).load().is_ok());
    let given = "services: {email: {enabled: {resetPassword: true}}}\nauth: {passwordResetPageURL: 'https://x.example.com/reset'}";
    assert!(Case::valid_with(given).load().is_ok());
}

#[test]
fn an_engine_this_build_does_not_have_is_refused_with_the_one_it_has() {
    for (over, key, remedy) in [
        ("storages: {base: {engine: postgresql}}", "storages:base:engine", "sqlite"),
        ("storages: {platform: {engine: rqlite}}", "storages:platform:engine", "sqlite"),
        ("storages: {series: {engine: sqlite}}", "storages:series:engine", "use native"),
        ("storages: {series: {engine: influxdb}}", "storages:series:engine", "native"),
        ("storages: {file: {engine: s3}}", "storages:file:engine", "filesystem"),
        ("storages: {audit: {engine: postgresql}}", "storages:audit:engine", "sqlite"),
    ] {
        let problems = Case::valid_with(over).problems();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with(&format!("[{key}] asks for the engine")), "{problems:?}");
        assert!(problems[0].contains(remedy), "{problems:?}");
    }
}

#[test]
fn a_configured_engine_that_is_not_selected_asks_for_the_selection() {
    for (block, keys) in [
        ("postgresql: {host: db}", vec!["storages:base:engine", "storages:series:engine"]),
        ("rqlite: {url: 'http://localhost:4001'}", vec!["storages:platform:engine"]),
        ("influxdb: {host: x}", vec!["storages:series:engine"]),
        ("mongodb: {host: x}", vec!["storages:base:engine"]),
        ("s3: {bucket: x}", vec!["storages:file:engine"]),
    ] {
        let case = Case::valid_with(&format!("storages: {{engines: {{{block}}}}}"));
        assert_eq!(case.wrong_keys(), keys, "{block}");
        assert!(case.problems()[0].contains("is missing although [storages:engines:"));
    }
    let selected = "storages: {base: {engine: sqlite}, series: {engine: native}, engines: {postgresql: {host: db}}}";
    assert!(Case::valid_with(selected).load().is_ok());
}

#[test]
fn a_folder_with_the_references_users_is_never_opened_as_an_empty_store() {
    let case = Case::valid_with("storages: {engines: {sqlite: {path: users}}}");
    assert_eq!(case.config().storages.data_dir, case.folder.path().join("users"));
    fs::create_dir_all(case.folder.path().join("users/0/abc")).unwrap();
    assert_eq!(case.wrong_keys(), ["storages:engines:sqlite:path"]);
    fs::write(case.folder.path().join("users/epoch"), "1").unwrap();
    assert!(case.load().is_ok(), "our own folder opens again");
    let unsaid = Case::with_file(VALID);
    fs::create_dir_all(unsaid.folder.path().join("var-pryv/users/0")).unwrap();
    assert_eq!(unsaid.wrong_keys(), ["storages:engines:sqlite:path"]);
}

#[test]
fn rules_between_keys_are_checked() {
    for (over, key) in [
        ("dns: {active: true, domain: ex.com}\ndnsLess: {isActive: true}", "dns:active"),
        ("cluster: {apiWorkers: 0}", "cluster:apiWorkers"),
        ("http: {hfsPort: 3000}", "http:hfsPort"),
        ("http: {ip: localhost}", "http:ip"),
        ("series: {ring: {bytesMax: 2000000, flushBytes: 1500000}}", "series:ring:flushBytes"),
        ("audit: {onUserDelete: forget}", "audit:onUserDelete"),
        ("user-account: {delete: [everybody]}", "user-account:delete"),
        ("platform: {piiMode: none}", "platform:piiMode"),
        ("oauth: {clientRegistration: {mode: open}}", "oauth:clientRegistration:mode"),
        ("http: {ssl: {keyFile: k.pem}}", "http:ssl:keyFile"),
        ("services: {mfa: {mode: single}}", "services:mfa:mode"),
        ("custom: {dataStores: [{id: x}]}", "custom:dataStores"),
        ("serviceInfoUrl: 'https://ex.com/info'", "serviceInfoUrl"),
        ("dnsLess: {publicUrl: null}", "dnsLess:publicUrl"),
    ] {
        assert_eq!(Case::valid_with(over).wrong_keys(), [key], "{over}");
    }
}

#[test]
fn sso_providers_are_validated_only_when_sso_is_on() {
    let providers = "callbackBaseURL: 'http://x', providers: {Bad: {issuer: 'http://x', clientId: a}}";
    assert!(Case::valid_with(&format!("sso: {{enabled: false, {providers}}}")).load().is_ok());
    let wrong = Case::valid_with(&format!("sso: {{enabled: true, {providers}}}")).wrong_keys();
    assert_eq!(
        wrong,
        [
            "sso:callbackBaseURL",
            "sso:landingPageURL",
            "sso:providers:Bad",
            "sso:providers:Bad:issuer",
            "sso:providers:Bad:clientSecret"
        ]
    );
}

#[test]
fn service_information_of_a_file_lies_below_the_configuration() {
    let case = Case::valid_with("service: {name: Mine}\nserviceInfoUrl: 'file://info.json'");
    fs::write(case.folder.path().join("info.json"), "{\"name\": \"Theirs\", \"adapters\": [\"a\"]}").unwrap();
    let config = case.config();
    assert_eq!(config.service["name"], "Mine");
    assert_eq!(config.service["adapters"], json!(["a"]));
    assert_eq!(config.origin("service:adapters"), Some(&Origin::ServiceInfo(case.folder.path().join("info.json"))));
}

#[test]
fn null_brings_the_default_back() {
    let config = Case::with_file(&format!("{VALID}\nhttp: {{port: 1001}}")).over("http: {port: null}").config();
    assert_eq!(config.http.port, 3000);
    assert_eq!(config.origin("http:port"), Some(&Origin::Default));
}

#[test]
fn a_smaller_ring_is_flushed_earlier_without_being_told() {
    let config = loaded("series: {ring: {bytesMax: 2097152}}");
    assert_eq!(config.series.flush_bytes, 1_048_576);
}

#[test]
fn series_are_merged_and_kept_as_configured() {
    let series = loaded("series: {}").series;
    assert_eq!((series.segment_bytes_max, series.retention.len()), (268_435_456, 0));
    let seconds = [series.flush_after, series.erase_after, series.retention_every].map(|time| time.as_secs());
    assert_eq!(seconds, [600, 60, 3600]);
    let series = loaded(
        "series:
  ring: { flushAfterS: 1 }
  merge: { segmentBytesMax: 1048576, eraseAfterS: 0 }
  retentionEveryS: 10
  retention:
    - { types: ['series:mass/*'], keepDays: 30, then: buckets, bucketSeconds: 60 }
    - { streams: [heart], keepDays: 7, then: nothing }",
    )
    .series;
    assert_eq!((series.segment_bytes_max, series.erase_after.as_secs()), (1_048_576, 0));
    let found = series.retention.iter().find(|rule| rule.matches("series:note/txt", &["ecg", "heart"])).unwrap();
    assert_eq!((found.keep_days, found.then), (7, Then::Nothing));
    let wrong = Case::valid_with("series: {retention: [{streams: [a], keepDays: 0, then: nothing}]}");
    assert!(wrong.problems()[0].contains("override-config.yml"), "{:?}", wrong.problems());
    assert_eq!(wrong.wrong_keys(), ["series:retention:0:keepDays"]);
}

#[test]
fn worker_counts_are_mapped() {
    let config =
        loaded("cluster: {apiWorkers: 8, hfsWorkers: 0, previewsWorker: false, shards: 2}\nhttp: {hfsPort: 3000}");
    assert_eq!(config.cluster.shards, 2);
    assert!(!config.cluster.hfs);
}

#[test]
fn typed_values_follow_their_keys() {
    let config = loaded(
        "invitationTokens: [a]\nuser-account: {delete: [personalToken]}\nuploads: {maxSizeMb: 0.5}
versioning: {deletionMode: keep-authors, forceKeepHistory: true}\nintegrity: {algorithm: sha512, isActive: {events: false}}
auth: {passwordHash: bcrypt, passwordComplexityMinLength: 12}\nhttp: {limits: {idleTimeoutMs: 5000}}
audit: {onUserDelete: keep}\nhostings: {regions: {eu: {name: Europe}}}",
    );
    assert_eq!(config.invitation_tokens, Some(vec![Secret::new("a")]));
    assert_eq!(config.user_account_delete, UserAccountDelete { admin_token: false, personal_token: true });
    assert_eq!(config.upload_bytes_max, 524_288);
    assert_eq!(config.versioning.deletion_mode, DeletionMode::Authors);
    assert!(config.versioning.force_keep_history && config.audit.keep_on_user_delete);
    assert_eq!(config.integrity.algorithm, HashAlgorithm::Sha512);
    assert!(!config.integrity.events && config.integrity.accesses);
    assert_eq!(config.auth.password_hash, PasswordHash::Bcrypt);
    assert_eq!(config.auth.password_min_length, 12);
    assert_eq!(config.http.limits.idle_timeout.as_secs(), 5);
    assert_eq!(config.raw("hostings:regions:eu:name"), Some(json!("Europe")));
}

#[test]
fn show_gives_each_value_with_its_origin_and_no_secret() {
    let config = loaded(
        "invitationTokens: [hush-1]\nsso: {providers: {x: {clientSecret: hush-2}}}
storages: {platform: {engine: sqlite}, engines: {rqlite: {url: 'http://u:hush-3@h:4001'}}}
services: {email: {enabled: false, smtp: {auth: {pass: hush-4}}, url: 'https://u:hush-5@mail/x'}}
service: {extra: {apiToken: hush-6, list: [{password: hush-7}]}}
audit: {syslog: {options: {secretKey: hush-8}}}",
    );
    let mut out = Vec::new();
    show(&config, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(!text.contains("hush"), "{text}");
    assert!(text.contains("auth:adminAccessKey = (hidden)    (file "), "{text}");
    assert!(text.contains("http:port = 3000    (default)\n"), "{text}");
    assert!(text.contains("services:email:url = \"https://(hidden)@mail/x\""), "{text}");
    assert!(!format!("{:?} {:?} {config:?}", config.auth, config.invitation_tokens).contains("hush"));
}

#[test]
fn check_lists_what_is_mapped_and_what_has_no_effect_but_not_the_defaults() {
    let case = Case::valid_with("cluster: {apiWorkers: 4}\nwebhooks: {maxRetries: 2}\nhttp: {port: 3001}");
    let mut out = Vec::new();
    assert!(check(&case.load(), &mut out).unwrap());
    let text = String::from_utf8(out).unwrap();
    assert_eq!(
        text,
        "Mapped:\n  cluster:apiWorkers: cluster.shards decides; 0 is refused\n\
         Accepted without effect:\n  services:email:enabled: mail is not built yet: nothing is sent\n  \
         webhooks:maxRetries: webhooks are not built yet\nThe configuration is valid.\n"
    );
    assert!(case.config().warnings.iter().any(|warning| warning.starts_with("[webhooks:maxRetries] has no effect")));
    let mut out = Vec::new();
    assert!(!check(&Case::with_file("x: 1").load(), &mut out).unwrap());
    assert!(String::from_utf8(out).unwrap().starts_with("[config-validation] Configuration is invalid"));
}

#[test]
fn account_fields_come_from_the_configuration_and_the_shipped_one_is_the_address() {
    let ids = |config: &Config| -> Vec<String> {
        let fields = config.account_streams.fields().iter();
        fields.map(|field| field.id.clone()).filter(|id| id.starts_with(":system:")).collect()
    };
    assert_eq!(ids(&Case::valid_with("{}").config()), [":system:email"]);
    let config = Case::valid_with(
        "custom: {systemStreams: {other: [{id: log, type: note/txt}], account: [{id: ':system:phone', type: string/pryv, extra: 1, children: [{id: area, type: string/pryv, isShown: false}]}, {id: badge, name: Badge, type: identifier/string, isIndexed: true, isUnique: true, regexValidation: '^[A-Z]+$', regexError: {code: c, message: m}}]}}",
    )
    .config();
    assert_eq!(ids(&config), [":system:phone", ":system:area", ":system:badge"]);
    let streams = &config.account_streams;
    assert_eq!(streams.parent_of(":system:area"), Some(":system:phone"));
    assert!(streams.is_hidden(":system:area") && !streams.is_hidden(":system:phone"));
    let badge = streams.get(":system:badge").unwrap();
    assert_eq!((badge.name.as_str(), badge.unique, badge.regex.as_deref()), ("Badge", true, Some("^[A-Z]+$")));
    assert_eq!(badge.regex_error, Some(("c".to_owned(), "m".to_owned())));
    assert_eq!(streams.get(":system:phone").unwrap().name, "phone");
}

#[test]
fn account_fields_that_make_no_sense_stop_the_start() {
    for (wrong, why) in [
        ("account: [{id: a, type: a/b}]", "the id"),
        ("account: [{id: ':_system:own', type: a/b}]", "the id"),
        ("account: [{id: password, type: a/b}]", "means something else"),
        ("account: [{type: a/b}]", "needs an id"),
        ("account: [{id: phone}]", "needs a type"),
        ("account: [{id: phone, type: Not/good}]", "the type"),
        ("account: [{id: phone, type: none}]", "the type"),
        ("account: [{id: phone, type: a/b, name: x}]", "the name"),
        ("account: [{id: phone, type: a/b, isShown: 1}]", "isShown must be"),
        ("account: [{id: phone, type: a/b, children: {}}]", "children must be"),
        ("account: [{id: phone, type: a/b, children: [{id: ok, type: none}]}]", "the type"),
        ("account: [{id: phone, type: a/b, default: []}]", "the default"),
        ("account: [{id: phone, type: a/b, regexValidation: '('}]", "regexValidation"),
        ("account: [{id: phone, type: a/b, regexError: {code: 1}}]", "regexError"),
        ("account: [{id: phone, type: a/b, isUnique: true}]", "isUnique needs isIndexed"),
        ("account: [{id: phone, type: a/b}, {id: ':system:phone', type: a/b}]", "there twice"),
        ("account: [{id: phone, type: a/b}]\n    other: [{id: phone, type: a/b}]", "there twice"),
        ("other: [{id: phone, type: a/b, isUnique: true, isIndexed: true}]", "an other stream"),
        ("other: [{id: phone, type: a/b, isIndexed: true}]", "an other stream"),
        ("other: [{id: phone, type: a/b, isEditable: false}]", "an other stream"),
        ("other: [{id: phone, type: a/b, isShown: false}]", "an other stream"),
        ("other: [{id: phone, type: a/b, isRequiredInValidation: true}]", "an other stream"),
    ] {
        let problems = Case::valid_with(&format!("custom:\n  systemStreams:\n    {wrong}")).problems();
        let text = problems.join("; ");
        assert!(
            problems.len() == 1 && text.contains(why) && text.contains("invalid custom system stream"),
            "{wrong}: {text}"
        );
    }
}
