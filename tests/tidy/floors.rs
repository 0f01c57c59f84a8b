//! The floors of the host: an arrow between two packages may only go down.
//!
//! Cargo refuses a circle of packages, but not a new arrow in the wrong direction; this does. It
//! also keeps what belongs to one floor (SQL, wasmtime, HTTP, the command line) out of the others.

use crate::tidy::manifests::{Package, packages};
use crate::tidy::rust::{Kind, cut};
use crate::tidy::tree::{Tree, Violation};

const FIX: &str = "turn the arrow round: let the upper floor call, and pass it what it needs";

/// Packages from the ground up, each with those of the project it may depend on.
const FLOORS: [(&str, &[&str]); 10] = [
    ("apflow-model", &[]),
    ("apflow-store", &["apflow-model"]),
    ("apflow-sandbox", &["apflow-model"]),
    ("apflow-engine", &["apflow-model", "apflow-store", "apflow-sandbox"]),
    ("apflow-api", &["apflow-model", "apflow-engine"]),
    (
        "apflow-host",
        &["apflow-model", "apflow-store", "apflow-sandbox", "apflow-engine", "apflow-api"],
    ),
    ("apflow-command", &[]),
    ("apflow-sdk-macros", &[]),
    ("apflow-sdk", &["apflow-sdk-macros"]),
    ("apflow-guests", &["apflow-sdk"]),
];

/// What a plugin may depend on.
const PLUGIN: &[&str] = &["apflow-command", "apflow-sdk"];

/// The tests are no floor: they see all.
const TESTS: [&str; 3] = ["apflow-tests", "apflow-fuzz", "apflow-mutations"];

/// Floors below the doors that only some files of `apflow-host` may name.
const BELOW_THE_VERBS: [&str; 3] = ["apflow-engine", "apflow-store", "apflow-sandbox"];

/// The file that assembles the floors, the benchmarks of the sandbox and of the store themselves, the
/// process that compiles, and the look at components that needs no host.
const ASSEMBLY: [&str; 11] = [
    "host/src/assemble.rs",
    "host/src/cli/bench/cancel.rs",
    "host/src/cli/bench/guest.rs",
    "host/src/cli/bench/http_server.rs",
    "host/src/cli/bench/load.rs",
    "host/src/cli/bench/neighbours.rs",
    "host/src/cli/bench/rest.rs",
    "host/src/cli/bench/sandbox.rs",
    "host/src/cli/bench/store.rs",
    "host/src/cli/compile.rs",
    "host/src/cli/validate/beside.rs",
];

/// Foreign crates, by how their names start, that only some packages may depend on.
const AT_HOME: [(&str, &[&str]); 6] = [
    ("sqlx", &["apflow-store"]),
    ("wasmtime", &["apflow-sandbox"]),
    ("hyper", &["apflow-sandbox", "apflow-host"]),
    ("axum", &["apflow-host"]),
    ("clap", &["apflow-host"]),
    ("tokio", &["apflow-store", "apflow-sandbox", "apflow-engine", "apflow-api", "apflow-host"]),
];

/// Names every arrow that goes up: in a manifest, or in a source file.
pub(crate) fn check(tree: &Tree) -> Vec<Violation> {
    let packages = packages(tree);
    let mut violations = Vec::new();
    for package in packages.iter().filter(|package| !TESTS.contains(&package.name.as_str())) {
        let Some(allowed) = allowed(package) else {
            violations.push(Violation::new(
                &package.manifest(),
                1,
                format!("`{}` stands on no floor", package.name),
                "add it to the table in tests/tidy/floors.rs and to ARCHITECTURE.md",
            ));
            continue;
        };
        for dependency in &package.dependencies {
            // A package names itself to test itself with other features.
            let is_other = |other: &&Package| other.name != package.name;
            let mut others = packages.iter().filter(is_other);
            let is_own = others.any(|other| other.name == dependency.name);
            if is_own && !allowed.contains(&dependency.name.as_str()) {
                let what = format!("`{}` may not depend on `{}`", package.name, dependency.name);
                violations.push(Violation::new(&package.manifest(), dependency.line, what, FIX));
            }
        }
        violations.extend(check_sources(tree, package, allowed, &packages));
    }
    violations
}

/// Names every foreign crate that is used away from its floor.
pub(crate) fn check_foreign(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for package in packages(tree).iter().filter(|package| !TESTS.contains(&package.name.as_str())) {
        for dependency in &package.dependencies {
            let home = AT_HOME.iter().find(|(start, _)| dependency.name.starts_with(start));
            let Some((_, homes)) =
                home.filter(|(_, homes)| !homes.contains(&package.name.as_str()))
            else {
                continue;
            };
            violations.push(Violation::new(
                &package.manifest(),
                dependency.line,
                format!("`{}` may not depend on `{}`", package.name, dependency.name),
                &format!("what needs it belongs to {}", homes.join(", ")),
            ));
        }
    }
    violations
}

