//! Regular expressions: what `test`, `match`, `capture`, `scan`, `split` and `sub` are defined
//! with.

use jaq_core::native::bome;
use jaq_core::{Bind, Cv, ValT as _};
use jaq_json::{Error, Map, Val};
use regex_bites::bytes::{Captures, Regex, RegexBuilder};

use crate::reach::Kind;

use super::{Native, text};

/// The three functions that jq's library builds on.
pub(super) fn all() -> Vec<Native> {
    let arguments = || [Bind::Var(()), Bind::Var(())].into();
    vec![
        ("matches", arguments(), |cv| bome(find(cv, Parts { between: false, matches: true }))),
        ("split_matches", arguments(), |cv| bome(find(cv, Parts { between: true, matches: true }))),
        ("split_", arguments(), |cv| bome(find(cv, Parts { between: true, matches: false }))),
    ]
}

/// Which parts of the text are wanted.
#[derive(Clone, Copy)]
struct Parts {
    /// The text between the matches.
    between: bool,
    /// The matches.
    matches: bool,
}

fn find(mut cv: Cv<'_, Kind>, parts: Parts) -> Result<Val, Error> {
    let (flags, pattern) = (cv.0.pop_var(), cv.0.pop_var());
    let flags = Flags::parse(text(&flags)?)?;
    let regex = flags.build(text(&pattern)?)?;
    let subject = text(&cv.1)?;
    let mut found = Vec::new();
    let mut offsets = Offsets { text: subject, bytes: 0, characters: 0 };
    let mut last = 0;
    for captures in regex.captures_iter(subject.as_bytes()) {
        let Some(whole) = captures.get(0) else { continue };
        if flags.skips_empty && whole.is_empty() {
            continue;
        }
        if parts.between {
            found.push(Val::utf8_str(subject[last..whole.start()].to_owned()));
            last = whole.end();
        }
        if parts.matches {
            found.push(groups(&regex, &captures, subject, &mut offsets)?);
        }
        if !flags.is_global {
            break;
        }
    }
    if parts.between {
        found.push(Val::utf8_str(subject[last..].to_owned()));
    }
    Ok(found.into_iter().collect())
}

/// One match: an array of its groups, the whole first. Groups that took no part are left out.
fn groups(
    regex: &Regex,
    captures: &Captures<'_>,
    subject: &str,
    offsets: &mut Offsets<'_>,
) -> Result<Val, Error> {
    let named = captures.iter().zip(regex.capture_names());
    let group = |(capture, name): (Option<regex_bites::bytes::Match<'_>>, Option<&str>)| {
        let capture = capture?;
        let part = &subject[capture.range()];
        let length = part.chars().count();
        let mut fields = vec![
            ("offset", Val::from(offsets.characters_before(capture.start()))),
            ("length", Val::from(length)),
            ("string", Val::utf8_str(part.to_owned())),
        ];
        fields.extend(name.map(|name| ("name", Val::utf8_str(name.to_owned()))));
        let fields = fields.into_iter().map(|(key, value)| (Val::utf8_str(key), value));
        Some(Val::from_map(fields.collect::<Map>()))
    };
    named.filter_map(group).collect()
}

/// Counts characters up to a byte, from where it counted last.
struct Offsets<'a> {
    text: &'a str,
    bytes: usize,
    characters: usize,
}

impl Offsets<'_> {
    fn characters_before(&mut self, byte: usize) -> usize {
        if byte < self.bytes {
            // A group can begin before the one that was counted last.
            (self.bytes, self.characters) = (0, 0);
        }
        self.characters += self.text[self.bytes..byte].chars().count();
        self.bytes = byte;
        self.characters
    }
}

/// The flags of jq: the letters of Oniguruma.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "one for each letter that jq documents")]
struct Flags {
    is_global: bool,
    skips_empty: bool,
    ignores_case: bool,
    is_multi_line: bool,
    dot_takes_newline: bool,
    is_lazy: bool,
    ignores_space: bool,
}

impl Flags {
    fn parse(letters: &str) -> Result<Self, Error> {
        let mut flags = Self::default();
        for letter in letters.chars() {
            match letter {
                'g' => flags.is_global = true,
                'n' => flags.skips_empty = true,
                'i' => flags.ignores_case = true,
                'm' => flags.is_multi_line = true,
                's' => flags.dot_takes_newline = true,
                'p' => (flags.is_multi_line, flags.dot_takes_newline) = (true, true),
                'l' => flags.is_lazy = true,
                'x' => flags.ignores_space = true,
                _ => return Err(Error::str(format_args!("`{letter}` is not a regex flag"))),
            }
        }
        Ok(flags)
    }

    fn build(&self, pattern: &str) -> Result<Regex, Error> {
        let mut builder = RegexBuilder::new(pattern);
        builder
            .case_insensitive(self.ignores_case)
            .multi_line(self.is_multi_line)
            .dot_matches_new_line(self.dot_takes_newline)
            .swap_greed(self.is_lazy)
            .ignore_whitespace(self.ignores_space);
        builder.build().map_err(|error| {
            Error::str(format_args!("`{pattern}` is not a regular expression: {error}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::holds;

    #[test]
    fn the_functions_of_jq_find_their_matches() {
        holds(&[
            "\"foobar\" | test(\"o+b\") and (test(\"O\") | not) and test(\"O\"; \"i\")",
            "\"aXbX\" | [match(\"X\"; \"g\").offset] == [1, 3]",
            "\"üxü\" | match(\"x(.)\") | .offset == 1 and .captures[0].string == \"ü\"",
            "\"2024-05\" | capture(\"(?<year>\\\\d+)-(?<month>\\\\d+)\") == {year: \"2024\", month: \"05\"}",
            "\"a1b22\" | [scan(\"\\\\d+\")] == [\"1\", \"22\"]",
            "\"a, b,c\" | [splits(\", *\")] == [\"a\", \"b\", \"c\"]",
            "\"abc\" | sub(\"b\"; \"x\") == \"axc\" and gsub(\"[ac]\"; \"-\") == \"-b-\"",
            "\"ab\" | gsub(\"(?<l>.)\"; \"\\(.l)\\(.l)\") == \"aabb\"",
            "\"aéb\" | gsub(\"\"; \".\") == \".a.é.b.\"",
            "\"a\" | [match(\"(b)?a\").captures[].string] == []",
        ]);
    }

    #[test]
    fn a_wrong_pattern_or_flag_is_told() {
        holds(&[
            "try (\"a\" | test(\"(\")) catch . | contains(\"`(` is not a regular expression\")",
            "try (\"a\" | test(\"a\"; \"q\")) catch . == \"`q` is not a regex flag\"",
            "try (1 | test(\"a\")) catch . | contains(\"as string\")",
        ]);
    }
}
