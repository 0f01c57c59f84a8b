//! Circles between the modules of a crate.
//!
//! # The rule
//!
//! A module and all that is nested in it are one unit: a child may use what its ancestors have, and
//! an ancestor what its descendants have, and neither draws an arrow. Every other use of one module
//! by another draws an arrow between the two *siblings* that contain them: `jobs::submit` that uses
//! `crate::plugins::find` draws `jobs -> plugins`, and `jobs::submit` that uses `jobs::view` draws
//! `submit -> view` inside `jobs`. At every level the arrows between siblings must form no circle.
//!
//! This is stricter than a look at single files: two folders that use each other are a circle even
//! where no two files do, since neither folder can be read, tested or moved without the other.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::tidy::modules::{Arrow, ModulePath, Modules};
use crate::tidy::tree::{Tree, Violation};

const FIX: &str = "move what both need into a module below them, or pass it in as an argument";

/// Who uses whom among the children of one module, each with the first place where.
type Siblings<'a> = BTreeMap<&'a str, BTreeMap<&'a str, &'a Arrow>>;

/// Names every circle in the crate whose root is the file `root`.
pub(crate) fn check(tree: &Tree, root: &str) -> Vec<Violation> {
    let arrows = Modules::read(tree, root).arrows();
    let mut levels: BTreeMap<&[String], Siblings<'_>> = BTreeMap::new();
    for arrow in &arrows {
        let shared = arrow.from.iter().zip(&arrow.to).take_while(|(from, to)| from == to).count();
        let (Some(from), Some(to)) = (arrow.from.get(shared), arrow.to.get(shared)) else {
            continue;
        };
        let siblings = levels.entry(&arrow.from[..shared]).or_default();
        siblings.entry(from).or_default().entry(to).or_insert(arrow);
    }
    levels.iter().flat_map(|(parent, siblings)| circles(parent, siblings)).collect()
}

/// The shortest circle through each sibling that is in one, each circle once.
fn circles(parent: &[String], siblings: &Siblings<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut named = BTreeSet::new();
    for start in siblings.keys() {
        let Some(circle) = shortest_circle(siblings, start) else { continue };
        let members: BTreeSet<_> = circle.iter().map(|(name, _)| *name).collect();
        if named.insert(members) {
            violations.push(describe(parent, &circle));
        }
    }
    violations
}

/// The shortest way from `start` back to it: each module with the arrow that leads on.
fn shortest_circle<'a>(
    siblings: &Siblings<'a>,
    start: &'a str,
) -> Option<Vec<(&'a str, &'a Arrow)>> {
    let mut ways = VecDeque::from([(start, Vec::new())]);
    let mut seen = BTreeSet::new();
    while let Some((name, way)) = ways.pop_front() {
        for (next, arrow) in siblings.get(name).into_iter().flatten() {
            let mut way = way.clone();
            way.push((name, *arrow));
            if *next == start {
                return Some(way);
            }
            if seen.insert(*next) {
                ways.push_back((next, way));
            }
        }
    }
    None
}

fn describe(parent: &[String], circle: &[(&str, &Arrow)]) -> Violation {
    let (first, arrow) = circle[0];
    let steps: Vec<_> = circle
        .iter()
        .map(|(name, arrow)| {
            format!("`{name}` uses `{}` ({}:{})", shown(&arrow.to), arrow.file, arrow.line)
        })
        .collect();
    let around = shown(&parent.to_vec());
    let what =
        format!("modules of `{around}` form a circle: {}, back to `{first}`", steps.join(", "));
    Violation::new(&arrow.file, arrow.line, what, FIX)
}

fn shown(path: &ModulePath) -> String {
    let mut shown = "crate".to_owned();
    for name in path {
        shown.push_str("::");
        shown.push_str(name);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        check(&Tree::of(files), "src/lib.rs").iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_circle_of_two_is_named_with_both_places() {
        let found = found(&[
            ("src/lib.rs", "mod a; mod b;"),
            ("src/a.rs", "use crate::b::B;"),
            ("src/b.rs", "\nfn f() { crate::a::g() }"),
        ]);
        assert_eq!(
            found,
            [format!(
                "src/a.rs:1: modules of `crate` form a circle: `a` uses `crate::b` (src/a.rs:1), \
                 `b` uses `crate::a` (src/b.rs:2), back to `a`; {FIX}"
            )]
        );
    }

    #[test]
    fn a_circle_of_three_through_a_re_export_is_named_once() {
        let found = found(&[
            ("src/lib.rs", "mod a; mod b; mod c; pub use c::Thing;"),
            ("src/a.rs", "use super::b;"),
            ("src/b.rs", "use crate::Thing;"),
            ("src/c.rs", "use crate::a;"),
        ]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("back to `a`") && found[0].contains("`b` uses `crate::c`"));
    }

    #[test]
    fn circles_that_share_a_module_are_all_named() {
        let found = found(&[
            ("src/lib.rs", "mod a; mod b; mod c;"),
            ("src/a.rs", "use crate::b;"),
            ("src/b.rs", "use crate::{a, c};"),
            ("src/c.rs", "use crate::b;"),
        ]);
        assert_eq!(found.len(), 2, "{found:?}");
    }

    #[test]
    fn two_folders_that_use_each_other_are_a_circle() {
        let found = found(&[
            ("src/lib.rs", "mod jobs; mod plugins;"),
            ("src/jobs.rs", "mod submit; mod view;"),
            ("src/jobs/submit.rs", "use crate::plugins::find;"),
            ("src/jobs/view.rs", ""),
            ("src/plugins.rs", "mod find; mod list;"),
            ("src/plugins/find.rs", ""),
            ("src/plugins/list.rs", "use crate::jobs::view;"),
        ]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("`jobs` uses `crate::plugins::find`"));
    }

    #[test]
    fn a_circle_inside_a_folder_is_found() {
        let found = found(&[
            ("src/lib.rs", "mod jobs;"),
            ("src/jobs/mod.rs", "mod a; mod b;"),
            ("src/jobs/a.rs", "use super::b;"),
            ("src/jobs/b.rs", "use super::a;"),
        ]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("modules of `crate::jobs`"));
    }

    #[test]
    fn a_child_and_its_parent_are_one_unit() {
        let found = found(&[
            ("src/lib.rs", "mod jobs; pub struct Api; use jobs::submit;"),
            ("src/jobs.rs", "mod submit; use submit::Submit; pub struct Jobs;"),
            ("src/jobs/submit.rs", "use super::Jobs; use crate::Api;"),
        ]);
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn a_straight_line_is_no_circle() {
        let found = found(&[
            ("src/lib.rs", "mod a; mod b; mod c;"),
            ("src/a.rs", "use crate::{b, c};"),
            ("src/b.rs", "use crate::c;"),
            ("src/c.rs", ""),
        ]);
        assert_eq!(found, Vec::<String>::new());
    }
}
