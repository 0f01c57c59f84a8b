//! `plugins.list`: what is installed.

use std::sync::Arc;

use apflow_engine::Engine;
use apflow_model::access::{Permission, Principal};
use apflow_model::plugin::Installed;
use apflow_model::reader::FileFault;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::code::Code;
use crate::error::ApiError;
use crate::operation::Operation;
use crate::page::Page;
use crate::remote::{Input, Method, Remote};

/// Lists the installed plugins by name.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct ListPlugins {
    /// Which page.
    #[serde(flatten)]
    pub page: Page<String, 1_000>,
}

/// The installed plugins.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct PluginList {
    /// The plugins by name.
    pub plugins: Vec<Installed>,
    /// What is wrong with `grants.lock`: none has a grant until it is corrected.
    pub lock_faults: Vec<FileFault>,
    /// What to send as `cursor` for the next page. Null on the last one.
    #[serde(default)]
    pub cursor: Option<String>,
}

impl Operation for ListPlugins {
    const NAME: &'static str = "plugins.list";
    const PERMISSION: Permission = Permission::PluginsRead;
    type Output = PluginList;

    fn target(&self) -> Option<String> {
        None
    }

    async fn run(self, engine: &Arc<Engine>, _: &Principal) -> Result<PluginList, ApiError> {
        let (plugins, cursor) =
            self.page.cut(engine.list_plugins().await?, |one| one.plugin.manifest.name.clone())?;
        Ok(PluginList { plugins, lock_faults: engine.lock_faults()?, cursor })
    }
}

impl Remote for ListPlugins {
    const METHOD: Method = Method::Get;
    const PATH: &'static str = "/api/v1/plugins";
    const ERRORS: &'static [Code] = &[Code::InvalidLock, Code::DataDirUnusable];

    fn read(input: &mut Input) -> Result<Self, ApiError> {
        Ok(Self { page: Page::read(input)? })
    }
}
