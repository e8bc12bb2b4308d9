//! Names of streams that belong to the server: stores behind a prefix, and namespaces inside the local store.

use super::account_streams::{BUILT_IN_PREFIX, CONFIGURED_PREFIX};

pub const AUDIT_ROOT: &str = ":_audit:";
pub const EMAILS_ROOT: &str = ":_emails:";
pub const SHARED_SECRETS_ROOT: &str = ":_shared-secrets:";
pub const CMC_ROOT: &str = ":_cmc:";
pub const CMC_INTERNAL: &str = ":_cmc:_internal";

/// Characters that no stream id of a query or permission may hold (Pryv: forbidden characters).
pub const FORBIDDEN_CHARACTERS: [char; 9] = ['"', '\'', '\\', '\0', '\u{8}', '\t', '\n', '\r', '\u{1a}'];

/// The data store that an id belongs to, by its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store<'a> {
    Local,
    Account,
    Audit,
    /// Not configured on this server.
    Unknown(&'a str),
}

impl<'a> Store<'a> {
    pub fn of(id: &'a str) -> Self {
        let Some((store, _)) = id.strip_prefix(':').and_then(|rest| rest.split_once(':')) else {
            return Self::Local;
        };
        match store {
            "_system" | "system" => Self::Account,
            "_cmc" | "_shared-secrets" | "_emails" => Self::Local,
            "_audit" => Self::Audit,
            unknown => Self::Unknown(unknown),
        }
    }

    /// As in messages of the API.
    pub fn name(self) -> &'a str {
        match self {
            Self::Local => "local",
            Self::Account => "account",
            Self::Audit => "_audit",
            Self::Unknown(name) => name,
        }
    }
}

/// The id as its store knows it; `local` and `account` keep theirs whole.
pub fn in_store(id: &str) -> &str {
    match Store::of(id) {
        Store::Local | Store::Account => id,
        Store::Audit | Store::Unknown(_) => {
            id.strip_prefix(':').and_then(|rest| rest.split_once(':')).map_or(id, |(_, rest)| rest)
        }
    }
}

/// A namespace with rules of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reserved {
    SharedSecrets,
    Emails,
    Cmc,
    /// Part of `:_cmc:` that is never shown.
    CmcInternal,
    Account,
    Audit,
}

pub fn reserved(id: &str) -> Option<Reserved> {
    const PREFIXES: [(&str, Reserved); 7] = [
        (SHARED_SECRETS_ROOT, Reserved::SharedSecrets),
        (EMAILS_ROOT, Reserved::Emails),
        (CMC_INTERNAL, Reserved::CmcInternal),
        (CMC_ROOT, Reserved::Cmc),
        (BUILT_IN_PREFIX, Reserved::Account),
        (CONFIGURED_PREFIX, Reserved::Account),
        (AUDIT_ROOT, Reserved::Audit),
    ];
    PREFIXES.iter().find(|(prefix, _)| id.starts_with(prefix)).map(|(_, reserved)| *reserved)
}

/// The shared-secret stream of an access, the only one it sees.
pub(super) fn is_own_secret_stream(id: &str, access_id: &str) -> bool {
    id.strip_prefix(SHARED_SECRETS_ROOT).is_some_and(|own| own == access_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_of_an_id_is_its_prefix() {
        for (id, store, inner) in [
            ("diary", Store::Local, "diary"),
            (":odd", Store::Local, ":odd"),
            (":_system:account", Store::Account, ":_system:account"),
            (":system:email", Store::Account, ":system:email"),
            (":_cmc:apps:x", Store::Local, ":_cmc:apps:x"),
            (":_shared-secrets:abc", Store::Local, ":_shared-secrets:abc"),
            (":_audit:access-abc:2", Store::Audit, "access-abc:2"),
            (":nostore:x", Store::Unknown("nostore"), "x"),
        ] {
            assert_eq!((Store::of(id), in_store(id)), (store, inner), "{id}");
        }
    }

    #[test]
    fn reserved_namespaces_are_recognised_by_prefix() {
        assert_eq!(reserved(":_cmc:_internal:retries"), Some(Reserved::CmcInternal));
        assert_eq!(reserved(":_cmc:inbox"), Some(Reserved::Cmc));
        assert_eq!(reserved(":system:email"), Some(Reserved::Account));
        assert_eq!(reserved("diary"), None);
    }
}
