//! The service information that clients read first (Pryv: service.info, spec 01 9.3 and 09 1).

use serde_json::{Map, Value, json};

use super::Config;

/// The version of the API: clients compare it, so it is the reference's and not ours.
pub(crate) const API_VERSION: &str = "2.0.0";

/// The public JSON of `service.info`, without `meta`.
pub(crate) fn service_info(config: &Config) -> Map<String, Value> {
    let mut info = config.service.clone();
    if let Some(urls) = derived_urls(config) {
        info.insert("api".to_owned(), urls.api.into());
        info.insert("register".to_owned(), urls.register.into());
        info.insert("access".to_owned(), urls.access.into());
        info.entry("assets").or_insert_with(|| json!({ "definitions": urls.assets }));
    }
    let configured = match info.remove("features") {
        Some(Value::Object(features)) => features,
        _ => Map::new(),
    };
    info.insert("features".to_owned(), Value::Object(features(config, configured)));
    info.insert("version".to_owned(), API_VERSION.into());
    info
}

/// The URL of a user, with its final slash: `service.api` for this name.
pub(crate) fn api_url(config: &Config, username: &str) -> Option<String> {
    let template = derived_urls(config).map(|urls| urls.api);
    let configured = || config.service.get("api")?.as_str().map(str::to_owned);
    Some(template.or_else(configured)?.replace("{username}", username))
}

/// This core's own base URL, without a final slash (spec 10, section 2).
pub(crate) fn core_url(config: &Config) -> Option<String> {
    let explicit = config.core.url.clone();
    let in_domain = || Some(format!("https://{}.{}", config.core.id, config.active_domain()?));
    explicit.or_else(in_domain).or_else(|| config.dns_less.public_url.clone())
}

