//! The settings of a host: the keys of `config.yaml`, each with what it may hold and what it is for.
//!
//! It knows keys and shapes. What a value means beyond its shape is said by the types that the file
//! is read as; tests of the host hold the two together. It reads no file.

mod check;
mod keys;

use serde_json::Value;

use crate::likeness::nearest;
use crate::reader::{self, FileFault};
use crate::schema::{self, Key, Shape};
use crate::yaml::{Kind, Node};

/// How like a known path a mistyped one must be to be taken for it.
const LIKENESS_MIN: f64 = 0.8;

/// One key of `config.yaml`, by its whole path, such as `http.drain_seconds`.
#[derive(Debug, Clone)]
pub struct Setting {
    path: String,
    /// Where a free name begins in the path, if it ends with one.
    free: Option<usize>,
    key: &'static Key,
    /// That of the key, or of what stands below one of its free names.
    shape: &'static Shape,
}

/// Every setting that holds a value, in the order of the table. A section is told by its keys.
pub fn all() -> Vec<Setting> {
    let mut all = Vec::new();
    walk("", &keys::TOP, &mut all);
    all
}

fn walk(above: &str, keys: &'static [Key], all: &mut Vec<Setting>) {
    for key in keys {
        let path =
            if above.is_empty() { key.name.to_owned() } else { format!("{above}.{}", key.name) };
        if !matches!(key.shape, Shape::Section(_)) {
            all.push(Setting { path: path.clone(), free: None, key, shape: &key.shape });
        }
        if let Some(inner) = inner(&key.shape) {
            walk(&path, inner, all);
        }
    }
}

