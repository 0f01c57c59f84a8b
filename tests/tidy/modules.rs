//! The modules of one crate and who uses whom.
//!
//! A `use` of a name that a module only passes on (`pub use`) leads to the module that has it, so a
//! re-export cannot hide an arrow. Names that a macro makes are not seen.

use std::collections::{BTreeMap, BTreeSet};

use crate::tidy::imports::{self, Mention};
use crate::tidy::rust;
use crate::tidy::tree::{Tree, Violation};

/// How many re-exports of re-exports are followed.
const HOPS_MAX: usize = 16;

/// A module by the names from the crate's root; the root itself is empty.
pub(crate) type ModulePath = Vec<String>;

/// That one module uses another, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Arrow {
    /// The module that uses.
    pub(crate) from: ModulePath,
    /// The module that is used.
    pub(crate) to: ModulePath,
    /// The file the use stands in.
    pub(crate) file: String,
    /// The line of the use, from 1.
    pub(crate) line: usize,
}

/// The modules of a crate.
#[derive(Default)]
pub(crate) struct Modules {
    /// The file of every module; modules between braces share that of the module around them.
    files: BTreeMap<ModulePath, String>,
    /// Every mention, with the module it is in.
    mentions: Vec<(ModulePath, Mention)>,
    /// What each module names by `use`: name to path, as written.
    names: BTreeMap<ModulePath, BTreeMap<String, Vec<String>>>,
}

impl Modules {
    /// Reads the crate whose root is the file `root`; code that is only there for tests is left out.
    pub(crate) fn read(tree: &Tree, root: &str) -> Self {
        let mut modules = Self::default();
        let folder = root.rsplit_once('/').map_or("", |(folder, _)| folder);
        modules.read_file(tree, root, folder, &Vec::new());
        modules
    }

    /// How many modules there are, with the root.
    pub(crate) fn count(&self) -> usize {
        self.files.len()
    }

    /// Every arrow between two modules, in the order of the files.
    pub(crate) fn arrows(&self) -> Vec<Arrow> {
        let mut arrows = Vec::new();
        for (from, mention) in &self.mentions {
            for to in self.targets(from, &mention.path) {
                if to != *from {
                    let file = self.files.get(from).cloned().unwrap_or_default();
                    arrows.push(Arrow { from: from.clone(), to, file, line: mention.line });
                }
            }
        }
        arrows
    }

    /// Every `use` of all names of a module of this crate.
    pub(crate) fn globs(&self) -> Vec<Violation> {
        let mut violations = Vec::new();
        for (from, mention) in self.mentions.iter().filter(|(_, mention)| mention.is_glob) {
            if self.absolute(from, &mention.path).is_some() {
                let file = self.files.get(from).map_or("", String::as_str);
                let what =
                    format!("`{}::*` hides which names come from it", mention.path.join("::"));
                violations.push(Violation::new(file, mention.line, what, "list the names"));
            }
        }
        violations
    }

    /// Reads a file and the files of its modules, which are looked for in `folder`.
    fn read_file(&mut self, tree: &Tree, file: &str, folder: &str, module: &ModulePath) {
        let Some(text) = tree.text(file) else { return };
        self.files.insert(module.clone(), file.to_owned());
        let tokens = rust::without_tests(&rust::cut(text).tokens);
        let imports = imports::read(&tokens);
        for mention in imports.mentions {
            let within = joined(module, &mention.within);
            if let Some(name) = &mention.name {
                let names = self.names.entry(within.clone()).or_default();
                names.insert(name.clone(), mention.path.clone());
            }
            self.mentions.push((within, mention));
        }
        for declared in imports.declared {
            let child = joined(module, &declared.path);
            let stem = format!("{folder}/{}", declared.path.join("/"));
            if declared.is_inline {
                self.files.insert(child, file.to_owned());
            } else if tree.has(&format!("{stem}/mod.rs")) {
                self.read_file(tree, &format!("{stem}/mod.rs"), &stem, &child);
            } else {
                self.read_file(tree, &format!("{stem}.rs"), &stem, &child);
            }
        }
    }

