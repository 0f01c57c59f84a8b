//! `schema`: the JSON Schema of a file, or the `OpenAPI` document, for editors and CI.

use apflow_model::manifest::Manifest;
use apflow_model::policies::Policies;
use apflow_model::price::Prices;
use apflow_model::setting;
use apflow_model::tool::Tool;
use clap::ValueEnum;

use super::exit::Exit;
use super::output::Output;
use crate::http;

/// What has a schema.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum SchemaOf {
    /// `plugin.yaml`.
    Plugin,
    /// `tool.yaml`.
    Tool,
    /// `policies.yaml`.
    Policies,
    /// `prices.yaml`.
    Prices,
    /// `config.yaml`.
    Config,
    /// The HTTP API: the `OpenAPI` document (3.1).
    Openapi,
}

/// Prints a schema.
pub(crate) fn run(of: SchemaOf, output: &Output) -> Exit {
    let schema = match of {
        SchemaOf::Plugin => Manifest::schema(),
        SchemaOf::Tool => Tool::schema(),
        SchemaOf::Policies => Policies::schema(),
        SchemaOf::Prices => Prices::schema(),
        SchemaOf::Config => setting::schema(),
        SchemaOf::Openapi => http::document(),
    };
    output.result(&schema, || format!("{schema:#}"));
    Exit::Ok
}
