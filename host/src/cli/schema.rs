//! `schema`: the JSON Schema of a manifest or of policies.yaml, for editors and CI.

use apflow_model::manifest::Manifest;
use apflow_model::policies::Policies;
use apflow_model::tool::Tool;

use super::arguments::ManifestKind;
use super::exit::Exit;
use super::output::Output;

/// Prints the schema of a kind of file.
pub(crate) fn run(kind: ManifestKind, output: &Output) -> Exit {
    let schema = match kind {
        ManifestKind::Plugin => Manifest::schema(),
        ManifestKind::Tool => Tool::schema(),
        ManifestKind::Policies => Policies::schema(),
    };
    output.result(&schema, || format!("{schema:#}"));
    Exit::Ok
}
