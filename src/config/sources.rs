//! Reads the sources: YAML files, the environment, command-line overrides. Each becomes settings with an origin.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::error::{Findings, Origin, Problem};
use super::keys::Kind;
use super::lookup::{self, Found};
use super::tree::{join, split};

/// A configuration file is read whole; a larger one is not a configuration file.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
const ENVIRONMENT_SEPARATOR: &str = "__";

pub(super) struct Setting {
    pub(super) path: Vec<String>,
    pub(super) value: Value,
    pub(super) origin: Origin,
}

/// The settings of a YAML file, checked against the key table.
pub(super) fn from_file(path: &Path, origin: &Origin, findings: &mut Findings) -> Vec<Setting> {
    let fields = match read_map(path) {
        Ok(fields) => fields,
        Err(reason) => {
            findings.add(&path.display().to_string(), Problem::Unreadable { reason });
            return Vec::new();
        }
    };
    let settings = fields.into_iter().map(|(name, value)| Setting { path: vec![name], value, origin: origin.clone() });
    settings.map(|setting| checked(setting, findings)).collect()
}

/// The settings of `--key:sub=value` arguments, given as (key, value).
pub(super) fn from_arguments(overrides: &[(String, String)], findings: &mut Findings) -> Vec<Setting> {
    let setting = |(name, text): &(String, String)| {
        let path = split(name);
        let value = parse(text, &path);
        checked(Setting { value, path, origin: Origin::Argument(format!("--{name}")) }, findings)
    };
    overrides.iter().map(setting).collect()
}

/// The settings of `SECTION__key=value` variables, and warnings about those that look like ours but are not known.
pub(super) fn from_environment(
    variables: impl Iterator<Item = (String, String)>,
    findings: &mut Findings,
) -> (Vec<Setting>, Vec<String>) {
    let mut settings = Vec::new();
    let mut warnings = Vec::new();
    for (name, text) in variables {
        if let Some(named) = named_variable(&name, &text) {
            settings.extend(named.into_iter().map(|setting| checked(setting, findings)));
            continue;
        }
        let path: Vec<String> = name.split(ENVIRONMENT_SEPARATOR).map(str::to_owned).collect();
        let known = path.first().is_some_and(|first| lookup::is_known_section(first));
        if path.len() < 2 || !known {
            continue;
        }
        match lookup::canonical(&path) {
            Some(path) => {
                let value = parse(&text, &path);
                settings.push(checked(Setting { path, value, origin: Origin::Environment(name) }, findings));
            }
            None => warnings.push(format!(
                "environment variable {name} is not a known key and is ignored; the nearest one is {}",
                lookup::nearest(&path).replace(':', ENVIRONMENT_SEPARATOR)
            )),
        }
    }
    // The order of an environment is arbitrary; the settings' must not be.
    settings.sort_by(|one, other| one.path.cmp(&other.path));
    (settings, warnings)
}

/// The service information behind `serviceInfoUrl`, only from a file.
pub(super) fn from_service_info(url: &str, cwd: &Path, findings: &mut Findings) -> Option<Setting> {
    const KEY: &str = "serviceInfoUrl";
    let Some(location) = url.strip_prefix("file://") else {
        findings.rule(KEY, "must be a file:// URL: download the service information and name the file");
        return None;
    };
    let path = cwd.join(location);
    match read_map(&path) {
        Ok(fields) => {
            let origin = Origin::ServiceInfo(path);
            Some(checked(Setting { path: vec!["service".to_owned()], value: Value::Object(fields), origin }, findings))
        }
        Err(reason) => {
            findings.add(KEY, Problem::Unreadable { reason });
            None
        }
    }
}

/// Variables with a name of their own.
fn named_variable(name: &str, text: &str) -> Option<Vec<Setting>> {
    let setting =
        |key: &str, value: Value| Setting { path: split(key), value, origin: Origin::Environment(name.to_owned()) };
    match (name, text) {
        (_, "") => None,
        ("COREWARD_DATA", path) => Some(vec![setting("storages:path", path.into())]),
        ("COREWARD_DRIVER", driver) => Some(vec![setting("cluster:driver", driver.into())]),
        ("LOGS", level) => {
            Some(vec![setting("logs:console:active", true.into()), setting("logs:console:level", level.into())])
        }
        ("LOG_FORMAT", "json") => Some(vec![setting("logs:console:format:json", true.into())]),
        _ => None,
    }
}

