//! Examines a host: its database, and whether the files of its data directory are those of its rows.
//!
//! It reads while others work. A file is in place before its row is there, and goes after it, so what
//! could be on its way is no finding.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use apflow_model::clock::{Clock, Timestamp};
use apflow_model::doctor::{EXAMPLES_MAX, Figures, Finding, Repair};
use apflow_model::id::{JobId, TaskId};
use apflow_model::plugin::Digest;
use apflow_store::Examination;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clock::SystemClock;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::files::on_disk;
use crate::lock;

/// How long ago the bytes of an upload must have come to be found without a row: it gets its row
/// right after its last byte.
const ON_ITS_WAY_MAX: Duration = Duration::from_mins(10);

/// How long to wait before looking again at what seems to be wrong: it may be on its way.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// How far the clock of this machine may be from that of the database.
const CLOCK_OFF_MAX: Duration = Duration::from_secs(5);

/// How often repairs are made: one may bring to light what another can repair.
const ROUNDS_MAX: usize = 4;

/// What an examination of a host says.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Diagnosis {
    /// Whether nothing is wrong.
    pub healthy: bool,
    /// The name of every check that was made.
    pub checks: Vec<Cow<'static, str>>,
    /// What is wrong, after the repairs.
    pub findings: Vec<Finding>,
    /// What was repaired.
    pub repairs: Vec<Repair>,
    /// The data directory.
    pub data_dir: String,
    /// The process that runs its tasks, where the system tells.
    pub held_by: Option<u32>,
    /// What there is in the database.
    pub figures: Figures,
    /// What the clock of the host said at the end.
    pub examined_at: Timestamp,
}

/// A check of files, and of what they say.
struct Check {
    name: &'static str,
    why: &'static str,
    remedy: &'static str,
    is_repairable: bool,
}

const FILE_WITHOUT_ROW: Check = Check {
    name: "file-without-row",
    why: "a kept file belongs to a task or an upload: without a row, nobody finds it, and it fills \
          the disk",
    remedy: "removes it",
    is_repairable: true,
};

const ROW_WITHOUT_FILE: Check = Check {
    name: "row-without-file",
    why: "what a completed task left, and what was uploaded, is there as long as its row",
    remedy: "the file was removed by hand, or is in the data directory of another host: restore it \
             from a backup, or remove the job",
    is_repairable: false,
};

const REFUSED_POLICIES: Check = Check {
    name: "refused-policies",
    why: "the newest `policies.yaml` is in force: else roles may do what they should not, or may not do \
          what they should",
    remedy: "correct the file: `apflow-host policies check` says when it is valid",
    is_repairable: false,
};

const PLUGIN_ALTERED: Check = Check {
    name: "plugin-altered",
    why: "an installed plugin, its compiled code and its grants are what was checked and consented to",
    remedy: "`apflow-host plugins verify` says of each what to do",
    is_repairable: false,
};

const CLOCK_OFF: Check = Check {
    name: "clock-off",
    why: "the clock of this machine agrees with that of the database to a few seconds: hosts agree on \
          when tasks are due, but tokens end by the clock of the machine",
    remedy: "have the machine set its clock, by `systemd-timesyncd` or `chrony`",
    is_repairable: false,
};

impl Check {
    fn report(&self, found: &[String]) -> Option<Finding> {
        (!found.is_empty()).then(|| Finding {
            check: self.name.into(),
            count: found.len() as u64,
            examples: found.iter().take(EXAMPLES_MAX).cloned().collect(),
            why: self.why.into(),
            remedy: self.remedy.into(),
            is_repairable: self.is_repairable,
        })
    }
}

/// Where files and rows differ.
#[derive(Default)]
struct Differences {
    /// What tasks left without a row that says so.
    tasks: BTreeSet<(JobId, TaskId)>,
    /// The bytes of no upload.
    uploads: BTreeSet<Digest>,
    /// The rows without their file, as they are shown.
    missing: BTreeSet<String>,
}

impl Differences {
    fn is_empty(&self) -> bool {
        self.tasks.is_empty() && self.uploads.is_empty() && self.missing.is_empty()
    }

    /// Those that were there before as well.
    fn and(self, before: &Self) -> Self {
        Self {
            tasks: &self.tasks & &before.tasks,
            uploads: &self.uploads & &before.uploads,
            missing: &self.missing & &before.missing,
        }
    }

    /// The files without a row, as they are shown.
    fn astray(&self) -> Vec<String> {
        let tasks = self.tasks.iter().map(|(job, task)| format!("files/{job}/{task}"));
        tasks.chain(self.uploads.iter().map(|digest| format!("uploads/{digest}"))).collect()
    }
}

