//! Cuts Rust source into words, marks, literals and comments.
//!
//! It knows as much of Rust as the checks need: where strings and comments end, which items are
//! only there for tests. It does not parse expressions or types, and macros are plain tokens to it.

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A keyword, a name or a number.
    Word,
    /// Punctuation: one character, or `::`.
    Mark,
    /// A string or a character.
    Literal,
}

/// The smallest piece of code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    /// What it is.
    pub(crate) kind: Kind,
    /// How it is written.
    pub(crate) text: &'a str,
    /// The line it starts on, from 1.
    pub(crate) line: usize,
    /// The line it ends on; only literals have more than one.
    pub(crate) line_last: usize,
}

impl Token<'_> {
    /// Whether this is exactly the word or mark `text`.
    pub(crate) fn is(&self, text: &str) -> bool {
        self.kind != Kind::Literal && self.text == text
    }
}

/// A comment, with its slashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Comment<'a> {
    /// How it is written.
    pub(crate) text: &'a str,
    /// The line it starts on, from 1.
    pub(crate) line: usize,
}

/// A source file in pieces.
#[derive(Default)]
pub(crate) struct Pieces<'a> {
    /// The code.
    pub(crate) tokens: Vec<Token<'a>>,
    /// The comments, with those of documentation.
    pub(crate) comments: Vec<Comment<'a>>,
}

/// Cuts `source` into pieces.
pub(crate) fn cut(source: &str) -> Pieces<'_> {
    let mut pieces = Pieces::default();
    let mut at = 0;
    let mut line = 1;
    while let Some(first) = source[at..].chars().next() {
        let rest = &source[at..];
        let (length, kind) = match comment_length(rest) {
            Some(length) => {
                pieces.comments.push(Comment { text: &rest[..length], line });
                (length, None)
            }
            None if first.is_whitespace() => (first.len_utf8(), None),
            None => measure(rest, first),
        };
        let text = &rest[..length];
        let line_last = line + text.matches('\n').count();
        if let Some(kind) = kind {
            pieces.tokens.push(Token { kind, text, line, line_last });
        }
        line = line_last;
        at += length;
    }
    pieces
}

/// The tokens without the items that carry `#[cfg(test)]`.
pub(crate) fn without_tests<'a>(tokens: &[Token<'a>]) -> Vec<Token<'a>> {
    let mut kept = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        if is_test_mark(&tokens[at..]) {
            at = item_end(tokens, at);
        } else {
            kept.push(tokens[at]);
            at += 1;
        }
    }
    kept
}

/// The tokens without a `#[cfg(test)] mod` that ends the file.
pub(crate) fn without_trailing_tests<'a, 'b>(tokens: &'b [Token<'a>]) -> &'b [Token<'a>] {
    let start = (0..tokens.len()).find(|&at| {
        is_test_mark(&tokens[at..])
            && tokens[attributes_end(tokens, at)..].first().is_some_and(|token| token.is("mod"))
            && item_end(tokens, at) == tokens.len()
    });
    &tokens[..start.unwrap_or(tokens.len())]
}

/// Length in bytes of the comment that `rest` starts with.
fn comment_length(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if !rest.starts_with("/*") {
        return None;
    }
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return Some(at);
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    Some(rest.len())
}

/// Length in bytes and kind of the token that `rest` starts with.
fn measure(rest: &str, first: char) -> (usize, Option<Kind>) {
    if let Some(length) = raw_string_length(rest) {
        return (length, Some(Kind::Literal));
    }
    for opening in ["\"", "b\"", "c\""] {
        if rest.starts_with(opening) {
            return (quoted_length(rest, opening.len(), '"'), Some(Kind::Literal));
        }
    }
    if rest.starts_with("b'") {
        return (quoted_length(rest, 2, '\''), Some(Kind::Literal));
    }
    if first == '\'' {
        return measure_quote(rest);
    }
    if is_word(first) {
        let start = if rest.starts_with("r#") { 2 } else { 0 };
        return (start + word_length(&rest[start..]), Some(Kind::Word));
    }
    (if rest.starts_with("::") { 2 } else { first.len_utf8() }, Some(Kind::Mark))
}

/// Length and kind of a character literal or a lifetime.
fn measure_quote(rest: &str) -> (usize, Option<Kind>) {
    let mut characters = rest[1..].chars();
    let is_character = match characters.next() {
        Some('\\') | None => true,
        Some(_) => characters.next() == Some('\''),
    };
    if is_character {
        (quoted_length(rest, 1, '\''), Some(Kind::Literal))
    } else {
        (1 + word_length(&rest[1..]), Some(Kind::Mark))
    }
}

/// Length of a literal whose opening takes `opening` bytes, up to its unescaped `close`.
fn quoted_length(rest: &str, opening: usize, close: char) -> usize {
    let mut is_escaped = false;
    for (at, character) in rest[opening..].char_indices() {
        if is_escaped {
            is_escaped = false;
        } else if character == '\\' {
            is_escaped = true;
        } else if character == close {
            return opening + at + 1;
        }
    }
    rest.len()
}