fn checked(mut setting: Setting, findings: &mut Findings) -> Setting {
    lookup::check(&mut setting.path, &mut setting.value, &setting.origin, findings);
    setting
}

/// Parsed as JSON when possible, but a key that wants a text gets the text as written (a key of digits stays a text).
/// The reference's `config-to-env` encodes maps and ambiguous texts twice, so a text may hold the JSON.
fn parse(text: &str, path: &[String]) -> Value {
    let kind = match lookup::find(path) {
        Found::Key { key, .. } => key.kind,
        _ => Kind::Any,
    };
    let parsed = serde_json::from_str::<Value>(text);
    match (kind, parsed) {
        (_, Ok(Value::Null)) => Value::Null,
        (_, Ok(Value::String(inner))) => match serde_json::from_str::<Value>(&inner) {
            Ok(Value::String(innermost)) => innermost.into(),
            Ok(value) if !matches!(kind, Kind::Text | Kind::Url | Kind::Choice(_)) => value,
            _ => inner.into(),
        },
        (Kind::Text | Kind::Url | Kind::Choice(_), Ok(_)) | (_, Err(_)) => text.into(),
        (_, Ok(value)) => value,
    }
}

fn read_map(path: &Path) -> Result<Map<String, Value>, String> {
    let bytes = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(format!("it has {bytes} bytes, more than {FILE_BYTES_MAX}"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let mut yaml: serde_norway::Value = serde_norway::from_str(&text).map_err(|error| error.to_string())?;
    yaml.apply_merge().map_err(|error| error.to_string())?;
    match to_json(yaml, &mut Vec::new())? {
        Value::Null => Ok(Map::new()),
        Value::Object(fields) => Ok(fields),
        _ => Err("it is not a map of keys".to_owned()),
    }
}

fn to_json(yaml: serde_norway::Value, path: &mut Vec<String>) -> Result<Value, String> {
    use serde_norway::Value as Yaml;
    match yaml {
        Yaml::Null => Ok(Value::Null),
        Yaml::Bool(flag) => Ok(flag.into()),
        Yaml::String(text) => Ok(text.into()),
        Yaml::Number(number) => {
            number_to_json(&number).ok_or_else(|| format!("[{}] is not a finite number", join(path)))
        }
        Yaml::Sequence(items) => {
            items.into_iter().map(|item| to_json(item, path)).collect::<Result<_, _>>().map(Value::Array)
        }
        Yaml::Mapping(fields) => {
            let mut object = Map::new();
            for (name, field) in fields {
                let name = key_text(name).ok_or_else(|| format!("[{}] has a key that is not a text", join(path)))?;
                path.push(name.clone());
                object.insert(name, to_json(field, path)?);
                path.pop();
            }
            Ok(Value::Object(object))
        }
        Yaml::Tagged(tagged) => Err(format!("[{}] has the tag {}; tags are not supported", join(path), tagged.tag)),
    }
}

fn number_to_json(number: &serde_norway::Number) -> Option<Value> {
    let integer = number.as_u64().map(Value::from).or_else(|| number.as_i64().map(Value::from));
    integer.or_else(|| number.as_f64().and_then(serde_json::Number::from_f64).map(Value::Number))
}

fn key_text(name: serde_norway::Value) -> Option<String> {
    match name {
        serde_norway::Value::String(text) => Some(text),
        serde_norway::Value::Number(number) => Some(number.to_string()),
        serde_norway::Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

/// `override-config.yml` beside the configuration file, if there is one.
pub(super) fn override_file(config_file: &Path) -> Option<PathBuf> {
    let path = config_file.parent()?.join("override-config.yml");
    path.is_file().then_some(path)
}
