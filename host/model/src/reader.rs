//! Typed reading of a YAML file that collects every fault instead of stopping at the first.
//!
//! It knows types, not meanings: [`crate::manifest`] says which keys there are.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::schema::{Key, words};
use crate::yaml::{Kind, Node, Place, place};

/// The longest text of a fault, in characters.
const TEXT_CHARACTERS_MAX: usize = 600;

/// The kinds of faults that a host tells of manifests and of its lock.
const CODES: [Code; 6] = [
    "invalid-value",
    "invalid-yaml",
    "missing-field",
    "undeclared-argument",
    "unknown-field",
    "wrong-type",
];

/// A name of its own, so that reading it is not taken for borrowing it.
type Code = &'static str;

/// One thing that is wrong in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileFault {
    /// The line, from 1.
    #[schemars(example = 7)]
    pub line: u64,
    /// The column, from 1.
    #[schemars(example = 3)]
    pub column: u64,
    /// The place in the document, for example `limits.memory`.
    #[schemars(example = &"limits.memory")]
    pub path: String,
    /// The kind of fault, kebab-case.
    #[serde(deserialize_with = "known_code")]
    #[schemars(example = &"wrong-type")]
    pub code: Code,
    /// What is wrong.
    #[schemars(example = &"must be a size")]
    pub message: String,
    /// What to do about it.
    #[schemars(example = &"write a number with its unit, such as `64MiB`")]
    pub fix: String,
}

/// Reads a kind of fault. One that only a newer host knows is one of a value.
fn known_code<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Code, D::Error> {
    let code = String::deserialize(deserializer)?;
    Ok(CODES.into_iter().find(|known| *known == code).unwrap_or(CODES[0]))
}

impl std::fmt::Display for FileFault {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}:{}: {}; {}", self.line, self.column, self.sentence(), self.fix)
    }
}

impl FileFault {
    /// What is wrong, and with which part of the document.
    pub fn sentence(&self) -> String {
        if self.path.is_empty() {
            return self.message.clone();
        }
        format!("`{}` {}", self.path, self.message)
    }
}

/// Collects the faults of one file.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    faults: Vec<FileFault>,
}

/// Reads a whole file with `read`, which makes something of it unless it notes a fault.
///
/// # Errors
///
/// All faults of the file at once, in its order.
pub(crate) fn parse<T>(
    text: &str,
    read: impl FnOnce(&mut Reader, &Node) -> Option<T>,
) -> Result<T, Vec<FileFault>> {
    let mut reader = Reader::default();
    let made = match Node::parse(text) {
        Ok(node) => read(&mut reader, &node),
        Err((place, message)) => {
            reader.fault(place, "", "invalid-yaml", message, "correct the YAML");
            None
        }
    };
    let faults = reader.into_faults();
    made.filter(|_| faults.is_empty()).ok_or(faults)
}

/// Reads a text that is one of these words.
pub(crate) fn word<T: Copy>(text: &str, all: &[(&'static str, T)]) -> Result<T, String> {
    if let Some((_, value)) = all.iter().find(|(name, _)| *name == text) {
        return Ok(*value);
    }
    Err(format!("is `{text}`, but must be one of {}", words(all).join(", ")))
}

/// A mapping whose keys have been checked.
#[derive(Debug)]
pub(crate) struct Section<'a> {
    path: String,
    place: Place,
    entries: &'a [(serde_saphyr::Spanned<String>, Node)],
}

impl<'a> Section<'a> {
    /// The value of a key.
    pub(crate) fn get(&self, key: &str) -> Option<&'a Node> {
        self.entries.iter().find(|(name, _)| name.value == key).map(|(_, node)| node)
    }

    /// The path of a key below this section.
    pub(crate) fn path(&self, key: &str) -> String {
        join(&self.path, key)
    }
}