/// The project's packages that this one may depend on; none when nobody has decided.
fn allowed(package: &Package) -> Option<&'static [&'static str]> {
    if package.folder.starts_with("plugins/") {
        return Some(PLUGIN);
    }
    FLOORS.iter().find(|(name, _)| *name == package.name).map(|(_, allowed)| *allowed)
}

/// Names every mention of a package in the code of another that may not know it.
fn check_sources(
    tree: &Tree,
    package: &Package,
    allowed: &[&str],
    packages: &[Package],
) -> Vec<Violation> {
    let source = format!("{}/src/", package.folder);
    let script = format!("{}/build.rs", package.folder);
    let mut violations = Vec::new();
    for (path, text) in tree.with_ending("rs") {
        if !path.starts_with(&source) && path != script {
            continue;
        }
        for token in cut(text).tokens.iter().filter(|token| token.kind == Kind::Word) {
            let named = packages.iter().find(|other| other.name.replace('-', "_") == token.text);
            let Some(named) = named.filter(|named| !may_name(path, package, &named.name, allowed))
            else {
                continue;
            };
            let what = format!("`{}` may not name `{}` here", package.name, named.name);
            violations.push(Violation::new(path, token.line, what, FIX));
        }
    }
    violations
}

/// Whether the file at `path` of `package` may name the package `other`.
fn may_name(path: &str, package: &Package, other: &str, allowed: &[&str]) -> bool {
    if package.name == other {
        return true;
    }
    // What the macro writes stands in a plugin, where the SDK is known.
    if package.name == "apflow-sdk-macros" && other == "apflow-sdk" {
        return true;
    }
    let is_below = package.name == "apflow-host" && BELOW_THE_VERBS.contains(&other);
    allowed.contains(&other) && (!is_below || ASSEMBLY.contains(&path))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "[workspace]\nmembers = [\"host\", \"host/store\", \"host/engine\", \
        \"plugins/*\"]\n";
    const HOST: &str = "[package]\nname = \"apflow-host\"\n[dependencies]\n\
        apflow-store.workspace = true\n";

    /// The violations of a small project in which these files are added or replaced.
    fn found(files: &[(&str, &str)], check: fn(&Tree) -> Vec<Violation>) -> Vec<String> {
        let mut all = vec![
            ("Cargo.toml", ROOT),
            ("host/Cargo.toml", HOST),
            ("host/store/Cargo.toml", "[package]\nname = \"apflow-store\"\n"),
            ("host/engine/Cargo.toml", "[package]\nname = \"apflow-engine\"\n"),
        ];
        all.extend_from_slice(files);
        check(&Tree::of(&all)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_upward_dependency_is_named() {
        let store = "[package]\nname = \"apflow-store\"\n[dev-dependencies]\n\
            apflow-engine.workspace = true\n";
        let found = found(&[("host/store/Cargo.toml", store)], check);
        let named = "`apflow-store` may not depend on `apflow-engine`";
        assert_eq!(found, [format!("host/store/Cargo.toml:4: {named}; {FIX}")]);
    }

    #[test]
    fn a_plugin_may_not_know_the_host() {
        let plugin = "[package]\nname = \"rest\"\n[dependencies]\napflow-host.workspace = true\n";
        assert_eq!(found(&[("plugins/rest/Cargo.toml", plugin)], check).len(), 1);
    }

    #[test]
    fn a_door_may_not_name_the_store_but_the_assembly_may() {
        let source = "//! A file.\nuse apflow_store::Store;\n";
        let found =
            found(&[("host/src/assemble.rs", source), ("host/src/http/mod.rs", source)], check);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("host/src/http/mod.rs:2: `apflow-host` may not name"));
    }

    #[test]
    fn an_unknown_package_is_named() {
        let package = "[package]\nname = \"apflow-new\"\n";
        let found = found(&[("host/engine/Cargo.toml", package)], check);
        assert!(found[0].contains("`apflow-new` stands on no floor"), "{found:?}");
    }

    #[test]
    fn sql_away_from_the_store_is_named() {
        let engine = "[package]\nname = \"apflow-engine\"\n[dependencies]\nsqlx.workspace = true\n";
        let found = found(&[("host/engine/Cargo.toml", engine)], check_foreign);
        assert_eq!(found.len(), 1);
        assert!(found[0].ends_with("what needs it belongs to apflow-store"), "{found:?}");
    }
}
