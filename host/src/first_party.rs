//! The plugins that come with the host, as `build.rs` built them.

use apflow_model::plugin::{DefinitionText, Digest};

/// A plugin inside this binary.
pub(crate) struct FirstParty {
    /// The bytes of its component.
    pub(crate) component: &'static [u8],
    /// Their hash.
    pub(crate) digest: Digest,
    /// The text of its `plugin.yaml` or `tool.yaml`.
    pub(crate) manifest: &'static str,
    /// The folder of a tool, which bears its name. None for an executor.
    tool: Option<&'static str>,
}

impl FirstParty {
    /// Its manifest, as it is installed by.
    pub(crate) fn definition(&self) -> DefinitionText {
        let text = self.manifest.to_owned();
        match self.tool {
            Some(name) => DefinitionText::Tool { text, folder: Some(name.to_owned()) },
            None => DefinitionText::Plugin(text),
        }
    }
}

macro_rules! first_party {
    ($name:literal) => {
        FirstParty {
            component: include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".wasm")),
            digest: Digest(*include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".sha256"))),
            manifest: include_str!(concat!("../../plugins/", $name, "/plugin.yaml")),
            tool: None,
        }
    };
}

macro_rules! tool {
    ($name:literal) => {
        FirstParty {
            component: include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".wasm")),
            digest: Digest(*include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".sha256"))),
            manifest: include_str!(concat!("../../plugins/tools/", $name, "/tool.yaml")),
            tool: Some($name),
        }
    };
}

/// The executors that every data directory has.
pub(crate) const INSTALLED: [FirstParty; 6] = [
    first_party!("aggregate_results_executor"),
    first_party!("apflow_api_executor"),
    first_party!("llm_executor"),
    first_party!("rest_executor"),
    first_party!("send_email_executor"),
    first_party!("transform_executor"),
];

/// The tools that every data directory has.
pub(crate) const TOOLS: [FirstParty; 14] = [
    tool!("base64"),
    tool!("csv"),
    tool!("date"),
    tool!("diff"),
    tool!("grep"),
    tool!("head"),
    tool!("jq"),
    tool!("markdown"),
    tool!("qr"),
    tool!("sha256sum"),
    tool!("sort"),
    tool!("tail"),
    tool!("uniq"),
    tool!("wc"),
];

/// The plugin that does nothing, for measuring what the sandbox itself costs.
pub(crate) const NOOP: FirstParty = first_party!("noop_executor");

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::*;

    #[test]
    fn each_hash_is_that_of_its_component() {
        for plugin in INSTALLED.iter().chain(&TOOLS).chain([&NOOP]) {
            assert_eq!(Sha256::digest(plugin.component)[..], plugin.digest.0);
        }
    }
}