/// The keys of a section, or of a shape that may be one.
fn inner(shape: &'static Shape) -> Option<&'static [Key]> {
    match shape {
        Shape::Section(keys) => Some(keys),
        Shape::Either(shapes) => shapes.iter().find_map(inner),
        Shape::Text
        | Shape::Form(_)
        | Shape::Word(_)
        | Shape::Flag
        | Shape::Share
        | Shape::Count(..)
        | Shape::Size(..)
        | Shape::Span(..)
        | Shape::List(_)
        | Shape::Set(_)
        | Shape::Filled(_)
        | Shape::Named(_)
        | Shape::Shared(..)
        | Shape::Made(_)
        | Shape::Nothing
        | Shape::Any => None,
    }
}

/// The keys at the top of the file.
pub fn top() -> Vec<String> {
    keys::TOP.iter().map(|key| key.name.to_owned()).collect()
}

fn range(shape: &Shape) -> Option<(u64, u64)> {
    if let Shape::Either(shapes) = shape {
        return shapes.iter().find_map(range);
    }
    if let Shape::Count(from, to) = shape { Some((*from, *to)) } else { None }
}

/// The setting of this path: a key, a section, or a free name below a key. A `-` is taken for a `_`.
///
/// # Errors
///
/// A sentence that names the known path that is most like it.
pub fn find(path: &str) -> Result<Setting, String> {
    look_up(path).or_else(|| look_up(&path.replace('-', "_"))).ok_or_else(|| unknown(path))
}

fn look_up(path: &str) -> Option<Setting> {
    let mut keys: &'static [Key] = &keys::TOP;
    let mut rest = path;
    loop {
        let (name, below) =
            rest.split_once('.').map_or((rest, None), |(name, below)| (name, Some(below)));
        let key = keys.iter().find(|key| key.name == name)?;
        let Some(below) = below else {
            return Some(Setting { path: path.to_owned(), free: None, key, shape: &key.shape });
        };
        // A free name may have dots of its own.
        if let Shape::Named(shape) = &key.shape {
            let free = Some(path.len() - below.len());
            return (!below.is_empty()).then(|| Setting {
                path: path.to_owned(),
                free,
                key,
                shape,
            });
        }
        (keys, rest) = (inner(&key.shape)?, below);
    }
}

fn unknown(path: &str) -> String {
    let all = all();
    let last = |setting: &&Setting| setting.path.rsplit('.').next() == Some(path);
    let meant = match all.iter().find(last) {
        Some(setting) => Some(setting.path.as_str()),
        None => nearest(path, all.iter().map(Setting::path), LIKENESS_MIN),
    };
    let hint = match meant {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => "`apflow-host config list` shows all".to_owned(),
    };
    format!("there is no setting `{path}`; {hint}")
}

impl Setting {
    /// Its whole path.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The keys of its path. A free name is one, whatever is in it.
    pub fn segments(&self) -> Vec<&str> {
        let Some(free) = self.free else { return self.path.split('.').collect() };
        let above = self.path[..free].split('.').filter(|key| !key.is_empty());
        above.chain([&self.path[free..]]).collect()
    }

    /// What it is for, as a sentence.
    pub fn about(&self) -> &'static str {
        self.key.about
    }

    /// Whether its value is shown to nobody.
    pub fn is_secret(&self) -> bool {
        self.key.is_secret
    }

    /// What holds when it is left out, where a value says it.
    pub fn default(&self) -> Option<Value> {
        self.key.default.map(|default| default())
    }

    /// What holds when it is left out, in words.
    pub fn otherwise(&self) -> String {
        match (self.default(), self.key.otherwise) {
            (Some(Value::String(text)), _) => text,
            (Some(value), _) => value.to_string(),
            (None, words) => words.unwrap_or("none").to_owned(),
        }
    }

    /// What it may hold, in words: `a whole number from 0 to 3600`.
    pub fn accepts(&self) -> String {
        check::accepts(self.shape)
    }

    /// The paths below it, of a section.
    pub fn keys(&self) -> Vec<String> {
        let keys = inner(self.shape).into_iter().flatten();
        keys.map(|key| format!("{}.{}", self.path, key.name)).collect()
    }

    /// The least and the most that it may be, where it is a whole number.
    pub fn range(&self) -> Option<(u64, u64)> {
        range(self.shape)
    }

    /// The variable of the environment that says it: `APFLOW_HTTP_DRAIN_SECONDS`.
    pub fn variable(&self) -> String {
        match self.key.variable {
            Some(name) => name.to_owned(),
            None => format!("APFLOW_{}", self.path.replace(['.', '-'], "_").to_uppercase()),
        }
    }

    /// Reads its value as somebody types it, on the command line or in a variable: a text as it is,
    /// a list with commas or as YAML, anything else as YAML.
    ///
    /// # Errors
    ///
    /// A sentence that says what is expected. It has no value of a secret.
    pub fn read(&self, typed: &str) -> Result<Value, String> {
        let expected = || format!("expected {}", self.accepts());
        let is_plain_list = !typed.trim_start().starts_with(['[', '-']);
        let value = if matches!(self.shape, Shape::Text) || check::is_word(typed, self.shape) {
            Value::from(typed)
        } else if matches!(self.shape, Shape::List(_)) && is_plain_list {
            let items = typed.split(',').map(str::trim).filter(|item| !item.is_empty());
            items.map(Value::from).collect()
        } else {
            serde_saphyr::from_str(typed).map_err(|_| expected())?
        };
        // As JSON it is YAML on one line, whatever is in its texts.
        let node = Node::parse(&value.to_string()).map_err(|_| expected())?;
        let mut faults = Vec::new();
        check::shape(&node, self.shape, &mut |_, message| faults.push(message));
        match faults.into_iter().next() {
            None => Ok(value),
            Some(_) if self.is_secret() => Err(expected()),
            Some(message) => Err(message),
        }
    }
}

/// Looks whether the text of a `config.yaml` has only keys that there are, with values of their
/// shapes.
///
/// # Errors
///
/// All faults of the file at once, in its order. None of them has a value of a secret.
pub fn check(text: &str) -> Result<(), Vec<FileFault>> {
    reader::parse(text, |reader, node| {
        // Nothing but comments, perhaps.
        if !matches!(node.kind(), Kind::Null) {
            check::section(reader, node, "", &keys::TOP);
        }
        Some(())
    })
}

/// The JSON Schema (2020-12) of a `config.yaml`. What it accepts may still be refused when it is read.
pub fn schema() -> Value {
    schema::of_file("config", "The settings of a host.", &keys::TOP)
}

