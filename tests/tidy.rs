//! The shape of the project, as facts that a machine checks.
//!
//! Each fact is a rule of `CONTRIBUTING.md`. The checks are pure functions over the project's files
//! and have tests of their own on tiny projects: a checker that finds nothing proves nothing.

use std::path::Path;

use tidy::manifests::packages;
use tidy::modules::Modules;
use tidy::tree::{Tree, Violation};
use tidy::{circles, floors, manifests, markdown, parity, shape};

mod tidy {
    //! The checks. Nested here so that their files stand in `tests/tidy/`.

    pub(crate) mod circles;
    pub(crate) mod floors;
    pub(crate) mod imports;
    pub(crate) mod manifests;
    pub(crate) mod markdown;
    pub(crate) mod modules;
    pub(crate) mod parity;
    pub(crate) mod rust;
    pub(crate) mod shape;
    pub(crate) mod tree;
}

#[test]
fn no_modules_of_a_crate_form_a_circle() {
    holds(|tree| roots(tree).iter().flat_map(|root| circles::check(tree, root)).collect());
}

#[test]
fn imports_say_where_they_come_from() {
    holds(|tree| roots(tree).iter().flat_map(|root| Modules::read(tree, root).globs()).collect());
}

#[test]
fn no_arrow_between_floors_goes_up() {
    holds(floors::check);
}

#[test]
fn what_belongs_to_one_floor_stays_there() {
    holds(floors::check_foreign);
}

#[test]
fn versions_stand_only_in_the_workspace() {
    holds(manifests::check_versions);
}

#[test]
fn no_file_is_longer_than_it_may_be() {
    holds(shape::check_lengths);
}

#[test]
fn every_test_that_the_page_of_parity_names_is_there() {
    holds(parity::check);
}

#[test]
fn every_file_starts_by_saying_what_it_is() {
    holds(shape::check_starts);
}

#[test]
fn no_file_has_a_name_that_says_nothing() {
    holds(shape::check_names);
}

#[test]
fn nothing_is_left_unfinished() {
    holds(shape::check_unfinished);
}

#[test]
fn no_comment_is_code() {
    holds(shape::check_dead_code);
}

#[test]
fn every_link_between_documents_leads_somewhere() {
    holds(markdown::check_links);
}

#[test]
fn every_path_that_a_document_names_is_there() {
    holds(markdown::check_paths);
}

#[test]
fn every_page_of_an_error_starts_with_its_code() {
    holds(markdown::check_error_pages);
}

#[test]
fn the_checks_see_the_whole_project() {
    let tree = project().unwrap();
    let names: Vec<_> = packages(&tree).into_iter().map(|package| package.name).collect();
    for name in ["apflow-host", "apflow-model", "apflow-sdk", "rest_executor", "apflow-tests"] {
        assert!(names.iter().any(|found| found == name), "`{name}` is not among {names:?}");
    }
    let model = Modules::read(&tree, "host/model/src/lib.rs");
    assert!(model.count() > 10 && !model.arrows().is_empty(), "{} modules", model.count());
}

/// Fails with one line a violation.
fn holds(check: impl FnOnce(&Tree) -> Vec<Violation>) {
    let violations = match project() {
        Ok(tree) => check(&tree),
        Err(error) => vec![Violation::new(".", 1, error.to_string(), "see that it can be read")],
    };
    let lines: Vec<_> = violations.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "{} violations:\n{}", lines.len(), lines.join("\n"));
}

/// Reads the project that this test is a part of.
fn project() -> std::io::Result<Tree> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    Tree::read(package.parent().unwrap_or(package))
}

/// The root file of every crate of the project.
fn roots(tree: &Tree) -> Vec<String> {
    packages(tree).iter().flat_map(|package| package.roots(tree)).collect()
}
