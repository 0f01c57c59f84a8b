//! What a tool returns: what its component said, read as its `output_schema` says.

use serde_json::{Value, json};

use super::{Field, Run, Tool};
use crate::fault::{Fault, FaultCode};

/// How much of an output that is not what it should be is shown.
const SHOWN_CHARACTERS_MAX: usize = 200;

impl Tool {
    /// Reads what the component returned.
    ///
    /// A command gives `text`, or `json` when the tool names fields of it, with its `stderr` and
    /// `exit_code`. A request gives what `rest_executor` does.
    ///
    /// # Errors
    ///
    /// [`FaultCode::Permanent`] when it is not the JSON that the tool promises, with its beginning.
    pub fn output(&self, returned: Value) -> Result<Value, Fault> {
        let fields = &self.output.json_fields;
        if let Some(Run::Request { .. }) = self.run {
            if !fields.is_empty() {
                check(fields, &returned["json"])?;
            }
            return Ok(returned);
        }
        let (stderr, exit_code) = (&returned["stderr"], &returned["exit_code"]);
        let stdout = returned["stdout"].as_str().unwrap_or_default();
        if fields.is_empty() {
            return Ok(json!({ "text": stdout, "stderr": stderr, "exit_code": exit_code }));
        }
        let read: Value = serde_json::from_str(stdout)
            .map_err(|error| mismatch(&format!("standard output is not JSON: {error}"), stdout))?;
        check(fields, &read)?;
        Ok(json!({ "json": read, "stderr": stderr, "exit_code": exit_code }))
    }
}

fn check(fields: &[Field], read: &Value) -> Result<(), Fault> {
    let Value::Object(_) = read else {
        return Err(mismatch("the output is no JSON object", &read.to_string()));
    };
    for field in fields {
        let Some(name) = &field.name else { continue };
        let Some(value) = read.get(name).filter(|value| !value.is_null()) else { continue };
        if let Err((at, expected)) = check_field(field, value, name) {
            let what = format!("`{at}` of the output is no {expected}");
            return Err(mismatch(&what, &read.to_string()));
        }
    }
    Ok(())
}

/// Where a value is not of its type, and which that is.
fn check_field(field: &Field, value: &Value, at: &str) -> Result<(), (String, &'static str)> {
    if !field.value_type.accepts(value) {
        return Err((at.to_owned(), field.value_type.name()));
    }
    let (Some(items), Value::Array(values)) = (&field.items, value) else { return Ok(()) };
    let mut each = values.iter().enumerate();
    each.try_for_each(|(index, value)| check_field(items, value, &format!("{at}/{index}")))
}

fn mismatch(what: &str, output: &str) -> Fault {
    let start: String = output.chars().take(SHOWN_CHARACTERS_MAX).collect();
    let more = if start.len() < output.len() { "…" } else { "" };
    Fault::new(FaultCode::Permanent, format!("{what}; it begins with {start:?}{more}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(output: &str) -> Tool {
        let text = format!(
            "name: a\nversion: 1.0.0\ndescription: A.\ncategory: data\n\
             output_schema: {output}\nrun: {{ command: a.wasm }}\n"
        );
        Tool::parse(&text, None).unwrap()
    }

    fn returned(stdout: &str) -> Value {
        json!({ "stdout": stdout, "stderr": "w", "exit_code": 0 })
    }

    #[test]
    fn text_stays_text() {
        let output = tool("{ text: A line. }").output(returned("{}\n")).unwrap();
        assert_eq!(output, json!({ "text": "{}\n", "stderr": "w", "exit_code": 0 }));
    }

    #[test]
    fn promised_fields_are_read_and_may_be_missing() {
        let tool =
            tool("{ json_fields: [{ name: num, type: integer }, { name: s, type: string }] }");
        let output = tool.output(returned(r#"{"num": 1, "s": null, "more": []}"#)).unwrap();
        assert_eq!(output["json"], json!({ "num": 1, "s": null, "more": [] }));
    }

    #[test]
    fn an_output_that_breaks_its_promise_is_shown() {
        let items = "{ json_fields: [{ name: a, type: array, items: { type: number } }] }";
        let refused = |stdout: &str| tool(items).output(returned(stdout)).unwrap_err().message;
        assert!(refused("no").ends_with("it begins with \"no\""));
        assert!(refused("[1]").starts_with("the output is no JSON object"));
        assert!(refused(r#"{"a": [1, "x"]}"#).starts_with("`a/1` of the output is no number"));
        let long = refused(&format!("{{\"a\": {:?}}}", "é".repeat(1_000)));
        assert!(long.ends_with('…') && long.len() < 600, "{long}");
    }
}
