//! A scripted host: plugin logic runs under plain `cargo test`, without WebAssembly.
//!
//! A [`Host`] holds what the plugin will find (answers, checkpoints, a budget, a deadline) and
//! records what it does. Its clock is virtual: it moves only while an executor waits, so a test of
//! a slow server takes no time and [`Host::elapsed`] shows what overlapped.
//!
//! It does not enforce grants and limits: those are the real host's, and its tests'.
//!
//! ```
//! use apflow_sdk::{Fault, JsonSchema, control, http, schemars};
//! use apflow_sdk::testing::{Answer, Host};
//!
//! #[derive(serde::Deserialize, JsonSchema)]
//! struct Input {
//!     url: String,
//! }
//!
//! async fn fetch(input: Input) -> Result<String, Fault> {
//!     control::check()?;
//!     Ok(http::Request::get(input.url).send_async().await?.text())
//! }
//!
//! let host = Host::new().expect("GET", "https://example.com/", Answer::text(200, "hello"));
//! assert_eq!(host.run(fetch, r#"{"url": "https://example.com"}"#).unwrap().output, "hello");
//! assert_eq!(host.requests().len(), 1);
//!
//! let fault = Host::new().run(fetch, r#"{"url": 7}"#).unwrap_err();
//! assert!(matches!(fault, Fault::InvalidInput(text) if text.starts_with("`url`: ")));
//! ```

use std::fmt::Display;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::backend::checkpoint::Error as Refused;
use crate::backend::dial::{Dialed, Error as Undialed};
pub use crate::backend::script::{Answer, Peer, Sent};
use crate::backend::script::{Expected, Script, Written};
use crate::checkpoint::Saved;
use crate::entry::{self, Executor};
use crate::trace::Lines;
use crate::{Fault, Outcome, Task, Usage, backend, budget::Tokens, checkpoint, dial, log};

/// How many connections a host allows whose manifest says nothing else.
const CONNECTIONS_MAX: u64 = 16;

/// A host that follows a script. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Host {
    script: Script,
}

/// A line that the plugin wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// How much it matters.
    pub level: log::Level,
    /// Its text.
    pub message: String,
    /// Its named values.
    pub fields: Vec<(String, String)>,
}

impl From<&Written> for Line {
    fn from(line: &Written) -> Self {
        let level = match line.level {
            backend::log::Level::Trace => log::Level::Trace,
            backend::log::Level::Debug => log::Level::Debug,
            backend::log::Level::Info => log::Level::Info,
            backend::log::Level::Warn => log::Level::Warn,
            backend::log::Level::Error => log::Level::Error,
        };
        let fields = line.fields.iter().map(|field| (field.name.clone(), field.value.clone()));
        Self { level, message: line.message.clone(), fields: fields.collect() }
    }
}

/// A host that is installed until this is dropped.
#[derive(Debug)]
#[must_use = "the host is gone once this is dropped"]
pub struct Installed(());

impl Drop for Installed {
    fn drop(&mut self) {
        Script::uninstall();
    }
}

/// What the plugin will find.
impl Host {
    /// Makes a host without answers, checkpoints and budget. The deadline is five minutes away.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the task that [`run`](Self::run) hands to the executor.
    #[must_use]
    pub fn task(self, task: Task) -> Self {
        self.script.state().task = task;
        self
    }

    /// Sets how long the attempt may run, in virtual time.
    #[must_use]
    pub fn deadline(self, deadline: Duration) -> Self {
        self.script.state().deadline = deadline;
        self
    }

    /// Gives the task a budget of `tokens`.
    #[must_use]
    pub fn budget(self, tokens: u64) -> Self {
        self.script.state().left = Some(tokens);
        self
    }

    /// Lets a cost policy forbid every call of a model, for this reason.
    #[must_use]
    pub fn blocked(self, reason: &str) -> Self {
        self.script.state().blocked = Some(reason.to_owned());
        self
    }

    /// Lets a cost policy name this model for every call.
    #[must_use]
    pub fn downgraded_to(self, model: &str) -> Self {
        self.script.state().downgraded = Some(model.to_owned());
        self
    }

