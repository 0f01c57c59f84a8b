//! Hands ready tasks out, as many at once as may run.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use apflow_model::fair::Limits;
use apflow_model::fault::{Fault, FaultCode};
use apflow_model::id::TaskId;
use apflow_model::state::TaskState;
use apflow_model::trace::TARGET;
use apflow_sandbox::{Ended, Stop, StopReason};
use apflow_store::{Claimed, HandedOut, Places, SessionId, StoreError};
use tokio::sync::{Notify, OwnedSemaphorePermit, mpsc};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;
use tracing::Instrument;
use tracing::field::Empty;

use crate::eager::{Begun, Eager, Starter};
use crate::engine::{Dispatcher, Engine};
use crate::error::{EngineError, chain};
use crate::files::Kept;
use crate::lock::DispatchLock;
use crate::places::FreePlaces;
use crate::settle::Said;
use crate::{attempt, background, sessions, settle};

/// How often to look for work although nobody rang: another process may have submitted a job.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// The longest that stopped attempts may take to end. Guests end at once; what is left then waits
/// for the database.
const END_MAX: Duration = Duration::from_secs(2);
/// How old a file without a row must be to be swept where other hosts may be writing theirs.
const SWEPT_AFTER: Duration = Duration::from_hours(1);

impl Engine {
    /// Takes up what hosts left that are gone, and dispatches tasks from now on. `lock` proves that
    /// no other host does so on a database in a file; on a server any number may.
    ///
    /// # Errors
    ///
    /// [`EngineError::Store`] when the database fails, [`EngineError::DataDir`] when what an earlier
    /// process left cannot be removed.
    pub async fn start(self: &Arc<Self>, lock: Option<DispatchLock>) -> Result<(), EngineError> {
        let session = sessions::begin(self).await?;
        self.sweep().await?;
        self.breakers.start().await?;
        let stop = Arc::new(Notify::new());
        let running = tokio::spawn(run(Arc::clone(self), session, Arc::clone(&stop)));
        let background = background::start(self);
        *self.dispatcher.lock().await = Some(Dispatcher { stop, running, background });
        *self.lock.lock().await = lock;
        Ok(())
    }

    /// Removes the files that an earlier process left without a row. Where other hosts may be
    /// writing theirs, only what is old and of no attempt that runs.
    async fn sweep(&self) -> Result<(), EngineError> {
        let kept = Kept {
            running: self.store.running_tasks().await?,
            tasks: self.store.tasks_with_files().await?,
            uploads: self.store.uploaded_digests().await?,
            younger_than: self.store.is_shared().then_some(SWEPT_AFTER),
        };
        let files = Arc::clone(&self.files);
        let sweeping = tokio::task::spawn_blocking(move || files.sweep(&kept));
        let unusable = |source| EngineError::DataDir { what: "its files".to_owned(), source };
        sweeping.await?.map_err(unusable)
    }
}

/// Why a session hands nothing out any more.
#[derive(Clone, Copy)]
enum Over {
    /// The host is asked to stop.
    Stopped,
    /// Others may run its tasks.
    Lost,
}

/// Dispatches until `stop` is rung: in one session, or in another whenever one is lost.
async fn run(engine: Arc<Engine>, mut session: SessionId, stop: Arc<Notify>) {
    loop {
        let mut kept = sessions::keep(&engine, session);
        let mut running = Running::default();
        match dispatch(&engine, session, &mut running, &mut kept, &stop).await {
            Over::Stopped => {
                // Heartbeats go on while the last attempts end.
                running.end(&engine, engine.settings.grace).await;
                return give_back(&engine, session).await;
            }
            Over::Lost => {
                drop(kept);
                engine.stop_all(StopReason::LeaseLost);
                running.end(&engine, Duration::ZERO).await;
                // What nobody took up meanwhile was not lost by its own doing.
                give_back(&engine, session).await;
            }
        }
        tokio::select! {
            next = begin_again(&engine) => session = next,
            () = stop.notified() => return,
        }
    }
}

/// Hands tasks out for as long as the session lasts.
async fn dispatch(
    engine: &Arc<Engine>,
    session: SessionId,
    running: &mut Running,
    kept: &mut JoinSet<()>,
    stop: &Notify,
) -> Over {
    let places = Arc::new(FreePlaces::new(engine));
    let (begun, taken_over) = mpsc::unbounded_channel();
    let own = Arc::clone(&places);
    let place = Arc::new(move || own.take());
    let _open = Open::begin(engine, Starter { session, place, begun });
    let mut shift = Shift { engine, session, places, kept, stop, taken_over, over: None };
    let mut next = Next { is_eager: true, look_again: LOOK_AGAIN };
    loop {
        let handed_out = match running.settle_doubt(engine, session).await {
            Ok(()) => shift.claim(running, &next).await,
            Err(error) => Err(error),
        };
        match handed_out {
            Ok(handed_out) => {
                shift.places.claimed(handed_out.has_more);
                next = running.start_all(engine, handed_out);
            }
            Err(StoreError::SessionLost) => return Over::Lost,
            Err(error) => {
                tracing::error!(error = chain(&error), "no task could be claimed");
                running.is_in_doubt = true;
                next = Next { is_eager: true, look_again: LOOK_AGAIN };
                shift.rest().await;
            }
        }
        if let Some(over) = shift.over {
            return over;
        }
    }
}

