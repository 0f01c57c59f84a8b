//! `cache.list`: the results of tools that may be given again.

use std::sync::Arc;

use apflow_engine::Engine;
use apflow_model::access::{Permission, Principal};
use apflow_model::cache::{KeptResults, ResultCursor};
use schemars::JsonSchema;
use serde::Serialize;

use crate::code::Code;
use crate::error::ApiError;
use crate::operation::Operation;
use crate::page::Page;
use crate::remote::{Input, Method, Remote};

/// Lists the results that are kept, the newest first, and how many there are. It shows neither
/// inputs nor outputs.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct ListCache {
    /// Only those of this tool.
    pub tool: Option<String>,
    /// Which page.
    #[serde(flatten)]
    pub page: Page<ResultCursor>,
}

impl Operation for ListCache {
    const NAME: &'static str = "cache.list";
    const PERMISSION: Permission = Permission::PluginsRead;
    type Output = KeptResults;

    fn target(&self) -> Option<String> {
        self.tool.clone()
    }

    async fn run(self, engine: &Arc<Engine>, _: &Principal) -> Result<KeptResults, ApiError> {
        let (tool, after) = (self.tool.as_deref(), self.page.cursor.as_ref());
        Ok(engine.list_results(tool, after, self.page.limit()?).await?)
    }
}

impl Remote for ListCache {
    const METHOD: Method = Method::Get;
    const PATH: &'static str = "/api/v1/cache";
    const ERRORS: &'static [Code] = &[Code::UnknownTool];

    fn read(input: &mut Input) -> Result<Self, ApiError> {
        Ok(Self { tool: input.take("tool")?, page: Page::read(input)? })
    }
}
