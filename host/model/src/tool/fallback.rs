//! Which tool stands in for which: seen from all tools at once.

use std::collections::BTreeMap;

use super::Tool;
use crate::likeness::nearest;

/// What is wrong with a fallback, among the tools that are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// There is no tool of this name.
    Unknown {
        /// The tool that names it.
        tool: String,
        /// The name.
        fallback: String,
        /// A known name that is much alike.
        nearest: Option<String>,
    },
    /// The fallbacks come back to where they began.
    Circle {
        /// The names in order, the first one again at the end.
        chain: Vec<String>,
    },
}

/// How alike two names must be for one to be suggested for the other, from 0 to 1.
const LIKENESS_MIN: f64 = 0.75;

/// Finds every fallback that is nowhere, and every circle once, beginning with its first name in the
/// order of the alphabet. `others` are names that are there as well, of tools that cannot be read.
pub fn check<'a>(
    tools: impl IntoIterator<Item = &'a Tool>,
    others: impl IntoIterator<Item = &'a str>,
) -> Vec<Trouble> {
    let mut next: BTreeMap<&str, Option<&str>> =
        others.into_iter().map(|name| (name, None)).collect();
    next.extend(tools.into_iter().map(|tool| {
        let fallback = tool.fallback.as_ref().map(|fallback| fallback.tool.as_str());
        (tool.name.as_str(), fallback)
    }));
    let mut troubles = Vec::new();
    for (tool, fallback) in &next {
        let Some(fallback) = fallback else { continue };
        if !next.contains_key(fallback) {
            let known = next.keys().copied().filter(|name| name != tool);
            let nearest = nearest(fallback, known, LIKENESS_MIN).map(str::to_owned);
            let (tool, fallback) = ((*tool).to_owned(), (*fallback).to_owned());
            troubles.push(Trouble::Unknown { tool, fallback, nearest });
        } else if let Some(chain) = circle(&next, tool) {
            troubles.push(Trouble::Circle { chain });
        }
    }
    troubles
}

/// The way from a tool back to itself, unless another tool on it comes first in the alphabet.
fn circle(next: &BTreeMap<&str, Option<&str>>, first: &str) -> Option<Vec<String>> {
    let mut chain = vec![first.to_owned()];
    let mut at = first;
    while let Some(Some(fallback)) = next.get(at) {
        chain.push((*fallback).to_owned());
        if *fallback == first {
            return Some(chain);
        }
        // Whoever comes first tells of it; and a circle that does not lead back here ends the walk.
        if *fallback < first || chain.len() > next.len() {
            return None;
        }
        at = fallback;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(name: &str, fallback: &str) -> Tool {
        let text = format!(
            "name: {name}\nversion: \"1.0.0\"\ndescription: x\ncategory: data\n\
             fallback_tool: {fallback}\n"
        );
        Tool::parse(&text, None).unwrap()
    }

    #[test]
    fn a_circle_is_found_once() {
        let tools = [tool("c", "a"), tool("a", "b"), tool("b", "c"), tool("d", "a")];
        let chain = ["a", "b", "c", "a"].map(str::to_owned).to_vec();
        assert_eq!(check(&tools, []), [Trouble::Circle { chain }]);
    }

    #[test]
    fn a_fallback_that_is_nowhere_is_found() {
        let tools = [tool("geo", "ipinf"), tool("ipinfo", "null")];
        let unknown = Trouble::Unknown {
            tool: "geo".to_owned(),
            fallback: "ipinf".to_owned(),
            nearest: Some("ipinfo".to_owned()),
        };
        assert_eq!(check(&tools, []), [unknown]);
        assert_eq!(check(&tools, ["ipinf"]), []);
    }
}
