//! Settings in the form of the system that this one replaces: they are read once into `config.yaml`,
//! and kept beside it as `.bak`.

use std::io;
use std::path::Path;

use apflow_model::yaml_edit;
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use serde_json::{Map, Value, json};

use super::error::ConfigError;
use super::file;

/// Their files. What a later one says counts.
const FILES: [&str; 3] = ["config.json", "secrets.json", "config.cli.yaml"];

/// Their keys, and ours.
const KEYS: [(&str, &str); 7] = [
    ("api_server_url", "api_server_url"),
    ("api_timeout", "api_timeout"),
    ("api_retry_count", "api_retry_count"),
    ("api_retry_attempts", "api_retry_count"),
    ("admin_auth_token", "api_token"),
    ("jwt_secret", "auth.jwt_secrets"),
    ("log_level", "telemetry.log"),
];

/// Makes a `config.yaml` of the older files in its folder, and answers its text. None when there are
/// none.
pub(super) fn migrate(settings: &Path) -> Result<Option<String>, ConfigError> {
    let unusable = |name: &str, source| ConfigError::Unusable { path: settings.join(name), source };
    let folder = match Dir::open_ambient_dir(settings, ambient_authority()) {
        Ok(folder) => folder,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(unusable("", source)),
    };
    let mut said = Map::new();
    let mut found = Vec::new();
    for name in FILES {
        match folder.read_to_string(name) {
            Ok(text) => {
                said.extend(keys(&text).map_err(|reason| ConfigError::Invalid {
                    path: settings.join(name),
                    reason,
                })?);
                found.push(name);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(unusable(name, source)),
        }
    }
    if found.is_empty() {
        return Ok(None);
    }
    let (text, left_out) = translate(settings, &said);
    file::write(settings, &text)?;
    for name in &found {
        // The next start finds `config.yaml`, whatever becomes of these.
        folder
            .rename(name, &folder, format!("{name}.bak"))
            .map_err(|error| unusable(name, error))?;
    }
    tracing::warn!(
        files = found.join(", "),
        left_out = left_out.join(", "),
        "settings of an older form were read into config.yaml, and are kept as .bak"
    );
    Ok(Some(text))
}

/// The keys of an older file. JSON is YAML as well.
fn keys(text: &str) -> Result<Map<String, Value>, String> {
    match serde_saphyr::from_str(text) {
        Ok(Value::Object(keys)) => Ok(keys),
        Ok(Value::Null) => Ok(Map::new()),
        Ok(_) => Err("expected keys and values".to_owned()),
        Err(error) => Err(error.without_snippet().to_string()),
    }
}

/// What they say, as a `config.yaml`, and the keys that have no place in it.
fn translate(settings: &Path, said: &Map<String, Value>) -> (String, Vec<String>) {
    let mut text = "# Made of settings of an older form, which are kept as .bak.\n".to_owned();
    let mut left_out = Vec::new();
    for (old, value) in said {
        let ours = KEYS.iter().find(|(key, _)| key == old).map(|(_, ours)| *ours);
        let value = match (old.as_str(), value) {
            ("jwt_secret", value) => json!([value]),
            ("log_level", Value::String(level)) => json!(level.to_lowercase()),
            (_, value) => value.clone(),
        };
        let edited = ours.and_then(|ours| {
            let path: Vec<_> = ours.split('.').collect();
            let edited = yaml_edit::set(&text, &path, &value).ok()?;
            file::parse(settings, &edited).is_ok().then_some(edited)
        });
        match edited {
            Some(edited) => text = edited,
            None => left_out.push(old.clone()),
        }
    }
    (text, left_out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_keys_become_ours_and_what_has_no_place_is_named() {
        let said =
            keys(&format!("log_level: DEBUG\njwt_secret: {}\ncolour: red\n", "s".repeat(32)));
        let (text, left_out) = translate(Path::new("/"), &said.unwrap());
        let file = file::parse(Path::new("/"), &text).unwrap();
        assert_eq!(file.telemetry.log.as_deref(), Some("debug"));
        assert_eq!(file.auth.jwt_secrets.len(), 1);
        assert_eq!(left_out, ["colour"]);
        let (_, left_out) = translate(Path::new("/"), &keys("jwt_secret: short").unwrap());
        assert_eq!(left_out, ["jwt_secret"], "one that could be guessed is not taken over");
    }
}
