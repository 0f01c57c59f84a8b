//! `plugins.grant`: what the operator allows a plugin that came with the host.

use std::sync::Arc;

use apflow_engine::{Engine, EngineError};
use apflow_model::access::{Permission, Principal};
use apflow_model::plugin::Installed;
use schemars::JsonSchema;
use serde::Serialize;

use super::said::SaidConsent;
use crate::body::Body;
use crate::code::Code;
use crate::error::ApiError;
use crate::grants;
use crate::operation::Operation;
use crate::remote::{Input, Method, Remote};

/// Grants a plugin that came with the host what the operator consents to.
#[derive(Debug, Serialize, JsonSchema)]
pub struct GrantPlugin {
    /// Its name.
    pub name: String,
    /// How the operator consents.
    #[serde(flatten)]
    pub consent: SaidConsent,
}

impl Operation for GrantPlugin {
    const NAME: &'static str = "plugins.grant";
    const PERMISSION: Permission = Permission::PluginsManage;
    type Output = Installed;

    fn target(&self) -> Option<String> {
        Some(self.name.clone())
    }

    async fn run(self, engine: &Arc<Engine>, _: &Principal) -> Result<Installed, ApiError> {
        let granted = engine.grant_builtin(&self.name, self.consent.approval()?).await?;
        Ok(granted.ok_or(EngineError::UnknownPlugin(self.name))?)
    }
}

impl Remote for GrantPlugin {
    const METHOD: Method = Method::Put;
    const PATH: &'static str = "/api/v1/plugins/{name}/grants";
    const BODY: Body = Body::Fields(SaidConsent::FIELDS);
    const ERRORS: &'static [Code] = &[
        Code::UnknownPlugin,
        Code::InvalidGrant,
        Code::GrantNotAsked,
        Code::ConsentNeeded,
        Code::InvalidLock,
    ];

    fn read(input: &mut Input) -> Result<Self, ApiError> {
        grants::check(input)?;
        Ok(Self { consent: input.take_body()?, name: input.require("name")? })
    }
}
