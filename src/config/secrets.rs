//! The secrets of an installation without a configuration file: made once, kept in the data folder, readable by its owner.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

const FILE_NAME: &str = "secrets.json";
const SECRET_BYTES: usize = 32;
const OWNER_ONLY_FOLDER: u32 = 0o700;
const OWNER_ONLY_FILE: u32 = 0o600;

/// A text that neither logs nor `{:?}` show.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Secret(String);

impl Secret {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself: for comparisons (in constant time) and keys, never for a log line.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Secret(hidden)")
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Secrets {
    pub(crate) admin_access_key: Secret,
    pub(crate) files_read_token_secret: Secret,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretsError {
    #[error("the secrets file {path} cannot be used: {source}; make it accessible to the user of the server")]
    Io { path: PathBuf, source: io::Error },
    #[error(
        "the secrets file {path} is damaged ({reason}); restore it, or delete it to get new secrets (the admin key and the read links of files change)"
    )]
    Damaged { path: PathBuf, reason: String },
    #[error("the system gives no random numbers: {0}")]
    Random(getrandom::Error),
}

pub(crate) fn path(data_dir: &Path) -> PathBuf {
    data_dir.join(FILE_NAME)
}

/// The stored secrets, or `None` when there are none yet.
pub(crate) fn load(data_dir: &Path) -> Result<Option<Secrets>, SecretsError> {
    let path = path(data_dir);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(SecretsError::Io { path, source }),
    };
    let secrets: Secrets = serde_json::from_slice(&bytes).map_err(|error| SecretsError::Damaged {
        path: path.clone(),
        reason: format!("not the expected JSON, line {}", error.line()),
    })?;
    if secrets.admin_access_key.is_empty() || secrets.files_read_token_secret.is_empty() {
        return Err(SecretsError::Damaged { path, reason: "an empty secret".to_owned() });
    }
    Ok(Some(secrets))
}

/// The stored secrets, made (with the folder) when there are none; the flag tells that they are new.
/// The caller holds the lock of the data folder.
pub(crate) fn load_or_create(data_dir: &Path) -> Result<(Secrets, bool), SecretsError> {
    let path = path(data_dir);
    let in_path = |source: io::Error| SecretsError::Io { path: path.clone(), source };
    if let Some(secrets) = load(data_dir)? {
        // A copied data folder may have lost the mode.
        fs::set_permissions(&path, fs::Permissions::from_mode(OWNER_ONLY_FILE)).map_err(in_path)?;
        return Ok((secrets, false));
    }
    fs::DirBuilder::new().recursive(true).mode(OWNER_ONLY_FOLDER).create(data_dir).map_err(in_path)?;
    let secrets = Secrets { admin_access_key: random()?, files_read_token_secret: random()? };
    write_durably(data_dir, &path, &secrets).map_err(in_path)?;
    Ok((secrets, true))
}

/// Written beside and renamed, so that a crash leaves either nothing or the whole file.
fn write_durably(data_dir: &Path, path: &Path, secrets: &Secrets) -> io::Result<()> {
    let temporary = path.with_extension("json.new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(OWNER_ONLY_FILE).open(&temporary)?;
    file.set_permissions(fs::Permissions::from_mode(OWNER_ONLY_FILE))?;
    serde_json::to_writer_pretty(&mut file, secrets)?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    File::open(data_dir)?.sync_all()
}

fn random() -> Result<Secret, SecretsError> {
    let mut bytes = [0_u8; SECRET_BYTES];
    getrandom::fill(&mut bytes).map_err(SecretsError::Random)?;
    Ok(Secret(bytes.iter().map(|byte| format!("{byte:02x}")).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_made_once_for_their_owner_only_and_stay_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        assert_eq!(load(&data).unwrap(), None);
        let (first, created) = load_or_create(&data).unwrap();
        assert!(created);
        assert_eq!(first.admin_access_key.expose().len(), 2 * SECRET_BYTES);
        assert_ne!(first.admin_access_key, first.files_read_token_secret);
        assert_eq!(fs::metadata(path(&data)).unwrap().permissions().mode() & 0o777, OWNER_ONLY_FILE);
        assert_eq!(fs::metadata(&data).unwrap().permissions().mode() & 0o777, OWNER_ONLY_FOLDER);
        fs::set_permissions(path(&data), fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(load_or_create(&data).unwrap(), (first, false));
        assert_eq!(fs::metadata(path(&data)).unwrap().permissions().mode() & 0o777, OWNER_ONLY_FILE);
    }

    #[test]
    fn a_damaged_file_is_an_error_and_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        for content in
            ["", "{\"adminAccessKey\":\"hush\"", "{\"adminAccessKey\":\"\",\"filesReadTokenSecret\":\"hush\"}"]
        {
            fs::write(path(folder.path()), content).unwrap();
            let error = load_or_create(folder.path()).unwrap_err();
            assert!(matches!(error, SecretsError::Damaged { .. }), "{error}");
            assert!(!error.to_string().contains("hush"));
            assert_eq!(fs::read_to_string(path(folder.path())).unwrap(), content);
        }
    }

    #[test]
    fn two_installations_have_different_secrets_and_debug_shows_none() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (first, _) = load_or_create(one.path()).unwrap();
        let (second, _) = load_or_create(other.path()).unwrap();
        assert_ne!(first.admin_access_key, second.admin_access_key);
        assert!(!format!("{first:?}").contains(first.admin_access_key.expose()));
    }
}
