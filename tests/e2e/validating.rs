//! `validate`, on manifests that are in use elsewhere.

use serde_json::{Value, json};

use crate::host::TestHost;

/// Real tool manifests, of another project.
const TOOLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/tool_manifests");
