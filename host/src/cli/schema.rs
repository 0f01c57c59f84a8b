//! `schema`: the JSON Schema of a file, or the `OpenAPI` document, for editors and CI.

use apflow_model::manifest::Manifest;
use apflow_model::policies::Policies;
use apflow_model::setting;
use apflow_model::tool::Tool;

use super::arguments::SchemaOf;
use super::exit::Exit;
use super::output::Output;
use crate::http;

/// Prints a schema.
pub(crate) fn run(of: SchemaOf, output: &Output) -> Exit {
    let schema = match of {
        SchemaOf::Plugin => Manifest::schema(),
        SchemaOf::Tool => Tool::schema(),
        SchemaOf::Policies => Policies::schema(),
        SchemaOf::Config => setting::schema(),
        SchemaOf::Openapi => http::document(),
    };
    output.result(&schema, || format!("{schema:#}"));
    Exit::Ok
}
