//! Where a key stands in a file.

use crate::yaml::{Kind, Node, Place, place};

/// Where the key of this path stands, or the nearest one above it that is there, or the first line.
pub(super) fn find(text: &str, path: &str) -> Place {
    let Ok(node) = Node::parse(text) else { return (1, 1) };
    let (mut at, mut node) = ((1, 1), &node);
    for name in path.split('.') {
        let found = match node.kind() {
            Kind::Map(entries) => entries
                .iter()
                .find(|(key, _)| key.value == name)
                .map(|(key, value)| (place(key), value)),
            Kind::List(items) => name
                .parse::<usize>()
                .ok()
                .and_then(|index| items.get(index))
                .map(|item| (item.place(), item)),
            Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::Text(_) => None,
        };
        let Some((found, below)) = found else { break };
        (at, node) = (found, below);
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_or_the_nearest_above_it() {
        let text = "name: a\nlimits:\n  memory: 1MiB\nlist:\n  - x\n  - y\n";
        assert_eq!(find(text, "limits.memory"), (3, 3));
        assert_eq!(find(text, "limits.timeout"), (2, 1));
        assert_eq!(find(text, "list.1"), (6, 5));
        assert_eq!(find(text, "capabilities"), (1, 1));
        assert_eq!(find("[", "name"), (1, 1));
    }
}
