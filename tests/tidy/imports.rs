//! What a source file declares and what it imports: its modules, its `use` lines and its paths.
//!
//! It reads one file at a time and resolves nothing: [`crate::tidy::modules`] does.

use crate::tidy::rust::{Kind, Token, starts_with};

/// A `mod` of a file, with the modules of the same file around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Declared {
    /// The modules around it, from the file's own, and its name last.
    pub(crate) path: Vec<String>,
    /// Whether its code stands in this file, between braces.
    pub(crate) is_inline: bool,
}

/// A path that the code mentions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mention {
    /// The inline modules around it, from the file's own.
    pub(crate) within: Vec<String>,
    /// Its names as written, `crate`, `self` and `super` included.
    pub(crate) path: Vec<String>,
    /// The name a `use` gives it here; none for a glob, or for a path that is no `use`.
    pub(crate) name: Option<String>,
    /// Whether it is a `use` of everything, with a `*`.
    pub(crate) is_glob: bool,
    /// The line it stands on, from 1.
    pub(crate) line: usize,
}

/// All that one file says about modules.
#[derive(Debug, Default)]
pub(crate) struct Imports {
    /// The modules that it declares.
    pub(crate) declared: Vec<Declared>,
    /// The paths that it mentions.
    pub(crate) mentions: Vec<Mention>,
}

/// Reads the imports from a file's tokens.
pub(crate) fn read(tokens: &[Token<'_>]) -> Imports {
    let mut reader =
        Reader { tokens, at: 0, depth: 0, open: Vec::new(), imports: Imports::default() };
    while reader.at < tokens.len() {
        reader.step();
    }
    reader.imports
}

/// Where in the tokens the reading is.
struct Reader<'a> {
    tokens: &'a [Token<'a>],
    at: usize,
    /// How many braces are open.
    depth: usize,
    /// The inline modules around, each with the depth at which it opened.
    open: Vec<(String, usize)>,
    imports: Imports,
}

impl Reader<'_> {
    /// Reads one token, or one `mod`, `use` or path.
    fn step(&mut self) {
        let rest = &self.tokens[self.at..];
        let is_path =
            ["crate", "self", "super"].iter().any(|word| starts_with(rest, &[word, "::"]))
                && !self.follows("::");
        if self.is("mod") && rest.get(1).is_some_and(|token| token.kind == Kind::Word) {
            self.module();
        } else if self.is("use") && !starts_with(rest, &["use", "<"]) {
            self.at += 1;
            self.tree(&mut Vec::new());
        } else if is_path {
            self.path();
        } else {
            self.braces();
            self.at += 1;
        }
    }

    fn is(&self, text: &str) -> bool {
        self.tokens.get(self.at).is_some_and(|token| token.is(text))
    }

    fn follows(&self, text: &str) -> bool {
        self.at > 0 && self.tokens[self.at - 1].is(text)
    }

    fn braces(&mut self) {
        if self.is("{") {
            self.depth += 1;
        } else if self.is("}") {
            self.depth = self.depth.saturating_sub(1);
            if self.open.last().is_some_and(|(_, depth)| *depth == self.depth) {
                self.open.pop();
            }
        }
    }

    fn within(&self) -> Vec<String> {
        self.open.iter().map(|(name, _)| name.clone()).collect()
    }

    /// Reads `mod name;` or `mod name {`.
    fn module(&mut self) {
        let name = name_of(self.tokens[self.at + 1].text);
        self.at += 2;
        let is_inline = self.is("{");
        if is_inline || self.is(";") {
            let mut path = self.within();
            path.push(name.clone());
            self.imports.declared.push(Declared { path, is_inline });
        }
        if is_inline {
            self.open.push((name, self.depth));
        }
    }

    /// Reads a path such as `crate::job::JobSpec` outside a `use`.
    fn path(&mut self) {
        let line = self.tokens[self.at].line;
        let mut path = vec![name_of(self.tokens[self.at].text)];
        self.at += 1;
        while self.is("::") && self.tokens.get(self.at + 1).is_some_and(|t| t.kind == Kind::Word) {
            path.push(name_of(self.tokens[self.at + 1].text));
            self.at += 2;
        }
        self.imports.mentions.push(Mention {
            within: self.within(),
            path,
            name: None,
            is_glob: false,
            line,
        });
    }

    /// Reads what follows `use`, or one branch of it, after the names of `stem`.
    fn tree(&mut self, stem: &mut Vec<String>) {
        let stem_length = stem.len();
        let line = self.tokens.get(self.at).map_or(0, |token| token.line);
        let mut name = None;
        let mut is_leaf = true;
        let mut is_glob = false;
        while let Some(token) = self.tokens.get(self.at).copied() {
            if token.is("{") {
                is_leaf = false;
                self.branches(stem);
                break;
            } else if token.is("*") {
                is_glob = true;
            } else if token.is("as") {
                name = self.tokens.get(self.at + 1).map(|token| name_of(token.text));
                self.at += 1;
            } else if token.kind == Kind::Word {
                stem.push(name_of(token.text));
            } else if !token.is("::") {
                break;
            }
            self.at += 1;
        }
        if is_leaf && stem.len() + usize::from(is_glob) > stem_length {
            if stem.len() > 1 && stem.last().is_some_and(|last| last == "self") {
                stem.pop();
            }
            let name = if is_glob { None } else { name.or_else(|| stem.last().cloned()) };
            let mention =
                Mention { within: self.within(), path: stem.clone(), name, is_glob, line };
            self.imports.mentions.push(mention);
        }
        stem.truncate(stem_length);
    }

    /// Reads `{…}` of a `use`.
    fn branches(&mut self, stem: &mut Vec<String>) {
        self.at += 1;
        while self.at < self.tokens.len() && !self.is("}") {
            self.tree(stem);
            if self.is(",") {
                self.at += 1;
            } else if !self.is("}") {
                return;
            }
        }
        self.at += 1;
    }
}

/// A name without the mark of a raw one.
fn name_of(text: &str) -> String {
    text.trim_start_matches("r#").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::rust::cut;

    fn mentions(source: &str) -> Vec<String> {
        read(&cut(source).tokens)
            .mentions
            .iter()
            .map(|mention| {
                let name =
                    mention.name.as_deref().unwrap_or(if mention.is_glob { "*" } else { "-" });
                format!("{} {} {name}", mention.within.join("/"), mention.path.join("::"))
            })
            .collect()
    }

    #[test]
    fn a_nested_use_is_read_leaf_by_leaf() {
        assert_eq!(
            mentions("pub use crate::{a::{self, B as C}, d::*, e}; fn f() { super::g::h(); }"),
            [" crate::a a", " crate::a::B C", " crate::d *", " crate::e e", " super::g::h -"]
        );
    }

    #[test]
    fn a_path_inside_an_inline_module_knows_where_it_is() {
        assert_eq!(
            mentions("mod a { mod b { use super::c; } const D: u8 = self::e::F; } use x;"),
            ["a/b super::c c", "a self::e::F -", " x x"]
        );
    }

    #[test]
    fn modules_of_files_and_of_braces_are_told_apart() {
        let declared = read(&cut("pub mod a; mod b { mod c; }").tokens).declared;
        let seen: Vec<_> = declared.iter().map(|d| (d.path.join("/"), d.is_inline)).collect();
        assert_eq!(
            seen,
            [("a".to_owned(), false), ("b".to_owned(), true), ("b/c".to_owned(), false)]
        );
    }
}