    /// Cancels the task before it starts.
    #[must_use]
    pub fn cancelled(self) -> Self {
        self.cancelled_after(Duration::ZERO)
    }

    /// Cancels the task once `elapsed` of virtual time has passed.
    #[must_use]
    pub fn cancelled_after(self, elapsed: Duration) -> Self {
        self.script.state().cancelled_at = Some(elapsed);
        self
    }

    /// Adds a checkpoint of an earlier attempt, as [`checkpoint::save`] writes it.
    ///
    /// # Panics
    ///
    /// When `value` has no JSON form.
    #[must_use]
    #[expect(clippy::panic, reason = "a mistake in a test's script fails the test")]
    pub fn checkpoint(self, step: &str, value: &(impl Serialize + ?Sized)) -> Self {
        match serde_json::to_vec(value) {
            Ok(bytes) => self.checkpoint_bytes(step, bytes),
            Err(error) => panic!("checkpoint `{step}` has no JSON form: {error}"),
        }
    }

    /// Adds a checkpoint of an earlier attempt, as [`checkpoint::save_bytes`] writes it.
    #[must_use]
    pub fn checkpoint_bytes(self, step: &str, value: impl Into<Vec<u8>>) -> Self {
        let (step, value) = (step.to_owned(), value.into());
        let saved = backend::checkpoint::Saved { step, attempt: 0, value };
        self.script.state().checkpoints.push(saved);
        self
    }

    /// Grants a secret. `placeholder` is what the plugin gets of it.
    #[must_use]
    pub fn secret(self, name: &str, placeholder: &str) -> Self {
        self.script.state().secrets.insert(name.to_owned(), placeholder.to_owned());
        self
    }

    /// Refuses every checkpoint with `error`.
    ///
    /// # Panics
    ///
    /// When `error` is [`NotReadable`](checkpoint::Error::NotReadable), which no host ever says:
    /// [`checkpoint_bytes`](Self::checkpoint_bytes) adds a checkpoint that cannot be read.
    #[must_use]
    #[expect(clippy::panic, reason = "a mistake in a test's script fails the test")]
    pub fn refuse_checkpoints(self, error: checkpoint::Error) -> Self {
        let refused = match error {
            checkpoint::Error::TooLarge { bytes_max } => Refused::TooLarge(bytes_max),
            checkpoint::Error::TooMany { count_max } => Refused::TooMany(count_max),
            checkpoint::Error::Fenced => Refused::Fenced,
            checkpoint::Error::Unavailable(reason) => Refused::Unavailable(reason),
            checkpoint::Error::NotReadable(_) => {
                panic!("no host refuses by `NotReadable`: add unreadable bytes as a checkpoint")
            }
        };
        self.script.state().refused = Some(refused);
        self
    }

    /// Expects one request and says how it is answered.
    ///
    /// `url` is compared with what is truly sent, query included. Several expectations of the same
    /// request are used in their order; others may be met in any order.
    #[must_use]
    pub fn expect(self, method: &str, url: &str, answer: Answer) -> Self {
        let expected = Expected { method: method.to_owned(), url: url.to_owned(), answer };
        self.script.state().expected.push(expected);
        self
    }

    /// Expects one connection, and says who is on the other side.
    #[must_use]
    pub fn expect_dial(self, host: &str, port: u16, peer: Peer) -> Self {
        self.dialed(host, port, Ok(peer))
    }

    /// Expects one connection, and does not let it come about. The texts of `error` reach the plugin
    /// in the words of the host.
    #[must_use]
    pub fn refuse_dial(self, host: &str, port: u16, error: dial::Error) -> Self {
        let refused = match error {
            dial::Error::Denied(text) => Undialed::Denied(text),
            dial::Error::Dns(_) => Undialed::Dns,
            dial::Error::Refused(_) => Undialed::Refused,
            dial::Error::TimedOut(_) => Undialed::TimedOut,
            dial::Error::Tls(text) => Undialed::Tls(text),
            dial::Error::TooMany(_) => Undialed::TooMany(CONNECTIONS_MAX),
        };
        self.dialed(host, port, Err(refused))
    }