    /// The path from the root, or none when it leads out of the crate.
    fn absolute(&self, from: &ModulePath, path: &[String]) -> Option<ModulePath> {
        let first = path.first()?.as_str();
        let supers = path.iter().take_while(|name| *name == "super").count();
        if first == "crate" {
            Some(path[1..].to_vec())
        } else if supers > 0 {
            let around = from.len().checked_sub(supers)?;
            Some(joined(&from[..around], &path[supers..]))
        } else if first == "self" && path.get(1).is_some_and(|name| name == "super") {
            self.absolute(from, &path[1..])
        } else if first == "self" {
            Some(joined(from, &path[1..]))
        } else {
            let child = joined(from, &path[..1]);
            self.files.contains_key(&child).then(|| joined(from, path))
        }
    }

    /// The modules that a path leads to: the one that is written, then those behind re-exports.
    fn targets(&self, from: &ModulePath, path: &[String]) -> BTreeSet<ModulePath> {
        let mut targets = BTreeSet::new();
        let mut next = self.absolute(from, path);
        for _ in 0..HOPS_MAX {
            let Some(path) = next.take() else { break };
            let depth = (0..=path.len())
                .rev()
                .find(|&depth| self.files.contains_key(&path[..depth]))
                .unwrap_or(0);
            let (module, rest) = (path[..depth].to_vec(), &path[depth..]);
            if let Some((name, rest)) = rest.split_first() {
                let passed_on = self.names.get(&module).and_then(|names| names.get(name));
                next = passed_on
                    .and_then(|passed_on| self.absolute(&module, passed_on))
                    .map(|passed_on| joined(&passed_on, rest))
                    .filter(|resolved| *resolved != path);
            }
            targets.insert(module);
        }
        targets
    }
}

fn joined(first: &[String], second: &[String]) -> ModulePath {
    first.iter().chain(second).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrows(files: &[(&str, &str)]) -> Vec<String> {
        let modules = Modules::read(&Tree::of(files), "src/lib.rs");
        let shown = |path: &ModulePath| format!("/{}", path.join("/"));
        modules
            .arrows()
            .iter()
            .map(|arrow| format!("{} -> {}", shown(&arrow.from), shown(&arrow.to)))
            .collect()
    }

    #[test]
    fn modules_are_found_in_files_folders_and_braces() {
        let files = [
            ("src/lib.rs", "mod a; mod b; mod c { mod d; }"),
            ("src/a.rs", "mod e;"),
            ("src/a/e.rs", ""),
            ("src/b/mod.rs", "mod f;"),
            ("src/b/f.rs", ""),
            ("src/c/d.rs", ""),
        ];
        assert_eq!(Modules::read(&Tree::of(&files), "src/lib.rs").count(), 7);
    }

    #[test]
    fn a_re_export_does_not_hide_an_arrow() {
        let files = [
            ("src/lib.rs", "mod a; mod b; pub use b::Thing;"),
            ("src/a.rs", "use crate::Thing;"),
            ("src/b.rs", ""),
        ];
        assert_eq!(arrows(&files), ["/ -> /b", "/a -> /", "/a -> /b"]);
    }

    #[test]
    fn super_and_self_are_resolved() {
        let files = [
            ("src/lib.rs", "mod a; mod b;"),
            ("src/a.rs", "mod c; mod d;"),
            ("src/a/c.rs", "use super::d::X; use super::super::b;"),
            ("src/a/d.rs", "fn f() { self::super::c::g() }"),
            ("src/b.rs", ""),
        ];
        assert_eq!(arrows(&files), ["/a/c -> /a/d", "/a/c -> /b", "/a/d -> /a/c"]);
    }

    #[test]
    fn documentation_and_tests_draw_no_arrow() {
        let files = [
            ("src/lib.rs", "mod a; mod b;"),
            ("src/a.rs", "//! See [`crate::b`].\n#[cfg(test)] mod tests { use crate::b; }"),
            ("src/b.rs", ""),
        ];
        assert_eq!(arrows(&files), Vec::<String>::new());
    }

    #[test]
    fn a_glob_of_an_own_module_is_named() {
        let files =
            [("src/lib.rs", "mod a; use other::*;"), ("src/a.rs", "\nuse super::*;\nfn f() {}")];
        let globs = Modules::read(&Tree::of(&files), "src/lib.rs").globs();
        assert_eq!(globs.len(), 1);
        assert!(globs[0].to_string().starts_with("src/a.rs:2: `super::*` hides"));
    }
}
