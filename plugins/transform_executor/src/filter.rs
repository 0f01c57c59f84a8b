//! Compiles and runs filters.
//!
//! A filter reaches nothing but the values that it is given: there is no clock, no environment and no
//! module to import.

use std::collections::BTreeMap;

use jaq_core::load::{self, Arena, File, Loader, lex};
use jaq_core::{Compiler, Ctx, Vars, compile};
use jaq_json::Val;
use jaq_std::input::Inputs;
use serde_json::{Value, json};

use crate::natives;
use crate::place::{line_and_column, offset_in, point};
use crate::reach::{Kind, Reach};
use crate::value::from_json;

/// The longest filter, in bytes.
const FILTER_BYTES_MAX: usize = 64 << 10;
/// How much of an error's text is kept, in characters: it may quote a whole value.
const ERROR_CHARACTERS_MAX: usize = 1_000;

/// The filter cannot be run, or failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// The text is no filter. Says where, with a caret below the place.
    #[error("{0}")]
    Syntax(String),
    /// The text is too long.
    #[error("`filter` has {0} bytes, but at most {FILTER_BYTES_MAX} are read")]
    TooLong(usize),
    /// A variable cannot have this name.
    #[error(
        "`variables` names `{0}`, but a name begins with a letter or `_`, and goes on with letters, digits or `_`"
    )]
    Name(String),
    /// The filter ended with an error of its own.
    #[error("the filter failed: {0}")]
    Failed(String),
    /// The filter stopped with `halt` and an exit code.
    #[error("the filter stopped with exit code {0}")]
    Halted(i32),
}

/// How a run of a filter ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// It has yielded all.
    GoOn,
    /// By `halt`: nothing else is to be run.
    Halt,
}

/// A compiled filter.
pub struct Filter {
    code: jaq_core::Filter<Kind>,
    /// The values of its variables, in the order of their names.
    variables: Vec<Val>,
}

impl Filter {
    /// Compiles `text`, in which each of `variables` can be used as `$name`, and `args` as
    /// `$ARGS.positional`.
    ///
    /// # Errors
    ///
    /// [`FilterError::Syntax`] with the first fault of the text, [`FilterError::TooLong`], and
    /// [`FilterError::Name`] for a variable that no filter could name.
    pub fn compile(
        text: &str,
        mut variables: BTreeMap<String, Value>,
        args: &[Value],
    ) -> Result<Self, FilterError> {
        if text.len() > FILTER_BYTES_MAX {
            return Err(FilterError::TooLong(text.len()));
        }
        if let Some(name) = variables.keys().find(|name| !is_name(name)) {
            return Err(FilterError::Name(name.clone()));
        }
        let arguments = json!({ "positional": args, "named": variables });
        variables.entry("ARGS".to_owned()).or_insert(arguments);
        let arena = Arena::default();
        let modules = Loader::new(natives::definitions())
            .load(&arena, File { code: text, path: () })
            .map_err(|errors| load_error(text, errors))?;
        load::import(&modules, |_| Err("no file can be imported".to_owned()))
            .map_err(|errors| load_error(text, errors))?;
        let names: Vec<String> = variables.keys().map(|name| format!("${name}")).collect();
        let code = Compiler::default()
            .with_funs(natives::functions())
            .with_global_vars(names.iter().map(String::as_str))
            .compile(modules)
            .map_err(|errors| compile_error(text, errors))?;
        let variables = variables.into_values().map(from_json).collect();
        Ok(Self { code, variables })
    }

    /// Runs the filter for one value, and hands each that it yields to `each`. `inputs` are what
    /// `input` and `inputs` yield, and `log` gets what `debug` writes.
    ///
    /// # Errors
    ///
    /// [`FilterError::Failed`] and [`FilterError::Halted`], and what `each` says, which ends the run.
    pub fn run<'a, E: From<FilterError>>(
        &'a self,
        input: Val,
        inputs: Inputs<'a, Val>,
        log: &'a dyn Fn(&str),
        mut each: impl FnMut(Val) -> Result<(), E>,
    ) -> Result<Flow, E> {
        let reach = Reach { code: &self.code.lut, inputs, log };
        let context = Ctx::<Kind>::new(reach, Vars::new(self.variables.iter().cloned()));
        for yielded in self.code.id.run((context, input)) {
            match yielded {
                Ok(value) => each(value)?,
                Err(exception) => {
                    return match exception.get_err() {
                        Ok(error) => Err(FilterError::Failed(describe(error)).into()),
                        Err(exception) => match exception.get_halt() {
                            Ok(0) => Ok(Flow::Halt),
                            Ok(code) => Err(FilterError::Halted(code).into()),
                            Err(_) => {
                                Err(FilterError::Failed("it left its label".to_owned()).into())
                            }
                        },
                    };
                }
            }
        }
        Ok(Flow::GoOn)
    }
}