/// Attempts may begin before they are stored, until this is dropped.
struct Open<'a>(&'a Engine);

impl<'a> Open<'a> {
    fn begin(engine: &'a Engine, starter: Starter) -> Self {
        *engine.starter() = Some(starter);
        Self(engine)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        *self.0.starter() = None;
    }
}

/// What the next claim begins with.
struct Next {
    /// Whether something may be ready already.
    is_eager: bool,
    /// How long until it looks for work although nobody said that there is any.
    look_again: Duration,
}

/// The time in which a session hands tasks out.
struct Shift<'a> {
    engine: &'a Arc<Engine>,
    session: SessionId,
    places: Arc<FreePlaces>,
    kept: &'a mut JoinSet<()>,
    stop: &'a Notify,
    /// Attempts that nobody claimed.
    taken_over: mpsc::UnboundedReceiver<Begun>,
    /// Why it ends.
    over: Option<Over>,
}

impl Shift<'_> {
    /// Claims what is ready, or becomes it.
    async fn claim(&mut self, running: &mut Running, next: &Next) -> Result<HandedOut, StoreError> {
        let store = &self.engine.store;
        let concurrency = Arc::clone(&self.engine.live().concurrency);
        let limits = Limits { concurrency, ..Limits::default() };
        let places = Arc::clone(&self.places) as Arc<dyn Places>;
        let mut claim = pin!(store.claim_when_ready(self.session, places, limits, next.is_eager));
        let mut look_again = Instant::now() + next.look_again;
        loop {
            tokio::select! {
                handed_out = &mut claim => return handed_out,
                () = self.stop.notified(), if self.over.is_none() => self.over = Some(Over::Stopped),
                _ = self.kept.join_next(), if self.over.is_none() => self.over = Some(Over::Lost),
                () = self.engine.bell.notified() => store.claim_now(),
                () = tokio::time::sleep_until(look_again) => {
                    look_again += LOOK_AGAIN;
                    store.claim_now();
                }
                Some(begun) = self.taken_over.recv() => running.take_over(self.engine, begun),
                Some(ended) = running.attempts.join_next_with_id() => {
                    running.report(self.engine, ended).await;
                    store.place_is_free();
                }
            }
            if self.over.is_some() {
                // The claim is waited for: what it took meanwhile must not be held for nobody.
                self.places.close();
                store.claim_now();
            }
        }
    }

    /// Waits a little, unless it is over.
    async fn rest(&mut self) {
        if self.over.is_some() {
            return;
        }
        tokio::select! {
            () = self.stop.notified() => self.over = Some(Over::Stopped),
            _ = self.kept.join_next() => self.over = Some(Over::Lost),
            () = tokio::time::sleep(LOOK_AGAIN) => {}
        }
    }
}

