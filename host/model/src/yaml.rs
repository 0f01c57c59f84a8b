//! YAML with the place of every value, so that each fault can name its line.
//!
//! It knows no manifest: [`crate::manifest`] gives the values their meaning.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

/// How deep values may be nested. Ours are four deep; each level takes some of the stack.
const DEPTH_MAX: usize = 16;

/// How many values aliases may stand for, all together. A few lines of aliases of aliases would
/// otherwise be a million values.
const ALIASED_MAX: usize = 1_000;

/// A value and where it stands.
#[derive(Debug)]
pub(crate) struct Node(Spanned<Kind>);

/// What a value is.
#[derive(Debug)]
pub(crate) enum Kind {
    /// `null`, `~` or nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as it would be written.
    Number(String),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// Keys and values, in their order.
    Map(Vec<(Spanned<String>, Node)>),
}

/// A place in a file: line and column, both from 1.
pub(crate) type Place = (u64, u64);

impl Node {
    /// Reads one document.
    ///
    /// # Errors
    ///
    /// The place and the reason when the text is not YAML, or repeats a key.
    pub(crate) fn parse(text: &str) -> Result<Self, (Place, String)> {
        let options = serde_saphyr::options! {
            budget: serde_saphyr::budget! { max_depth: DEPTH_MAX },
            alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: ALIASED_MAX },
        };
        serde_saphyr::from_str_with_options(text, options).map_err(|error| {
            let place = error.location().map_or((1, 1), |at| (at.line(), at.column()));
            let message = error.to_string();
            let line = message.lines().next().unwrap_or_default();
            // The library says the place once more, and how a Rust program would accept it.
            let line = line.rsplit_once("column ").map_or(line, |(_, rest)| {
                rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == ':' || c == ' ')
            });
            let line = line.split(", set ").next().unwrap_or(line);
            (place, line.to_owned())
        })
    }

    /// What the value is.
    pub(crate) fn kind(&self) -> &Kind {
        &self.0.value
    }

    /// Where the value stands.
    pub(crate) fn place(&self) -> Place {
        place(&self.0)
    }
}

/// Where a spanned value stands.
pub(crate) fn place<T>(spanned: &Spanned<T>) -> Place {
    (spanned.referenced.line(), spanned.referenced.column())
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Spanned::<Kind>::deserialize(deserializer).map(Self)
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KindVisitor)
    }
}

struct KindVisitor;

impl<'de> Visitor<'de> for KindVisitor {
    type Value = Kind;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a YAML value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Kind, E> {
        Ok(Kind::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Kind, E> {
        Ok(Kind::Number(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Kind, E> {
        Ok(Kind::Number(value.to_string()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Kind, E> {
        Ok(Kind::Number(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Kind, E> {
        Ok(Kind::Text(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Kind, E> {
        Ok(Kind::Null)
    }

    fn visit_none<E>(self) -> Result<Kind, E> {
        Ok(Kind::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Kind, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = access.next_element()? {
            list.push(item);
        }
        Ok(Kind::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Kind, A::Error> {
        let mut map = Vec::new();
        while let Some(key) = access.next_key()? {
            map.push((key, access.next_value()?));
        }
        Ok(Kind::Map(map))
    }
}
