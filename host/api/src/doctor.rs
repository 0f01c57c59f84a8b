//! `host.examine`: proves what should be true of the host, and repairs what is not.

use std::sync::Arc;

use apflow_engine::{Diagnosis, Engine};
use apflow_model::access::{Permission, Principal};

use crate::error::ApiError;
use crate::operation::Operation;

/// Examines the database and the files of the host. It reads all there is, so it is not for every
/// minute.
#[derive(Debug)]
pub struct ExamineHost {
    /// Whether what can be repaired is.
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
