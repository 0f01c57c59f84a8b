//! `cache.clear`: forgets results of tools.

use std::sync::Arc;

use apflow_engine::Engine;
use apflow_model::access::{Permission, Principal};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::code::Code;
use crate::error::ApiError;
use crate::operation::Operation;
use crate::remote::{Input, Method, Remote};

/// Forgets the results that are kept, so that the tools run again.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct ClearCache {
    /// Only those of this tool.
    pub tool: Option<String>,
}

/// How many results were forgotten.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Cleared {
    /// All that were kept, or those of the tool.
    #[schemars(example = 12)]
    pub cleared: u64,
}

impl Operation for ClearCache {
    const NAME: &'static str = "cache.clear";
    const PERMISSION: Permission = Permission::PluginsManage;
    type Output = Cleared;

    fn target(&self) -> Option<String> {
        self.tool.clone()
    }

    async fn run(self, engine: &Arc<Engine>, _: &Principal) -> Result<Cleared, ApiError> {
        Ok(Cleared { cleared: engine.clear_results(self.tool.as_deref()).await? })
    }
}

impl Remote for ClearCache {
    const METHOD: Method = Method::Delete;
    const PATH: &'static str = "/api/v1/cache";
    const ERRORS: &'static [Code] = &[Code::UnknownTool];

    fn read(input: &mut Input) -> Result<Self, ApiError> {
        Ok(Self { tool: input.take("tool")? })
    }
}
