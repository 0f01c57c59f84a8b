//! What validating against a schema may cost, judged before the schema is used.
//!
//! A small schema can keep a validator busy for ever: definitions that double one another, or one
//! that comes back to itself by two ways for the same value. Nothing can stop a validator, so such
//! schemas are refused. It judges the graph of the schema, not its keywords' values: what is no
//! schema at all is for the validator to say.
//!
//! The rule has two halves. Without recursion, all places where the schema is applied are counted,
//! as if every `$ref` were replaced by what it stands for. With it, no value may be reached by two
//! ways that both come back to themselves, so that the work for each value stays the same however
//! deep it lies.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

/// The most places that a schema may have when every `$ref` is replaced by what it stands for.
const PLACES_MAX: u64 = 20_000;
/// The most steps that the judgement itself may take.
const STEPS_MAX: usize = 2_000_000;
/// The drafts that it knows, by how their names end.
const DRAFTS: [&str; 3] = ["/draft/2020-12/schema", "/draft/2019-09/schema", "/draft-07/schema"];
/// Keywords that lead to other schemas in ways that it does not follow.
const UNKNOWN: [&str; 3] = ["$dynamicRef", "$recursiveRef", "$id"];

/// Refuses a schema that can cost more than a fixed amount of work for each part of a value.
///
/// # Errors
///
/// What is wrong with it, for whoever wrote it.
pub(crate) fn check(schema: &Value) -> Result<(), String> {
    check_words(schema)?;
    let graph = Graph::of(schema)?;
    graph.check_circles()?;
    let core = graph.core();
    graph.check_places(&core)?;
    let mut steps_left = STEPS_MAX;
    (0..core.len())
        .filter(|node| core[*node])
        .try_for_each(|node| graph.check_ways(node, &core, &mut steps_left))
}

