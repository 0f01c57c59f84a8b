//! `plugins.list`: what is installed.

use std::sync::Arc;

use apflow_engine::Engine;
use apflow_model::access::{Permission, Principal};
use apflow_model::plugin::Plugin;
use serde::Serialize;

use crate::error::ApiError;
use crate::operation::Operation;
use crate::remote::{Input, Method, Remote};

/// Lists the installed plugins by name.
#[derive(Debug)]
pub struct ListPlugins;

/// The installed plugins.
#[derive(Debug, Serialize)]
pub struct PluginList {
    /// The plugins by name.
    pub plugins: Vec<Plugin>,
}

impl Operation for ListPlugins {
    const NAME: &'static str = "plugins.list";
    const PERMISSION: Permission = Permission::PluginsRead;
    type Output = PluginList;

    async fn run(self, engine: &Arc<Engine>, _: &Principal) -> Result<PluginList, ApiError> {
        Ok(PluginList { plugins: engine.list_plugins().await? })
    }
}

impl Remote for ListPlugins {
    const METHOD: Method = Method::Get;
    const PATH: &'static str = "/api/v1/plugins";

    fn read(_: &mut Input) -> Result<Self, ApiError> {
        Ok(Self)
    }
}
