//! Compares a component with the manifest that names it.

use super::place;
use super::source::{Beside, Inspected, Parsed, Source};
use crate::import::Import;
use crate::plugin::World;
use crate::reader::FileFault;

/// What is wrong with the component of a manifest, and what is odd.
#[derive(Default)]
pub(super) struct Found {
    pub(super) faults: Vec<FileFault>,
    pub(super) warnings: Vec<FileFault>,
}

/// Checks the component that a manifest names.
pub(super) fn check(source: &Source, parsed: &Parsed) -> Found {
    let mut found = Found::default();
    let Some((key, file)) = parsed.component() else { return found };
    let at = |path: &str, code: &'static str, message: String, fix: String| {
        let (line, column) = place::find(&source.text(), path);
        FileFault { line, column, path: path.to_owned(), code, message, fix }
    };
    match &source.component {
        Beside::Unknown => {}
        Beside::Missing => {
            let message = format!("is `{file}`, which is not beside the manifest");
            let fix = "build it, or correct the name".to_owned();
            found.warnings.push(at(key, "missing-component", message, fix));
        }
        Beside::Refused(reason) => {
            let message = format!("is `{file}`, which does not run here: {reason}");
            let fix = "build it anew, or correct the name".to_owned();
            found.faults.push(at(key, "component-refused", message, fix));
        }
        Beside::Found(component) => {
            if matches!(parsed, Parsed::Tool(_)) && component.world == World::Executor {
                let message = format!("is `{file}`, which is an executor and no command");
                let fix = "name a component of `wasi:cli/command`".to_owned();
                found.faults.push(at(key, "component-refused", message, fix));
            }
            let (asked, _) = parsed.asks();
            for import in component.imports.iter().filter(|one| !one.family.is_asked(&asked)) {
                let message =
                    format!("do not allow `{}`, which `{file}` imports", import.interface);
                let fix = remedy(import);
                found.faults.push(at("capabilities", "excess-import", message, fix));
            }
        }
    }
    found
}

/// Checks a component without a manifest: whether one could be written for it.
pub(super) fn check_alone(component: &Beside) -> Vec<FileFault> {
    let at_start = |code, message: String, fix: String| {
        let path = String::new();
        FileFault { line: 1, column: 1, path, code, message, fix }
    };
    match component {
        Beside::Unknown | Beside::Missing => Vec::new(),
        Beside::Refused(reason) => {
            let message = format!("does not run here: {reason}");
            vec![at_start("component-refused", message, "build it anew".to_owned())]
        }
        Beside::Found(Inspected { imports, .. }) => imports
            .iter()
            .filter(|import| import.family.key().is_none() && !import.family.is_free())
            .map(|import| {
                let message = format!("imports `{}`", import.interface);
                at_start("excess-import", message, remedy(import))
            })
            .collect(),
    }
}

fn remedy(import: &Import) -> String {
    match import.family.key() {
        Some(key) => format!("add `{key}` below `capabilities`, or build it without"),
        None => "build it without: this host does not have it".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Report, check as check_all};
    use super::*;

    fn report(manifest: &str, path: &str, component: Beside) -> Report {
        let source = Source { component, ..Source::new(path, manifest) };
        check_all(&[source]).remove(0)
    }

    fn component(world: World, imports: &[&str]) -> Beside {
        let imports = imports.iter().copied().map(Import::new).collect();
        Beside::Found(Inspected { bytes: 8, world, imports })
    }

    const PLUGIN: &str = "name: own\nversion: 1.0.0\ndescription: Own.\ncomponent: own.wasm\n\
                          capabilities:\n  clocks: true\n";
    const TOOL: &str = "name: own\nversion: 1.0.0\ndescription: Own.\ncategory: data\n\
                        run: { command: own.wasm }\n";

    #[test]
    fn imports_that_are_not_asked_for_are_faults_at_the_capabilities() {
        let imports = ["wasi:clocks/wall-clock@0.2.6", "wasi:http/types@0.2.6", "acme:own/thing"];
        let report = report(PLUGIN, "own/plugin.yaml", component(World::Executor, &imports));
        let found: Vec<_> =
            report.faults.iter().map(|fault| (fault.line, fault.code, fault.to_string())).collect();
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!((found[0].0, found[0].1), (5, "excess-import"));
        assert!(
            found[0].2.contains("`wasi:http/types@0.2.6`, which `own.wasm` imports; add `http:")
        );
        assert!(found[1].2.ends_with("this host does not have it"), "{}", found[1].2);
        assert!(!report.valid && !report.runnable);
    }

    #[test]
    fn a_component_that_is_missing_is_odd_and_one_that_does_not_run_is_a_fault() {
        let missing = report(PLUGIN, "own/plugin.yaml", Beside::Missing);
        assert_eq!((missing.valid, missing.warnings[0].line), (true, 4));
        let refused = report(TOOL, "own/tool.yaml", Beside::Refused("it is text".to_owned()));
        assert_eq!((refused.faults[0].line, refused.faults[0].column), (5, 8));
        assert!(refused.faults[0].message.ends_with("does not run here: it is text"));
    }

    #[test]
    fn a_tool_runs_a_command_and_no_executor() {
        let report = |world| report(TOOL, "own/tool.yaml", component(world, &[]));
        assert!(report(World::Command).valid);
        assert_eq!(report(World::Executor).faults[0].code, "component-refused");
    }

    #[test]
    fn a_component_is_checked_without_a_manifest() {
        let alone = |component| {
            let source = Source { component, ..Source::new("own.wasm", "") };
            check_all(&[source]).remove(0)
        };
        let known = alone(component(World::Command, &["wasi:http/types@0.2.6"]));
        assert!(known.valid && known.component.is_some());
        assert_eq!(alone(component(World::Command, &["a:b/c"])).faults[0].code, "excess-import");
        assert!(!alone(Beside::Refused("it is text".to_owned())).valid);
    }
}
