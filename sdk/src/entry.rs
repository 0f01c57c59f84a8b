//! What the exports call that `#[executor]` writes. Not for plugin authors.
//!
//! `attempt` is the whole path from JSON text to JSON text; the component and the test harness
//! both go through it, so a native test sees what the host will see.

use std::future::Future;

use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema, generate::SchemaSettings};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

pub use crate::bindings::apflow::plugin::types::{Descriptor, Task};
pub use crate::bindings::exports::apflow::plugin::run::Guest;

use crate::bindings::apflow::plugin::types;
use crate::{Fault, Outcome, trace, wait};

/// How an attempt ends, in the contract's words.
pub type Ending = Result<types::Outcome, types::Fault>;

/// What the attribute says about the plugin.
pub struct Identity {
    /// The id that tasks name.
    pub id: &'static str,
    /// The name for people.
    pub name: &'static str,
    /// What the plugin does.
    pub description: &'static str,
    /// The plugin's version.
    pub version: &'static str,
    /// Words to find the plugin by.
    pub tags: &'static [&'static str],
}

/// A function that does an executor's work. `Form` keeps the shapes of functions apart.
#[diagnostic::on_unimplemented(
    message = "this function cannot be an executor",
    label = "takes `(input: I)` or `(task: Task, input: I)`, returns `Result<O, Fault>` or \
             `Result<Outcome<O>, Fault>`",
    note = "`I` derives `Deserialize` and `JsonSchema`, `O` derives `Serialize` and `JsonSchema`"
)]
pub trait Executor<Form> {
    /// What the function takes.
    type Input: DeserializeOwned + JsonSchema;
    /// What it returns when all goes well.
    type Output: Serialize + JsonSchema;

    /// Runs the function to its end.
    fn call(&self, task: crate::Task, input: Self::Input) -> Result<Outcome<Self::Output>, Fault>;
}

/// What an executor may return.
#[diagnostic::on_unimplemented(
    message = "an executor cannot return `{Self}`",
    label = "expected `Result<O, Fault>` or `Result<Outcome<O>, Fault>`",
    note = "`O` derives `Serialize` and `JsonSchema`; the error converts into `apflow_sdk::Fault`"
)]
pub trait Reply {
    /// The output, without its usage.
    type Output: Serialize + JsonSchema;

    /// Brings both forms together.
    fn into_outcome(self) -> Result<Outcome<Self::Output>, Fault>;
}

/// An output with or without its usage.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the output of an executor",
    label = "needs `#[derive(Serialize, JsonSchema)]`"
)]
pub trait Payload {
    /// The output, without its usage.
    type Output: Serialize + JsonSchema;

    /// Brings both forms together.
    fn into_outcome(self) -> Outcome<Self::Output>;
}

impl<O: Serialize + JsonSchema> Payload for O {
    type Output = O;

    fn into_outcome(self) -> Outcome<O> {
        Outcome::new(self)
    }
}

impl<O: Serialize + JsonSchema> Payload for Outcome<O> {
    type Output = O;

    fn into_outcome(self) -> Self {
        self
    }
}

impl<P: Payload, E: Into<Fault>> Reply for Result<P, E> {
    type Output = P::Output;

    fn into_outcome(self) -> Result<Outcome<P::Output>, Fault> {
        self.map(Payload::into_outcome).map_err(Into::into)
    }
}

/// Marks `fn`.
pub struct Blocking;

/// Marks `async fn`.
pub struct Async;

impl<F, I, R> Executor<(Blocking, I, R)> for F
where
    F: Fn(I) -> R,
    I: DeserializeOwned + JsonSchema,
    R: Reply,
{
    type Input = I;
    type Output = R::Output;

    fn call(&self, _: crate::Task, input: I) -> Result<Outcome<R::Output>, Fault> {
        self(input).into_outcome()
    }
}

impl<F, I, R> Executor<(Blocking, crate::Task, I, R)> for F
where
    F: Fn(crate::Task, I) -> R,
    I: DeserializeOwned + JsonSchema,
    R: Reply,
{
    type Input = I;
    type Output = R::Output;

    fn call(&self, task: crate::Task, input: I) -> Result<Outcome<R::Output>, Fault> {
        self(task, input).into_outcome()
    }
}

