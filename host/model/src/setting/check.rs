//! Whether values have the shapes of a table.

use super::alternatives;
use crate::reader::Reader;
use crate::schema::{Key, Shape};
use crate::yaml::{Kind, Node, Place};

/// Checks a section of a file, and notes every fault.
pub(super) fn section(reader: &mut Reader, node: &Node, path: &str, keys: &[Key]) {
    // A section whose last line was taken away.
    if matches!(node.kind(), Kind::Null) {
        return;
    }
    let Some(section) = reader.object(node, path, keys) else { return };
    for key in keys {
        let Some(node) = section.get(key.name) else { continue };
        let path = section.path(key.name);
        if let Some(keys) = keys_within(&key.shape, node) {
            self::section(reader, node, &path, keys);
        } else if key.is_secret {
            let mut is_wrong = false;
            shape(node, &key.shape, &mut |_, _| is_wrong = true);
            if is_wrong {
                reader.invalid(node, &path, format!("must be {}", accepts(&key.shape)));
            }
        } else {
            shape(node, &key.shape, &mut |place, message| {
                reader.fault(place, &*path, "invalid-value", message, "correct the value");
            });
        }
    }
}

/// The keys of a section, also where a word may stand in its place.
fn keys_within(shape: &Shape, node: &Node) -> Option<&'static [Key]> {
    if let Shape::Section(keys) = shape {
        return Some(keys);
    }
    let Shape::Either(shapes) = shape else { return None };
    let shapes = shapes.iter().filter(|_| matches!(node.kind(), Kind::Map(_)));
    shapes.into_iter().find_map(|shape| keys_within(shape, node))
}

/// Notes where a value has not the shape it should, and what is expected there.
pub(super) fn shape(node: &Node, shape: &Shape, fault: &mut dyn FnMut(Place, String)) {
    if fits(node, shape) {
        return;
    }
    match (shape, node.kind()) {
        (Shape::List(item), Kind::List(items)) => {
            for one in items {
                self::shape(one, item, fault);
            }
        }
        (Shape::Named(value), Kind::Map(entries)) => {
            for (_, one) in entries {
                self::shape(one, value, fault);
            }
        }
        (_, kind) => {
            let found = match kind {
                Kind::Null => "nothing".to_owned(),
                Kind::Bool(value) => format!("`{value}`"),
                Kind::Number(text) | Kind::Text(text) => format!("`{text}`"),
                Kind::List(_) => "a list".to_owned(),
                Kind::Map(_) => "keys and values".to_owned(),
            };
            fault(node.place(), format!("is {found}, but must be {}", accepts(shape)));
        }
    }
}

fn fits(node: &Node, shape: &Shape) -> bool {
    match (shape, node.kind()) {
        (Shape::Any | Shape::Made(_), _)
        | (Shape::Text | Shape::Form(_) | Shape::Size(..) | Shape::Span(..), Kind::Text(_))
        // A text of digits, which is read as one where a text is wanted.
        | (Shape::Text, Kind::Number(_))
        | (Shape::Flag, Kind::Bool(_))
        | (Shape::Nothing | Shape::List(_) | Shape::Set(_) | Shape::Named(_), Kind::Null) => true,
        (Shape::Word(words), Kind::Text(text)) => words().contains(&text.as_str()),
        // What older readers of YAML make of `on` and `off`.
        (Shape::Word(words), Kind::Bool(is_on)) => {
            words().contains(if *is_on { &"on" } else { &"off" })
        }
        (Shape::Share, Kind::Number(text)) => {
            text.parse().is_ok_and(|share: f64| (0.0..=1.0).contains(&share))
        }
        (Shape::Count(from, to), Kind::Number(text)) => {
            text.parse().is_ok_and(|number: u64| (*from..=*to).contains(&number))
        }
        (Shape::List(item) | Shape::Set(item) | Shape::Filled(item), Kind::List(items)) => {
            items.iter().all(|one| fits(one, item))
        }
        (Shape::Named(value), Kind::Map(entries)) => entries.iter().all(|(_, one)| fits(one, value)),
        (Shape::Section(keys) | Shape::Shared(_, keys), Kind::Map(entries)) => {
            let known = entries.iter().all(|(name, one)| {
                let key = keys.iter().find(|key| key.name == name.value);
                key.is_some_and(|key| fits(one, &key.shape))
            });
            let has = |key: &Key| entries.iter().any(|(name, _)| name.value == key.name);
            known && keys.iter().all(|key| !key.is_needed || has(key))
        }
        (Shape::Either(shapes), _) => shapes.iter().any(|shape| fits(node, shape)),
        _ => false,
    }
}

/// Whether a text is one of the words that a shape takes.
pub(super) fn is_word(text: &str, shape: &Shape) -> bool {
    if let Shape::Either(shapes) = shape {
        return shapes.iter().any(|shape| is_word(text, shape));
    }
    if let Shape::Word(words) = shape { words().contains(&text) } else { false }
}

/// What a shape takes, in words.
pub(super) fn accepts(shape: &Shape) -> String {
    match shape {
        Shape::Text | Shape::Form(_) => "a text".to_owned(),
        Shape::Word(words) => {
            let words: Vec<_> = words().iter().map(|word| format!("`{word}`")).collect();
            alternatives(&words)
        }
        Shape::Flag => "`true` or `false`".to_owned(),
        Shape::Share => "a number from 0 to 1".to_owned(),
        Shape::Count(from, to) => format!("a whole number from {from} to {to}"),
        Shape::Size(..) => "a size, such as `64MiB`".to_owned(),
        Shape::Span(..) => "a time, such as `30s`".to_owned(),
        Shape::List(item) | Shape::Set(item) | Shape::Filled(item) => {
            format!("a list, of which each is {}", accepts(item))
        }
        Shape::Named(value) => format!("names, each with {}", accepts(value)),
        Shape::Section(keys) | Shape::Shared(_, keys) => {
            let names: Vec<_> = keys.iter().map(|key| format!("`{}`", key.name)).collect();
            format!("a section with {}", names.join(", "))
        }
        Shape::Either(shapes) => alternatives(&shapes.iter().map(accepts).collect::<Vec<_>>()),
        Shape::Nothing => "nothing".to_owned(),
        Shape::Made(_) | Shape::Any => "any value".to_owned(),
    }
}
