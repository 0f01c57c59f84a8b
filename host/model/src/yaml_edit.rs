//! Changing one value in the text of a YAML file, whose comments and other lines stay as they are.
//!
//! Where the value stands on lines of its own, only these lines change. Where it stands within
//! braces, the whole of these is written anew. What comes out is read again and compared, so that an
//! edit does what it should or is refused. It reads no file.

use serde_json::{Map, Value};

use crate::yaml::{Kind, Node};

/// How far a section is set in.
const INDENT: usize = 2;

/// Why a text cannot be edited.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// It is no YAML, or not of keys and values.
    #[error("line {line}: {reason}")]
    Unreadable {
        /// The line, from 1.
        line: u64,
        /// What is wrong there.
        reason: String,
    },
    /// It is written so that a line cannot be changed for itself: with anchors, for example.
    #[error("`{0}` stands where only an editor of texts can change it")]
    Entangled(String),
}

/// Puts a value at a path of keys, and makes the sections above it when they are not there.
///
/// # Errors
///
/// As [`EditError`] says. Nothing is changed then.
pub fn set(text: &str, path: &[&str], value: &Value) -> Result<String, EditError> {
    edit(text, path, Some(value))
}

/// Takes a key away, and the sections above it that hold nothing else. The same text when it is not
/// there.
///
/// # Errors
///
/// As [`EditError`] says. Nothing is changed then.
pub fn unset(text: &str, path: &[&str]) -> Result<String, EditError> {
    edit(text, path, None)
}

fn edit(text: &str, path: &[&str], value: Option<&Value>) -> Result<String, EditError> {
    let entangled = || EditError::Entangled(path.join("."));
    let document = read(text)?;
    let mut wanted = document.clone();
    change(&mut wanted, path, value);
    if same(&wanted, &document) {
        return Ok(text.to_owned());
    }
    // As few lines as will do: those of the key, else those of the section around it, and so on.
    let deepest = (1..=path.len()).find(|depth| at(&wanted, &path[..*depth]).is_none());
    for depth in (1..=deepest.unwrap_or(path.len())).rev() {
        let above = &path[..depth];
        let edited = match at(&wanted, above) {
            Some(value) => place(text, above, value)?,
            None => remove(text, above)?,
        };
        if let Some(edited) = edited
            && read(&edited).is_ok_and(|found| same(&found, &wanted))
        {
            return Ok(edited);
        }
    }
    Err(entangled())
}

/// The document as values. Nothing at all is one without keys.
fn read(text: &str) -> Result<Value, EditError> {
    let unreadable = |(line, _): (u64, u64), reason| EditError::Unreadable { line, reason };
    let node = Node::parse(text).map_err(|(place, reason)| unreadable(place, reason))?;
    match node.kind() {
        Kind::Null => Ok(Value::Object(Map::new())),
        Kind::Map(_) => serde_saphyr::from_str(text)
            .map_err(|error| unreadable((1, 1), error.without_snippet().to_string())),
        Kind::Bool(_) | Kind::Number(_) | Kind::Text(_) | Kind::List(_) => {
            Err(unreadable(node.place(), "expected keys and values".to_owned()))
        }
    }
}

/// Whether two documents say the same: a section without keys says nothing.
fn same(left: &Value, right: &Value) -> bool {
    without_empty(left) == without_empty(right)
}

fn without_empty(value: &Value) -> Value {
    let Some(entries) = value.as_object() else { return value.clone() };
    let entries = entries.iter().map(|(key, value)| (key.clone(), without_empty(value)));
    entries.filter(|(_, value)| !is_empty(value)).collect::<Map<_, _>>().into()
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_object().is_some_and(Map::is_empty)
}

fn change(document: &mut Value, path: &[&str], value: Option<&Value>) {
    let Some((key, below)) = path.split_first() else { return };
    if !document.is_object() {
        if value.is_none() {
            return;
        }
        *document = Value::Object(Map::new());
    }
    let Some(entries) = document.as_object_mut() else { return };
    match (below, value) {
        ([], Some(value)) => drop(entries.insert((*key).to_owned(), value.clone())),
        ([], None) => drop(entries.remove(*key)),
        (_, Some(_)) => change(entries.entry(*key).or_insert(Value::Null), below, value),
        (_, None) => {
            let Some(inner) = entries.get_mut(*key) else { return };
            change(inner, below, value);
            if is_empty(inner) {
                entries.remove(*key);
            }
        }
    }
}

fn at<'a>(document: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(document, |value, key| value.get(key))
}

/// The lines of one key, of which each line is one of its own.
struct Block {
    /// The first line, from 0.
    from: usize,
    /// The line after the last.
    to: usize,
    /// How far it is set in.
    indent: usize,
}