/// Lists words as a sentence does: `a`, `b` or `c`.
fn alternatives(words: &[String]) -> String {
    let mut text = String::new();
    for (place, word) in words.iter().enumerate() {
        let between = match place {
            0 => "",
            _ if place + 1 == words.len() => " or ",
            _ => ", ",
        };
        text.push_str(between);
        text.push_str(word);
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_setting_is_found_by_its_path() {
        let setting = find("http.drain-seconds").unwrap();
        assert_eq!(setting.path(), "http.drain_seconds");
        assert_eq!(setting.accepts(), "a whole number from 0 to 3600");
        assert_eq!(setting.otherwise(), "30");
        assert_eq!(find("http.drain_seconds").unwrap().variable(), "APFLOW_HTTP_DRAIN_SECONDS");
        assert_eq!(find("telemetry.log").unwrap().variable(), "APFLOW_LOG");
        let named = find("concurrency.principals.ada@b.example").unwrap();
        assert_eq!(named.segments(), ["concurrency", "principals", "ada@b.example"]);
        assert_eq!(named.read("3"), Ok(json!(3)));
        assert_eq!(find("breakers.executors.probes").unwrap().otherwise(), "1");
        assert!(find("breakers").unwrap().keys().contains(&"breakers.destinations".to_owned()));
    }

    #[test]
    fn a_mistyped_path_is_answered_with_the_nearest() {
        for (typed, meant) in [
            ("drain_seconds", "http.drain_seconds"),
            ("http.drain_second", "http.drain_seconds"),
            ("atempts_max", "attempts_max"),
            ("telemetry.logs", "telemetry.log"),
        ] {
            let told = find(typed).unwrap_err();
            assert!(told.ends_with(&format!("did you mean `{meant}`?")), "{told}");
        }
        assert!(find("colour").unwrap_err().contains("config list"));
        assert!(find("concurrency.executors.").is_err() && find("http.").is_err());
    }

    #[test]
    fn a_value_is_read_as_it_is_typed() {
        let read = |path: &str, typed: &str| find(path).unwrap().read(typed);
        assert_eq!(
            read("http.hosts", "a.example, b.example"),
            Ok(json!(["a.example", "b.example"]))
        );
        assert_eq!(read("http.hosts", "[a.example]"), Ok(json!(["a.example"])));
        assert_eq!(read("telemetry.log", "true"), Ok(json!("true")), "a text stays one");
        assert_eq!(read("audit.days", "never"), Ok(json!("never")));
        assert_eq!(read("audit.reads", "false"), Ok(json!(false)));
        assert_eq!(read("telemetry.otlp.sample", "0.5"), Ok(json!(0.5)));
        assert_eq!(read("breakers.executors", "off"), Ok(json!("off")));
        let told = read("attempts_max", "1025").unwrap_err();
        assert!(told.contains("a whole number from 1 to 1024"), "{told}");
        for (path, typed) in [
            ("attempts_max", "many"),
            ("audit.reads", "perhaps"),
            ("telemetry.otlp.sample", "1.5"),
            ("http", "1"),
            ("telemetry.log_format", "xml"),
            ("concurrency.executors", "[1]"),
        ] {
            assert!(read(path, typed).is_err(), "{path}: {typed}");
        }
    }

    #[test]
    fn every_fault_of_a_file_is_told_and_no_secret() {
        let text = "\
atempts_max: 3
http: { drain_seconds: 4000, idle: 1 }
telemetry: { log_format: xml }
auth:
  jwt_secrets: { hushhush: 1 }
concurrency: { executors: { a: 0 } }
";
        let faults = check(text).unwrap_err();
        let lines: Vec<_> = faults.iter().map(|fault| fault.line).collect();
        assert_eq!(lines, [1, 2, 2, 3, 5, 6], "{faults:#?}");
        assert_eq!(faults[0].fix, "did you mean `attempts_max`?");
        assert!(!format!("{faults:?}").contains("hushhush"), "{faults:#?}");
        assert_eq!(check("# nothing\n"), Ok(()));
    }

    #[test]
    fn no_two_settings_have_the_same_variable() {
        let mut variables: Vec<_> = all().iter().map(Setting::variable).collect();
        let count = variables.len();
        variables.sort();
        variables.dedup();
        assert_eq!(variables.len(), count);
    }
}