fn is_name(name: &str) -> bool {
    let is_start = |c: char| c.is_ascii_alphabetic() || c == '_';
    name.starts_with(is_start) && name.chars().all(|c| is_start(c) || c.is_ascii_digit())
}

/// A text that the filter raised is told as it is, anything else as JSON.
fn describe(error: jaq_json::Error) -> String {
    match error.into_val() {
        Val::TStr(text) => shorten(&String::from_utf8_lossy(&text)),
        value @ (Val::Null
        | Val::Bool(_)
        | Val::Num(_)
        | Val::BStr(_)
        | Val::Arr(_)
        | Val::Obj(_)) => shorten(&value.to_string()),
    }
}

fn shorten(text: &str) -> String {
    let mut text = text.to_owned();
    if let Some((end, _)) = text.char_indices().nth(ERROR_CHARACTERS_MAX) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// Only the first fault is told: the others often follow from it.
fn load_error(text: &str, errors: load::Errors<&str, ()>) -> FilterError {
    let first = errors.into_iter().next().map(|(_, error)| error);
    let (found, message) = match first {
        Some(load::Error::Lex(faults)) => faults.into_iter().next().map(|f| lex_fault(text, f)),
        Some(load::Error::Parse(faults)) => faults.into_iter().next().map(|(expected, found)| {
            let expected = expected.as_str();
            let message = match found {
                "" => format!("expected {expected}, but the filter ends here"),
                _ => format!("expected {expected}, but found `{}`", shorten(found)),
            };
            (found, message)
        }),
        Some(load::Error::Io(faults)) => {
            let fault = faults.into_iter().next();
            fault.map(|(path, reason)| (path, format!("`{path}` is not loaded: {reason}")))
        }
        None => None,
    }
    .unwrap_or((text, "it is no filter".to_owned()));
    syntax(text, found, &message)
}

fn lex_fault<'a>(text: &str, (expected, found): lex::Error<&'a str>) -> (&'a str, String) {
    let message = match (&expected, found.chars().next()) {
        (lex::Expect::Delim(open), _) => {
            let (line, column) = line_and_column(text, offset_in(text, open).unwrap_or_default());
            format!("the `{open}` of line {line}, column {column} is never closed")
        }
        (_, None) => format!("expected {}, but the filter ends here", expected.as_str()),
        (lex::Expect::Token, Some(c)) => format!("`{c}` means nothing here"),
        (_, Some(c)) => format!("expected {}, but found `{c}`", expected.as_str()),
    };
    (found, message)
}

fn compile_error(text: &str, errors: compile::Errors<&str, ()>) -> FilterError {
    let mut faults = errors.into_iter().flat_map(|(_, faults)| faults);
    let (found, message) = match faults.next() {
        Some((name, compile::Undefined::Filter(arity))) => {
            let arguments = match arity {
                0 => "without arguments".to_owned(),
                1 => "with 1 argument".to_owned(),
                _ => format!("with {arity} arguments"),
            };
            (name, format!("there is no filter `{name}` {arguments}"))
        }
        Some((name, undefined)) => (name, format!("there is no {} `{name}`", undefined.as_str())),
        None => (text, "it cannot be compiled".to_owned()),
    };
    syntax(text, found, &message)
}

