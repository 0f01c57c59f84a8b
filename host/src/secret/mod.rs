//! The operator's secrets: what `secrets.yaml` names, and the keys of providers that are in variables,
//! read when they are needed.
//!
//! Values are kept in memory for a few seconds, and nowhere else.

mod read;

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::Arc;
use std::time::{Duration, Instant};

use apflow_model::reader::FileFault;
use apflow_model::secret::{Origin, Secret, SecretRule, parse_rules};
use cap_std::fs::{Dir, PermissionsExt};
use tokio::sync::Mutex;

/// The file in the folder of the settings.
pub(crate) const SECRETS_FILE: &str = "secrets.yaml";

/// How long what was read counts. A new value is used after this.
const FRESH: Duration = Duration::from_secs(10);
/// The longest that reading one value may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest `secrets.yaml`.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What keeps `secrets.yaml` from being read.
#[derive(Debug)]
pub(crate) enum Unreadable {
    /// The file cannot be opened.
    Io(io::Error),
    /// Others than its owner may read or write it. Its mode.
    Open(u32),
    /// It has faults.
    Faults(Vec<FileFault>),
}

/// The operator's secrets. Clones share what was read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Vault(Arc<BTreeMap<String, Entry>>);

#[derive(Debug)]
struct Entry {
    rule: SecretRule,
    /// The value of a variable, which the rest of the host never sees.
    variable: Option<String>,
    /// What was read last, and when. Held while it is read, so that many who need it at once run
    /// one program.
    last: Mutex<Option<(Instant, Result<Secret, String>)>>,
}

/// Reads `secrets.yaml`.
pub(crate) fn read_rules(folder: &Dir) -> Result<Vec<SecretRule>, Unreadable> {
    let file = match folder.open(SECRETS_FILE) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        opened => opened.map_err(Unreadable::Io)?,
    };
    let mode = file.metadata().map_err(Unreadable::Io)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(Unreadable::Open(mode));
    }
    let mut text = String::new();
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(Unreadable::Io)?;
    parse_rules(&text).map_err(Unreadable::Faults)
}

impl Vault {
    /// Keeps these secrets, and takes the variables that hold some out of the environment.
    pub(crate) fn new(rules: Vec<SecretRule>, environment: &mut BTreeMap<String, String>) -> Self {
        let variable = |rule: &SecretRule| match &rule.from {
            Origin::Env(name) => environment.get(name).cloned(),
            Origin::File(_) | Origin::Command(_) => None,
        };
        let entries: BTreeMap<String, Entry> = rules
            .into_iter()
            .map(|rule| {
                let variable = variable(&rule);
                (rule.name.clone(), Entry { rule, variable, last: Mutex::default() })
            })
            .collect();
        for entry in entries.values() {
            if let Origin::Env(name) = &entry.rule.from {
                environment.remove(name);
            }
        }
        Self(Arc::new(entries))
    }

    /// Every secret by name.
    pub(crate) fn rules(&self) -> impl Iterator<Item = &SecretRule> {
        self.0.values().map(|entry| &entry.rule)
    }

    /// One secret.
    pub(crate) fn find(&self, name: &str) -> Option<&SecretRule> {
        self.0.get(name).map(|entry| &entry.rule)
    }

    /// Reads the value of a secret, or says in a sentence why it cannot be read.
    pub(crate) async fn read(&self, name: &str) -> Result<Secret, String> {
        let entry = self.0.get(name);
        let entry = entry.ok_or_else(|| format!("{SECRETS_FILE} names no secret `{name}`"))?;
        let mut last = entry.last.lock().await;
        if let Some((at, read)) = &*last
            && at.elapsed() < FRESH
        {
            return read.clone();
        }
        let read = entry.read().await;
        *last = Some((Instant::now(), read.clone()));
        read
    }
}

impl Entry {
    async fn read(&self) -> Result<Secret, String> {
        let from = self.rule.from.clone();
        let reading = match from {
            Origin::Env(name) => {
                let value = self.variable.as_ref();
                let value = value.ok_or_else(|| format!("the variable `{name}` is not set"))?;
                return Secret::parse(value.as_bytes());
            }
            Origin::File(path) => tokio::task::spawn_blocking(move || read::file(&path)),
            Origin::Command(words) => {
                tokio::task::spawn_blocking(move || read::command(&words, PATIENCE))
            }
        };
        // A file may be one that blocks, such as a pipe.
        let read = tokio::time::timeout(PATIENCE * 2, reading).await;
        let read = read.map_err(|_| "reading it took too long".to_owned())?;
        read.unwrap_or_else(|_| Err("reading it failed".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment() -> BTreeMap<String, String> {
        let pairs = [("STRIPE_KEY", "hunter2hunter2"), ("LANG", "C")];
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }

    fn vault(from: &str, environment: &mut BTreeMap<String, String>) -> Vault {
        let text = format!("key:\n  from: {from}\n  http: [\"https://a.example\"]\n");
        Vault::new(parse_rules(&text).unwrap(), environment)
    }

    #[tokio::test]
    async fn a_variable_that_holds_a_secret_is_no_variable_any_more() {
        let mut environment = environment();
        let vault = vault("{ env: STRIPE_KEY }", &mut environment);
        assert_eq!(vault.read("key").await.unwrap().expose(), "hunter2hunter2");
        assert_eq!(environment.into_keys().collect::<Vec<_>>(), ["LANG"]);
        assert!(vault.read("other").await.unwrap_err().contains("names no secret `other`"));
    }

    #[tokio::test]
    async fn a_variable_that_is_not_set_says_so() {
        let vault = vault("{ env: NOT_SET }", &mut environment());
        assert_eq!(vault.read("key").await, Err("the variable `NOT_SET` is not set".to_owned()));
    }

    #[tokio::test]
    async fn many_who_need_a_value_at_once_run_one_program() {
        let folder = tempfile::TempDir::new().unwrap();
        let file = folder.path().join("ran");
        let script = format!("echo x >> {}; echo hunter2hunter2", file.display());
        let from = format!("{{ command: [sh, -c, \"{script}\"] }}");
        let vault = vault(&from, &mut BTreeMap::new());
        let readers: Vec<_> = (0..8)
            .map(|_| {
                let vault = vault.clone();
                tokio::spawn(async move { vault.read("key").await })
            })
            .collect();
        for reader in readers {
            assert_eq!(reader.await.unwrap().unwrap().expose(), "hunter2hunter2");
        }
        #[expect(clippy::disallowed_methods, reason = "a test reads what the program left")]
        let ran = std::fs::read_to_string(&file).unwrap();
        assert_eq!(ran, "x\n");
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        let outer = tempfile::TempDir::new().unwrap();
        let folder = Dir::open_ambient_dir(outer.path(), cap_std::ambient_authority()).unwrap();
        assert!(read_rules(&folder).is_ok(), "without a file");
        folder.write(SECRETS_FILE, "# none\n").unwrap();
        for (mode, is_fine) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false)] {
            folder
                .set_permissions(SECRETS_FILE, cap_std::fs::Permissions::from_mode(mode))
                .unwrap();
            assert_eq!(read_rules(&folder).is_ok(), is_fine, "{mode:o}");
        }
    }
}
