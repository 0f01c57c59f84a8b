//! The page of parity: every test that it names is there.

use crate::tidy::tree::{Tree, Violation};

const PAGE: &str = "docs/parity.md";

/// Names every test of the page that is not there, and every line that names none.
pub(crate) fn check(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    let Some(text) = tree.text(PAGE) else { return violations };
    for (index, line) in text.lines().enumerate() {
        let is_row =
            line.starts_with("| ") && line[2..].starts_with(|first: char| first.is_ascii_digit());
        let named: Vec<&str> =
            line.split('`').skip(1).step_by(2).filter(|code| code.contains(".rs")).collect();
        if is_row && named.is_empty() {
            let what = "the line names no test".to_owned();
            violations.push(Violation::new(PAGE, index + 1, what, "name the test that shows it"));
        }
        for test in named.into_iter().filter(|test| !is_there(tree, test)) {
            let what = format!("`{test}` is not there");
            violations.push(Violation::new(PAGE, index + 1, what, "name the test as it is now"));
        }
    }
    violations
}

/// Whether there is such a file, and such a test in it: `FILE::TEST`, or a file with tests alone.
fn is_there(tree: &Tree, named: &str) -> bool {
    let (file, name) = named.split_once("::").unwrap_or((named, ""));
    let Some(text) = tree.text(file) else { return false };
    match name {
        "" => text.contains("#[test]") || text.contains("#[tokio::test"),
        name => text.contains(&format!("fn {name}(")),
    }
}

#[test]
fn a_test_that_is_gone_and_a_line_without_one_are_named() {
    let page = "| | there | here | shown by |\n|---|---|---|---|\n\
                | 1 | a | b | `host/a.rs::it_holds`, `host/b.rs` |\n\
                | 2 | a | b | `host/a.rs::it_is_gone` |\n| 3 | a | b | c |\n";
    let tree = Tree::of(&[
        (PAGE, page),
        ("host/a.rs", "#[test]\nfn it_holds() {}\n"),
        ("host/b.rs", "#[test]\nfn other() {}\n"),
    ]);
    let found: Vec<_> = check(&tree).iter().map(ToString::to_string).collect();
    let expected = [
        "docs/parity.md:4: `host/a.rs::it_is_gone` is not there; name the test as it is now",
        "docs/parity.md:5: the line names no test; name the test that shows it",
    ];
    assert_eq!(found, expected);
}
