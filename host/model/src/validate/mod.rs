//! Checks manifests, each for itself and all together, as CI does before they are merged.
//!
//! It reads no files: their bytes are handed in, and what a component is as well.

pub mod against;
mod component;
mod place;
mod source;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::reader::FileFault;
use crate::tool::Tool;
use crate::tool::fallback::{self, Trouble};
use against::Change;
pub use source::{Beside, Inspected, MANIFEST_BYTES_MAX, Source, is_component};
use source::{Parsed, folder};

/// What became of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Where it is.
    pub path: String,
    /// Whether it has no fault.
    pub valid: bool,
    /// Whether it says how it runs here: a tool without `run` is a description alone.
    pub runnable: bool,
    /// What is wrong with it, in the order of the file.
    pub faults: Vec<FileFault>,
    /// What is odd about it.
    pub warnings: Vec<FileFault>,
    /// What its component is, if somebody looked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub component: Option<Inspected>,
    /// How it differs from an older version, if there was one to compare with.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
}

/// What is checked, by the name of its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `plugin.yaml`.
    Plugin,
    /// `tool.yaml`.
    Tool,
    /// `policies.yaml`: no manifest, but it is checked in the same way.
    Policies,
    /// `prices.yaml`: checked in the same way.
    Prices,
}

impl Kind {
    /// The kind of this file. None when it is none by its name.
    pub fn of(path: &str) -> Option<Self> {
        match path.rsplit('/').next() {
            Some("plugin.yaml" | "plugin.yml") => Some(Self::Plugin),
            Some("tool.yaml" | "tool.yml") => Some(Self::Tool),
            Some("policies.yaml" | "policies.yml") => Some(Self::Policies),
            Some("prices.yaml" | "prices.yml") => Some(Self::Prices),
            Some(_) | None => None,
        }
    }
}

/// Checks every manifest, and then what only shows when all are seen: names that are there twice,
/// fallbacks that are nowhere, and circles of them.
///
/// A file that is no `plugin.yaml` by its name is read as a tool, unless it is a component by its
/// name. A circle and a fallback that is nowhere are warnings: each tool runs by itself, and a run
/// that comes round is refused. So is a component that is not there: it may not be built yet.
///
/// # Examples
///
/// ```
/// use apflow_model::validate::{Source, check};
///
/// let text = "name: hello\nversion: 1.0.0\ndescription: Says it.\ncategory: musik\n";
/// let reports = check(&[Source::new("tools/hello/tool.yaml", text)]);
/// let fault = &reports[0].faults[0];
/// assert_eq!((fault.line, fault.column, fault.code), (4, 11, "invalid-value"));
/// println!("{}:{fault}", reports[0].path);
/// ```
///
/// With the component beside the manifest, which `apflow_sandbox::inspect` reads, its imports are
/// compared with what the manifest asks for:
///
/// ```
/// use apflow_model::import::Import;
/// use apflow_model::plugin::World;
/// use apflow_model::validate::{Beside, Inspected, Source, check};
///
/// let text = "name: hello\nversion: 1.0.0\ndescription: Says it.\ncomponent: hello.wasm\n";
/// let imports = vec![Import::new("wasi:http/outgoing-handler@0.2.6")];
/// let component = Beside::Found(Inspected { bytes: 70_000, world: World::Executor, imports });
/// let source = Source { component, ..Source::new("hello/plugin.yaml", text) };
/// assert_eq!(check(&[source])[0].faults[0].code, "excess-import");
/// ```
pub fn check(sources: &[Source]) -> Vec<Report> {
    let mut tools = Vec::new();
    let mut reports = Vec::with_capacity(sources.len());
    for source in sources {
        let (report, tool) = check_one(source);
        tools.extend(tool.map(|tool| (reports.len(), tool)));
        reports.push(report);
    }
    find_twins(&tools, &mut reports);
    if sources.len() > 1 {
        find_troubles(sources, &tools, &mut reports);
    }
    reports
}

/// Checks a file by itself. The tool that it is comes as well.
fn check_one(source: &Source) -> (Report, Option<Tool>) {
    let component = match &source.component {
        Beside::Found(component) => Some(component.clone()),
        Beside::Unknown | Beside::Missing | Beside::Refused(_) => None,
    };
    let mut report = Report {
        path: source.path.clone(),
        valid: true,
        runnable: true,
        faults: Vec::new(),
        warnings: Vec::new(),
        component,
        changes: Vec::new(),
    };
    let mut tool = None;
    if source.is_component() {
        report.faults = component::check_alone(&source.component);
    } else {
        match source.parse() {
            Ok(parsed) => {
                let found = component::check(source, &parsed);
                (report.faults, report.warnings) = (found.faults, found.warnings);
                report.runnable = parsed.is_runnable();
                if let Parsed::Tool(own) = parsed {
                    tool = Some(*own);
                }
            }
            Err(faults) => report.faults = faults,
        }
    }
    report.valid = report.faults.is_empty();
    report.runnable &= report.valid;
    (report, tool)
}

