//! The secrets of one attempt: placeholders for the guest, values for the way out, and nothing of
//! them in what is kept.
//!
//! A placeholder is a random text that stands for a secret during one attempt. The egress fills it
//! in; whoever else gets hold of it has nothing.

mod forms;
mod needles;
mod port;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use apflow_model::capability::{Grant, HttpTarget, Scope, check_secret_name};
use apflow_model::fault::Fault;
use apflow_model::secret::{Destinations, Secret};
use serde_json::Value;

use crate::port::TaskPort;
use port::Redacting;

pub(crate) use forms::{json, of as forms, percent};
pub(crate) use needles::{Needles, Pair, Stream};
pub use source::{NoSecrets, SecretSource};

/// The secrets of one attempt. Without any, as for most plugins, it does nothing.
#[derive(Clone, Default)]
pub(crate) struct Secrets(Option<Arc<Kept>>);

struct Kept {
    scope: Scope,
    source: Arc<dyn SecretSource>,
    /// Of every secret that may be filled in.
    placeholders: Vec<Placeholder>,
    /// Of every secret that the guest may hold itself, or why it cannot be read.
    held: OnceLock<BTreeMap<String, Result<Secret, String>>>,
    read: Mutex<Read>,
}

/// What was read for this attempt, and must not be found in what is kept of it.
#[derive(Default)]
struct Read {
    values: Vec<(String, Secret)>,
    /// None as long as nothing was read.
    redactions: Option<Arc<Needles>>,
}

/// What stands for a secret.
pub(crate) struct Placeholder {
    /// The secret.
    pub(crate) name: String,
    /// The text that the guest holds.
    pub(crate) text: String,
}

/// Why a guest does not get a secret.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoSecret {
    /// It was not asked for or not granted. The sentence says what would allow it.
    Denied(String),
    /// It cannot be read.
    Unavailable(String),
}

impl Secrets {
    /// Takes the secrets that a plugin asks for, and makes a placeholder for each that is granted
    /// and known.
    pub(crate) fn new(scope: &Scope, source: &Arc<dyn SecretSource>) -> Self {
        let asked = &scope.asked;
        if asked.secrets.is_empty() && asked.secret_values.is_empty() {
            return Self::default();
        }
        let granted: BTreeSet<&String> = scope.granted.iter().filter_map(secret_of).collect();
        let is_given = |name: &&&String| {
            scope.admit_secret(name).is_ok() && source.destinations(name).is_some()
        };
        let placeholders = granted.iter().filter(is_given);
        let placeholders = placeholders.filter_map(|name| Placeholder::new(name)).collect();
        Self(Some(Arc::new(Kept {
            scope: scope.clone(),
            source: Arc::clone(source),
            placeholders,
            held: OnceLock::new(),
            read: Mutex::default(),
        })))
    }

    /// The same task, told nothing of the values.
    pub(crate) fn guard(&self, port: Arc<dyn TaskPort>) -> Arc<dyn TaskPort> {
        if self.0.is_none() {
            return port;
        }
        Arc::new(Redacting::new(port, self.clone()))
    }

    /// Reads the values that the guest may hold itself.
    pub(crate) async fn prepare(&self) {
        let Some(kept) = &self.0 else { return };
        let mut held = BTreeMap::new();
        for name in &kept.scope.asked.secret_values {
            if kept.scope.admit_secret_value(name).is_ok() {
                held.insert(name.clone(), self.read(name).await);
            }
        }
        kept.held.get_or_init(|| held);
    }

    /// Gives the guest a secret: its value where that was granted, else its placeholder.
    pub(crate) fn get(&self, name: &str) -> Result<String, NoSecret> {
        let denied = |denial: String| Err(NoSecret::Denied(denial));
        let (Some(kept), Ok(_)) = (&self.0, check_secret_name(name)) else {
            return denied("there is no secret of such a name".to_owned());
        };
        let value = match kept.scope.admit_secret_value(name) {
            Ok(()) => return held(kept, name).map(|value| value.expose().to_owned()),
            Err(denial) => denial,
        };
        match kept.scope.admit_secret(name) {
            Ok(()) => {
                let mut placeholders = kept.placeholders.iter();
                let found = placeholders.find(|placeholder| placeholder.name == name);
                let text = found.map(|placeholder| placeholder.text.clone());
                text.ok_or_else(|| NoSecret::Unavailable(undefined(name)))
            }
            Err(_) if kept.scope.asked.secret_values.iter().any(|asked| asked == name) => {
                denied(value.to_string())
            }
            Err(denial) => denied(denial.to_string()),
        }
    }

