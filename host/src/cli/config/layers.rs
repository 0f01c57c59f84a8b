//! What each layer says of a setting: flags above the environment above `config.yaml` above the
//! defaults.

use apflow_model::setting::Setting;
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::config::{ConfigError, Places, Variable};

/// A setting that was typed.
pub(crate) struct Flag {
    /// Of which setting.
    pub(crate) path: &'static str,
    /// As it was typed: `--log`.
    pub(crate) name: &'static str,
    /// What it says.
    pub(crate) value: Value,
}

/// What one layer says.
#[derive(Debug, Serialize)]
pub(super) struct Layer {
    /// Which: a flag, a variable, `config.yaml` or `default`.
    pub(super) from: String,
    /// What it says; of a secret no more than what tells it from others.
    pub(super) value: Value,
}

/// What all layers say.
pub(super) struct Layers<'a> {
    flags: &'a [Flag],
    variables: Vec<Variable>,
    file: Value,
}

impl<'a> Layers<'a> {
    /// Reads them. A file that is not valid is read as far as it can be.
    pub(super) fn read(places: &Places, flags: &'a [Flag]) -> Result<Self, ConfigError> {
        let variables = places.variables()?;
        let file =
            serde_saphyr::from_str(&places.text()?).map_err(|error: serde_saphyr::Error| {
                let reason = error.without_snippet().to_string();
                ConfigError::Invalid { path: places.config_file(), reason }
            })?;
        Ok(Self { flags, variables, file })
    }

    /// What each layer says of a setting, the one that counts first.
    pub(super) fn of(&self, setting: &Setting, shows_secret: bool) -> Vec<Layer> {
        let shown = |value: &Value| {
            if setting.is_secret() && !shows_secret { masked(value) } else { value.clone() }
        };
        // The parser of arguments takes a variable for a flag: then it is told as what it is.
        let is_variable = |flag: &Flag| {
            self.variables.iter().any(|variable| {
                variable.setting.path() == flag.path && variable.value.as_ref() == Some(&flag.value)
            })
        };
        let flags = self.flags.iter().filter(|flag| flag.path == setting.path());
        let flags = flags.filter(|flag| !is_variable(flag));
        let flags =
            flags.map(|flag| Layer { from: flag.name.to_owned(), value: shown(&flag.value) });
        let variables =
            self.variables.iter().filter(|variable| variable.setting.path() == setting.path());
        let variables = variables.map(|variable| {
            let adds = || json!("adds to what config.yaml says");
            let value = variable.value.as_ref().map_or_else(adds, shown);
            Layer { from: variable.name.clone(), value }
        });
        let file = setting.segments().iter().try_fold(&self.file, |value, key| value.get(key));
        let file = file.map(|value| Layer { from: "config.yaml".to_owned(), value: shown(value) });
        let default = setting.default().unwrap_or(Value::Null);
        let default = Layer { from: "default".to_owned(), value: default };
        flags.chain(variables).chain(file).chain([default]).collect()
    }
}

/// A secret as it may be shown: by the beginning of its hash, which tells it from others.
fn masked(value: &Value) -> Value {
    match value {
        Value::String(text) => {
            json!(format!("*** (sha256 {}…)", hash(text)))
        }
        Value::Array(items) => items.iter().map(masked).collect(),
        Value::Object(entries) => {
            entries.iter().map(|(key, value)| (key.clone(), masked(value))).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => json!("***"),
    }
}

/// The beginning of the hash of a text.
fn hash(text: &str) -> String {
    let hash = Sha256::digest(text.as_bytes());
    hash.iter().take(4).fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_told_from_others_and_not_shown() {
        let (one, other) = (masked(&json!("one-secret")), masked(&json!(["other-secret"])));
        assert!(!one.to_string().contains("one-") && !other.to_string().contains("other"));
        assert_ne!(other[0], one);
        // As `printf one-secret | sha256sum` has it.
        assert_eq!(one, "*** (sha256 5939fc78…)");
        assert_eq!(masked(&json!(12_345)), "***");
    }
}
