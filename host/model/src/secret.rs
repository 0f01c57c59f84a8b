//! Secrets: what the operator names in `secrets.yaml`, and the values behind the names.
//!
//! It reads no value: the host does, from where [`Origin`] says.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::capability::{HttpPattern, TcpPattern, check_secret_name};
use crate::reader::{self, FileFault, Reader, Section};
use crate::yaml::{Kind, Node};

/// A shorter value could be guessed, and hiding it would garble ordinary texts.
const VALUE_BYTES_MIN: usize = 8;
/// The longest value, in bytes: what fits the header of any server.
const VALUE_BYTES_MAX: usize = 4096;

/// The value of a secret: 8 to 4096 printable ASCII characters, so that it fits a header.
///
/// It has no [`Display`](fmt::Display) and its [`Debug`] prints nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Takes a value as a file or a program gives it: one end of line after it does not belong to
    /// it.
    ///
    /// # Errors
    ///
    /// A sentence that says what is accepted, without the value.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        if !(VALUE_BYTES_MIN..=VALUE_BYTES_MAX).contains(&bytes.len()) {
            return Err(format!(
                "its value has {} bytes, but must have {VALUE_BYTES_MIN} to {VALUE_BYTES_MAX}",
                bytes.len()
            ));
        }
        let text = std::str::from_utf8(bytes).ok().filter(|text| {
            text.bytes().all(|byte| matches!(byte, b' '..=b'~')) && text.trim() == *text
        });
        text.map(|text| Self(text.into())).ok_or_else(|| {
            "its value holds something else than printable ASCII, or a space at an end".to_owned()
        })
    }

    /// The value itself. Whoever asks for it keeps it out of texts.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret")
    }
}

/// A secret as `secrets.yaml` names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretRule {
    /// What manifests and grants call it.
    pub name: String,
    /// Where its value is.
    pub from: Origin,
    /// Where it may be filled in.
    pub to: Destinations,
}

/// Where a secret may be filled in. Never without any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destinations {
    /// The requests whose head or body may carry it.
    pub http: Vec<HttpPattern>,
    /// The servers that the host may show it to when it authenticates.
    pub tcp: Vec<TcpPattern>,
}

impl Destinations {
    /// Each of them as `secrets.yaml` writes it.
    pub fn texts(&self) -> impl Iterator<Item = String> {
        let http = self.http.iter().map(HttpPattern::to_string);
        http.chain(self.tcp.iter().map(TcpPattern::to_string))
    }
}

/// Where the value of a secret is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// In this variable of the host's environment.
    Env(String),
    /// In this file: an absolute path.
    File(String),
    /// On the standard output of this program, which is run with these arguments and no shell.
    Command(Vec<String>),
}

impl Origin {
    /// The word in `secrets.yaml`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Env(_) => "env",
            Self::File(_) => "file",
            Self::Command(_) => "command",
        }
    }
}

/// Reads the text of a `secrets.yaml`.
///
/// # Errors
///
/// All faults of the file at once, in its order.
pub fn parse_rules(text: &str) -> Result<Vec<SecretRule>, Vec<FileFault>> {
    reader::parse(text, |reader, node| {
        let mut rules = Vec::new();
        for (name, at, node) in reader.named(node, "") {
            match check_secret_name(name) {
                Ok(name) => rules.extend(read_rule(reader, &name, node)),
                Err(expected) => {
                    reader.fault(at, name, "invalid-value", expected, "give it another name");
                }
            }
        }
        Some(rules)
    })
}

fn read_rule(reader: &mut Reader, name: &str, node: &Node) -> Option<SecretRule> {
    let section = read_section(reader, node, name, &["from", "http", "tcp"])?;
    let from = reader.required(&section, "from");
    let from = from.and_then(|node| read_origin(reader, node, &section.path("from")));
    let to = Destinations {
        http: read_patterns(reader, &section, "http"),
        tcp: read_patterns(reader, &section, "tcp"),
    };
    if section.get("http").or(section.get("tcp")).is_none() {
        let message = "needs `http: [PATTERN]` or `tcp: [\"HOST:PORT\"]`: without a destination it \
                       could never be filled in";
        reader.invalid(node, name, message);
    }
    Some(SecretRule { name: name.to_owned(), from: from?, to })
}

/// Reads the destinations under a key, which has some or is not there.
fn read_patterns<P: FromStr<Err = String>>(
    reader: &mut Reader,
    section: &Section<'_>,
    key: &str,
) -> Vec<P> {
    let mut patterns = Vec::new();
    let Some(listed) = section.get(key) else { return patterns };
    let texts = reader.texts(section, key);
    if texts.is_empty() {
        let message = "names no destination, so it could never be filled in";
        reader.invalid(listed, &section.path(key), message);
    }
    for (item, text) in texts {
        match text.parse() {
            Ok(pattern) => patterns.push(pattern),
            Err(expected) => reader.invalid(item, &section.path(key), expected),
        }
    }
    patterns
}