    /// The variables that carry the secrets to programs which know no import.
    pub(crate) fn variables(&self) -> BTreeMap<String, String> {
        let Some(kept) = &self.0 else { return BTreeMap::new() };
        let filled = kept.placeholders.iter().map(|placeholder| &placeholder.name);
        let names = filled.chain(&kept.scope.asked.secret_values);
        names.filter_map(|name| Some((name.clone(), self.get(name).ok()?))).collect()
    }

    /// What may be filled in.
    pub(crate) fn placeholders(&self) -> &[Placeholder] {
        self.0.as_ref().map_or(&[], |kept| &kept.placeholders)
    }

    /// Where a secret belongs.
    pub(crate) fn destinations(&self, name: &str) -> Option<&Destinations> {
        self.0.as_ref().and_then(|kept| kept.source.destinations(name))
    }

    /// Whether a secret may be filled into this request.
    pub(crate) fn belongs(&self, name: &str, to: &HttpTarget) -> bool {
        self.destinations(name).is_some_and(|own| own.http.iter().any(|one| one.matches(to)))
    }

    /// Whether a secret may be shown to this server. `host` is lower case, without brackets.
    pub(crate) fn belongs_at(&self, name: &str, host: &str, port: u16) -> bool {
        self.destinations(name).is_some_and(|own| own.tcp.iter().any(|one| one.matches(host, port)))
    }

    /// Says that a secret does not belong where it was wanted.
    pub(crate) fn stray(&self, name: &str, wanted: &str) -> String {
        let belongs = self.destinations(name).into_iter().flat_map(Destinations::texts);
        let belongs: Vec<String> = belongs.map(|text| format!("`{text}`")).collect();
        format!(
            "the secret `{name}` was not sent to {wanted}: it belongs to {}; `{name}` in the \
             operator's secrets.yaml says where it may go",
            belongs.join(", ")
        )
    }

    /// Reads a value. From now on it is found in every text that is kept of this attempt.
    pub(crate) async fn read(&self, name: &str) -> Result<Secret, String> {
        let Some(kept) = &self.0 else { return Err(undefined(name)) };
        let value = kept.source.read(name).await?;
        let mut read = lock(kept);
        if !read.values.iter().any(|(_, known)| *known == value) {
            read.values.push((name.to_owned(), value.clone()));
            let pairs = read.values.iter().flat_map(|(name, value)| {
                let put = format!("[secret {name}]").into_bytes();
                forms(value.expose()).into_iter().map(move |form| (form, put.clone()))
            });
            read.redactions = Some(Arc::new(Needles::new(pairs)));
        }
        Ok(value)
    }

    /// The values that were read so far of the secrets that have a placeholder, each with it.
    pub(crate) fn known(&self) -> Vec<(&Placeholder, Secret)> {
        let Some(kept) = &self.0 else { return Vec::new() };
        let read = lock(kept);
        let pairs = kept.placeholders.iter().flat_map(|placeholder| {
            let values = read.values.iter().filter(|(name, _)| *name == placeholder.name);
            values.map(move |(_, value)| (placeholder, value.clone()))
        });
        pairs.collect()
    }
}

