//! Texts with places for arguments: `--city={city}`.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A text with places for arguments.
///
/// `{name}` is the place of an argument. Braces around anything that is no name stand for
/// themselves, so that a jq filter such as `{a: .b}` needs no care; `{{name}}` is the text `{name}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "String", into = "String")]
pub struct Template {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Argument(String),
}

impl Template {
    /// The names of the arguments in it, in order.
    pub fn arguments(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Argument(name) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    /// The template that is the place of one argument and nothing else.
    pub(super) fn only_place(name: &str) -> Self {
        Self { text: format!("{{{name}}}"), parts: vec![Part::Argument(name.to_owned())] }
    }

    /// The argument that it is the place of, when it is nothing else.
    pub(super) fn place(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [Part::Argument(name)] => Some(name),
            _ => None,
        }
    }

    /// Whether it is the place of the flags that a caller gives.
    pub(super) fn is_flags(&self) -> bool {
        self.place() == Some("flags")
    }

    /// Whether it begins with what a caller gives.
    pub(super) fn begins_with_place(&self) -> bool {
        matches!(self.parts.first(), Some(Part::Argument(_)))
    }

    /// The scheme, host and port of an address, when none of them is in the place of an argument.
    pub(super) fn origin(&self) -> Option<&str> {
        let Some(Part::Text(fixed)) = self.parts.first() else { return None };
        let host = fixed.find("://")? + "://".len();
        match fixed[host..].find(['/', '?', '#']) {
            Some(end) => Some(&fixed[..host + end]),
            None => (self.parts.len() == 1).then_some(fixed),
        }
    }

    /// The text with every argument in its place. None as soon as one has no value.
    pub fn fill(&self, mut value_of: impl FnMut(&str) -> Option<String>) -> Option<String> {
        let fill = |part: &Part| match part {
            Part::Text(text) => Some(text.clone()),
            Part::Argument(name) => value_of(name),
        };
        self.parts.iter().map(fill).collect()
    }
}

impl From<String> for Template {
    fn from(text: String) -> Self {
        let parts = parse(&text);
        Self { text, parts }
    }
}

impl From<Template> for String {
    fn from(template: Template) -> Self {
        template.text
    }
}

impl fmt::Display for Template {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

fn parse(text: &str) -> Vec<Part> {
    let (mut parts, mut plain, mut rest) = (Vec::new(), String::new(), text);
    while let Some(open) = rest.find('{') {
        plain.push_str(&rest[..open]);
        rest = &rest[open..];
        if let Some((name, after)) = name_in(rest, "{{", "}}") {
            plain.extend(["{", name, "}"]);
            rest = after;
        } else if let Some((name, after)) = name_in(rest, "{", "}") {
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(Part::Argument(name.to_owned()));
            rest = after;
        } else {
            plain.push('{');
            rest = &rest[1..];
        }
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        parts.push(Part::Text(plain));
    }
    parts
}

/// The name between two marks at the start of a text, and what comes after.
fn name_in<'a>(text: &'a str, open: &str, close: &str) -> Option<(&'a str, &'a str)> {
    let (name, after) = text.strip_prefix(open)?.split_once(close)?;
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let is_name = starts && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    is_name.then_some((name, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(text: &str) -> Option<String> {
        let value = |name: &str| (name != "absent").then(|| format!("<{name}>"));
        Template::from(text.to_owned()).fill(value)
    }

    #[test]
    fn arguments_are_put_in_their_places() {
        assert_eq!(fill("--city={city}&{n}").unwrap(), "--city=<city>&<n>");
        assert_eq!(fill("").unwrap(), "");
        assert_eq!(fill("a {absent}"), None);
    }

    #[test]
    fn braces_around_no_name_stand_for_themselves() {
        for text in ["{a: .b}", "{}", "{", "}", "{ x }", "{1}", "{{"] {
            assert_eq!(fill(text).unwrap(), text);
        }
    }

    #[test]
    fn doubled_braces_are_the_text_itself() {
        assert_eq!(fill("{{city}} {city}").unwrap(), "{city} <city>");
    }

    #[test]
    fn the_origin_of_an_address_is_what_no_caller_can_change() {
        let origin = |text: &str| Template::from(text.to_owned()).origin().map(str::to_owned);
        assert_eq!(origin("https://a.example:81/{x}").unwrap(), "https://a.example:81");
        assert_eq!(origin("https://a.example?q={x}").unwrap(), "https://a.example");
        assert_eq!(origin("https://a.example").unwrap(), "https://a.example");
        for open in ["https://a.{x}/b", "https://a.example{x}", "{x}/b", "https://{x}"] {
            assert_eq!(origin(open), None, "{open}");
        }
    }

    #[test]
    fn a_template_names_its_arguments() {
        let template = Template::from("{a}{{b}}{c}{a}".to_owned());
        assert_eq!(template.arguments().collect::<Vec<_>>(), ["a", "c", "a"]);
    }
}