impl<F, I, R> Executor<(Async, I, R)> for F
where
    F: Fn(I) -> R,
    I: DeserializeOwned + JsonSchema,
    R: Future<Output: Reply>,
{
    type Input = I;
    type Output = <R::Output as Reply>::Output;

    fn call(&self, _: crate::Task, input: I) -> Result<Outcome<Self::Output>, Fault> {
        wait::block_on(self(input)).into_outcome()
    }
}

impl<F, I, R> Executor<(Async, crate::Task, I, R)> for F
where
    F: Fn(crate::Task, I) -> R,
    I: DeserializeOwned + JsonSchema,
    R: Future<Output: Reply>,
{
    type Input = I;
    type Output = <R::Output as Reply>::Output;

    fn call(&self, task: crate::Task, input: I) -> Result<Outcome<Self::Output>, Fault> {
        wait::block_on(self(task, input)).into_outcome()
    }
}

/// Writes the plugin's descriptor.
pub fn describe<Form, F: Executor<Form>>(identity: &Identity, _function: &F) -> Descriptor {
    Descriptor {
        id: identity.id.to_owned(),
        name: identity.name.to_owned(),
        description: identity.description.to_owned(),
        version: identity.version.to_owned(),
        input_schema: input_schema::<F::Input>(),
        output_schema: output_schema::<F::Output>(),
        tags: identity.tags.iter().map(|tag| (*tag).to_owned()).collect(),
    }
}

/// Does one attempt, in the contract's words.
pub fn execute<Form, F: Executor<Form>>(function: &F, task: Task, input: &str) -> Ending {
    trace::install();
    match attempt(function, task.into(), input) {
        Ok(Outcome { output, usage }) => {
            Ok(types::Outcome { output, usage: usage.map(Into::into) })
        }
        Err(fault) => Err(fault.into()),
    }
}

/// Does one attempt: reads the input, runs the function, writes the output.
pub(crate) fn attempt<Form, F: Executor<Form>>(
    function: &F,
    task: crate::Task,
    input: &str,
) -> Result<Outcome<String>, Fault> {
    let mut reader = serde_json::Deserializer::from_str(input);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let reason = error.into_inner();
        match path.as_str() {
            "." => Fault::InvalidInput(reason.to_string()),
            _ => Fault::InvalidInput(format!("`{path}`: {reason}")),
        }
    })?;
    reader.end().map_err(|error| Fault::InvalidInput(error.to_string()))?;

    let Outcome { output, usage } = function.call(task, value)?;
    let output = serde_json::to_string(&output)
        .map_err(|error| Fault::Permanent(format!("output has no JSON form: {error}")))?;
    Ok(Outcome { output, usage })
}

/// The JSON Schema (draft 2020-12) of what is read into `I`.
pub(crate) fn input_schema<I: JsonSchema>() -> String {
    schema::<I>(SchemaSettings::draft2020_12().for_deserialize())
}

/// The JSON Schema (draft 2020-12) of what `O` is written as.
pub(crate) fn output_schema<O: JsonSchema>() -> String {
    schema::<O>(SchemaSettings::draft2020_12().for_serialize())
}

fn schema<T: JsonSchema>(settings: SchemaSettings) -> String {
    let settings = settings.with_transform(RecursiveTransform(join_lines));
    settings.into_generator().into_root_schema_for::<T>().as_value().to_string()
}

/// Makes one line of each paragraph of a description: doc comments break lines where the source
/// does, which means nothing to those who read the schema.
fn join_lines(schema: &mut Schema) {
    if let Some(Value::String(text)) = schema.get_mut("description") {
        let paragraphs: Vec<String> =
            text.split("\n\n").map(|paragraph| paragraph.replace('\n', " ")).collect();
        *text = paragraphs.join("\n\n");
    }
}

/// Compiles when `I` can be an input.
pub fn is_input<I: DeserializeOwned + JsonSchema>() {}

/// Compiles when an executor may return `R`.
pub fn is_reply<R: Reply>() {}
