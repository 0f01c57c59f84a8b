//! The shape of single files: how long they are, what they are called, how they start, and that
//! they leave nothing unfinished.

use crate::tidy::rust::{cut, starts_with, without_trailing_tests};
use crate::tidy::tree::{Tree, Violation};

/// Most lines of code in a file.
const CODE_LINES_MAX: usize = 400;

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 6] = ["utils", "common", "helpers", "imp", "types", "misc"];

/// Marks of work that is left to do, in comments.
const UNFINISHED: [&str; 3] = ["TODO", "FIXME", "XXX"];

/// Macros that stand for code that is not there.
const HOLES: [&str; 2] = ["todo", "unimplemented"];

/// Programs that must not compile: what they look like is what they test.
const REFUSED: &str = "sdk/tests/refused/";

/// Copies of others' files.
const FOREIGN: &str = "wit/deps/";

/// Names every Rust file with more lines of code than a file may have.
///
/// Blank lines, comments and the tests at the end of a file are not counted.
pub(crate) fn check_lengths(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (path, text) in tree.with_ending("rs") {
        let count = code_lines(text);
        if count > CODE_LINES_MAX {
            let what = format!("{count} lines of code, {CODE_LINES_MAX} are the most");
            violations.push(Violation::new(path, 1, what, "split it by what it is about"));
        }
    }
    violations
}

/// Names every Rust file that does not start by saying what it is.
pub(crate) fn check_starts(tree: &Tree) -> Vec<Violation> {
    tree.with_ending("rs")
        .filter(|(path, text)| !path.starts_with(REFUSED) && !text.starts_with("//!"))
        .map(|(path, _)| {
            let what = "the file does not start with `//!`".to_owned();
            Violation::new(path, 1, what, "say in one line what it is, then what it does not do")
        })
        .collect()
}

/// Names every Rust file or folder of modules whose name says nothing.
pub(crate) fn check_names(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (path, _) in tree.with_ending("rs") {
        let stem = path.strip_suffix("/mod.rs").or_else(|| path.strip_suffix(".rs"));
        let name = stem.and_then(|stem| stem.rsplit('/').next()).unwrap_or_default();
        if EMPTY_NAMES.contains(&name) {
            let what = format!("`{name}` does not say what is inside");
            violations.push(Violation::new(
                path,
                1,
                what,
                "name it after the noun or verb it is about",
            ));
        }
    }
    violations
}

/// Names every mark of unfinished work.
pub(crate) fn check_unfinished(tree: &Tree) -> Vec<Violation> {
    const FIX: &str = "finish it, or say in the documentation what is not there";
    let mut violations = Vec::new();
    for (path, text) in tree.with_ending("rs") {
        let pieces = cut(text);
        for comment in pieces.comments {
            for (offset, line) in comment.text.lines().enumerate() {
                violations.extend(unfinished(path, comment.line + offset, line, FIX));
            }
        }
        for (at, token) in pieces.tokens.iter().enumerate() {
            let is_hole = HOLES.iter().any(|hole| starts_with(&pieces.tokens[at..], &[hole, "!"]));
            if is_hole {
                let what = format!("`{}!` stands for code that is not there", token.text);
                violations.push(Violation::new(path, token.line, what, FIX));
            }
        }
    }
    for ending in ["toml", "wit", "sql", "yaml", "yml"] {
        for (path, text) in tree.with_ending(ending).filter(|(path, _)| !path.starts_with(FOREIGN))
        {
            for (index, line) in text.lines().enumerate() {
                violations.extend(unfinished(path, index + 1, line, FIX));
            }
        }
    }
    violations
}

/// Names every comment that is code.
///
/// Only what is hardly ever English counts: a closing brace alone, a statement that starts with a
/// keyword and ends with `;` or `{`, or a call that ends with `);`.
pub(crate) fn check_dead_code(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (path, text) in tree.with_ending("rs") {
        for comment in cut(text).comments {
            if is_code(comment.text) {
                let what = format!("`{}` is code in a comment", comment.text);
                let fix = "delete it: version control remembers";
                violations.push(Violation::new(path, comment.line, what, fix));
            }
        }
    }
    violations
}