/// Opens another session, as soon as the database can be written.
async fn begin_again(engine: &Engine) -> SessionId {
    loop {
        match sessions::begin(engine).await {
            Ok(session) => return session,
            Err(error) => tracing::error!(error = chain(&error), "no session could be opened"),
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Closes a session, and gives back what did not end in it: it runs again, and that is not held
/// against the task.
async fn give_back(engine: &Engine, session: SessionId) {
    match engine.store.close_session(session, engine.now()).await {
        Ok(given) if given.is_empty() => {}
        Ok(given) => {
            tracing::warn!(tasks = given.len(), "handed back tasks that did not end in time");
        }
        Err(error) => {
            tracing::error!(error = chain(&error), "unended tasks could not be handed back");
        }
    }
}

/// The attempts that run, and what each was claimed as.
#[derive(Default)]
struct Running {
    attempts: JoinSet<()>,
    claimed: HashMap<Id, Arc<Claimed>>,
    /// Whether a claim may have taken tasks whose names were lost with the answer.
    is_in_doubt: bool,
}

impl Running {
    /// Starts what was handed out, and tells those who wait for what it ended.
    fn start_all(&mut self, engine: &Arc<Engine>, handed_out: HandedOut) -> Next {
        engine.metrics.tasks_ended(TaskState::Failed, handed_out.expired.len());
        for expired in handed_out.expired {
            engine.hub.changed(expired.job);
        }
        for job in handed_out.parked {
            engine.hub.changed(job);
        }
        for (job, _) in handed_out.jobs_ended {
            engine.hub.ended(job);
        }
        for task in handed_out.tasks {
            self.start(engine, Arc::new(task));
        }
        engine.registry.hear(handed_out.plugins);
        let until_next = handed_out.next_run_at.map(|due| due.since(engine.now()));
        let look_again = until_next.unwrap_or(LOOK_AGAIN).min(LOOK_AGAIN);
        Next { is_eager: handed_out.has_more, look_again }
    }

    fn start(&mut self, engine: &Arc<Engine>, claimed: Arc<Claimed>) {
        let place = Arc::clone(&engine.places).try_acquire_owned().ok();
        let one = begin(engine, &claimed, (place, None));
        self.take_over(engine, (claimed, Box::pin(one)));
    }

    /// Takes an attempt over that is stored as running.
    fn take_over(&mut self, engine: &Engine, (claimed, running): Begun) {
        engine.hub.changed(claimed.job);
        self.claimed.insert(self.attempts.spawn(running).id(), claimed);
    }

    /// Waits for every attempt to end. Stops those that have not after `grace`, or when the end is
    /// hurried.
    async fn end(&mut self, engine: &Arc<Engine>, grace: Duration) {
        tokio::select! {
            () = self.all_ended(engine) => return,
            () = tokio::time::sleep(grace) => {}
            () = engine.drain.hurried() => {}
        }
        engine.stop_all(StopReason::HostClosing);
        if tokio::time::timeout(END_MAX, self.all_ended(engine)).await.is_err() {
            self.attempts.shutdown().await;
        }
    }

    /// Gives back what was claimed without an answer, so that it is not held for nobody.
    async fn settle_doubt(
        &mut self,
        engine: &Engine,
        session: SessionId,
    ) -> Result<(), StoreError> {
        if self.is_in_doubt {
            let kept = engine.running().keys().map(|(task, _)| *task).collect();
            let given = engine.store.give_back_all_but(session, kept, engine.now()).await?;
            if !given.is_empty() {
                tracing::warn!(tasks = given.len(), "handed back tasks of a claim without answer");
            }
            self.is_in_doubt = false;
        }
        Ok(())
    }

    /// Waits until every attempt has ended.
    async fn all_ended(&mut self, engine: &Arc<Engine>) {
        while let Some(ended) = self.attempts.join_next_with_id().await {
            self.report(engine, ended).await;
        }
    }

    /// Takes note that an attempt has ended.
    async fn report(&mut self, engine: &Arc<Engine>, ended: Result<(Id, ()), JoinError>) {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, ())| *id);
        let claimed = self.claimed.remove(&id);
        let (Err(error), Some(claimed)) = (ended, claimed) else { return };
        // What was aborted is handed back to the store.
        if error.is_panic() {
            tracing::error!(task = %claimed.task, %error, "the host failed in an attempt");
            let fault = Fault::new(FaultCode::Trapped, "the host failed while it ran the attempt");
            let ended = Ended::without_use(fault);
            settle::settle(engine, &claimed, ended, Said::default()).await;
        }
    }
}

/// An attempt, which is known as running from now on, until it has ended or is dropped.
pub(crate) fn begin(
    engine: &Arc<Engine>,
    claimed: &Arc<Claimed>,
    (place, eager): (Option<OwnedSemaphorePermit>, Option<Arc<Eager>>),
) -> impl Future<Output = ()> + Send + 'static {
    let (engine, claimed, stop) = (Arc::clone(engine), Arc::clone(claimed), Stop::new());
    let attempt = (claimed.task, claimed.attempt);
    engine.running().insert(attempt, stop.clone());
    let listed = Listed { engine: Arc::clone(&engine), attempt, stop: stop.clone() };
    let Claimed { job, task, attempt, executor, .. } = claimed.as_ref();
    // Whoever submitted it has perhaps ended long before: it stands below its job.
    let span = tracing::info_span!(
        target: TARGET, parent: None, "attempt", %job, %task, attempt, executor, fault = Empty,
    );
    // It is handed on from one to the next before it begins.
    let running = Box::pin(async move {
        engine.metrics.started(&claimed, engine.now());
        attempt::run(&engine, &claimed, stop, (place, eager)).await;
        drop(listed);
    });
    running.instrument(span)
}

/// Takes an attempt off the list of what is running, however it ends.
struct Listed {
    engine: Arc<Engine>,
    attempt: (TaskId, u32),
    stop: Stop,
}

impl Drop for Listed {
    fn drop(&mut self) {
        // Its guest may still run when nobody waits for it any more.
        self.stop.now(StopReason::HostClosing);
        self.engine.running().remove(&self.attempt);
    }
}