impl Engine {
    /// Examines the host. With `repairs`, repairs what can be, and examines it again.
    ///
    /// # Errors
    ///
    /// [`EngineError::Store`] and [`EngineError::DataDir`] when either cannot be read or written.
    pub async fn examine(self: &Arc<Self>, repairs: bool) -> Result<Diagnosis, EngineError> {
        let mut diagnosis = self.look().await?;
        if !repairs {
            return Ok(diagnosis);
        }
        let mut made = Vec::new();
        for _ in 0..ROUNDS_MAX {
            let before = made.len();
            for finding in diagnosis.findings.iter().filter(|finding| finding.is_repairable) {
                let count = self.repair(&finding.check).await?;
                let (check, what) = (finding.check.clone(), finding.remedy.clone());
                made.extend((count > 0).then_some(Repair { check, count, what }));
            }
            if made.len() == before {
                break;
            }
            diagnosis = self.look().await?;
        }
        Ok(Diagnosis { repairs: made, ..diagnosis })
    }

    async fn look(self: &Arc<Self>) -> Result<Diagnosis, EngineError> {
        let Examination { checks, mut findings, figures } = self.store.examine().await?;
        let mut checks: Vec<Cow<'static, str>> = checks.into_iter().map(Cow::from).collect();
        let differences = self.differences().await?;
        let missing: Vec<String> = differences.missing.iter().cloned().collect();
        for (check, found) in [
            (FILE_WITHOUT_ROW, differences.astray()),
            (ROW_WITHOUT_FILE, missing),
            (REFUSED_POLICIES, self.policy_troubles()),
            (PLUGIN_ALTERED, self.altered_plugins().await?),
            (CLOCK_OFF, self.clock_off().await?),
        ] {
            checks.push(check.name.into());
            findings.extend(check.report(&found));
        }
        Ok(Diagnosis {
            healthy: findings.is_empty(),
            checks,
            findings,
            repairs: Vec::new(),
            data_dir: self.files.path.display().to_string(),
            held_by: lock::holder(&self.files.root),
            figures,
            examined_at: SystemClock.now(),
        })
    }

    async fn repair(&self, check: &str) -> Result<u64, EngineError> {
        if check != FILE_WITHOUT_ROW.name {
            return Ok(self.store.repair(check, self.now()).await?);
        }
        let Differences { tasks, uploads, .. } = self.differences().await?;
        let count = tasks.len() + uploads.len();
        let files = Arc::clone(&self.files);
        on_disk(move || {
            tasks.iter().try_for_each(|(job, task)| files.forget(*job, *task))?;
            uploads.iter().try_for_each(|digest| files.forget_upload(digest))
        })
        .await?;
        Ok(count as u64)
    }

    /// How far the clock of this machine is from that of the database, when it is too far.
    async fn clock_off(&self) -> Result<Vec<String>, EngineError> {
        let before = SystemClock.now();
        let Some(told) = self.store.server_time().await? else { return Ok(Vec::new()) };
        let after = SystemClock.now();
        // It was told between the two.
        let ahead = before.since(told).max(told.since(after));
        let is_off = ahead > CLOCK_OFF_MAX;
        Ok(is_off.then(|| format!("{} s", ahead.as_secs())).into_iter().collect())
    }

    /// Where files and rows differ, and still do a moment later.
    async fn differences(&self) -> Result<Differences, EngineError> {
        let first = self.compare().await?;
        if first.is_empty() {
            return Ok(first);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
        Ok(self.compare().await?.and(&first))
    }

    /// Where files and rows differ at this moment, in which either may be on its way.
    async fn compare(&self) -> Result<Differences, EngineError> {
        let files = Arc::clone(&self.files);
        let (kept, uploaded) = on_disk(move || Ok((files.kept()?, files.uploaded()?))).await?;
        let (tasks, digests) =
            (self.store.tasks_with_files().await?, self.store.uploaded_digests().await?);
        let mut differences = Differences::default();
        for (job, task) in &kept {
            // What an attempt leaves is in place before it is settled.
            if !tasks.contains(task) && !self.store.may_leave_files(*task).await? {
                differences.tasks.insert((*job, *task));
            }
        }
        let is_astray =
            |(digest, age): &&(Digest, _)| !digests.contains(digest) && *age > ON_ITS_WAY_MAX;
        differences.uploads.extend(uploaded.iter().filter(is_astray).map(|(digest, _)| *digest));
        let there: HashSet<TaskId> = kept.into_iter().map(|(_, task)| task).collect();
        let bytes: HashSet<Digest> = uploaded.into_iter().map(|(digest, _)| digest).collect();
        let tasks = tasks.difference(&there).map(|task| format!("a file of {task}"));
        let uploads = digests.difference(&bytes).map(|digest| format!("an upload of {digest}"));
        differences.missing.extend(tasks.chain(uploads));
        Ok(differences)
    }
}
