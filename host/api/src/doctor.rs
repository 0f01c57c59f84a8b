//! `host.examine`: proves what should be true of the host, and repairs what is not.

use std::sync::Arc;

use apflow_engine::{Diagnosis, Engine};
use apflow_model::access::{Permission, Principal};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::body::Body;
use crate::code::Code;
use crate::error::ApiError;
use crate::operation::Operation;
use crate::remote::{Input, Method, Remote};

/// Examines the database and the files of the host. It reads all there is, so it is not for every
/// minute.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ExamineHost {
    /// Whether what can be repaired is.
    #[serde(rename = "repair")]
    pub is_repair: bool,
}

impl Operation for ExamineHost {
    const NAME: &'static str = "host.examine";
    const PERMISSION: Permission = Permission::HostManage;
    type Output = Diagnosis;

    fn target(&self) -> Option<String> {
        None
    }

    async fn run(self, engine: &Arc<Engine>, _: &Principal) -> Result<Diagnosis, ApiError> {
        Ok(engine.examine(self.is_repair).await?)
    }
}

impl Remote for ExamineHost {
    const METHOD: Method = Method::Post;
    const PATH: &'static str = "/api/v1/doctor";
    const BODY: Body = Body::Fields(&["repair"]);
    const ERRORS: &'static [Code] = &[Code::DataDirUnusable];

    fn read(input: &mut Input) -> Result<Self, ApiError> {
        let Some(body) = input.body.take() else { return Ok(Self::default()) };
        let invalid = |error| ApiError::InvalidRequest(format!("the body is not valid: {error}"));
        serde_json::from_value(body).map_err(invalid)
    }
}
