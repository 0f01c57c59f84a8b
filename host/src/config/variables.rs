//! What the environment says of the settings: a variable a key, above `config.yaml`.

use std::collections::BTreeMap;

use apflow_model::likeness::nearest;
use apflow_model::setting::{self, Setting};
use apflow_model::yaml_edit;
use serde_json::Value;

use super::error::ConfigError;
use super::file::ConfigFile;

/// What every variable of ours begins with.
const OURS: &str = "APFLOW_";
/// Those that add to what the file says, in a form of their own.
const ADDING: [&str; 2] = ["APFLOW_JWT_SECRET", "APFLOW_API_KEYS"];
/// Those that are no keys of the file. The last is what the host tells guests.
const OTHERS: [&str; 4] =
    ["APFLOW_DATA_DIR", "APFLOW_CONFIG_DIR", "APFLOW_COMPILE_TIMEOUT", "APFLOW_MODELS"];
/// How like a variable another must be to be taken for it.
const LIKENESS_MIN: f64 = 0.9;

/// A setting that the environment says.
#[derive(Debug, Clone)]
pub(crate) struct Variable {
    /// Its name.
    pub(crate) name: String,
    /// What it is about.
    pub(crate) setting: Setting,
    /// What it says. None when it adds to what the file says.
    pub(crate) value: Option<Value>,
}

/// The settings that an environment says.
pub(super) fn read(environment: &BTreeMap<String, String>) -> Result<Vec<Variable>, ConfigError> {
    let mut read = Vec::new();
    for setting in setting::all() {
        let name = setting.variable();
        let Some(typed) = environment.get(&name).filter(|typed| !typed.is_empty()) else {
            continue;
        };
        let value = if ADDING.contains(&&*name) {
            None
        } else {
            let wrong = |reason| ConfigError::Variable { name: name.clone(), reason };
            Some(setting.read(typed).map_err(wrong)?)
        };
        read.push(Variable { name, setting, value });
    }
    Ok(read)
}

/// Takes those out that hold secrets: no plugin may be granted them.
pub(super) fn hide_secrets(variables: &[Variable], environment: &mut BTreeMap<String, String>) {
    for variable in variables {
        // Those that add are taken out when they are read.
        if variable.setting.is_secret() && variable.value.is_some() {
            environment.remove(&variable.name);
        }
    }
}

/// What a valid text says with these variables above it, as settings and as values.
pub(super) fn above(
    text: &str,
    variables: &[Variable],
) -> Result<(ConfigFile, Value), ConfigError> {
    let mut text = text.to_owned();
    for Variable { name, setting, value } in variables {
        let Some(value) = value else { continue };
        let wrong = |reason| ConfigError::Variable { name: name.clone(), reason };
        text = yaml_edit::set(&text, &setting.segments(), value)
            .map_err(|error| wrong(error.to_string()))?;
        // One after the other, to know which of them is wrong.
        parse(&text).map_err(wrong)?;
    }
    // It was read as settings, so it can be read as anything.
    let keys = serde_saphyr::from_str(&text).unwrap_or_default();
    Ok((parse(&text).unwrap_or_default(), keys))
}

fn parse(text: &str) -> Result<ConfigFile, String> {
    serde_saphyr::from_str(text)
        .map_err(|error: serde_saphyr::Error| place_taken_out(&error.without_snippet().to_string()))
}

/// The variables of ours that say nothing, each with the one that may be meant.
pub(crate) fn misnamed(environment: &BTreeMap<String, String>) -> Vec<(String, Option<String>)> {
    let known: Vec<String> = setting::all().iter().map(Setting::variable).collect();
    let known: Vec<&str> = known.iter().map(String::as_str).chain(OTHERS).collect();
    let ours = environment.keys().filter(|name| name.starts_with(OURS));
    let strange = ours.filter(|name| !known.contains(&name.as_str()));
    strange
        .map(|name| {
            let meant = nearest(name, known.iter().copied(), LIKENESS_MIN);
            (name.clone(), meant.map(str::to_owned))
        })
        .collect()
}

/// The text of an error without the place in a YAML text: a variable has none.
fn place_taken_out(text: &str) -> String {
    text.rsplit_once(" at line ").map_or(text, |(text, _)| text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_variable_stands_above_the_file() {
        let environment = environment(&[
            ("APFLOW_ATTEMPTS_MAX", "7"),
            ("APFLOW_HTTP_HOSTS", "a.example,b.example"),
            ("APFLOW_AUDIT_READS", ""),
            ("APFLOW_DATA_DIR", "/tmp"),
        ]);
        let variables = read(&environment).unwrap();
        assert_eq!(variables.len(), 2);
        let (file, keys) = above("attempts_max: 3\nlease_seconds: 9\n", &variables).unwrap();
        assert_eq!((file.attempts_max.0, file.http.hosts.len()), (7, 2));
        assert_eq!((&keys["attempts_max"], &keys["lease_seconds"]), (&7.into(), &9.into()));
    }

    #[test]
    fn a_wrong_variable_is_named() {
        for (name, value) in [("APFLOW_ATTEMPTS_MAX", "0"), ("APFLOW_HTTP_ORIGINS", "*")] {
            let told = read(&environment(&[(name, value)])).and_then(|read| above("", &read));
            let told = told.unwrap_err().to_string();
            assert!(told.contains(&format!("`{name}` is not valid")), "{told}");
        }
    }

    #[test]
    fn a_variable_that_says_nothing_is_told() {
        let environment = environment(&[
            ("APFLOW_ATTEMPT_MAX", "7"),
            ("APFLOW_COLOUR", "red"),
            ("APFLOW_CONFIG_DIR", "/tmp"),
            ("PATH", "/bin"),
        ]);
        let told = misnamed(&environment);
        assert_eq!(told[0].1.as_deref(), Some("APFLOW_ATTEMPTS_MAX"));
        assert_eq!(told[1], ("APFLOW_COLOUR".to_owned(), None));
        assert_eq!(told.len(), 2);
    }
}
