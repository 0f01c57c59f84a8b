//! The packages of the workspace and what they depend on.
//!
//! It reads the few shapes of TOML that our manifests use, not all of TOML.

use crate::tidy::tree::{Tree, Violation};

/// A dependency as a manifest states it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dependency {
    /// Its name in the manifest.
    pub(crate) name: String,
    /// Whether its version comes from the workspace.
    pub(crate) is_workspace: bool,
    /// The line it stands on, from 1.
    pub(crate) line: usize,
}

/// A package of the workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Package {
    /// Its name.
    pub(crate) name: String,
    /// Its folder from the project's root.
    pub(crate) folder: String,
    /// What it depends on, for its code, its tests and its build script.
    pub(crate) dependencies: Vec<Dependency>,
}

impl Package {
    /// Where its manifest is.
    pub(crate) fn manifest(&self) -> String {
        format!("{}/Cargo.toml", self.folder)
    }

    /// The root files of its crates: library, program and integration tests.
    pub(crate) fn roots(&self, tree: &Tree) -> Vec<String> {
        let folder = &self.folder;
        let mut roots = vec![format!("{folder}/src/lib.rs"), format!("{folder}/src/main.rs")];
        roots.retain(|root| tree.has(root));
        let in_folder = |path: &str, folder: &str| {
            path.rsplit_once('/').is_some_and(|(its_folder, _)| its_folder == folder)
        };
        let tests = format!("{folder}/tests");
        roots.extend(
            tree.with_ending("rs")
                .map(|(path, _)| path)
                .filter(|path| in_folder(path, &tests) || in_folder(path, folder))
                .map(str::to_owned),
        );
        roots
    }
}

/// Every package that is a member of the workspace, in the order of its list.
pub(crate) fn packages(tree: &Tree) -> Vec<Package> {
    let root = tree.text("Cargo.toml").unwrap_or_default();
    let mut packages = Vec::new();
    for member in members(root) {
        for (path, text) in tree.with_ending("toml") {
            let Some(folder) = path.strip_suffix("/Cargo.toml") else { continue };
            if is_member(folder, &member) {
                packages.push(package(folder, text));
            }
        }
    }
    packages
}

/// Every dependency of a package whose version is not the workspace's.
pub(crate) fn check_versions(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for package in packages(tree) {
        for dependency in package.dependencies.iter().filter(|dependency| !dependency.is_workspace)
        {
            violations.push(Violation::new(
                &package.manifest(),
                dependency.line,
                format!("`{}` has a version or path of its own", dependency.name),
                "state it in [workspace.dependencies] of the root and write `.workspace = true` here",
            ));
        }
    }
    violations
}

/// Whether a folder is one of `members`, in which `*` stands for any name or part of one.
fn is_member(folder: &str, member: &str) -> bool {
    let Some((start, end)) = member.split_once('*') else { return folder == member };
    let rest = folder.strip_prefix(start).and_then(|rest| rest.strip_suffix(end));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.contains('/'))
}

/// The strings of the `members` list.
fn members(root: &str) -> Vec<String> {
    let list = root.split_once("\nmembers = [").and_then(|(_, after)| after.split_once(']'));
    let list = list.map_or("", |(list, _)| list);
    list.split(',').map(unquoted).filter(|member| !member.is_empty()).collect()
}

fn package(folder: &str, text: &str) -> Package {
    let mut package =
        Package { name: String::new(), folder: folder.to_owned(), dependencies: Vec::new() };
    let mut section = String::new();
    for (index, written) in text.lines().enumerate() {
        let line = written.split(" #").next().unwrap_or_default().trim();
        if let Some(header) = line.strip_prefix('[') {
            header.trim_end_matches(']').trim_start_matches('[').clone_into(&mut section);
            if let Some(name) = own_table(&section) {
                let name = unquoted(name);
                let dependency = Dependency { name, is_workspace: false, line: index + 1 };
                package.dependencies.push(dependency);
            }
            continue;
        }
        let Some((key, value)) = line.split_once('=').filter(|_| !line.starts_with('#')) else {
            continue;
        };
        let (key, value) = (key.trim(), value.trim());
        if section == "package" && key == "name" {
            package.name = unquoted(value);
        } else if own_table(&section).is_some() {
            let dependency = package.dependencies.last_mut();
            if let Some(dependency) = dependency.filter(|_| key == "workspace" && value == "true") {
                dependency.is_workspace = true;
            }
        } else if is_dependencies(&section) {
            let (name, rest) = key.split_once('.').unwrap_or((key, ""));
            let is_workspace = (rest == "workspace" && value == "true")
                || value.replace(' ', "").contains("workspace=true");
            package.dependencies.push(Dependency {
                name: unquoted(name),
                is_workspace,
                line: index + 1,
            });
        }
    }
    package
}

/// Whether a section lists dependencies, for every target or one.
fn is_dependencies(section: &str) -> bool {
    let last = section.rsplit('.').next().unwrap_or_default();
    matches!(last, "dependencies" | "dev-dependencies" | "build-dependencies")
        && !section.starts_with("workspace")
}

/// The dependency that a section such as `[dependencies.serde]` is about.
fn own_table(section: &str) -> Option<&str> {
    let (list, name) = section.rsplit_once('.')?;
    is_dependencies(list).then_some(name)
}

fn unquoted(text: &str) -> String {
    text.trim().trim_matches('"').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "[workspace]\nmembers = [\n  \"host\",\n  \"plugins/*_executor\",\n]\n";

    #[test]
    fn members_are_found_by_name_and_by_star() {
        let tree = Tree::of(&[
            ("Cargo.toml", ROOT),
            ("host/Cargo.toml", "[package]\nname = \"apflow-host\"\n"),
            ("plugins/rest_executor/Cargo.toml", "[package]\nname = \"rest\"\n"),
            ("other/Cargo.toml", "[package]\nname = \"other\"\n"),
        ]);
        let names: Vec<_> = packages(&tree).into_iter().map(|package| package.name).collect();
        assert_eq!(names, ["apflow-host", "rest"]);
    }

    #[test]
    fn a_version_in_a_member_is_named_in_every_form() {
        let manifest = "[package]\nname = \"apflow-host\"\nversion = \"1.0.0\"\n\
            [dependencies]\na.workspace = true\nb = { workspace = true, features = [\"x\"] }\n\
            c = \"1\"\n[target.'cfg(unix)'.dev-dependencies]\nd = { path = \"../d\" }\n\
            [build-dependencies.e]\nversion = \"2\"\n[dependencies.f]\nworkspace = true\n";
        let tree = Tree::of(&[("Cargo.toml", ROOT), ("host/Cargo.toml", manifest)]);
        let found: Vec<_> = check_versions(&tree)
            .iter()
            .map(|violation| (violation.line, violation.what.clone()))
            .collect();
        let named = |name: &str| format!("`{name}` has a version or path of its own");
        assert_eq!(found, [(7, named("c")), (9, named("d")), (10, named("e"))]);
    }
}
