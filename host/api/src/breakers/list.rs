//! `breakers.list`: what is left alone, and what has failed of late.

use std::sync::Arc;

use apflow_engine::{Engine, ListedBreaker};
use apflow_model::access::{Permission, Principal};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::ApiError;
use crate::operation::Operation;
use crate::page::Page;
use crate::remote::{Input, Method, Remote};

/// Lists the breakers that are open or have counted failures, by key. All others are closed.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct ListBreakers {
    /// Which page.
    #[serde(flatten)]
    pub page: Page<String, 1_000>,
}

/// The breakers.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct BreakerList {
    /// By key.
    pub breakers: Vec<ListedBreaker>,
    /// What to send as `cursor` for the next page. Null on the last one.
    #[serde(default)]
    pub cursor: Option<String>,
}

impl Operation for ListBreakers {
    const NAME: &'static str = "breakers.list";
    const PERMISSION: Permission = Permission::JobsRead;
    type Output = BreakerList;

    fn target(&self) -> Option<String> {
        None
    }

    async fn run(self, engine: &Arc<Engine>, _: &Principal) -> Result<BreakerList, ApiError> {
        let (breakers, cursor) =
            self.page.cut(engine.list_breakers().await?, |one| one.key.to_string())?;
        Ok(BreakerList { breakers, cursor })
    }
}

impl Remote for ListBreakers {
    const METHOD: Method = Method::Get;
    const PATH: &'static str = "/api/v1/breakers";

    fn read(input: &mut Input) -> Result<Self, ApiError> {
        Ok(Self { page: Page::read(input)? })
    }
}
