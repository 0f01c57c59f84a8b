//! The plugins that come with the host, as `build.rs` built them.

/// A plugin inside this binary.
pub(crate) struct FirstParty {
    /// The bytes of its component.
    pub(crate) component: &'static [u8],
    /// The text of its `plugin.yaml`.
    pub(crate) manifest: &'static str,
}

macro_rules! first_party {
    ($name:literal) => {
        FirstParty {
            component: include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".wasm")),
            manifest: include_str!(concat!("../../plugins/", $name, "/plugin.yaml")),
        }
    };
}

/// The plugins that every data directory has.
pub(crate) const INSTALLED: [FirstParty; 4] = [
    first_party!("aggregate_results_executor"),
    first_party!("apflow_api_executor"),
    first_party!("rest_executor"),
    first_party!("transform_executor"),
];

/// The plugin that does nothing, for measuring what the sandbox itself costs.
pub(crate) const NOOP: FirstParty = first_party!("noop_executor");
