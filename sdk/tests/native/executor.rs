//! All shapes of executor functions, and the JSON on both sides of them.

use apflow_sdk::testing::{Host, input_schema, output_schema};
use apflow_sdk::{Fault, JsonSchema, Outcome, Task, Usage, schemars, serde_json::json};
use serde::{Deserialize, Serialize};

#[derive(Deserialize, JsonSchema)]
struct Input {
    /// What to double.
    numbers: Vec<u32>,
}

#[derive(Serialize, JsonSchema)]
struct Output {
    doubled: Vec<u32>,
}

/// Doubles numbers.
#[apflow_sdk::executor(id = "double_executor", name = "Double", tags = ["maths"])]
fn double(input: Input) -> Result<Output, Fault> {
    Ok(Output { doubled: input.numbers.into_iter().map(|number| number * 2).collect() })
}

#[test]
fn every_shape_of_function_is_an_executor() {
    fn task_and_input(task: Task, input: String) -> Result<String, Fault> {
        Ok(format!("{input} {}", task.attempt))
    }
    async fn asynchronous(input: String) -> Result<Outcome<String>, Fault> {
        Ok(Outcome::new(input).with_usage(Usage::new(3, 4)))
    }
    async fn asynchronous_with_task(task: Task, _input: String) -> Result<String, Fault> {
        Ok(task.idempotency_key)
    }
    fn own_error(input: String) -> Result<u32, serde_json::Error> {
        serde_json::from_str(&input)
    }

    let host =
        Host::new().task(Task { attempt: 7, idempotency_key: "k".into(), ..Task::default() });
    assert_eq!(host.run(double, json!({"numbers": [1, 2]})).unwrap().output["doubled"][1], 4);
    assert_eq!(host.run(task_and_input, r#""try""#).unwrap().output, "try 7");
    let outcome = host.run(asynchronous, r#""in""#).unwrap();
    assert_eq!(outcome, Outcome { output: json!("in"), usage: Some(Usage::new(3, 4)) });
    assert_eq!(host.run(asynchronous_with_task, r#""""#).unwrap().output, "k");
    assert!(matches!(host.run(own_error, r#""x""#), Err(Fault::Permanent(_))));
}

/// Names that the attribute's own code might have used.
mod awkward_names {
    use apflow_sdk::{Fault, JsonSchema, schemars};

    #[derive(serde::Deserialize, JsonSchema)]
    pub(super) struct Component(pub(super) u32);

    /// Adds one.
    #[apflow_sdk::executor(id = "execute", description = "Adds one.", version = "1.0.0")]
    pub(super) fn execute(describe: Component) -> Result<u32, Fault> {
        Ok(describe.0 + 1)
    }
}

#[test]
fn the_plugin_may_use_any_name() {
    assert_eq!(Host::new().run(awkward_names::execute, "1").unwrap().output, 2);
    assert_eq!(awkward_names::execute(awkward_names::Component(2)), Ok(3));
}

#[test]
fn the_function_under_the_attribute_can_be_called_as_it_is() {
    assert_eq!(double(Input { numbers: vec![2] }).unwrap().doubled, [4]);
}

#[test]
fn input_that_does_not_fit_is_faulted_with_its_path() {
    let host = Host::new();
    for (input, text) in [
        (r#"{"numbers": [1, "two"]}"#, "`numbers[1]`: invalid type: string"),
        (r#"{"numbers": "#, "`numbers`: EOF while parsing"),
        (r#"{"numbers": []} {}"#, "trailing characters"),
        ("{}", "missing field `numbers`"),
        ("", "EOF while parsing"),
    ] {
        let Err(Fault::InvalidInput(fault)) = host.run(double, input) else {
            panic!("`{input}` was taken");
        };
        assert!(fault.starts_with(text), "{input}: {fault}");
    }
}

#[test]
fn schemas_are_of_draft_2020_12_and_carry_doc_comments() {
    let schema = input_schema::<Input>();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema["properties"]["numbers"]["description"], "What to double.");
    assert_eq!(schema["required"], json!(["numbers"]));
    assert_eq!(output_schema::<Output>()["properties"]["doubled"]["type"], "array");
}

#[test]
fn a_paragraph_of_a_doc_comment_is_one_line_of_the_schema() {
    /// What is wanted,
    /// and why.
    ///
    /// Another
    /// paragraph.
    #[derive(Serialize, Deserialize, JsonSchema)]
    struct Broken {
        /// A choice
        /// of two.
        choice: Choice,
        /// Named like
        /// the keyword.
        description: String,
    }
    #[derive(Serialize, Deserialize, JsonSchema)]
    enum Choice {
        /// The one
        /// or
        One,
        /// the other.
        Other,
    }
    for schema in [input_schema::<Broken>(), output_schema::<Broken>()] {
        assert_eq!(schema["description"], "What is wanted, and why.\n\nAnother paragraph.");
        let properties = &schema["properties"];
        assert_eq!(properties["choice"]["description"], "A choice of two.");
        assert_eq!(properties["description"]["description"], "Named like the keyword.");
        let first = &schema["$defs"]["Choice"]["oneOf"][0];
        assert_eq!(first["description"], "The one or");
    }
}

#[test]
fn schemas_tell_what_is_read_from_what_is_written() {
    #[derive(Serialize, Deserialize, JsonSchema)]
    struct Both {
        #[serde(default)]
        count: u32,
    }
    assert_eq!(input_schema::<Both>().get("required"), None);
    assert_eq!(output_schema::<Both>()["required"], json!(["count"]));
}
