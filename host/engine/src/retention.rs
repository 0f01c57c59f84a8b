//! Removes what is over: jobs, uploads and checkpoints that were kept long enough, and what somebody
//! wants to be rid of now.
//!
//! Rows go first and files after them: what a crash leaves in between has no row, and is swept when
//! a host starts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use apflow_model::clock::Timestamp;
use apflow_model::id::JobId;
use apflow_model::state::JobState;
use apflow_model::visible::Visible;
use apflow_store::{CHARGES_PER_PURGE_MAX, Purge, Slice};

use crate::engine::Engine;
use crate::error::{EngineError, chain};
use crate::files::on_disk;

/// How often to look for what was kept long enough.
pub(crate) const LOOK_EVERY: Duration = Duration::from_mins(10);

/// How long to rest after a slice, as a multiple of what it took: others write meanwhile.
const REST_PER_WORK: u32 = 4;

/// The states in which a job has ended.
const ENDS: [JobState; 3] = [JobState::Completed, JobState::Failed, JobState::Cancelled];

impl Engine {
    /// Removes a job that has ended, with its tasks, events, outputs and files.
    ///
    /// Nobody sees the job from the first commit on, whatever cuts the rest short: that goes later.
    /// False when there is no such job that is seen.
    ///
    /// # Errors
    ///
    /// [`EngineError::JobNotEnded`], and nothing is removed; [`EngineError::Store`] and
    /// [`EngineError::DataDir`].
    pub async fn purge(&self, job: JobId, visible: Visible<'_>) -> Result<bool, EngineError> {
        if !self.sees_job(job, visible).await? {
            return Ok(false);
        }
        match self.store.purge_job(job, self.now()).await? {
            Purge::Begun => {
                self.newcomers.forget();
                self.remove_marked(Some(job)).await?;
                Ok(true)
            }
            Purge::NotEnded(state) => Err(EngineError::JobNotEnded { job, state }),
            Purge::Unknown => Ok(false),
        }
    }

    /// Removes every job that ended in `state`, or in any way if that is None, before `before`.
    /// Returns how many there were.
    ///
    /// # Errors
    ///
    /// [`EngineError::Store`] and [`EngineError::DataDir`]. Some may be removed then.
    pub async fn purge_before(
        &self,
        state: Option<JobState>,
        before: Timestamp,
    ) -> Result<u64, EngineError> {
        let mut count = 0;
        for end in ENDS.into_iter().filter(|end| state.is_none_or(|state| state == *end)) {
            loop {
                let marked = self.store.purge_ended(end, before, self.now()).await?;
                if marked == 0 {
                    break;
                }
                self.newcomers.forget();
                count += marked;
                self.remove_marked(None).await?;
            }
        }
        Ok(count)
    }

    /// Removes what was kept long enough.
    pub(crate) async fn retain(&self) {
        if let Err(error) = self.try_to_retain().await {
            tracing::error!(error = chain(&error), "what is over could not be removed");
        }
    }

    async fn try_to_retain(&self) -> Result<(), EngineError> {
        // What an earlier process marked and did not come to remove.
        self.remove_marked(None).await?;
        let (retention, now) = (self.live().retention, self.now());
        let mut jobs = 0;
        for end in ENDS {
            if let Some(before) = retention.of_jobs(end).since(now) {
                jobs += self.purge_before(Some(end), before).await?;
            }
        }
        let mut uploads = 0;
        if let Some(before) = retention.uploads_days.since(now) {
            uploads = self.remove_uploads(before).await?;
        }
        let mut charges = 0;
        if let Some(before) = retention.charges_days.since(now) {
            charges = self.forget_charges(before).await?;
        }
        let results = self.forget_results().await?;
        self.forget_audit().await?;
        let tokens = self.forget_tokens().await?;
        let mut checkpoints = 0;
        if let Some(kept) = retention.checkpoints_hours.span() {
            checkpoints = self.drop_checkpoints(now.before(kept)).await?;
        }
        if jobs + uploads + checkpoints + charges + results + tokens > 0 {
            tracing::info!(
                jobs,
                uploads,
                checkpoints,
                charges,
                results,
                tokens,
                "removed what was kept long enough"
            );
        }
        while self.slice(self.store.give_back_pages()).await? > 0 {}
        Ok(())
    }

    /// Removes charges from before a moment, slice by slice.
    async fn forget_charges(&self, before: Timestamp) -> Result<u64, EngineError> {
        let mut count = 0;
        loop {
            let removed = self.slice(self.store.purge_charges(before)).await?;
            count += removed;
            if removed < u64::from(CHARGES_PER_PURGE_MAX) {
                return Ok(count);
            }
        }
    }

    /// Removes the rows and then the files of jobs that are marked: of `only`, or of all.
    async fn remove_marked(&self, only: Option<JobId>) -> Result<(), EngineError> {
        loop {
            let Slice { jobs, is_last, .. } = self.slice(self.store.purge_slice(only)).await?;
            if !jobs.is_empty() {
                let files = Arc::clone(&self.files);
                on_disk(move || jobs.into_iter().try_for_each(|job| files.forget_job(job))).await?;
            }
            if is_last {
                return Ok(());
            }
        }
    }

    async fn remove_uploads(&self, before: Timestamp) -> Result<u64, EngineError> {
        let mut count = 0;
        loop {
            // The same bytes cannot come again between the end of their row and that of their file.
            let turn = self.uploading.write().await;
            let removed = self.store.remove_uploads(before).await?;
            if removed.uploads == 0 {
                return Ok(count);
            }
            count += removed.uploads;
            let files = Arc::clone(&self.files);
            let forget = move || removed.unused.iter().try_for_each(|one| files.forget_upload(one));
            on_disk(forget).await?;
            drop(turn);
        }
    }

    async fn forget_audit(&self) -> Result<(), EngineError> {
        let Some(before) = self.settings.audit.days.since(self.now()) else { return Ok(()) };
        while self.slice(self.store.forget_audit(before)).await? > 0 {}
        Ok(())
    }

    async fn drop_checkpoints(&self, before: Timestamp) -> Result<u64, EngineError> {
        let mut count = 0;
        loop {
            let dropped = self.slice(self.store.drop_checkpoints(before)).await?;
            if dropped == 0 {
                return Ok(count);
            }
            count += dropped;
        }
    }

    /// Does one slice, and rests then.
    async fn slice<T>(
        &self,
        work: impl Future<Output = Result<T, apflow_store::StoreError>>,
    ) -> Result<T, EngineError> {
        let start = Instant::now();
        let done = work.await?;
        tokio::time::sleep(start.elapsed() * REST_PER_WORK).await;
        Ok(done)
    }
}