/// A text without what is over: it may repeat a value of any length.
fn cut(text: String) -> String {
    if text.chars().count() <= TEXT_CHARACTERS_MAX {
        return text;
    }
    text.chars().take(TEXT_CHARACTERS_MAX).chain(['…']).collect()
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

impl Reader {
    /// The faults found, in the order of the file.
    fn into_faults(mut self) -> Vec<FileFault> {
        self.faults.sort_by_key(|fault| (fault.line, fault.column));
        self.faults
    }

    /// Notes a fault.
    pub(crate) fn fault(
        &mut self,
        place: Place,
        path: impl Into<String>,
        code: &'static str,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) {
        let (line, column) = place;
        let (path, message, fix) = (cut(path.into()), cut(message.into()), cut(fix.into()));
        self.faults.push(FileFault { line, column, path, code, message, fix });
    }

    /// Reads a mapping and reports every key that is not among `known`.
    pub(crate) fn section<'a>(
        &mut self,
        node: &'a Node,
        path: &str,
        known: &[&str],
    ) -> Option<Section<'a>> {
        let Kind::Map(entries) = node.kind() else {
            self.wrong_type(node, path, "keys and values", "write `key: value` lines");
            return None;
        };
        for (key, _) in entries {
            if !known.contains(&key.value.as_str()) {
                self.unknown_key(place(key), path, &key.value, known);
            }
        }
        Some(Section { path: path.to_owned(), place: node.place(), entries })
    }

    /// Reads a mapping and reports every key that its table does not know, and every one that it
    /// needs and is not there.
    pub(crate) fn object<'a>(
        &mut self,
        node: &'a Node,
        path: &str,
        keys: &[Key],
    ) -> Option<Section<'a>> {
        let names: Vec<&str> = keys.iter().map(|key| key.name).collect();
        let section = self.section(node, path, &names)?;
        for key in keys.iter().filter(|key| key.is_needed) {
            self.required(&section, key.name);
        }
        Some(section)
    }

    fn unknown_key(&mut self, at: Place, path: &str, key: &str, known: &[&str]) {
        let nearest = known
            .iter()
            .map(|name| (strsim::damerau_levenshtein(name, key), name))
            .min()
            .filter(|(distance, _)| *distance <= 2);
        let fix = match nearest {
            Some((_, name)) => format!("did you mean `{name}`?"),
            None => format!("known here: {}", known.join(", ")),
        };
        self.fault(at, join(path, key), "unknown-field", "is not a known field", fix);
    }

    /// Reads a mapping whose keys are names, each with its place and its value. Nothing at all is a
    /// mapping without keys.
    pub(crate) fn named<'a>(
        &mut self,
        node: &'a Node,
        path: &str,
    ) -> Vec<(&'a str, Place, &'a Node)> {
        match node.kind() {
            Kind::Null => Vec::new(),
            Kind::Map(entries) => {
                entries.iter().map(|(key, node)| (key.value.as_str(), place(key), node)).collect()
            }
            Kind::Bool(_) | Kind::Number(_) | Kind::Text(_) | Kind::List(_) => {
                self.wrong_type(node, path, "keys and values", "write `name:` lines");
                Vec::new()
            }
        }
    }

    /// Reads a text that must be there.
    pub(crate) fn required_text<'a>(
        &mut self,
        section: &Section<'a>,
        key: &str,
    ) -> Option<&'a str> {
        let node = self.required(section, key)?;
        self.text(node, &section.path(key))
    }

    /// Reads a value that must be there.
    pub(crate) fn required<'a>(&mut self, section: &Section<'a>, key: &str) -> Option<&'a Node> {
        if let Some(node) = section.get(key) {
            return Some(node);
        }
        self.fault(
            section.place,
            section.path(key),
            "missing-field",
            "is missing",
            format!("add a line `{key}: …`"),
        );
        None
    }

    /// Reads a text.
    pub(crate) fn text<'a>(&mut self, node: &'a Node, path: &str) -> Option<&'a str> {
        match node.kind() {
            Kind::Text(text) => Some(text),
            Kind::Number(number) => {
                let fix = format!("put it in quotes: \"{number}\"");
                self.wrong_type(node, path, "a text", &fix);
                None
            }
            Kind::Null => {
                self.wrong_type(node, path, "a text", "write a text, or delete the line");
                None
            }
            Kind::Bool(_) | Kind::List(_) | Kind::Map(_) => {
                self.wrong_type(node, path, "a text", "write a text");
                None
            }
        }
    }

    /// Reads a text with `parse`, whose error says what is expected.
    pub(crate) fn parsed<T>(
        &mut self,
        section: &Section<'_>,
        key: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let node = section.get(key)?;
        let text = self.text(node, &section.path(key))?;
        match parse(text) {
            Ok(value) => Some(value),
            Err(expected) => {
                self.invalid(node, &section.path(key), expected);
                None
            }
        }
    }

    /// Reads a whole number from 0.
    pub(crate) fn number(&mut self, section: &Section<'_>, key: &str) -> Option<u64> {
        let node = section.get(key)?;
        if let Kind::Number(digits) = node.kind()
            && let Ok(number) = digits.parse()
        {
            return Some(number);
        }
        self.wrong_type(node, &section.path(key), "a whole number", "write digits only");
        None
    }

    /// Reads `true` or `false`, which is the value when the key is left out.
    pub(crate) fn flag(&mut self, section: &Section<'_>, key: &str) -> bool {
        match section.get(key).map(|node| (node, node.kind())) {
            None => false,
            Some((_, Kind::Bool(value))) => *value,
            Some((node, _)) => {
                self.wrong_type(node, &section.path(key), "true or false", "write `true`");
                false
            }
        }
    }

    /// Reads a list, which is empty when the key is left out, or when the last of its lines was taken
    /// away.
    pub(crate) fn list<'a>(&mut self, section: &Section<'a>, key: &str) -> &'a [Node] {
        let Some(node) = section.get(key) else { return &[] };
        match node.kind() {
            Kind::List(items) => items,
            Kind::Null => &[],
            Kind::Bool(_) | Kind::Number(_) | Kind::Text(_) | Kind::Map(_) => {
                self.wrong_type(node, &section.path(key), "a list", "write `[first, second]`");
                &[]
            }
        }
    }

    /// Reads a list of texts, each with its place.
    pub(crate) fn texts<'a>(
        &mut self,
        section: &Section<'a>,
        key: &str,
    ) -> Vec<(&'a Node, &'a str)> {
        let items = self.list(section, key);
        let texts = items.iter().enumerate().filter_map(|(index, item)| {
            let path = format!("{}.{index}", section.path(key));
            self.text(item, &path).map(|text| (item, text))
        });
        texts.collect()
    }

    /// Notes that a value cannot be what it is.
    pub(crate) fn invalid(&mut self, node: &Node, path: &str, message: impl Into<String>) {
        self.fault(node.place(), path, "invalid-value", message, "correct the value");
    }

    fn wrong_type(&mut self, node: &Node, path: &str, expected: &str, fix: &str) {
        let found = match node.kind() {
            Kind::Null => "nothing".to_owned(),
            Kind::Bool(value) => value.to_string(),
            Kind::Number(number) => format!("the number {number}"),
            Kind::Text(text) => format!("the text `{text}`"),
            Kind::List(_) => "a list".to_owned(),
            Kind::Map(_) => "keys and values".to_owned(),
        };
        let message = format!("is {found}, but must be {expected}");
        self.fault(node.place(), path, "wrong-type", message, fix);
    }
}
