//! The documents: their links and paths lead somewhere, and every page of an error is about that error.
//!
//! Links to other sites are not followed: a test must not need the network.

use std::collections::BTreeSet;

use crate::tidy::tree::{Tree, Violation};

const ERRORS: &str = "docs/errors/";

/// Tells of what was; the paths in it may be gone.
const HISTORY: &str = "CHANGELOG.md";

/// Folders by which a path of the project is known from other words in `code`.
const FOLDERS: [&str; 6] = ["docs/", "host/", "plugins/", "sdk/", "tests/", "wit/"];

/// Names every relative link that leads nowhere: to no file, or to no heading of the file.
pub(crate) fn check_links(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (path, text) in tree.with_ending("md") {
        for (line, target) in links(text) {
            if let Some(what) = broken(tree, path, &target) {
                let fix = "correct the link, or write what it leads to";
                violations.push(Violation::new(path, line, what, fix));
            }
        }
    }
    violations
}

/// Names every path in `code` of the documents at the root that leads nowhere.
///
/// Patterns such as `docs/errors/<code>.md` are not paths.
pub(crate) fn check_paths(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    let at_root = |path: &str| !path.contains('/') && path != HISTORY;
    for (path, text) in tree.with_ending("md").filter(|(path, _)| at_root(path)) {
        for (index, line) in text.lines().enumerate() {
            for code in line.split('`').skip(1).step_by(2) {
                let is_path = FOLDERS.iter().any(|folder| code.starts_with(folder))
                    && !code.contains(['<', '*', '…', ' ']);
                if is_path && !tree.has(code.trim_end_matches('/')) {
                    let what = format!("`{code}` is not there");
                    let fix = "name the path as it is now";
                    violations.push(Violation::new(path, index + 1, what, fix));
                }
            }
        }
    }
    violations
}

/// Names every page of an error that does not start with its code.
pub(crate) fn check_error_pages(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (path, text) in tree.with_ending("md") {
        let Some(code) = path.strip_prefix(ERRORS).and_then(|name| name.strip_suffix(".md")) else {
            continue;
        };
        let heading = format!("# {code}");
        if code != "README" && text.lines().next() != Some(heading.as_str()) {
            let what = format!("the page of `{code}` does not start with its code");
            violations.push(Violation::new(path, 1, what, &format!("start it with `{heading}`")));
        }
    }
    violations
}

/// What is wrong with a link from the file at `path`, if anything is.
fn broken(tree: &Tree, path: &str, target: &str) -> Option<String> {
    let is_elsewhere = target.contains("://") || target.starts_with("mailto:");
    if is_elsewhere || target.is_empty() {
        return None;
    }
    let (file, heading) = target.split_once('#').unwrap_or((target, ""));
    let found = if file.is_empty() { Some(path.to_owned()) } else { resolve(path, file) };
    let Some(found) = found.filter(|found| tree.has(found)) else {
        return Some(format!("the link to `{target}` leads to no file"));
    };
    let is_page = found.rsplit_once('.').is_some_and(|(_, ending)| ending == "md");
    let text = tree.text(&found).filter(|_| is_page && !heading.is_empty())?;
    let is_missing = !headings(text).contains(heading);
    is_missing.then(|| format!("the link to `{target}` leads to no heading of `{found}`"))
}

/// The path from the root of what the file at `path` calls `target`; none above the root.
fn resolve(path: &str, target: &str) -> Option<String> {
    let mut names: Vec<&str> = if target.starts_with('/') {
        Vec::new()
    } else {
        path.rsplit_once('/').map(|(folder, _)| folder.split('/').collect()).unwrap_or_default()
    };
    for name in target.split('/') {
        match name {
            "" | "." => {}
            ".." => {
                names.pop()?;
            }
            name => names.push(name),
        }
    }
    Some(names.join("/"))
}