/// Writes the lines of a key anew, or adds them to their section. None where there are none of its own.
fn place(text: &str, path: &[&str], value: &Value) -> Result<Option<String>, EditError> {
    let lines: Vec<&str> = text.lines().collect();
    let Some((key, above)) = path.split_last() else { return Ok(None) };
    if let Some(block) = find(text, &lines, path)? {
        let mut written = emit(key, value, block.indent);
        if let ([line], Some(comment)) =
            (&written[..], lines.get(block.from).and_then(|line| comment(line)))
        {
            written = vec![format!("{line} {comment}")];
        }
        return Ok(Some(splice(&lines, block.from..block.to, written)));
    }
    if above.is_empty() {
        let end = lines.len();
        return Ok(Some(splice(&lines, end..end, emit(key, value, 0))));
    }
    let Some(section) = find(text, &lines, above)? else { return Ok(None) };
    // As far in as what stands there; alone in its section, it makes that anew with it.
    let inner = lines.get(section.from + 1..section.to).unwrap_or_default();
    let inner = inner.iter().filter(|line| !is_silent(line)).map(|line| indent(line)).next();
    let Some(indent) = inner.filter(|indent| *indent > section.indent) else { return Ok(None) };
    Ok(Some(splice(&lines, section.to..section.to, emit(key, value, indent))))
}

fn remove(text: &str, path: &[&str]) -> Result<Option<String>, EditError> {
    let lines: Vec<&str> = text.lines().collect();
    let block = find(text, &lines, path)?;
    Ok(block.map(|block| splice(&lines, block.from..block.to, Vec::new())))
}

/// Where the lines of a key are. None when it is not there, or shares its line with others.
fn find(text: &str, lines: &[&str], path: &[&str]) -> Result<Option<Block>, EditError> {
    let node =
        Node::parse(text).map_err(|((line, _), reason)| EditError::Unreadable { line, reason })?;
    let mut node = &node;
    let mut block = None;
    for key in path {
        let Kind::Map(entries) = node.kind() else { return Ok(None) };
        let Some((name, value)) = entries.iter().find(|(name, _)| name.value == *key) else {
            return Ok(None);
        };
        let (line, column) = crate::yaml::place(name);
        let from = usize::try_from(line).unwrap_or(usize::MAX).saturating_sub(1);
        let set_in = usize::try_from(column).unwrap_or(usize::MAX).saturating_sub(1);
        block = lines.get(from).filter(|line| indent(line) == set_in).map(|_| Block {
            from,
            to: end(lines, from, set_in),
            indent: set_in,
        });
        node = value;
    }
    Ok(block)
}

/// The line after the last that belongs to the key of a line. Silent lines before the next key are
/// that one's.
fn end(lines: &[&str], from: usize, set_in: usize) -> usize {
    let mut to = from + 1;
    for (place, line) in lines.iter().enumerate().skip(from + 1) {
        if is_silent(line) {
            continue;
        }
        // The items of a list may stand as far out as its key.
        let is_item = indent(line) == set_in && line.trim_start().starts_with("- ");
        if indent(line) <= set_in && !is_item {
            break;
        }
        to = place + 1;
    }
    to
}

/// Whether a line says nothing: blank, or a comment.
fn is_silent(line: &str) -> bool {
    let line = line.trim_start();
    line.is_empty() || line.starts_with('#')
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

/// The comment at the end of a line. What is in quotes is none; when in doubt there is none.
fn comment(line: &str) -> Option<&str> {
    let at = line.find(" #")?;
    let is_plain = !line[..at].contains(['"', '\'', '{', '[', '|', '>']);
    is_plain.then(|| line[at..].trim_start())
}

fn splice(lines: &[&str], over: std::ops::Range<usize>, with: Vec<String>) -> String {
    let before = lines[..over.start].iter().map(|line| (*line).to_owned());
    let after = lines[over.end..].iter().map(|line| (*line).to_owned());
    before.chain(with).chain(after).fold(String::new(), |text, line| text + &line + "\n")
}

/// The lines of a key with its value.
fn emit(key: &str, value: &Value, indent: usize) -> Vec<String> {
    let margin = " ".repeat(indent);
    let key = scalar(&Value::from(key));
    match value {
        Value::Object(entries) if !entries.is_empty() => {
            let inner = entries.iter().flat_map(|(key, value)| emit(key, value, indent + INDENT));
            std::iter::once(format!("{margin}{key}:")).chain(inner).collect()
        }
        Value::Array(items) if items.iter().all(|item| !item.is_array() && !item.is_object()) => {
            let items: Vec<_> = items.iter().map(scalar).collect();
            vec![format!("{margin}{key}: [{}]", items.join(", "))]
        }
        // As JSON it is YAML as well.
        Value::Object(_) | Value::Array(_) => vec![format!("{margin}{key}: {value}")],
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            vec![format!("{margin}{key}: {}", scalar(value))]
        }
    }
}

/// A value on its line: a text without quotes where it is certain to be read as the same.
fn scalar(value: &Value) -> String {
    let Some(text) = value.as_str() else { return value.to_string() };
    let is_plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c));
    let is_same = serde_saphyr::from_str::<Value>(text).is_ok_and(|read| read == *value);
    if is_plain && is_same { text.to_owned() } else { value.to_string() }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{prop_assert_eq, proptest};
    use proptest::sample::select;
    use serde_json::json;

    use super::*;

    const FILE: &str = "\
# The operator's file.
attempts_max: 32 # a small machine

