//! Patterns as they are asked for, made into one regular expression.

use apflow_command::Failure;
use regex::bytes::{Regex, RegexBuilder};

/// How large a compiled pattern may be, in bytes.
const COMPILED_BYTES_MAX: usize = 16 << 20;

/// How patterns are read.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct Syntax {
    /// Whether they are texts, not expressions.
    pub(crate) is_fixed: bool,
    /// Whether `A` matches `a`.
    pub(crate) ignores_case: bool,
    /// Whether they match whole words alone.
    pub(crate) is_word: bool,
    /// Whether they match whole lines alone.
    pub(crate) is_line: bool,
}

impl Syntax {
    /// One expression that matches what any of `patterns` matches. As in grep, each line of a
    /// pattern is one of its own.
    ///
    /// # Errors
    ///
    /// A [`Failure`] that points at the place in the pattern.
    pub(crate) fn compile(self, patterns: &[String]) -> Result<Regex, Failure> {
        let one = |pattern: &str| {
            let text = if self.is_fixed { regex::escape(pattern) } else { pattern.to_owned() };
            // Each by itself, so that a fault is not told with what is put around it.
            self.build(&text)?;
            Ok(format!("(?:{text})"))
        };
        let patterns = patterns.iter().flat_map(|pattern| pattern.split('\n'));
        let patterns: Vec<String> = patterns.map(one).collect::<Result<_, Failure>>()?;
        let any = patterns.join("|");
        let any = match (self.is_line, self.is_word) {
            (true, _) => format!("^(?:{any})$"),
            (false, true) => format!(r"\b{{start-half}}(?:{any})\b{{end-half}}"),
            (false, false) => any,
        };
        self.build(&any)
    }

    fn build(self, text: &str) -> Result<Regex, Failure> {
        let mut builder = RegexBuilder::new(text);
        builder.case_insensitive(self.ignores_case).size_limit(COMPILED_BYTES_MAX);
        Ok(builder.build()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(syntax: Syntax, pattern: &str, line: &str) -> bool {
        syntax.compile(&[pattern.to_owned()]).unwrap().is_match(line.as_bytes())
    }

    #[test]
    fn a_fixed_text_is_no_expression() {
        let fixed = Syntax { is_fixed: true, ..Syntax::default() };
        assert!(matches(fixed, "a.c", "xa.cx"));
        assert!(!matches(fixed, "a.c", "abc"));
        assert!(matches(Syntax::default(), "a.c", "abc"));
    }

    #[test]
    fn words_and_lines_are_whole() {
        let word = Syntax { is_word: true, ..Syntax::default() };
        assert!(matches(word, "b|c", "a b d"));
        assert!(!matches(word, "b", "abd b_"));
        let line = Syntax { is_line: true, ..Syntax::default() };
        assert!(matches(line, "a|ab", "ab"));
        assert!(!matches(line, "a|ab", "abc"));
    }

    #[test]
    fn each_line_of_a_pattern_is_one() {
        let case = Syntax { ignores_case: true, ..Syntax::default() };
        assert!(matches(case, "x\nÄ", "ä"));
    }

    #[test]
    fn a_fault_shows_the_pattern_as_it_was_given() {
        let failure = Syntax::default().compile(&["a(b".to_owned()]).unwrap_err().to_string();
        assert!(failure.contains("    a(b\n"), "{failure}");
        assert!(failure.contains("unclosed group"), "{failure}");
    }
}