    fn dialed(self, host: &str, port: u16, peer: Result<Peer, Undialed>) -> Self {
        let dialed = Dialed { host: host.to_owned(), port, peer, is_used: false };
        self.script.state().dialed.push(dialed);
        self
    }
}

/// Running plugin code.
impl Host {
    /// Runs an executor the way the component does: from JSON text to JSON text.
    ///
    /// `input` is JSON text or a [`serde_json::Value`].
    ///
    /// # Errors
    ///
    /// The fault of the executor; [`Fault::InvalidInput`] when `input` does not fit.
    ///
    /// # Panics
    ///
    /// When the executor sends a request that was not [`expect`](Self::expect)ed.
    #[expect(clippy::needless_pass_by_value, reason = "`run(function, …)` reads like a call")]
    pub fn run<Form>(
        &self,
        executor: impl Executor<Form>,
        input: impl Display,
    ) -> Result<Outcome<Value>, Fault> {
        let task = self.script.state().task.clone();
        let input = input.to_string();
        let outcome = self.within(|| {
            tracing::subscriber::with_default(Lines, || entry::attempt(&executor, task, &input))
        })?;
        let output = serde_json::from_str(&outcome.output)?;
        Ok(Outcome { output, usage: outcome.usage })
    }

    /// Runs `work` with this host in place.
    pub fn within<R>(&self, work: impl FnOnce() -> R) -> R {
        let _installed = self.install();
        work()
    }

    /// Puts this host in place, on this thread, until the guard is dropped.
    pub fn install(&self) -> Installed {
        self.script.install();
        Installed(())
    }

    /// Cancels the task now.
    pub fn cancel(&self) {
        let mut script = self.script.state();
        script.cancelled_at = Some(script.now);
    }
}

/// What the plugin did.
impl Host {
    /// The requests that were sent, in order.
    pub fn requests(&self) -> Vec<Sent> {
        self.script.state().sent.clone()
    }

    /// The expected requests that were not sent, as `METHOD URL`.
    pub fn not_sent(&self) -> Vec<String> {
        let script = self.script.state();
        script.expected.iter().map(|one| format!("{} {}", one.method, one.url)).collect()
    }

    /// The expected connections that were not made, or not held to the end of what their peer had to
    /// say and to hear, as `HOST:PORT`.
    pub fn not_finished(&self) -> Vec<String> {
        let script = self.script.state();
        let is_open =
            |one: &&Dialed| !one.is_used || one.peer.as_ref().is_ok_and(|peer| !peer.is_done());
        let open = script.dialed.iter().filter(is_open);
        open.map(|one| format!("{}:{}", one.host, one.port)).collect()
    }

    /// The lines that were written.
    pub fn lines(&self) -> Vec<Line> {
        self.script.state().lines.iter().map(Line::from).collect()
    }

    /// The progress that was reported.
    pub fn progress(&self) -> Vec<(f64, String)> {
        self.script.state().progress.clone()
    }

    /// All checkpoints, oldest first; those that the script began with have attempt 0.
    pub fn checkpoints(&self) -> Vec<Saved> {
        self.script.state().checkpoints.iter().cloned().map(Saved::from).collect()
    }

    /// What was charged to the budget.
    pub fn spent(&self) -> Usage {
        self.script.state().spent
    }

    /// What is neither spent nor reserved.
    pub fn remaining(&self) -> Option<Tokens> {
        self.script.state().left.map(Tokens)
    }

    /// How much virtual time has passed.
    pub fn elapsed(&self) -> Duration {
        self.script.state().now
    }
}

/// The JSON Schema that the host will hold inputs of `I` to.
pub fn input_schema<I: JsonSchema>() -> Value {
    serde_json::from_str(&entry::input_schema::<I>()).unwrap_or_default()
}

/// The JSON Schema that the plugin promises for its output `O`.
pub fn output_schema<O: JsonSchema>() -> Value {
    serde_json::from_str(&entry::output_schema::<O>()).unwrap_or_default()
}