/// Refuses keywords that would lead elsewhere than the graph says.
fn check_words(schema: &Value) -> Result<(), String> {
    let draft = schema.get("$schema").and_then(Value::as_str);
    let is_known =
        |draft: &str| DRAFTS.iter().any(|known| draft.trim_end_matches('#').ends_with(known));
    if let Some(draft) = draft.filter(|draft| !is_known(draft)) {
        return Err(format!("`$schema` is `{draft}`: use draft 2020-12"));
    }
    let mut values = vec![schema];
    while let Some(value) = values.pop() {
        match value {
            Value::Object(map) => {
                // The name of the whole schema changes nothing: all references stay inside it.
                let is_name_of_all = |word: &str| word == "$id" && std::ptr::eq(value, schema);
                let is_used = |word: &str| {
                    map.get(word).is_some_and(Value::is_string) && !is_name_of_all(word)
                };
                if let Some(word) = UNKNOWN.into_iter().find(|word| is_used(word)) {
                    return Err(format!("`{word}` is not supported: use `$ref` and `$defs`"));
                }
                values.extend(map.values());
            }
            Value::Array(items) => values.extend(items),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    Ok(())
}

/// The parts of a value that a schema is handed on to.
#[derive(Debug, Clone, PartialEq)]
enum Part<'a> {
    /// The value itself.
    Whole,
    /// The item of this number, from 0.
    Item(usize),
    /// The items from this number on.
    Items(usize),
    /// The property of this name.
    Property(&'a str),
    /// All properties but these.
    Properties(Vec<&'a str>),
    /// The names of the properties.
    Names,
}

/// A schema inside the schema.
struct Node<'a> {
    /// Where it is, as a JSON pointer.
    at: String,
    edges: Vec<(Part<'a>, usize)>,
}

/// The schemas that are applied, and to what.
struct Graph<'a> {
    nodes: Vec<Node<'a>>,
}

impl<'a> Graph<'a> {
    fn of(schema: &'a Value) -> Result<Self, String> {
        let mut graph = Self { nodes: Vec::new() };
        let mut known = HashMap::new();
        let mut open = vec![String::new()];
        known.insert(String::new(), 0);
        while let Some(at) = open.get(graph.nodes.len()).cloned() {
            let value = schema.pointer(&at).ok_or_else(|| format!("`#{at}` leads nowhere"))?;
            let mut edges = Vec::new();
            if let Value::Object(map) = value {
                for (part, to) in steps(&at, map)? {
                    let next = open.len();
                    let node = *known.entry(to.clone()).or_insert(next);
                    if node == next {
                        open.push(to);
                    }
                    edges.push((part, node));
                }
            }
            graph.nodes.push(Node { at, edges });
        }
        Ok(graph)
    }

    /// Refuses a schema that leads to itself for the very same value.
    fn check_circles(&self) -> Result<(), String> {
        let order = self.order(|_, (part, _)| *part == Part::Whole);
        let is_ordered: HashSet<usize> = order.into_iter().collect();
        match (0..self.nodes.len()).find(|node| !is_ordered.contains(node)) {
            None => Ok(()),
            Some(node) => {
                Err(format!("`#{}` leads to itself without going deeper", self.nodes[node].at))
            }
        }
    }

    /// The nodes that lie on a circle or between two: those that come back, however deep.
    fn core(&self) -> Vec<bool> {
        let (mut core, mut entered) =
            (vec![true; self.nodes.len()], vec![0_usize; self.nodes.len()]);
        // Those that lead to no circle.
        for node in self.order(|_, _| true) {
            core[node] = false;
        }
        // Those that no circle leads to.
        let edges = self.nodes.iter().flat_map(|node| &node.edges);
        edges.for_each(|(_, to)| entered[*to] += 1);
        let mut open: Vec<usize> =
            (0..self.nodes.len()).filter(|node| entered[*node] == 0).collect();
        while let Some(node) = open.pop() {
            core[node] = false;
            for (_, to) in &self.nodes[node].edges {
                entered[*to] -= 1;
                if entered[*to] == 0 {
                    open.push(*to);
                }
            }
        }
        core
    }

    /// The nodes in an order in which each comes after those that it leads to by such edges. Those
    /// that lead to a circle are left out.
    fn order(&self, follows: impl Fn(usize, &(Part<'a>, usize)) -> bool) -> Vec<usize> {
        let mut comes_from = vec![Vec::new(); self.nodes.len()];
        let mut left = vec![0_usize; self.nodes.len()];
        for (from, node) in self.nodes.iter().enumerate() {
            for edge in node.edges.iter().filter(|edge| follows(from, edge)) {
                comes_from[edge.1].push(from);
                left[from] += 1;
            }
        }
        let mut order: Vec<usize> = (0..left.len()).filter(|node| left[*node] == 0).collect();
        let mut done = 0;
        while let Some(node) = order.get(done).copied() {
            done += 1;
            for from in &comes_from[node] {
                left[*from] -= 1;
                if left[*from] == 0 {
                    order.push(*from);
                }
            }
        }
        order
    }

    /// Counts the places where the schema is applied, for one turn of each circle.
    fn check_places(&self, core: &[bool]) -> Result<(), String> {
        // An edge that goes deeper from circle to circle belongs to the next turn.
        let is_of_this_turn = |from: usize, (part, to): &(Part<'a>, usize)| {
            *part == Part::Whole || !core[from] || !core[*to]
        };
        let count = self.nodes.len();
        let (mut places, mut entries) = (vec![1_u64; count], vec![0_u64; count]);
        for node in self.order(is_of_this_turn) {
            for edge in self.nodes[node].edges.iter().filter(|edge| is_of_this_turn(node, edge)) {
                places[node] = places[node].saturating_add(places[edge.1]);
                let entered = if core[edge.1] && !core[node] { 1 } else { entries[edge.1] };
                entries[node] = entries[node].saturating_add(entered);
            }
        }
        let turn =
            (0..count).filter(|node| core[*node]).map(|node| places[node]).max().unwrap_or(0);
        if places[0].max(turn).max(entries[0].saturating_mul(turn)) > PLACES_MAX {
            return Err(format!(
                "it applies more than {PLACES_MAX} schemas to one value once every `$ref` is \
                 replaced by what it stands for"
            ));
        }
        Ok(())
    }

    /// Refuses a node of the core that leads to the same part of a value by two ways that come back.
    fn check_ways(
        &self,
        start: usize,
        core: &[bool],
        steps_left: &mut usize,
    ) -> Result<(), String> {
        let mut parts = Parts::default();
        let mut open = vec![start];
        while let Some(node) = open.pop() {
            for (part, to) in self.nodes[node].edges.iter().filter(|(_, to)| core[*to]) {
                *steps_left = steps_left
                    .checked_sub(part.steps())
                    .ok_or("its definitions are too tangled to be judged")?;
                if *part == Part::Whole {
                    open.push(*to);
                } else if !parts.add(part) {
                    return Err(format!(
                        "`#{}` comes back to itself by two ways for the same value, so each level \
                         of a value would double the work",
                        self.nodes[start].at
                    ));
                }
            }
        }
        Ok(())
    }
}

impl Part<'_> {
    /// The steps that it takes to compare it.
    fn steps(&self) -> usize {
        if let Self::Properties(left_out) = self { 1 + left_out.len() } else { 1 }
    }
}

/// Parts of a value that do not overlap.
#[derive(Default)]
struct Parts<'a> {
    items: HashSet<usize>,
    /// One more than the largest of `items`.
    items_end: usize,
    /// Where `Part::Items` begins, once there is one.
    items_from: Option<usize>,
    named: HashSet<&'a str>,
    /// What `Part::Properties` leaves out, once there is one.
    left_out: Option<HashSet<&'a str>>,
    has_names: bool,
}

impl<'a> Parts<'a> {
    /// Adds a part. False when it overlaps with one that is there.
    fn add(&mut self, part: &Part<'a>) -> bool {
        match part {
            Part::Whole => true,
            Part::Item(item) => {
                self.items_end = self.items_end.max(item + 1);
                self.items.insert(*item) && self.items_from.is_none_or(|from| item < &from)
            }
            Part::Items(from) => {
                self.items_from.replace(*from).is_none() && self.items_end <= *from
            }
            Part::Property(name) => {
                let is_left_out = |left_out: &HashSet<&str>| left_out.contains(name);
                self.named.insert(name) && self.left_out.as_ref().is_none_or(is_left_out)
            }
            Part::Properties(left_out) => {
                let left_out: HashSet<&str> = left_out.iter().copied().collect();
                let is_free = self.named.is_subset(&left_out);
                self.left_out.replace(left_out).is_none() && is_free
            }
            Part::Names => !std::mem::replace(&mut self.has_names, true),
        }
    }
}

/// The schemas that one leads to: for which part of its value, and where they are.
fn steps<'a>(at: &str, map: &'a Map<String, Value>) -> Result<Vec<(Part<'a>, String)>, String> {
    let mut steps = Vec::new();
    for (key, value) in map {
        let below = format!("{at}/{key}");
        match (key.as_str(), value) {
            ("$ref", Value::String(to)) => steps.push((Part::Whole, pointer(to)?)),
            ("not" | "if" | "then" | "else", _) => steps.push((Part::Whole, below)),
            ("allOf" | "anyOf" | "oneOf", Value::Array(all)) => {
                steps.extend((0..all.len()).map(|item| (Part::Whole, format!("{below}/{item}"))));
            }
            ("dependentSchemas" | "dependencies", Value::Object(all)) => {
                steps.extend(all.keys().map(|name| (Part::Whole, child(&below, name))));
            }
            ("properties", Value::Object(all)) => steps.extend(
                all.keys().map(|name| (Part::Property(name.as_str()), child(&below, name))),
            ),
            ("patternProperties", Value::Object(all)) => {
                steps.extend(
                    all.keys().map(|name| (Part::Properties(Vec::new()), child(&below, name))),
                );
            }
            ("additionalProperties", _) => {
                let named = map.get("properties").and_then(Value::as_object);
                let named = named.map(|all| all.keys().map(String::as_str).collect());
                steps.push((Part::Properties(named.unwrap_or_default()), below));
            }
            ("unevaluatedProperties", _) => steps.push((Part::Properties(Vec::new()), below)),
            ("propertyNames", _) => steps.push((Part::Names, below)),
            ("items" | "prefixItems", Value::Array(all)) => {
                let item = |item| (Part::Item(item), format!("{below}/{item}"));
                steps.extend((0..all.len()).map(item));
            }
            ("items" | "additionalItems", _) => {
                let length = |key| map.get(key).and_then(Value::as_array).map_or(0, Vec::len);
                let from = length("prefixItems").max(length("items"));
                steps.push((Part::Items(from), below));
            }
            ("contains" | "unevaluatedItems", _) => steps.push((Part::Items(0), below)),
            _ => {}
        }
    }
    // To find what is left over, the validator applies the rest once more.
    if map.contains_key("unevaluatedProperties") || map.contains_key("unevaluatedItems") {
        steps.extend_from_within(..);
    }
    Ok(steps)
}

fn child(at: &str, name: &str) -> String {
    format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// The JSON pointer of a reference.
fn pointer(to: &str) -> Result<String, String> {
    let elsewhere = || format!("`$ref` is `{to}`: only `#` and what begins with `#/` is followed");
    let fragment = to.strip_prefix('#').ok_or_else(elsewhere)?;
    if !fragment.is_empty() && !fragment.starts_with('/') {
        return Err(elsewhere());
    }
    let mut bytes = Vec::new();
    let mut rest = fragment.bytes();
    while let Some(byte) = rest.next() {
        let mut digit = || char::from(rest.next()?).to_digit(16);
        bytes.push(match byte {
            b'%' => {
                let (high, low) = (digit().ok_or_else(elsewhere)?, digit().ok_or_else(elsewhere)?);
                u8::try_from(high * 16 + low).map_err(|_| elsewhere())?
            }
            _ => byte,
        });
    }
    String::from_utf8(bytes).map_err(|_| elsewhere())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn is_refused(schema: &Value, text: &str) {
        let reason = check(schema).unwrap_err();
        assert!(reason.contains(text), "{reason}");
    }

    #[test]
    fn schemas_as_people_write_them_are_fine() {
        let tree = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": "https://example.com/tree",
            "$ref": "#/$defs/json",
            "$defs": { "json": { "anyOf": [
                { "type": ["null", "boolean", "number", "string"] },
                { "type": "array", "items": { "$ref": "#/$defs/json" } },
                { "type": "object", "additionalProperties": { "$ref": "#/$defs/json" } },
            ] } },
        });
        let node = json!({
            "type": "object",
            "properties": {
                "left": { "anyOf": [{ "$ref": "#" }, { "type": "null" }] },
                "right": { "anyOf": [{ "$ref": "#" }, { "type": "null" }] },
                "a/b~c": { "type": "string" },
            },
            "additionalProperties": { "$ref": "#" },
            "required": ["left"],
        });
        let mutual = json!({
            "$ref": "#/$defs/a%20list",
            "$defs": {
                "a list": { "prefixItems": [{ "$ref": "#/$defs/pair" }], "items": { "$ref": "#/$defs/pair" } },
                "pair": { "properties": { "of": { "$ref": "#/$defs/a list" } } },
            },
        });
        for schema in [json!(true), json!({}), json!({ "type": "object" }), tree, node, mutual] {
            assert_eq!(check(&schema), Ok(()), "{schema}");
        }
    }

    #[test]
    fn definitions_that_double_one_another_are_refused() {
        for key in ["allOf", "anyOf", "oneOf"] {
            let mut laughs = Map::new();
            for level in 0..30 {
                let next = json!({ "$ref": format!("#/$defs/l{}", level + 1) });
                laughs.insert(format!("l{level}"), json!({ key: [next, next] }));
            }
            laughs.insert("l30".to_owned(), json!({ "type": "string" }));
            let schema = json!({ "$ref": "#/$defs/l0", "$defs": laughs });
            is_refused(&schema, "more than 20000 schemas");
        }
    }

    #[test]
    fn properties_that_double_one_another_are_refused() {
        let mut levels = Map::new();
        for level in 0..30 {
            let next = json!({ "x": { "$ref": format!("#/$defs/l{}", level + 1) } });
            let twice = json!({ "properties": next, "allOf": [{ "properties": next }] });
            levels.insert(format!("l{level}"), twice);
        }
        levels.insert("l30".to_owned(), json!({ "type": "string" }));
        is_refused(&json!({ "$ref": "#/$defs/l0", "$defs": levels }), "more than 20000 schemas");
    }

    #[test]
    fn a_schema_that_comes_back_twice_for_one_value_is_refused() {
        let again = json!({ "$ref": "#" });
        for schema in [
            json!({ "anyOf": [{ "items": again }, { "items": again }] }),
            json!({ "items": { "anyOf": [again, again] } }),
            json!({ "items": { "oneOf": [again, { "not": again }] } }),
            json!({ "items": again, "contains": again }),
            json!({ "prefixItems": [true, again], "contains": again }),
            json!({ "properties": { "x": again }, "patternProperties": { "^x": again } }),
            json!({ "allOf": [{ "properties": { "x": again } }, { "additionalProperties": again }] }),
            json!({ "patternProperties": { "a": again, "b": again } }),
            json!({ "if": { "items": again }, "then": { "items": again } }),
            json!({ "properties": { "x": again }, "unevaluatedProperties": false }),
            json!({ "items": { "$ref": "#/$defs/other" }, "allOf": [{ "items": again }],
                    "$defs": { "other": { "items": { "$ref": "#/$defs/other" } } } }),
        ] {
            is_refused(&schema, "by two ways");
        }
    }

    #[test]
    fn a_schema_that_goes_in_a_circle_is_refused() {
        is_refused(&json!({ "$ref": "#" }), "without going deeper");
        let defs = json!({ "a": { "allOf": [{ "$ref": "#/$defs/b" }] }, "b": { "not": { "$ref": "#/$defs/a" } } });
        let schema = json!({ "properties": { "x": { "$ref": "#/$defs/a" } }, "$defs": defs });
        is_refused(&schema, "without going deeper");
    }

    #[test]
    fn what_leads_elsewhere_is_refused() {
        is_refused(&json!({ "$ref": "https://example.com/schema" }), "is followed");
        is_refused(&json!({ "$ref": "other.json#/x" }), "is followed");
        is_refused(&json!({ "$ref": "#anchor" }), "is followed");
        is_refused(&json!({ "$ref": "#/%zz" }), "is followed");
        is_refused(&json!({ "$ref": "#/$defs/gone" }), "`#/$defs/gone` leads nowhere");
        is_refused(&json!({ "items": { "$dynamicRef": "#x" } }), "`$dynamicRef` is not supported");
        is_refused(
            &json!({ "$defs": { "x": { "$id": "https://e/x" } } }),
            "`$id` is not supported",
        );
        is_refused(&json!({ "$schema": "http://json-schema.org/draft-04/schema#" }), "2020-12");
    }
}