/// Two tools of one name cannot both be found.
fn find_twins(tools: &[(usize, Tool)], reports: &mut [Report]) {
    let mut first = BTreeMap::new();
    for (place, tool) in tools {
        if let Some(before) = first.insert(tool.name.as_str(), *place) {
            let message = format!("is `{}`, as in {}", tool.name, reports[before].path);
            let (path, fix) = ("name".to_owned(), "rename one of them".to_owned());
            let fault =
                FileFault { line: 1, column: 1, path, code: "duplicate-name", message, fix };
            reports[*place].faults.push(fault);
            reports[*place].valid = false;
        }
    }
}

fn find_troubles(sources: &[Source], tools: &[(usize, Tool)], reports: &mut [Report]) {
    let others = sources.iter().filter_map(|source| folder(&source.path));
    for trouble in fallback::check(tools.iter().map(|(_, tool)| tool), others) {
        let (names, code, message, fix) = describe(&trouble);
        for (place, tool) in tools.iter().filter(|(_, tool)| names.contains(&tool.name.as_str())) {
            let Some(at) = &tool.fallback else { continue };
            reports[*place].warnings.push(FileFault {
                line: at.line,
                column: at.column,
                path: "fallback_tool".to_owned(),
                code,
                message: message.clone(),
                fix: fix.clone(),
            });
        }
    }
}

/// The tools that a trouble is about, its code, what it is and what to do.
fn describe(trouble: &Trouble) -> (Vec<&str>, &'static str, String, String) {
    match trouble {
        Trouble::Unknown { tool, fallback, nearest } => {
            let message = format!("is `{fallback}`, which is none of these tools");
            let fix = match nearest {
                Some(name) => format!("did you mean `{name}`?"),
                None => "add that tool, or delete the line".to_owned(),
            };
            (vec![tool], "unknown-fallback", message, fix)
        }
        Trouble::Circle { chain } => {
            let message = format!("comes back to where it began: {}", chain.join(" → "));
            let names = chain.iter().map(String::as_str).collect();
            (names, "fallback-circle", message, "take the line out of one of them".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(path: &str, name: &str, fallback: &str) -> Source {
        let text = format!(
            "name: {name}\nversion: \"1.0.0\"\ndescription: x\ncategory: data\n\
             fallback_tool: {fallback}\n"
        );
        Source::new(path, text)
    }

    fn codes(faults: &[FileFault]) -> Vec<(u64, &str)> {
        faults.iter().map(|fault| (fault.line, fault.code)).collect()
    }

    #[test]
    fn a_circle_is_told_at_each_tool_of_it_and_leaves_them_valid() {
        let sources = [
            tool("tools/a/tool.yaml", "a", "b"),
            tool("tools/b/tool.yaml", "b", "a"),
            tool("tools/c/tool.yaml", "c", "a"),
            tool("tools/d/tool.yaml", "d", "nowhere"),
        ];
        let reports = check(&sources);
        let found: Vec<_> =
            reports.iter().map(|report| (report.valid, codes(&report.warnings))).collect();
        let circle = (true, vec![(5, "fallback-circle")]);
        let unknown = (true, vec![(5, "unknown-fallback")]);
        assert_eq!(found, [circle.clone(), circle, (true, vec![]), unknown]);
        assert!(reports[0].warnings[0].message.ends_with("a → b → a"));
        assert_eq!(check(&sources[3..])[0].warnings, [], "alone, nobody knows the others");
    }

    #[test]
    fn two_tools_of_one_name_are_a_fault() {
        let sources = [tool("x.yaml", "a", "null"), tool("y.yaml", "a", "null")];
        let reports = check(&sources);
        assert_eq!((reports[0].valid, reports[1].valid), (true, false));
        assert!(reports[1].faults[0].message.contains("x.yaml"));
    }

    #[test]
    fn a_plugin_is_known_by_the_name_of_its_file() {
        let text = "name: a\nversion: 1.0.0\ndescription: x\ncomponent: a.wasm\n".to_owned();
        let reports = check(&[Source::new("a/plugin.yaml", text)]);
        assert!(reports[0].valid && reports[0].runnable);
    }
}