/// What is kept of an attempt, without the values that were read for it.
impl Secrets {
    /// A text without values.
    pub(crate) fn redact(&self, text: String) -> String {
        let replaced = self.redactions().and_then(|needles| needles.replace(text.as_bytes()));
        replaced.map_or(text, |bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Bytes without values. Where they were cut, the end may be the beginning of a value, and is
    /// left out then.
    pub(crate) fn redact_bytes(&self, bytes: Vec<u8>, is_cut: bool) -> Vec<u8> {
        let Some(needles) = self.redactions() else { return bytes };
        let mut stream = Stream::new(needles);
        let mut redacted = stream.push(&bytes);
        if !is_cut {
            redacted.extend(stream.finish());
        }
        redacted
    }

    /// The end of an attempt without values.
    pub(crate) fn redact_result(&self, result: Result<Value, Fault>) -> Result<Value, Fault> {
        let Some(needles) = self.redactions() else { return result };
        match result {
            Ok(mut output) => {
                redact_value(&needles, &mut output);
                Ok(output)
            }
            Err(fault) => Err(Fault {
                retry_after_ms: fault.retry_after_ms,
                exit_code: fault.exit_code,
                ..Fault::new(fault.code, self.redact(fault.message))
            }),
        }
    }

    /// The secret whose value is in these bytes, in the words that would stand in its place.
    pub(crate) fn find(&self, bytes: &[u8]) -> Option<String> {
        let needles = self.redactions()?;
        needles.first(bytes).map(|put| String::from_utf8_lossy(put).into_owned())
    }

    fn redactions(&self) -> Option<Arc<Needles>> {
        lock(self.0.as_ref()?).redactions.clone()
    }
}

impl Placeholder {
    /// None when the system gives no random numbers.
    fn new(name: &str) -> Option<Self> {
        let mut bytes = [0_u8; 16];
        getrandom::fill(&mut bytes).ok()?;
        let text = bytes
            .iter()
            .fold("apflow-secret-".to_owned(), |text, byte| format!("{text}{byte:02x}"));
        Some(Self { name: name.to_owned(), text })
    }
}

/// The secret that a grant lets the host fill in.
fn secret_of(grant: &Grant) -> Option<&String> {
    match grant {
        Grant::Secret(name) => Some(name),
        Grant::Http(_)
        | Grant::Tcp(_)
        | Grant::Sockets(_)
        | Grant::Net(_)
        | Grant::FsIn(_)
        | Grant::Env(_)
        | Grant::SecretValue(_) => None,
    }
}

/// Says that the operator named no such secret.
fn undefined(name: &str) -> String {
    format!("the operator's secrets.yaml names no secret `{name}`")
}

fn held(kept: &Kept, name: &str) -> Result<Secret, NoSecret> {
    let read = kept.held.get().and_then(|held| held.get(name));
    let read = read.cloned().unwrap_or_else(|| Err(undefined(name)));
    read.map_err(NoSecret::Unavailable)
}

/// Takes values out of every text in an output, names and numbers included.
fn redact_value(needles: &Needles, value: &mut Value) {
    let replaced = |text: &str| {
        let replaced = needles.replace(text.as_bytes());
        replaced.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    };
    match value {
        Value::Null | Value::Bool(_) => {}
        Value::Number(number) => {
            if let Some(text) = replaced(&number.to_string()) {
                *value = Value::String(text);
            }
        }
        Value::String(text) => {
            if let Some(replaced) = replaced(text) {
                *text = replaced;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| redact_value(needles, item)),
        Value::Object(fields) => {
            let names: Vec<String> = fields.keys().cloned().collect();
            for name in names {
                if let (Some(other), Some(value)) = (replaced(&name), fields.get_mut(&name)) {
                    let value = value.take();
                    fields.remove(&name);
                    fields.insert(other, value);
                }
            }
            fields.values_mut().for_each(|value| redact_value(needles, value));
        }
    }
}

fn lock(kept: &Kept) -> MutexGuard<'_, Read> {
    kept.read.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use apflow_model::capability::Capabilities;
    use apflow_model::event::{Level, LogLine, Stream};
    use serde_json::json;
    use tokio::sync::Semaphore;

    use super::*;
    use crate::fixture::{Lines, OneSecret};
    use crate::port::CheckpointError;

    const VALUE: &str = OneSecret::VALUE;

    fn secrets(asked: &Capabilities, granted: &[&str]) -> Secrets {
        let scope = Scope {
            plugin: "own".into(),
            asked: Arc::new(asked.clone()),
            granted: granted.iter().map(|text| text.parse().unwrap()).collect(),
            narrowed: None,
        };
        let source: Arc<dyn SecretSource> = Arc::new(OneSecret::to_tcp("a.example:25"));
        Secrets::new(&scope, &source)
    }

    async fn holding() -> Secrets {
        let asked =
            Capabilities { secret_values: vec!["pin_code".to_owned()], ..Capabilities::default() };
        let secrets = secrets(&asked, &["secret-value=pin_code"]);
        secrets.prepare().await;
        assert_eq!(secrets.get("pin_code").as_deref(), Ok(VALUE));
        secrets
    }

    #[test]
    fn a_plugin_without_secrets_keeps_its_own_port() {
        let port: Arc<dyn TaskPort> = Arc::new(Lines::default());
        let none = secrets(&Capabilities::default(), &[]);
        assert!(Arc::ptr_eq(&none.guard(Arc::clone(&port)), &port));
    }

    #[test]
    fn every_attempt_has_placeholders_of_its_own() {
        let asked = Capabilities { secrets: vec!["key".to_owned()], ..Capabilities::default() };
        let placeholder = || secrets(&asked, &["secret=key"]).get("key").unwrap();
        assert_ne!(placeholder(), placeholder());
        let attempt = secrets(&asked, &["secret=key"]);
        assert_eq!(attempt.get("key"), attempt.get("key"));
        assert_eq!(attempt.variables()["key"], attempt.get("key").unwrap());
        assert!(matches!(secrets(&asked, &[]).get("key"), Err(NoSecret::Denied(_))));
        assert!(matches!(attempt.get("not a name"), Err(NoSecret::Denied(_))));
    }

    #[test]
    fn who_asks_for_any_secret_has_those_that_are_granted() {
        let asked = Capabilities { secrets: vec!["*".to_owned()], ..Capabilities::default() };
        let attempt = secrets(&asked, &["secret=key", "secret=other", "secret=key"]);
        let names: Vec<&str> =
            attempt.placeholders().iter().map(|placeholder| &*placeholder.name).collect();
        assert_eq!(names, ["key", "other"]);
        assert!(attempt.get("key").is_ok());
        assert!(matches!(attempt.get("third"), Err(NoSecret::Denied(_))));
    }

    #[tokio::test]
    async fn an_output_is_looked_through_to_its_names_and_numbers() {
        let output = json!({ "a": [1_234_567_890, 5], VALUE: { "b": "x1234567890x" } });
        let redacted = holding().await.redact_result(Ok(output)).unwrap();
        let name = "[secret pin_code]";
        assert_eq!(redacted, json!({ "a": [name, 5], name: { "b": format!("x{name}x") } }));
    }

    #[tokio::test]
    async fn the_beginning_of_a_value_at_a_cut_is_left_out() {
        let secrets = holding().await;
        let said = b"it is 12345".to_vec();
        assert_eq!(secrets.redact_bytes(said.clone(), true), b"it is ");
        assert_eq!(secrets.redact_bytes(said.clone(), false), said);
    }

    #[tokio::test]
    async fn what_a_command_writes_is_redacted_wherever_it_is_cut() {
        let lines = Arc::new(Lines::default());
        let port = holding().await.guard(lines.clone());
        let said = format!("it is {VALUE}, 1");
        for byte in said.as_bytes() {
            port.wrote(Stream::Stdout, &[*byte]);
        }
        port.wrote(Stream::Stderr, VALUE.as_bytes());
        let written = String::from_utf8(lines.written()).unwrap();
        assert_eq!(written, "it is [secret pin_code], [secret pin_code]", "the last 1 waits");
    }

    #[tokio::test]
    async fn a_guest_that_holds_secrets_waits_as_any_other() {
        let guarded = async |lines: Lines| holding().await.guard(Arc::new(lines));
        assert!(guarded(Lines::default()).await.reach_out().is_none());
        let waiting = guarded(Lines::waiting(Arc::new(Semaphore::new(0)))).await;
        assert!(waiting.reach_out().is_some() && waiting.room().is_some());
    }

    #[tokio::test]
    async fn a_log_is_redacted_and_a_checkpoint_refused() {
        let lines = Arc::new(Lines::default());
        let port = holding().await.guard(lines.clone());
        let fields = vec![(VALUE.to_owned(), VALUE.to_owned())];
        port.log(LogLine { level: Level::Info, message: format!("={VALUE}"), fields });
        let line = lines.take().remove(0);
        let name = "[secret pin_code]".to_owned();
        assert_eq!((line.message, line.fields), (format!("={name}"), vec![(name.clone(), name)]));
        let hex = b"31323334353637383930".to_vec();
        for (step, value) in [(VALUE, vec![]), ("step", hex)] {
            let saved = port.save_checkpoint(step.to_owned(), value).await;
            assert!(
                matches!(&saved, Err(CheckpointError::Unavailable(text)) if text.contains("pin_code")),
                "{saved:?}"
            );
        }
        assert_eq!(port.save_checkpoint("step".to_owned(), b"12345".to_vec()).await, Ok(()));
    }
}