fn read_origin(reader: &mut Reader, node: &Node, path: &str) -> Option<Origin> {
    const KINDS: [&str; 3] = ["env", "file", "command"];
    let section = read_section(reader, node, path, &KINDS)?;
    if KINDS.iter().filter(|kind| section.get(kind).is_some()).count() != 1 {
        let message = "must be one of `{ env: NAME }`, `{ file: PATH }` and `{ command: [PROGRAM, \
                       ARGUMENT] }`";
        reader.invalid(node, path, message);
        return None;
    }
    let absolute = |path: &str| {
        let file = path.starts_with('/').then(|| Origin::File(path.to_owned()));
        file.ok_or_else(|| "must be an absolute path".to_owned())
    };
    let env = reader.parsed(&section, "env", |name| Ok(Origin::Env(name.to_owned())));
    let file = reader.parsed(&section, "file", absolute);
    let words = reader.texts(&section, "command").into_iter();
    let words: Vec<String> = words.map(|(_, word)| word.to_owned()).collect();
    if let Some(node) = section.get("command").filter(|_| words.is_empty()) {
        reader.invalid(node, &section.path("command"), "names no program");
    }
    env.or(file).or((!words.is_empty()).then_some(Origin::Command(words)))
}

/// Reads a mapping. Somebody may have written the value of a secret in its place, so a fault does
/// not repeat what is there.
fn read_section<'a>(
    reader: &mut Reader,
    node: &'a Node,
    path: &str,
    known: &[&str],
) -> Option<Section<'a>> {
    if matches!(node.kind(), Kind::Map(_)) {
        return reader.section(node, path, known);
    }
    let fix = "values do not belong here: write where the value is, and where it may go";
    reader.fault(node.place(), path, "wrong-type", "must be keys and values", fix);
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
api_key:
  from: { env: STRIPE_KEY }
  http: [\"https://api.stripe.com\", \"GET http://127.0.0.1:8080/v1\"]
token:
  from: { command: [pass, show, token] }
  http: [\"https://a.example\"]
  tcp: [\"a.example:25\"]
";

    fn faults(text: &str) -> Vec<String> {
        parse_rules(text).unwrap_err().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_origin_is_read() {
        let rules = parse_rules(&GOOD.replace("env: STRIPE_KEY", "file: /run/key")).unwrap();
        assert_eq!(rules[0].name, "api_key");
        assert_eq!(rules[0].from, Origin::File("/run/key".to_owned()));
        assert_eq!(rules[0].to.http.len(), 2);
        assert_eq!(rules[1].to.texts().collect::<Vec<_>>(), ["https://a.example", "a.example:25"]);
        assert_eq!(rules[1].from.kind(), "command");
        assert_eq!(parse_rules(GOOD).unwrap()[0].from, Origin::Env("STRIPE_KEY".to_owned()));
    }

    #[test]
    fn a_file_without_secrets_is_no_fault() {
        assert_eq!(parse_rules("# none yet\n"), Ok(Vec::new()));
        assert_eq!(parse_rules(""), Ok(Vec::new()));
    }

    #[test]
    fn a_secret_that_belongs_nowhere_is_refused_with_its_place() {
        let found = faults("api_key:\n  from: { env: KEY }\n");
        assert!(found[0].starts_with("2:3: `api_key` needs `http: [PATTERN]`"), "{found:?}");
        for (key, column) in [("http", 9), ("tcp", 8)] {
            let found = faults(&format!("api_key:\n  from: {{ env: KEY }}\n  {key}: []\n"));
            let expected = format!("3:{column}: `api_key.{key}` names no destination");
            assert!(found[0].starts_with(&expected), "{found:?}");
        }
        let found = faults("api_key:\n  from: { env: KEY }\n  tcp: [a.example]\n");
        assert!(found[0].contains("has no port"), "{found:?}");
    }

    #[test]
    fn what_is_no_origin_is_refused_with_its_place() {
        for (to, expected) in [
            ("{ }", "must be one of"),
            ("{ env: A, file: /b }", "must be one of"),
            ("{ file: b }", "absolute path"),
            ("{ vault: b }", "not a known field"),
            ("{ command: pass }", "must be a list"),
            ("{ command: [] }", "names no program"),
            ("KEY", "must be keys and values"),
        ] {
            let found = faults(&GOOD.replace("{ env: STRIPE_KEY }", to));
            assert!(found[0].starts_with("2:"), "{to}: {found:?}");
            assert!(found.concat().contains(expected), "{to}: {found:?}");
        }
        let found = faults(&GOOD.replace("token:", "a-b:"));
        assert!(found[0].starts_with("4:1: `a-b` `a-b` is not the name"), "{found:?}");
    }

    #[test]
    fn a_value_in_the_wrong_place_is_not_repeated() {
        for text in ["api_key: hunter2hunter2", "api_key: { from: hunter2hunter2, http: [] }"] {
            let found = faults(text);
            assert!(found[0].contains("must be keys and values"), "{found:?}");
            assert!(!found.concat().contains("hunter2"), "{found:?}");
        }
    }

    #[test]
    fn a_value_is_taken_without_one_end_of_line_and_says_nothing_of_itself() {
        let value = Secret::parse(b"hunter2hunter2\r\n").unwrap();
        assert_eq!(value.expose(), "hunter2hunter2");
        assert_eq!(format!("{value:?}"), "Secret");
        for wrong in [
            "short",
            "hunter2\nhunter2",
            "hunter2hunter2\n\n",
            " hunter2hunter2",
            "gr\u{fc}n gr\u{fc}n",
        ] {
            let text = Secret::parse(wrong.as_bytes()).unwrap_err();
            assert!(!text.contains("hunter2"), "{text}");
        }
        assert!(Secret::parse(&[b'x'; VALUE_BYTES_MAX + 1]).is_err());
    }
}
