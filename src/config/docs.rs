//! The table of `docs/configuration.md`, made from the key table so that neither can be wrong alone.

use std::fmt::Write;

use super::keys::{KEYS, Status};

const HEAD: &str = "# Configuration

This file is generated from `src/config/keys.rs`: change it there, then run
`COREWARD_WRITE_DOCS=1 cargo test -p coreward config::docs`.

Sources, highest first: `override-config.yml` in the folder of the configuration file; command line `--key:sub=value`;
environment `key__sub=value` (any case; parsed as JSON when possible); the YAML file of `--config FILE`; the service
information of `serviceInfoUrl`; defaults. Maps are merged, lists and scalars replaced; `null` brings the default back.
`coreward config show` prints every effective value with its origin, `coreward config check` the problems and the keys
that are mapped or do nothing. An unknown key in a file or an argument is an error that names the nearest known one; an
unknown variable of a known section is a warning.

Variables with a name of their own: `COREWARD_DATA` (`storages.path`), `COREWARD_DRIVER` (`cluster.driver`),
`LOGS=<level>` (console log at that level), `LOG_FORMAT=json`.

Without a file everything works for this host only: `service.*` describes a local service, `dnsLess.publicUrl` follows
`http.ip` and `http.port`, `auth.trustedApps` trusts localhost, mail is off, and both secrets of `auth` are made at the
first start and kept in `secrets.json` in the data folder. With a file, what is required must be in it.

Keys marked \"own\" are Coreward's; the others are the reference's. \"no effect\" means: accepted, and nothing happens.

| Key | Type | Default | Status | Meaning |
|---|---|---|---|---|
";

/// The whole document.
pub(crate) fn markdown() -> String {
    let mut text = HEAD.to_owned();
    for key in KEYS {
        let status = match key.status {
            Status::Honoured => "honoured".to_owned(),
            Status::Mapped(target) => format!("mapped: {target}"),
            Status::NoEffect(reason) => format!("no effect: {reason}"),
        };
        let default = if key.default.is_empty() { "\u{2014}".to_owned() } else { format!("`{}`", key.default) };
        let name = key.pattern.replace(':', ".");
        // Writing to a String cannot fail.
        let _ = writeln!(text, "| `{name}` | {} | {default} | {status} | {} |", key.kind, key.meaning);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn the_document_is_the_one_of_the_key_table() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
        if std::env::var_os("COREWARD_WRITE_DOCS").is_some() {
            std::fs::write(&path, super::markdown()).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap();
        assert!(written == super::markdown(), "run COREWARD_WRITE_DOCS=1 cargo test -p coreward config::docs");
    }
}
