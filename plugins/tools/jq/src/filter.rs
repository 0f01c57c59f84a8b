//! Compiles and runs a filter, over one value of an input after the other.

use std::io::{BufRead, Write};
use std::path::Path;

use apflow_command::{Failure, Input};
use jaq_all::data::{self, Runner};
use jaq_all::fmts::write::Writer;
use jaq_all::fmts::{Format, read, write};
use jaq_all::jaq_core::{Vars, unwrap_valr};
use jaq_all::json::Val;
use jaq_all::load::FileReportsDisp;

/// How inputs are read and outputs written.
pub(crate) struct Style {
    /// What inputs are. None: what the name of their file says, else JSON.
    pub(crate) from: Option<Format>,
    /// Whether all values of an input are one array.
    pub(crate) is_slurp: bool,
    /// Whether the filter gets `null`, and reads what it wants by `input` and `inputs`.
    pub(crate) is_null_input: bool,
    /// How outputs are written.
    pub(crate) writer: Writer,
}

impl Default for Style {
    fn default() -> Self {
        let mut writer = Writer::default();
        writer.pp.indent = Some("  ".to_owned());
        writer.pp.sep_space = true;
        Self { from: None, is_slurp: false, is_null_input: false, writer }
    }
}

/// A compiled filter.
pub(crate) struct Filter {
    code: data::Filter,
    /// The values of its variables, in the order in which they are known to it.
    variables: Vec<Val>,
}

impl Filter {
    /// Compiles `text`, in which each of `variables` can be used as `$name`.
    ///
    /// # Errors
    ///
    /// A [`Failure`] that points at the place in the text.
    pub(crate) fn compile(text: &str, variables: Vec<(String, Val)>) -> Result<Self, Failure> {
        let (names, variables): (Vec<String>, Vec<Val>) = variables.into_iter().unzip();
        let code = jaq_all::compile_with(text, jaq_all::defs(), data::funs(), &names);
        let code = code.map_err(|reports| {
            let reports = reports.iter().map(|report| FileReportsDisp::new(report).to_string());
            Failure::new(format!("the filter is none\n{}", reports.collect::<String>().trim_end()))
        })?;
        Ok(Self { code, variables })
    }

    /// Runs the filter over an input, and writes what it yields.
    ///
    /// # Errors
    ///
    /// A [`Failure`] when the input is not what it should be, or the filter fails.
    pub(crate) fn run(
        &self,
        input: &Input,
        style: &Style,
        output: &mut dyn Write,
    ) -> Result<(), Failure> {
        let from = style.from.or_else(|| Format::determine(Path::new(&input.to_string())));
        let from = from.unwrap_or_default();
        self.run_over(from, &mut *input.open()?, &input.to_string(), style, output)
    }

    fn run_over(
        &self,
        from: Format,
        source: &mut dyn BufRead,
        name: &str,
        style: &Style,
        output: &mut dyn Write,
    ) -> Result<(), Failure> {
        let malformed = |error: String| Failure::new(format!("{name}: {error}"));
        // All of it, of a format that is not read piece by piece.
        let text = read::read_string(from, &mut *source);
        let text = text.map_err(|error| malformed(error.to_string()))?;
        let values = read::read(from, source, &text, style.is_slurp);
        let runner = Runner { null_input: style.is_null_input, ..Runner::default() };
        let variables = Vars::new(self.variables.iter().cloned());
        // A value at a time, since what writes it would also send it off.
        let mut line = Vec::new();
        let named = Val::from(name.to_owned());
        data::run(&runner, &self.code, variables, (&named, values), malformed, |value| {
            let value = unwrap_valr(value)
                .map_err(|error| Failure::new(format!("the filter failed: {error}")))?;
            line.clear();
            write::write(&mut line, &style.writer, &value)?;
            Ok(output.write_all(&line)?)
        })
    }
}

/// A text as a value.
pub(crate) fn text(text: String) -> Val {
    Val::utf8_str(text)
}

/// Reads a value.
///
/// # Errors
///
/// A [`Failure`] when it is not JSON.
pub(crate) fn json(text: &str) -> Result<Val, Failure> {
    jaq_all::json::read::parse_single(text.as_bytes())
        .map_err(|error| Failure::new(format!("`{text}` is not JSON: {error}")))
}

/// Reads an object, as names with their values.
///
/// # Errors
///
/// A [`Failure`] when it is not an object.
pub(crate) fn object(text: &str) -> Result<Vec<(String, Val)>, Failure> {
    let Val::Obj(entries) = json(text)? else {
        return Err(Failure::new(format!("`variables` is `{text}`, but must be an object")));
    };
    let name = |name: &Val| {
        let Val::TStr(text) = name else { return name.to_string() };
        String::from_utf8_lossy(text).into_owned()
    };
    Ok(entries.iter().map(|(key, value)| (name(key), value.clone())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filtered(filter: &str, text: &str, style: &Style) -> Result<String, Failure> {
        let filter = Filter::compile(filter, object(r#"{"least": 2}"#)?)?;
        let from = style.from.unwrap_or_default();
        let mut output = Vec::new();
        filter.run_over(from, &mut text.as_bytes(), "-", style, &mut output)?;
        Ok(String::from_utf8(output).unwrap())
    }

    fn style(from: Format, to: Format) -> Style {
        let mut style = Style { from: Some(from), ..Style::default() };
        style.writer.format = to;
        style
    }

    #[test]
    fn every_value_goes_through_the_filter() {
        let found = filtered("select(.a >= $least)", r#"{"a": 1} {"a":2}"#, &Style::default());
        assert_eq!(found, Ok("{\n  \"a\": 2\n}\n".to_owned()));
    }

    #[test]
    fn inputs_are_slurped_or_left_to_the_filter() {
        let slurp = Style { is_slurp: true, ..Style::default() };
        assert_eq!(filtered("add", "1 2 3", &slurp).unwrap(), "6\n");
        let null = Style { is_null_input: true, ..Style::default() };
        assert_eq!(filtered("[inputs] | length", "1 2 3", &null).unwrap(), "3\n");
    }

    #[test]
    fn formats_are_turned_into_each_other() {
        let yaml = "a:\n  - 1\n  - b: ~\n";
        let mut compact = style(Format::Yaml, Format::Json);
        compact.writer.pp.indent = None;
        compact.writer.pp.sep_space = false;
        assert_eq!(filtered(".", yaml, &compact).unwrap(), "{\"a\":[1,{\"b\":null}]}\n");
        let toml = filtered(".", "{\"a\": {\"b\": 1}}", &style(Format::Json, Format::Toml));
        assert!(toml.as_ref().unwrap().contains("b = 1"), "{toml:?}");
        let json = filtered(".a.b", &toml.unwrap(), &style(Format::Toml, Format::Json));
        assert_eq!(json.unwrap(), "1\n");
        let raw = filtered(".[]", r#"["a", 1]"#, &style(Format::Json, Format::Raw));
        assert_eq!(raw.unwrap(), "a\n1\n");
    }

    #[test]
    fn a_fault_shows_its_place() {
        let fault = filtered(".a | mpa(.b)", "1", &Style::default()).unwrap_err().to_string();
        assert!(fault.contains("mpa") && fault.contains("undefined filter"), "{fault}");
        let fault = filtered(".a", "[1]", &Style::default()).unwrap_err().to_string();
        assert!(fault.starts_with("the filter failed: "), "{fault}");
        let fault = filtered(".", "{", &Style::default()).unwrap_err().to_string();
        assert!(fault.starts_with("-: "), "{fault}");
    }
}
