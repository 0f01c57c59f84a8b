//! Plugins that are ready to run, kept in memory.
//!
//! The database says what is installed; what is kept here is only saved work, and is made again
//! whenever the two differ. The revision of the plugins tells whether they may.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use apflow_model::plugin::{Plugin, World};
use apflow_sandbox::Linked;
use apflow_store::PluginRevision;
use jsonschema::Validator;

use crate::builtin::Builtin;
use crate::error::EngineError;
use crate::schema;

/// How long what was heard of the revision holds. Each claim tells it, and there is one a second at
/// least where tasks run.
const HEARD_MAX: Duration = Duration::from_secs(2);

/// A plugin that is ready to run.
pub(crate) struct ReadyPlugin {
    /// What is installed.
    pub(crate) plugin: Plugin,
    /// Its linked code.
    pub(crate) program: Linked,
    /// What its inputs must match.
    pub(crate) input: Validator,
    /// What its outputs must match.
    pub(crate) output: Validator,
}

impl ReadyPlugin {
    /// Whether a task of it can do something that is seen outside of the host before it has ended,
    /// by itself or by what takes its place.
    pub(crate) fn acts_outside(&self) -> bool {
        let has_fallback = self.plugin.tool.as_ref().is_some_and(|tool| tool.fallback.is_some());
        has_fallback || self.plugin.manifest.capabilities.reach_outside()
    }

    /// Whether a task of it can be told to wait before it does: raw sockets are not.
    pub(crate) fn can_wait_outside(&self) -> bool {
        self.plugin.manifest.capabilities.sockets.is_empty()
    }

    pub(crate) fn new(plugin: Plugin, program: Linked) -> Result<Self, EngineError> {
        let name = &plugin.manifest.name;
        let input = schema::compile(name, "input", &plugin.descriptor.input_schema)?;
        let output = schema::compile(name, "output", &plugin.descriptor.output_schema)?;
        Ok(Self { plugin, program, input, output })
    }
}

/// The looks at one plugin in the database, which those who ask at once share.
#[derive(Default)]
pub(crate) struct Lookup {
    /// How often somebody asked or looked: the later a number, the later it was.
    turns: AtomicU64,
    /// What the last look found. Held while somebody looks.
    pub(crate) seen: tokio::sync::Mutex<Seen>,
}

/// What a look in the database found.
#[derive(Default)]
pub(crate) struct Seen {
    /// The turn at which it began.
    pub(crate) begun: u64,
    /// None when there is no such plugin.
    pub(crate) ready: Option<Arc<ReadyPlugin>>,
}

impl Lookup {
    /// Takes a number.
    pub(crate) fn ask(&self) -> u64 {
        self.turns.fetch_add(1, Ordering::Relaxed) + 1
    }
}

impl Seen {
    /// What was found, when the look began after this turn.
    pub(crate) fn since(&self, asked: u64) -> Option<Arc<ReadyPlugin>> {
        self.ready.clone().filter(|_| self.begun > asked)
    }
}

/// The plugins that are ready, and those that came with the host.
pub(crate) struct Registry {
    pub(crate) builtins: Vec<Builtin>,
    ready: Mutex<HashMap<String, Kept>>,
    heard: Mutex<Option<Heard>>,
    lookups: Mutex<HashMap<String, Arc<Lookup>>>,
    /// Held while a plugin is made ready, so that many tasks of a new one compile it once.
    pub(crate) making: tokio::sync::Mutex<()>,
}

/// A plugin as it was when somebody looked last.
struct Kept {
    ready: Arc<ReadyPlugin>,
    /// None when nobody has looked since it was put.
    revision: Option<PluginRevision>,
}

/// The newest revision that is known.
struct Heard {
    revision: PluginRevision,
    at: Instant,
}

impl Registry {
    pub(crate) fn new(builtins: Vec<Builtin>) -> Self {
        Self {
            builtins,
            ready: Mutex::default(),
            heard: Mutex::default(),
            lookups: Mutex::default(),
            making: tokio::sync::Mutex::default(),
        }
    }

    /// Where those meet who look for one plugin. There is one for each name that was ready once.
    pub(crate) fn lookup(&self, name: &str) -> Arc<Lookup> {
        let mut lookups = self.lookups.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lookup) = lookups.get(name) {
            return Arc::clone(lookup);
        }
        let lookup = Arc::new(Lookup::default());
        if self.lock().contains_key(name) {
            lookups.insert(name.to_owned(), Arc::clone(&lookup));
        }
        lookup
    }

    pub(crate) fn put(&self, ready: ReadyPlugin) -> Arc<ReadyPlugin> {
        let ready = Arc::new(ready);
        let name = ready.plugin.manifest.name.clone();
        self.lock().insert(name, Kept { ready: Arc::clone(&ready), revision: None });
        ready
    }

    /// Hears what the revision is.
    pub(crate) fn hear(&self, revision: PluginRevision) {
        let heard = Heard { revision, at: Instant::now() };
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(heard);
    }

    /// The revision, if it was heard of late.
    pub(crate) fn newest(&self) -> Option<PluginRevision> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.as_ref().filter(|heard| heard.at.elapsed() < HEARD_MAX).map(|heard| heard.revision)
    }

    /// A plugin that is known to be as it was at this revision.
    pub(crate) fn find_at(&self, name: &str, at: PluginRevision) -> Option<Arc<ReadyPlugin>> {
        let ready = self.lock();
        let kept = ready.get(name).filter(|kept| kept.revision == Some(at));
        kept.map(|kept| Arc::clone(&kept.ready))
    }

    /// What kind of program was ready under a name last, without a look in the database.
    pub(crate) fn world(&self, name: &str) -> Option<World> {
        self.lock().get(name).map(|kept| kept.ready.plugin.world)
    }

    pub(crate) fn forget(&self, name: &str) {
        self.lock().remove(name);
    }

    /// What is installed, if it is what is ready: as of the revision at which it was found.
    pub(crate) fn find(
        &self,
        installed: &Plugin,
        revision: PluginRevision,
    ) -> Option<Arc<ReadyPlugin>> {
        let mut ready = self.lock();
        let kept = ready.get_mut(&installed.manifest.name)?;
        if kept.ready.plugin != *installed {
            return None;
        }
        kept.revision = Some(revision);
        Some(Arc::clone(&kept.ready))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Kept>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