# How to listen.
http:
  # Long jobs.
  drain_seconds: 60
  hosts:
  - a.example
  - b.example

concurrency: { executors: { rest: 8 }, principal: 20 }
# The end.
";

    fn set_at(text: &str, path: &str, value: &Value) -> String {
        set(text, &path.split('.').collect::<Vec<_>>(), value).unwrap()
    }

    fn unset_at(text: &str, path: &str) -> String {
        unset(text, &path.split('.').collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn one_value_changes_and_all_else_stays() {
        let edited = set_at(FILE, "attempts_max", &json!(64));
        assert_eq!(edited, FILE.replace("max: 32 #", "max: 64 #"));
        let edited = set_at(FILE, "http.drain_seconds", &json!(5));
        assert_eq!(edited, FILE.replace("drain_seconds: 60", "drain_seconds: 5"));
        let edited = set_at(FILE, "http.hosts", &json!(["c.example"]));
        assert_eq!(
            edited,
            FILE.replace("hosts:\n  - a.example\n  - b.example", "hosts: [c.example]")
        );
    }

    #[test]
    fn a_new_value_goes_into_its_section() {
        let edited = set_at(FILE, "http.idle_seconds", &json!(9));
        assert_eq!(edited, FILE.replace("  - b.example\n", "  - b.example\n  idle_seconds: 9\n"));
        let edited = set_at(FILE, "audit.reads", &json!(false));
        assert_eq!(edited, format!("{FILE}audit:\n  reads: false\n"));
        assert_eq!(set_at("", "audit.days", &json!("never")), "audit:\n  days: never\n");
        assert_eq!(set_at("http:\n", "http.idle_seconds", &json!(9)), "http:\n  idle_seconds: 9\n");
    }

    #[test]
    fn what_stands_in_braces_is_written_anew_with_them() {
        let edited = set_at(FILE, "concurrency.executors.rest", &json!(4));
        let (before, after) = edited.split_once("concurrency:").unwrap();
        assert!(FILE.starts_with(before));
        assert_eq!(after, "\n  executors:\n    rest: 4\n  principal: 20\n# The end.\n");
    }

    #[test]
    fn a_value_that_is_taken_away_takes_its_empty_section_along() {
        assert_eq!(
            unset_at(FILE, "attempts_max"),
            FILE.replace("attempts_max: 32 # a small machine\n", "")
        );
        assert_eq!(
            unset_at(FILE, "http.hosts"),
            FILE.replace("  hosts:\n  - a.example\n  - b.example\n", "")
        );
        assert_eq!(unset_at(FILE, "colour.of"), FILE);
        assert_eq!(unset_at("a: 1\nb:\n  c:\n    d: 1\n", "b.c.d"), "a: 1\n");
        let edited = unset_at(FILE, "concurrency.principal");
        assert!(edited.contains("concurrency:\n  executors:\n    rest: 8\n"), "{edited}");
    }

    #[test]
    fn a_text_is_read_as_what_was_written() {
        for text in ["off", "true", "1", "a: b", "- a", "#no", "", " ", "\"", "é\n", "null", "1e3"]
        {
            let edited = set_at("# c\n", "telemetry.log", &json!(text));
            let read: Value = serde_saphyr::from_str(&edited).unwrap();
            assert_eq!(read["telemetry"]["log"], text, "{edited}");
        }
    }

    proptest! {
        #[test]
        fn what_is_set_is_read_and_can_be_taken_away(
            values in vec((select(KEYS.as_slice()), select(KEYS.as_slice()), select(VALUES.as_slice())), 1..12),
        ) {
            let mut text = "# The head.\n".to_owned();
            for (section, key, value) in &values {
                let value: Value = serde_json::from_str(value).unwrap();
                text = set(&text, &[section, key], &value).unwrap();
                let read: Value = serde_saphyr::from_str(&text).unwrap();
                prop_assert_eq!(&read[section][key], &value, "{}", text);
            }
            for (section, key, _) in &values {
                text = unset(&text, &[section, key]).unwrap();
            }
            prop_assert_eq!(text, "# The head.\n");
        }
    }

    /// Keys and values that are easily taken for something else.
    const KEYS: [&str; 6] = ["a", "b-c", "d.e", "true", "1", "f g"];
    const VALUES: [&str; 8] =
        ["1", "true", "\"off\"", "\"a: b # c\"", "[1, 2]", "[\"x\"]", "\"- y\"", "0.5"];

    #[test]
    fn what_cannot_be_read_is_not_edited() {
        let set = |text| set(text, &["a"], &json!(1));
        assert!(matches!(set("a: [\n"), Err(EditError::Unreadable { .. })));
        assert!(matches!(set("- a\n"), Err(EditError::Unreadable { .. })));
        assert!(matches!(set("{ b: 2 }\n"), Err(EditError::Entangled(_))));
    }
}
