//! The thread that ends the time slices of guests: every few milliseconds, and whenever one of them
//! is about to run out of time.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use wasmtime::{Engine, EngineWeak};

/// How often a running guest gives way to other tasks. It is also the backstop of whatever shall
/// end one.
pub(crate) const TICK: Duration = Duration::from_millis(2);

/// Ticks the epochs of engines until it is dropped.
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    ticked: Mutex<Ticked>,
    woken: Condvar,
}

#[derive(Default)]
struct Ticked {
    engines: Vec<EngineWeak>,
    /// Ticks between the regular ones: when, and of which engine.
    extra: Vec<(Instant, EngineWeak)>,
    is_stopped: bool,
}

impl Ticker {
    pub(crate) fn start() -> std::io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let ticked = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("epoch-ticker".into());
        let thread = thread.spawn(move || ticked.tick())?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Ticks an engine from now on.
    pub(crate) fn add(&self, engine: &Engine) {
        self.shared.lock().engines.push(engine.weak());
    }

    /// Ticks an engine once more, at this moment.
    pub(crate) fn tick_at(&self, at: Instant, engine: &Engine) {
        self.shared.lock().extra.push((at, engine.weak()));
        self.shared.woken.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Ticked> {
        self.ticked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tick(&self) {
        let mut ticked = self.lock();
        let mut regular = Instant::now() + TICK;
        while !ticked.is_stopped {
            let next = ticked.extra.iter().map(|(at, _)| *at).fold(regular, Instant::min);
            let now = Instant::now();
            if now < next {
                let woken = self.woken.wait_timeout(ticked, next - now);
                (ticked, _) = woken.unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            ticked.extra.retain(|(at, engine)| {
                let is_due = *at <= now;
                if is_due {
                    end_slices(engine);
                }
                !is_due
            });
            if regular <= now {
                ticked.engines.iter().for_each(end_slices);
                regular = now + TICK;
            }
        }
    }
}

fn end_slices(engine: &EngineWeak) {
    if let Some(engine) = engine.upgrade() {
        engine.increment_epoch();
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.lock().is_stopped = true;
        self.shared.woken.notify_one();
        if let Some(thread) = self.thread.take() {
            // The thread cannot panic, and nothing is left to be done if it did.
            drop(thread.join());
        }
    }
}
