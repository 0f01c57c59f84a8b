//! `config.yaml`, taken anew while the host runs: as a whole, or not at all.

use std::sync::{Mutex, PoisonError};

use apflow_api::chain;
use serde_json::Value;

use crate::config::{Config, ConfigFile};
use crate::reload::Reload;
use crate::telemetry;

/// The keys that apply at once. All others wait for a restart.
const LIVE: [&str; 7] = [
    "concurrency",
    "idempotency_hours",
    "quarantine",
    "retention",
    "telemetry.log",
    "telemetry.log_format",
    "telemetry.otlp",
];

/// The sections whose keys are told apart.
const SECTIONS: [&str; 1] = ["telemetry"];

/// `config.yaml` of a host that runs.
pub(crate) struct Settings<A> {
    config: Config,
    /// What the file said when the host started. What waits for a restart differs from this.
    begun: Value,
    /// What it said last.
    last: Mutex<Value>,
    /// Has the engine take the new settings.
    adopt: A,
}

impl<A: Fn(&ConfigFile) + Send + Sync> Settings<A> {
    pub(crate) fn new(config: &Config, adopt: A) -> Self {
        // It was read a moment ago: what keeps it from being read now is told by the next reload.
        let begun = config.reread().map(|(_, keys)| keys).unwrap_or_default();
        Self { config: config.clone(), last: Mutex::new(begun.clone()), begun, adopt }
    }
}

impl<A: Fn(&ConfigFile) + Send + Sync> Reload for Settings<A> {
    fn name(&self) -> &'static str {
        "config.yaml"
    }

    fn reload(&self) -> Result<(), String> {
        let (file, keys) = self.config.reread().map_err(|error| {
            let faults = error.faults().iter().map(|fault| format!("; {fault}"));
            chain(&error) + &faults.collect::<String>()
        })?;
        let exports = self.config.exports(&file).map_err(|error| chain(&error))?;
        telemetry::configure(&file.telemetry, &exports).map_err(|refused| refused.to_string())?;
        (self.adopt)(&file);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        for key in changed(&last, &keys) {
            if LIVE.contains(&&*key) {
                tracing::info!(key, "a setting applies from now on");
            }
        }
        for key in changed(&self.begun, &keys) {
            if !LIVE.contains(&&*key) {
                tracing::warn!(key, "a setting has changed that applies after a restart");
            }
        }
        *last = keys;
        Ok(())
    }
}

/// The keys whose values differ.
fn changed(old: &Value, new: &Value) -> Vec<String> {
    let (old, new) = (keys(old), keys(new));
    let differs = |(key, value): &(String, &Value)| {
        !new.iter().any(|(other, found)| other == key && found == value)
    };
    let mut changed: Vec<String> =
        old.iter().filter(|one| differs(one)).map(|one| one.0.clone()).collect();
    let is_new = |(key, _): &&(String, &Value)| !old.iter().any(|(other, _)| other == key);
    changed.extend(new.iter().filter(is_new).map(|(key, _)| key.clone()));
    changed
}

/// The keys of a file with their values; those of some sections one by one.
fn keys(file: &Value) -> Vec<(String, &Value)> {
    let entries = file.as_object().into_iter().flatten();
    let of_entry = |(key, value): (&String, _)| -> Vec<(String, &Value)> {
        let value: &Value = value;
        match value.as_object() {
            Some(inner) if SECTIONS.contains(&&**key) => {
                inner.iter().map(|(name, value)| (format!("{key}.{name}"), value)).collect()
            }
            _ => vec![(key.clone(), value)],
        }
    };
    entries.flat_map(of_entry).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_key_has_changed_when_it_came_or_went_or_has_another_value() {
        let old = json!({ "a": 1, "b": 2, "telemetry": { "log": "info", "propagate": true } });
        let new = json!({ "a": 1, "c": 3, "telemetry": { "log": "debug", "propagate": true } });
        assert_eq!(changed(&old, &new), ["b", "telemetry.log", "c"]);
        assert_eq!(changed(&new, &new), Vec::<String>::new());
        assert_eq!(changed(&Value::Null, &json!({ "a": 1 })), ["a"]);
    }
}
