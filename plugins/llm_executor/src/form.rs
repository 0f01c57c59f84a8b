//! The form of an answer: JSON that fits a schema, and what is said to a model when it does not.

use serde_json::Value;

/// How many faults a model is told at once.
const FAULTS_MAX: usize = 10;
/// How long the text of a fault may be, in characters.
const FAULT_CHARACTERS_MAX: usize = 300;

/// A JSON Schema that answers must fit.
#[derive(Debug)]
pub struct Form(jsonschema::Validator);

impl Form {
    /// Makes a schema ready.
    ///
    /// # Errors
    ///
    /// What is wrong with it. It may name no other document: nothing is fetched.
    pub fn new(schema: &Value) -> Result<Self, String> {
        jsonschema::validator_for(schema).map(Self).map_err(|error| error.to_string())
    }

    /// Reads an answer. A code block around it is taken off.
    ///
    /// # Errors
    ///
    /// What does not fit, a line each, for the model.
    pub fn read(&self, text: &str) -> Result<Value, String> {
        let value: Value = serde_json::from_str(without_block(text))
            .map_err(|error| format!("- it is no JSON: {error}"))?;
        let faults = self.0.iter_errors(&value).take(FAULTS_MAX).map(|error| {
            let at = error.instance_path().as_str();
            let at = if at.is_empty() { "it" } else { at };
            let text: String = error.to_string().chars().take(FAULT_CHARACTERS_MAX).collect();
            format!("- {at}: {text}")
        });
        let faults: Vec<String> = faults.collect();
        if faults.is_empty() { Ok(value) } else { Err(faults.join("\n")) }
    }
}

/// What a model is told of an answer that does not fit.
pub fn correction(faults: &str) -> String {
    format!(
        "Your answer does not fit the JSON Schema:\n{faults}\nAnswer again, with the corrected JSON \
         alone."
    )
}

/// The text within a code block, if it is one.
fn without_block(text: &str) -> &str {
    let text = text.trim();
    let block = text.strip_prefix("```").and_then(|rest| rest.strip_suffix("```"));
    block.map_or(text, |block| block.split_once('\n').map_or(block, |(_, within)| within))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn form() -> Form {
        let name = json!({ "type": "string", "minLength": 2 });
        Form::new(
            &json!({ "type": "object", "properties": { "name": name }, "required": ["name"] }),
        )
        .unwrap()
    }

    #[test]
    fn an_answer_that_fits_is_read_in_a_code_block_or_without() {
        for text in [
            "{\"name\": \"Ada\"}",
            " ```json\n{\"name\": \"Ada\"}\n```\n",
            "```{\"name\":\"Ada\"}```",
        ] {
            assert_eq!(form().read(text).unwrap(), json!({ "name": "Ada" }), "{text}");
        }
    }

    #[test]
    fn every_fault_is_told_with_its_place() {
        assert!(form().read("Here it is: {}").unwrap_err().contains("no JSON"));
        assert!(form().read("{}").unwrap_err().contains("- it: \"name\" is a required property"));
        let told = form().read("{\"name\": \"A\"}").unwrap_err();
        assert!(told.starts_with("- /name: "), "{told}");
        assert!(correction(&told).contains(&told));
    }

    #[test]
    fn what_is_no_schema_says_so() {
        assert!(Form::new(&json!({ "type": "nothing" })).is_err());
        assert!(Form::new(&json!({ "$ref": "https://a.example/schema" })).is_err());
    }
}