/// Length of the raw string that `rest` starts with.
fn raw_string_length(rest: &str) -> Option<usize> {
    let prefix = ["r", "br", "cr"].into_iter().find(|prefix| {
        rest.strip_prefix(prefix)
            .is_some_and(|after| after.trim_start_matches('#').starts_with('"'))
    })?;
    let after = &rest[prefix.len()..];
    let hashes = after.len() - after.trim_start_matches('#').len();
    let close = format!("\"{}", "#".repeat(hashes));
    let body = prefix.len() + hashes + 1;
    Some(rest[body..].find(&close).map_or(rest.len(), |at| body + at + close.len()))
}

fn word_length(rest: &str) -> usize {
    rest.find(|character| !is_word(character)).unwrap_or(rest.len())
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Whether the tokens start with `#[cfg(test)]` or `#[cfg(all(test, …))]`.
fn is_test_mark(tokens: &[Token<'_>]) -> bool {
    if !(starts_with(tokens, &["#", "[", "cfg", "("])) {
        return false;
    }
    let inside = &tokens[..bracket_end(tokens, 1)];
    inside.iter().any(|token| token.is("test")) && !inside.iter().any(|token| token.is("not"))
}

/// Whether the tokens start with these words and marks.
pub(crate) fn starts_with(tokens: &[Token<'_>], texts: &[&str]) -> bool {
    tokens.len() >= texts.len() && tokens.iter().zip(texts).all(|(token, text)| token.is(text))
}

/// Index after the bracket that closes the one at `open`.
fn bracket_end(tokens: &[Token<'_>], open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        if ["(", "[", "{"].iter().any(|mark| token.is(mark)) {
            depth += 1;
        } else if [")", "]", "}"].iter().any(|mark| token.is(mark)) {
            depth = depth.saturating_sub(1);
            if depth == 0 {
                return at + 1;
            }
        }
    }
    tokens.len()
}

/// Index after the attributes that start at `at`.
fn attributes_end(tokens: &[Token<'_>], mut at: usize) -> usize {
    while starts_with(&tokens[at..], &["#", "["]) {
        at = bracket_end(tokens, at + 1);
    }
    at
}

/// Index after the item whose attributes start at `at`.
fn item_end(tokens: &[Token<'_>], at: usize) -> usize {
    let mut at = attributes_end(tokens, at);
    while let Some(token) = tokens.get(at) {
        if token.is(";") {
            return at + 1;
        } else if token.is("{") {
            return bracket_end(tokens, at);
        } else if token.is("(") || token.is("[") {
            at = bracket_end(tokens, at);
        } else if token.is("}") {
            return at;
        } else {
            at += 1;
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(source: &str) -> Vec<&str> {
        cut(source).tokens.iter().map(|token| token.text).collect()
    }

    #[test]
    fn strings_and_comments_are_no_code() {
        let source =
            "let a = \"crate::b // \\\" no\"; /* x /* y */ z */ r#\"TODO \"q\" \"#; // end";
        assert_eq!(
            words(source),
            ["let", "a", "=", "\"crate::b // \\\" no\"", ";", "r#\"TODO \"q\" \"#", ";"]
        );
        let comments: Vec<_> = cut(source).comments.iter().map(|comment| comment.text).collect();
        assert_eq!(comments, ["/* x /* y */ z */", "// end"]);
    }

    #[test]
    fn a_lifetime_is_no_character() {
        assert_eq!(words("<'a> 'b' '\\'' '{' b'x' 'é'").len(), 8);
        assert_eq!(words("&'static str"), ["&", "'static", "str"]);
    }

    #[test]
    fn a_raw_name_is_a_word() {
        assert_eq!(words("r#type :: x"), ["r#type", "::", "x"]);
    }

    #[test]
    fn lines_are_counted_through_strings() {
        let tokens = cut("a\n\"b\nc\"\nd").tokens;
        let lines: Vec<_> = tokens.iter().map(|token| (token.line, token.line_last)).collect();
        assert_eq!(lines, [(1, 1), (2, 3), (4, 4)]);
    }

    #[test]
    fn test_items_are_left_out() {
        let source =
            "use a; #[cfg(test)] use b; #[cfg(test)] mod t { fn f() {} } #[cfg(not(test))] c";
        let kept = without_tests(&cut(source).tokens);
        let kept: Vec<_> = kept.iter().map(|token| token.text).collect();
        assert_eq!(kept[..3], ["use", "a", ";"]);
        assert_eq!(kept.last(), Some(&"c"));
        assert!(!kept.contains(&"b") && !kept.contains(&"f"));
    }

    #[test]
    fn only_the_last_test_module_is_trailing() {
        let tokens = cut("fn a() {} #[cfg(test)] mod tests { fn b() {} }").tokens;
        assert_eq!(without_trailing_tests(&tokens).len(), 6);
        let tokens = cut("#[cfg(test)] mod tests { fn b() {} } fn a() {}").tokens;
        assert_eq!(without_trailing_tests(&tokens).len(), tokens.len());
    }
}