/// `scheme://host[:port]` of an http(s) URL: lower-case, without the scheme's own port, or `None`.
pub(super) fn origin_of(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let default_port = match scheme.as_str() {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    let authority = rest.split(['/', '?', '#']).next()?;
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let allowed = |char: char| char.is_ascii_alphanumeric() || "-._[]:".contains(char);
    if host.is_empty() || !host.chars().all(allowed) || (host.contains(':') && !host.starts_with('[')) {
        return None;
    }
    let port = match port {
        None | Some("") => default_port,
        Some(digits) => digits.parse::<u16>().ok()?,
    };
    let shown_port = if port == default_port { String::new() } else { format!(":{port}") };
    Some(format!("{scheme}://{}{shown_port}", host.to_ascii_lowercase()))
}

struct Urls {
    api: String,
    register: String,
    access: String,
    assets: String,
}

/// Without either form the configured URLs stay untouched.
fn derived_urls(config: &Config) -> Option<Urls> {
    const ASSETS_PATH: &str = "/www/assets/index.json";
    if let Some(base) = config.dns_less.public_url.as_deref().filter(|_| config.dns_less.is_active) {
        return Some(Urls {
            api: format!("{base}/{{username}}/"),
            register: format!("{base}/reg/"),
            access: format!("{base}/reg/access/"),
            assets: format!("{base}{ASSETS_PATH}"),
        });
    }
    let (domain, core) = (config.active_domain()?, core_url(config)?);
    Some(Urls {
        api: format!("https://{{username}}.{domain}/"),
        register: format!("https://reg.{domain}/"),
        access: format!("https://access.{domain}/access/"),
        assets: format!("{core}{ASSETS_PATH}"),
    })
}

/// What the operator wrote wins over what follows from the rest.
fn features(config: &Config, mut features: Map<String, Value>) -> Map<String, Value> {
    if !config.cluster.hfs {
        features.entry("noHF").or_insert(true.into());
    }
    features.entry("contentQueries").or_insert(true.into());
    features
}

#[cfg(test)]
mod tests {
    use super::super::tests::{config, loaded};
    use super::*;

    #[test]
    fn only_the_origin_of_a_public_url_counts() {
        assert_eq!(origin_of("https://Ex.com/path?x#y").as_deref(), Some("https://ex.com"));
        assert_eq!(origin_of("https://ex.com:443/").as_deref(), Some("https://ex.com"));
        assert_eq!(origin_of("http://127.0.0.1:3000").as_deref(), Some("http://127.0.0.1:3000"));
        assert_eq!(origin_of("http://[::1]:3000/x").as_deref(), Some("http://[::1]:3000"));
        assert_eq!(origin_of("http://[::1]").as_deref(), Some("http://[::1]"));
        for wrong in ["", "ex.com", "ftp://ex.com", "http://", "http://u:p@ex.com", "http://ex.com:70000", "http://a b"]
        {
            assert_eq!(origin_of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn without_dns_the_urls_follow_the_public_url_and_keep_their_braces() {
        let config = loaded(
            "dnsLess: {isActive: true, publicUrl: 'https://Pryv.example.com:8443/some/path/'}\nservice: {api: 'https://old/', extra: {a: 1}}",
        );
        let info = service_info(&config);
        assert_eq!(info["api"], "https://pryv.example.com:8443/{username}/");
        assert_eq!(info["register"], "https://pryv.example.com:8443/reg/");
        assert_eq!(info["access"], "https://pryv.example.com:8443/reg/access/");
        assert_eq!(info["assets"], json!({"definitions": "https://pryv.example.com:8443/www/assets/index.json"}));
        assert_eq!(info["version"], "2.0.0");
        assert_eq!(info["extra"], json!({"a": 1}));
        assert_eq!(info["features"], json!({"contentQueries": true}));
        assert_eq!(api_url(&config, "alice").as_deref(), Some("https://pryv.example.com:8443/alice/"));
    }

    #[test]
    fn in_a_domain_the_urls_follow_the_domain_and_the_core() {
        let config = loaded("dns: {domain: ex.com}\ndnsLess: {isActive: false}\ncore: {id: core-a}");
        let info = service_info(&config);
        assert_eq!(info["api"], "https://{username}.ex.com/");
        assert_eq!(info["register"], "https://reg.ex.com/");
        assert_eq!(info["access"], "https://access.ex.com/access/");
        assert_eq!(info["assets"], json!({"definitions": "https://core-a.ex.com/www/assets/index.json"}));
        assert_eq!(core_url(&config).as_deref(), Some("https://core-a.ex.com"));
    }

    #[test]
    fn a_domain_without_a_word_about_dns_less_means_domain_mode_and_says_so() {
        let config = loaded("dns: {domain: ex.com}");
        assert!(!config.dns_less.is_active);
        assert_eq!(config.origin("dnsLess:isActive"), Some(&super::super::Origin::Derived("dns:domain")));
    }

    #[test]
    fn with_neither_the_configured_urls_stay() {
        let config = loaded(
            "dnsLess: {isActive: false}\ncore: {url: 'https://a.ex.com/'}\nservice: {api: 'https://a.ex.com/{username}/', register: R, access: A}",
        );
        let info = service_info(&config);
        assert_eq!(info["register"], "R");
        assert_eq!(info.get("assets"), None);
        assert_eq!(core_url(&config).as_deref(), Some("https://a.ex.com"));
    }

    #[test]
    fn no_hfs_worker_sets_the_feature_unless_the_file_says_otherwise() {
        let info = service_info(&loaded("cluster: {hfsWorkers: 0}"));
        assert_eq!(info["features"], json!({"noHF": true, "contentQueries": true}));
        let info = service_info(&loaded("cluster: {hfsWorkers: 0}\nservice: {features: {noHF: false, mine: 1}}"));
        assert_eq!(info["features"], json!({"noHF": false, "mine": 1, "contentQueries": true}));
    }

    #[test]
    fn without_a_file_the_service_points_to_the_listener() {
        let info = service_info(&config(&[("http:port", "3333")], &[]));
        assert_eq!(info["api"], "http://127.0.0.1:3333/{username}/");
        assert_eq!(info["name"], "Coreward");
    }
}