/// Line and target of every link: `[…](target)` and `[…]: target`.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut links = Vec::new();
    for (line, prose) in prose(text) {
        let mut rest = prose.as_str();
        while let Some((_, after)) = rest.split_once("](") {
            let target = after.split([')', ' ']).next().unwrap_or_default();
            links.push((line, target.trim_matches(['<', '>']).to_owned()));
            rest = after;
        }
        let defined = prose.starts_with('[').then(|| prose.split_once("]: ")).flatten();
        if let Some((_, target)) = defined {
            links.push((line, target.split(' ').next().unwrap_or_default().to_owned()));
        }
    }
    links
}

/// The names by which a site that shows Markdown links to the headings of a file.
fn headings(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut is_fenced = false;
    for line in text.lines() {
        is_fenced ^= line.trim_start().starts_with("```");
        let title = line.trim_start_matches('#');
        if is_fenced || title.len() == line.len() || !title.starts_with(' ') {
            continue;
        }
        let name: String = title
            .trim()
            .to_lowercase()
            .chars()
            .filter(|character| character.is_alphanumeric() || " -_".contains(*character))
            .map(|character| if character == ' ' { '-' } else { character })
            .collect();
        let repeated = (1..).map(|count| format!("{name}-{count}"));
        let free = std::iter::once(name.clone()).chain(repeated).find(|name| !names.contains(name));
        names.extend(free);
    }
    names
}

/// Line number and text of every line outside fenced blocks, without `code`.
fn prose(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let mut is_fenced = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            is_fenced = !is_fenced;
        } else if !is_fenced {
            let outside_code: Vec<_> = line.split('`').step_by(2).collect();
            lines.push((index + 1, outside_code.concat()));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        check_links(&Tree::of(files)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_link_to_no_file_is_named() {
        let found = found(&[("docs/a.md", "See\n[b](b.md), [up](../c.md), [web](https://x.y).\n")]);
        assert_eq!(found.len(), 2);
        assert!(found[0].starts_with("docs/a.md:2: the link to `b.md` leads to no file"));
    }

    #[test]
    fn files_folders_and_headings_are_found() {
        let files = [
            ("README.md", "[a](docs/a.md#the-way-of-a-job) [d](docs/) [own](#top)\n# Top\n"),
            ("docs/a.md", "## The way of a `job`\n[up](../README.md)\n\n[r]: ./a.md\n"),
        ];
        assert_eq!(found(&files), Vec::<String>::new());
    }

    #[test]
    fn a_link_to_no_heading_is_named() {
        let found = found(&[("a.md", "[b](#nowhere)\n"), ("c.md", "[r]: a.md#gone\n")]);
        assert_eq!(found.len(), 2);
        assert!(found[1].contains("leads to no heading of `a.md`"));
    }

    #[test]
    fn links_in_code_are_no_links() {
        let text = "`[a](b.md)`\n```text\n[a](b.md)\n```\n";
        assert_eq!(found(&[("a.md", text)]), Vec::<String>::new());
    }

    #[test]
    fn a_path_that_is_gone_is_named() {
        let text = "`host/src/` `host/src/gone.rs`\n`docs/<code>.md` `cargo tidy`\n";
        let tree = Tree::of(&[("A.md", text), ("CHANGELOG.md", text), ("host/src/main.rs", "")]);
        let found: Vec<_> = check_paths(&tree).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["A.md:1: `host/src/gone.rs` is not there; name the path as it is now"]);
    }

    #[test]
    fn a_page_about_another_error_is_named() {
        let tree = Tree::of(&[
            ("docs/errors/README.md", "# Errors\n"),
            ("docs/errors/trapped.md", "# trapped\n"),
            ("docs/errors/permanent.md", "# trapped\n"),
        ]);
        let found: Vec<_> = check_error_pages(&tree).iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), 1);
        assert!(
            found[0].starts_with("docs/errors/permanent.md:1:") && found[0].contains("# permanent")
        );
    }
}
