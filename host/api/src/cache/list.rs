//! `cache.list`: the results of tools that may be given again.

use std::sync::Arc;

use apflow_engine::{Engine, RESULTS_PER_PAGE_MAX};
use apflow_model::access::{Permission, Principal};
use apflow_model::cache::KeptResults;
use schemars::JsonSchema;
use serde::Serialize;

use crate::code::Code;
use crate::error::ApiError;
use crate::operation::Operation;
use crate::page;
use crate::remote::{Input, Method, Remote};

/// How many results are listed when the caller does not say.
const LIMIT_USUAL: u32 = 100;

/// Lists the results that are kept, the newest first, and how many there are. It shows neither
/// inputs nor outputs.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct ListCache {
    /// Only those of this tool.
    pub tool: Option<String>,
    /// How many at most; 100 if not said.
    #[schemars(range(min = 1, max = RESULTS_PER_PAGE_MAX))]
    pub limit: Option<u32>,
}

impl Operation for ListCache {
    const NAME: &'static str = "cache.list";
    const PERMISSION: Permission = Permission::PluginsRead;
    type Output = KeptResults;

    fn target(&self) -> Option<String> {
        self.tool.clone()
    }

    async fn run(self, engine: &Arc<Engine>, _: &Principal) -> Result<KeptResults, ApiError> {
        let limit = page::limit(self.limit, LIMIT_USUAL, RESULTS_PER_PAGE_MAX)?;
        Ok(engine.list_results(self.tool.as_deref(), limit).await?)
    }
}

impl Remote for ListCache {
    const METHOD: Method = Method::Get;
    const PATH: &'static str = "/api/v1/cache";
    const ERRORS: &'static [Code] = &[Code::UnknownTool];

    fn read(input: &mut Input) -> Result<Self, ApiError> {
        Ok(Self { tool: input.take("tool")?, limit: input.take("limit")? })
    }
}