fn syntax(text: &str, found: &str, message: &str) -> FilterError {
    match offset_in(text, found) {
        Some(offset) => FilterError::Syntax(point(text, offset, message)),
        None => FilterError::Syntax(format!("`filter`: {message}")),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use jaq_std::input::RcIter;

    use super::*;
    use crate::value::to_json;

    fn filter(text: &str) -> Result<Filter, FilterError> {
        Filter::compile(text, BTreeMap::new(), &[])
    }

    fn all(text: &str, input: Value) -> Result<Value, FilterError> {
        all_of(&filter(text)?, input, &|_| ())
    }

    /// Runs for the only value.
    fn one(text: &str, input: Value) -> Result<Value, FilterError> {
        let mut values = all(text, input)?;
        assert_eq!(values.as_array().unwrap().len(), 1, "{text}");
        Ok(values[0].take())
    }

    fn all_of(filter: &Filter, input: Value, log: &dyn Fn(&str)) -> Result<Value, FilterError> {
        let (inputs, mut values) = (RcIter::new(std::iter::empty()), Vec::new());
        filter.run(from_json(input), &inputs, log, |value| {
            values.push(to_json(&value).unwrap());
            Ok::<_, FilterError>(())
        })?;
        Ok(Value::Array(values))
    }

    fn refusal(text: &str) -> String {
        filter(text).err().unwrap().to_string()
    }

    #[test]
    fn a_filter_makes_a_value_of_a_value() {
        let input = json!([{ "name": "a", "size": 3 }, { "name": "b", "size": 4 }]);
        let total = one("map(.size) | add", input.clone());
        assert_eq!(total, Ok(json!(7)));
        let object = one("map({(.name): .size / 2}) | add", input);
        assert_eq!(object, Ok(json!({ "a": 1.5, "b": 2 })));
    }

    #[test]
    fn variables_are_found_by_their_names() {
        let variables = BTreeMap::from([("b_2".to_owned(), json!([2])), ("a".into(), json!("x"))]);
        let filter = Filter::compile("{$a, b: $b_2[0], c: .}", variables, &[]);
        let value = all_of(&filter.ok().unwrap(), json!(3), &|_| ());
        assert_eq!(value, Ok(json!([{ "a": "x", "b": 2, "c": 3 }])));
        for name in ["", "1a", "a-b", "$a"] {
            let variables = BTreeMap::from([(name.to_owned(), Value::Null)]);
            let error = Filter::compile(".", variables, &[]).err();
            assert_eq!(error, Some(FilterError::Name(name.to_owned())));
        }
    }

    #[test]
    fn a_text_that_is_no_filter_is_pointed_at() {
        for (text, first, caret) in [
            ("map(.a", "line 1, column 7: the `(` of line 1, column 4 is never closed", 6),
            (".a | ", "line 1, column 6: expected term, but the filter ends here", 5),
            (".a )", "line 1, column 4: `)` means nothing here", 3),
            (".a\n| mpa(.b)", "line 2, column 3: there is no filter `mpa` with 1 argument", 2),
            (".a | $b", "line 1, column 6: there is no variable `$b`", 5),
            ("if . then 1 2 end", "column 13: expected else or end, but found `2`", 12),
            ("\"\\x\"", "expected string escape sequence, but found `x`", 2),
        ] {
            let message = refusal(text);
            let lines: Vec<&str> = message.lines().collect();
            assert!(lines[0].contains(first), "{message}");
            assert_eq!(lines[2], format!("  {}^", " ".repeat(caret)), "{message}");
        }
        assert!(refusal("").contains("the filter ends here"));
    }

    #[test]
    fn a_filter_reaches_nothing_but_its_values() {
        for text in ["now", "env", "$ENV.HOME", "localtime", "input_filename"] {
            assert!(refusal(text).contains("there is no "), "{text}");
        }
        assert!(refusal("include \"a\"; .").contains("`a` is not loaded"));
        assert!(refusal("import \"a\" as $a; .").contains("`a` is not loaded"));
    }

    #[test]
    fn the_error_of_a_filter_is_told() {
        let error = one(".a", json!([1])).unwrap_err().to_string();
        assert!(error.starts_with("the filter failed: cannot index [1] with \"a\""), "{error}");
        let error = one("error(\"no \\(.)\")", json!(1)).unwrap_err().to_string();
        assert_eq!(error, "the filter failed: no 1");
        let error = one("error({a: 1})", json!(1)).unwrap_err().to_string();
        assert_eq!(error, "the filter failed: {\"a\":1}");
        let long = one("error(\"x\" * 5000)", json!(1)).unwrap_err().to_string();
        assert!(long.chars().count() < 1_100 && long.ends_with('…'));
    }

    #[test]
    fn a_halt_with_a_code_fails() {
        assert_eq!(all("1, halt(3)", json!(0)), Err(FilterError::Halted(3)));
    }

    #[test]
    fn debug_writes_to_the_log() {
        let lines = RefCell::new(Vec::new());
        let filter = filter("debug | debug(\"a \\(.)\")").ok().unwrap();
        let log = |line: &str| lines.borrow_mut().push(line.to_owned());
        assert_eq!(all_of(&filter, json!([1]), &log), Ok(json!([[1]])));
        assert_eq!(lines.into_inner(), ["[1]", "\"a [1]\""]);
    }

    #[test]
    fn a_filter_that_is_too_long_is_refused() {
        let text = " ".repeat(FILTER_BYTES_MAX + 1);
        assert_eq!(filter(&text).err(), Some(FilterError::TooLong(text.len())));
    }
}
