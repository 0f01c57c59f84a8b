//! `schema`: the JSON Schema of a manifest, for editors and CI.

use apflow_model::manifest::Manifest;
use apflow_model::tool::Tool;
use serde_json::Value;

use super::arguments::ManifestKind;
use super::output::Output;

/// Prints the schema of a kind of manifest.
pub(crate) fn run(kind: ManifestKind, output: &Output) {
    let schema = schema(kind);
    output.result(&schema, || format!("{schema:#}"));
}

fn schema(kind: ManifestKind) -> Value {
    match kind {
        ManifestKind::Plugin => Manifest::schema(),
        ManifestKind::Tool => Tool::schema(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_schemas_are_those_of_this_version() {
        for (kind, name, published) in [
            (ManifestKind::Plugin, "plugin", include_str!("../../../docs/schema/plugin.json")),
            (ManifestKind::Tool, "tool", include_str!("../../../docs/schema/tool.json")),
        ] {
            let is_same = format!("{:#}\n", schema(kind)) == published;
            assert!(is_same, "write it: apflow-host schema {name} > docs/schema/{name}.json");
        }
    }
}
