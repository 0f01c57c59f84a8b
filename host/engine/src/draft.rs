//! Drafts a manifest for a component that came without one.

use std::sync::Arc;

use apflow_model::import::{ExcessImport, Family, Import};
use apflow_model::manifest::{NAME_CHARACTERS_MAX, is_name_character};
use apflow_sandbox::{Compiled, SandboxError};
use serde_json::Value;

use crate::engine::Engine;
use crate::error::EngineError;

impl Engine {
    /// Writes a `plugin.yaml` that asks for exactly what a component imports. `file` is its path.
    ///
    /// # Errors
    ///
    /// [`EngineError::Component`] when it is no component that this host runs.
    pub async fn draft_manifest(
        self: &Arc<Self>,
        component: Vec<u8>,
        file: &str,
    ) -> Result<String, EngineError> {
        let sandbox = Arc::clone(&self.sandbox);
        let compiling = tokio::task::spawn_blocking(move || sandbox.compile(&component, false));
        let compiled =
            compiling.await?.map_err(|source| EngineError::of_component(file, source))?;
        // Where a program connects cannot be read from it.
        let hopeless = |import: &&Import| {
            matches!(import.family, Family::Tcp | Family::Sockets | Family::Unknown)
        };
        let excess: Vec<ExcessImport> =
            compiled.imports.iter().filter(hopeless).cloned().map(ExcessImport).collect();
        if !excess.is_empty() {
            let source = SandboxError::ExcessImports(excess);
            return Err(EngineError::Component { file: file.to_owned(), source });
        }
        Ok(draft(&compiled, file))
    }
}

fn draft(compiled: &Compiled, file: &str) -> String {
    let component = file.rsplit('/').next().unwrap_or(file);
    let imports = |family| compiled.imports.iter().any(|import| import.family == family);
    let asks = [
        (Family::Http, "  http: [\"https://*\"]\n"),
        (Family::Files, "  fs: { in: read }\n"),
        (Family::Clocks, "  clocks: true\n"),
        (Family::Random, "  random: true\n"),
    ];
    let asked: String =
        asks.into_iter().filter(|(family, _)| imports(*family)).map(|(_, line)| line).collect();
    let mut text = format!(
        "name: {}\nversion: 0.1.0\ndescription: What it does, in a sentence.\ncomponent: \
         {}\n",
        name(component),
        Value::from(component)
    );
    if !asked.is_empty() {
        text.push_str("capabilities:\n");
        text.push_str(&asked);
    }
    text
}

/// The file's name as the name of a plugin: `My-Tool.wasm` becomes `my-tool`.
fn name(component: &str) -> String {
    let stem = component.strip_suffix(".wasm").unwrap_or(component).to_ascii_lowercase();
    let allowed =
        stem.chars().filter(|c| is_name_character(*c)).skip_while(|c| !c.is_ascii_lowercase());
    let name: String = allowed.take(NAME_CHARACTERS_MAX).collect();
    if name.is_empty() { "my_plugin".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_becomes_a_plugin_name() {
        assert_eq!(name("My-Tool.wasm"), "my-tool");
        assert_eq!(name("2fast.wasm"), "fast");
        assert_eq!(name("…"), "my_plugin");
    }
}
