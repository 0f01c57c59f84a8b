//! `schedules.put`: makes a schedule, or writes one anew.

use std::sync::Arc;

use apflow_engine::{Engine, PutSchedule as Put};
use apflow_model::access::{Permission, Principal};
use apflow_model::capability::Grant;
use apflow_model::job::JobSpec;
use apflow_model::schedule::{Schedule, ScheduleSpec};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde_json::{Value, json};

use super::owner;
use crate::body::Body;
use crate::code::Code;
use crate::error::ApiError;
use crate::grants::{self, GrantLines};
use crate::operation::Operation;
use crate::remote::{Input, Method, Remote};

/// Makes a schedule, or writes one anew: its history goes on.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PutSchedule {
    /// Its name.
    pub name: String,
    /// What it does and when, as JSON.
    #[schemars(schema_with = "spec")]
    pub spec: Value,
    /// What the operator allows its jobs alone, a `KIND=VALUE` a line. Only for callers that may manage
    /// plugins.
    #[serde(serialize_with = "grants::lines")]
    #[schemars(with = "Option<GrantLines>")]
    pub grants: Vec<Grant>,
}

/// Its schedule has a job, which lists of schedules leave out.
fn spec(generator: &mut SchemaGenerator) -> Schema {
    let mut spec = ScheduleSpec::json_schema(generator);
    let job = generator.subschema_for::<JobSpec>();
    spec.insert("required".to_owned(), json!(["cron", "job"]));
    if let Some(place) = spec.pointer_mut("/properties/job") {
        *place = job.to_value();
    }
    spec
}

impl Operation for PutSchedule {
    const NAME: &'static str = "schedules.put";
    const PERMISSION: Permission = Permission::JobsSubmit;
    type Output = Schedule;

    fn target(&self) -> Option<String> {
        Some(self.name.clone())
    }

    async fn run(self, engine: &Arc<Engine>, caller: &Principal) -> Result<Schedule, ApiError> {
        let permission = Permission::PluginsManage;
        if !self.grants.is_empty() && !caller.may(permission) {
            return Err(ApiError::Forbidden { operation: "granting capabilities", permission });
        }
        let Self { name, spec, grants } = self;
        let put = Put { name, spec, principal: caller.clone(), grants };
        Ok(engine.put_schedule(put, owner(caller)).await?)
    }
}

impl Remote for PutSchedule {
    const METHOD: Method = Method::Put;
    const PATH: &'static str = "/api/v1/schedules/{name}";
    const BODY: Body = Body::Whole("spec");
    const ERRORS: &'static [Code] = &[
        Code::ComponentRefused,
        Code::ToolBlocked,
        Code::InvalidSchedule,
        Code::InvalidJob,
        Code::InvalidInput,
        Code::UnknownExecutor,
        Code::InvalidGrant,
        Code::GrantNotAsked,
        Code::ScheduleTaken,
    ];

    fn read(input: &mut Input) -> Result<Self, ApiError> {
        let missing = || ApiError::InvalidRequest("a schedule is expected as the body".to_owned());
        let spec = input.body.take().ok_or_else(missing)?;
        let grants = grants::take(input)?;
        Ok(Self { name: input.require("name")?, spec, grants })
    }
}
