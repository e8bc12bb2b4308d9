//! Users by host name: in a domain, `alice.example.com/events` is `/alice/events` (spec 01, section 1.2).

use std::borrow::Cow;

use crate::config::Config;
use crate::error::{ApiError, ApiResult};

/// First labels that stand for the registration routes.
const SERVICE_HOSTS: [&str; 3] = ["reg", "access", "mfa"];
/// Paths that belong to no user: nothing is put before them on the main port.
const FIXED_ROOTS: [&str; 6] = ["/system", "/reg", "/www", "/socket.io", "/socket.io2", "/favicon.ico"];

/// The path that a request stands for. With `dnsLess.isActive` it is the one that was sent.
pub fn path<'a>(config: &Config, host: Option<&str>, path: &'a str, on_hfs_port: bool) -> ApiResult<Cow<'a, str>> {
    if config.dns_less.is_active {
        return Ok(path.into());
    }
    let is_fixed = !on_hfs_port && FIXED_ROOTS.iter().any(|root| path.starts_with(root));
    let Some(host) = host else {
        return match is_fixed {
            true => Ok(path.into()),
            false => Err(ApiError::new(400, "missing-header", "Missing expected header \"host\"")),
        };
    };
    let label = host.split(['.', ':']).next().unwrap_or_default();
    let name = label.to_ascii_lowercase();
    if SERVICE_HOSTS.contains(&name.as_str()) {
        let is_there = path == "/reg" || path.starts_with("/reg/");
        return Ok(if is_there { path.into() } else { format!("/reg{path}").into() });
    }
    let is_own_core = name == config.core.id && name != "single";
    let is_numeric_address = host.split(':').next().is_some_and(|host| host.parse::<std::net::Ipv4Addr>().is_ok());
    let is_user = model::username::is_valid(&name)
        && host.contains('.')
        && !is_numeric_address
        && !is_own_core
        && !config.dns.static_names.contains(&name);
    let is_named = path.trim_start_matches('/').split('/').next() == Some(label);
    match is_user && !is_fixed && !is_named {
        true => Ok(format!("/{label}{path}").into()),
        false => Ok(path.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Args, load};

    fn config(overrides: &[(&str, &str)]) -> Config {
        let overrides = overrides.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        let args = Args { config_file: None, overrides };
        load(&args, std::iter::empty(), std::path::Path::new("/tmp")).map_err(|errors| errors.to_string()).unwrap()
    }

    fn in_domain() -> Config {
        config(&[("dnsLess:isActive", "false"), ("dns:domain", "example.com"), ("core:id", "core-a")])
    }

    fn mapped(host: &str, sent: &str) -> String {
        path(&in_domain(), Some(host), sent, false).map(Cow::into_owned).unwrap()
    }

    #[test]
    fn the_first_label_of_the_host_is_the_user() {
        assert_eq!(mapped("alice.example.com", "/events"), "/alice/events");
        assert_eq!(mapped("12345.example.com:3000", "/events"), "/12345/events");
        assert_eq!(mapped("alice.example.com", "/"), "/alice/");
    }

    #[test]
    fn a_path_that_names_the_user_is_not_doubled_and_whole_segments_are_compared() {
        assert_eq!(mapped("alice.example.com", "/alice/events"), "/alice/events");
        assert_eq!(mapped("strea.example.com", "/streams"), "/strea/streams");
    }

    #[test]
    fn service_hosts_stand_for_the_registration_routes() {
        assert_eq!(mapped("reg.example.com", "/service/info"), "/reg/service/info");
        assert_eq!(mapped("ACCESS.example.com", "/access/"), "/reg/access/");
        assert_eq!(mapped("reg.example.com", "/reg/users"), "/reg/users");
    }

    #[test]
    fn the_own_core_addresses_and_fixed_roots_are_no_users() {
        assert_eq!(mapped("core-a.example.com", "/events"), "/events");
        assert_eq!(mapped("127.0.0.1:3000", "/alice/events"), "/alice/events");
        assert_eq!(mapped("localhost:3000", "/alice/events"), "/alice/events");
        assert_eq!(mapped("alice.example.com", "/reg/hostings"), "/reg/hostings");
    }

    #[test]
    fn without_a_host_only_fixed_roots_are_served() {
        assert_eq!(path(&in_domain(), None, "/events", false).unwrap_err().id, "missing-header");
        assert!(path(&in_domain(), None, "/reg/hostings", false).is_ok());
        assert!(path(&config(&[]), None, "/events", false).is_ok());
    }
}