/// How many lines of a Rust file have code on them.
fn code_lines(text: &str) -> usize {
    let tokens = cut(text).tokens;
    let mut count = 0;
    let mut last = 0;
    for token in without_trailing_tests(&tokens) {
        count += (token.line_last + 1).saturating_sub(token.line.max(last + 1));
        last = last.max(token.line_last);
    }
    count
}

fn unfinished(path: &str, line: usize, text: &str, fix: &str) -> Option<Violation> {
    let word = text
        .split(|character: char| !character.is_alphanumeric() && character != '_')
        .find(|word| UNFINISHED.contains(word))?;
    Some(Violation::new(path, line, format!("`{word}` marks unfinished work"), fix))
}

fn is_code(comment: &str) -> bool {
    let Some(text) = comment.strip_prefix("//") else { return false };
    if text.starts_with(['/', '!']) || text.contains('`') {
        return false;
    }
    let text = text.trim();
    let starts = ["let ", "use ", "pub ", "fn ", "mod ", "#[", "impl ", "} else"];
    let is_statement =
        text.ends_with([';', '{']) && starts.iter().any(|start| text.starts_with(start));
    let is_call =
        text.strip_suffix(");").and_then(|text| text.split_once('(')).is_some_and(|(callee, _)| {
            let is_name =
                |character: char| character.is_alphanumeric() || "_.:!".contains(character);
            !callee.is_empty() && callee.chars().all(is_name)
        });
    is_statement || is_call || matches!(text, "}" | "};" | "});" | "})")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str, check: fn(&Tree) -> Vec<Violation>) -> Vec<String> {
        check(&Tree::of(&[(path, text)])).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn only_lines_with_code_are_counted() {
        let text = "//! A file.\n\nfn f() { // two\n}\n/* no\ncode */\nconst S: &str = \"\n\n\";\n";
        assert_eq!(code_lines(text), 5);
        assert_eq!(code_lines("fn f() {}\n#[cfg(test)]\nmod tests {\n    fn g() {}\n}\n"), 1);
    }

    #[test]
    fn a_file_over_its_size_is_named() {
        let longest = "fn f() {}\n".repeat(CODE_LINES_MAX);
        assert!(found("src/a.rs", &longest, check_lengths).is_empty());
        let longer = longest + "fn g() {}\n";
        let found = found("src/a.rs", &longer, check_lengths);
        assert!(found[0].starts_with("src/a.rs:1: 401 lines of code"), "{found:?}");
    }

    #[test]
    fn a_file_that_does_not_say_what_it_is_is_named() {
        assert_eq!(found("src/a.rs", "use b;\n", check_starts).len(), 1);
        assert_eq!(found("sdk/tests/refused/a.rs", "use b;\n", check_starts).len(), 0);
    }

    #[test]
    fn an_empty_name_is_named_as_file_and_as_folder() {
        assert_eq!(found("host/src/utils.rs", "", check_names).len(), 1);
        assert_eq!(found("host/src/common/mod.rs", "", check_names).len(), 1);
        assert_eq!(found("host/src/comma.rs", "", check_names).len(), 0);
    }

    #[test]
    fn unfinished_work_is_named_in_comments_and_code_but_not_in_strings() {
        let text = "// TODO: more\nfn f() { todo!() }\nconst S: &str = \"FIXME\"; // Todos\n";
        let found_in_rust = found("src/a.rs", text, check_unfinished);
        assert_eq!(found_in_rust.len(), 2, "{found_in_rust:?}");
        assert_eq!(found("a.toml", "a = 1\n# FIXME\n", check_unfinished).len(), 1);
        assert_eq!(found("wit/deps/a.wit", "// TODO\n", check_unfinished).len(), 0);
    }

    #[test]
    fn code_in_a_comment_is_named_and_english_is_not() {
        for code in ["// let a = b;", "// }", "// store.settle(task);", "// pub fn f() {"] {
            assert_eq!(found("src/a.rs", code, check_dead_code).len(), 1, "{code}");
        }
        for english in ["// Let it be;", "/// let a = b;", "// see `f(x);`", "// as before (once);"]
        {
            assert_eq!(found("src/a.rs", english, check_dead_code).len(), 0, "{english}");
        }
    }
}
