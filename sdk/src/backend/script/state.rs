//! What a script holds: what the plugin will find, and what it did.

use std::collections::BTreeMap;
use std::task::Waker;
use std::time::Duration;

use super::answer::{Answer, Sent};
use super::dial::Dialed;
use crate::bindings::apflow::plugin::{checkpoint, log};
use crate::task::Task;
use crate::tokens::Usage;

const DEADLINE_DEFAULT: Duration = Duration::from_mins(5);

/// The world of one scripted attempt.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) task: Task,
    /// Virtual time since the attempt began.
    pub(crate) now: Duration,
    pub(crate) deadline: Duration,
    pub(crate) cancelled_at: Option<Duration>,
    /// Tokens that are neither spent nor reserved; none without a budget.
    pub(crate) left: Option<u64>,
    /// Why a cost policy forbids every call.
    pub(crate) blocked: Option<String>,
    /// The model that a cost policy names for every call.
    pub(crate) downgraded: Option<String>,
    pub(crate) spent: Usage,
    pub(crate) checkpoints: Vec<checkpoint::Saved>,
    pub(crate) refused: Option<checkpoint::Error>,
    /// By name, what the plugin gets of each secret.
    pub(crate) secrets: BTreeMap<String, String>,
    pub(crate) expected: Vec<Expected>,
    pub(crate) sent: Vec<Sent>,
    pub(crate) dialed: Vec<Dialed>,
    pub(crate) lines: Vec<Written>,
    pub(crate) progress: Vec<(f64, String)>,
    pub(crate) sleepers: Vec<Sleeper>,
}

/// A request that may come, once.
#[derive(Debug)]
pub(crate) struct Expected {
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) answer: Answer,
}

/// A line of the log.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) level: log::Level,
    pub(crate) message: String,
    pub(crate) fields: Vec<log::Field>,
}

/// A future that waits for the virtual clock.
#[derive(Debug)]
pub(crate) struct Sleeper {
    pub(crate) due: Duration,
    pub(crate) waker: Waker,
}

impl Default for State {
    fn default() -> Self {
        Self {
            task: Task {
                id: "t_test".to_owned(),
                job_id: "j_test".to_owned(),
                attempt: 1,
                idempotency_key: "t_test".to_owned(),
                model: None,
            },
            now: Duration::ZERO,
            deadline: DEADLINE_DEFAULT,
            cancelled_at: None,
            left: None,
            blocked: None,
            downgraded: None,
            spent: Usage::default(),
            checkpoints: Vec::new(),
            refused: None,
            secrets: BTreeMap::new(),
            expected: Vec::new(),
            sent: Vec::new(),
            dialed: Vec::new(),
            lines: Vec::new(),
            progress: Vec::new(),
            sleepers: Vec::new(),
        }
    }
}

impl State {
    /// Takes the answer of the first expectation that `sent` meets.
    ///
    /// # Errors
    ///
    /// A text for the test's author when there is none.
    pub(crate) fn answer(&mut self, sent: &Sent) -> Result<Answer, String> {
        let is_met = |one: &Expected| one.method == sent.method && one.url == sent.url;
        if let Some(index) = self.expected.iter().position(is_met) {
            return Ok(self.expected.remove(index).answer);
        }
        let known: Vec<String> =
            self.expected.iter().map(|one| format!("\n  {} {}", one.method, one.url)).collect();
        let known = if known.is_empty() { " nothing".to_owned() } else { known.concat() };
        Err(format!("nobody expected {} {}; still expected:{known}", sent.method, sent.url))
    }

    /// Moves the clock to the next moment that somebody waits for, and hands over who does.
    pub(crate) fn advance(&mut self) -> Vec<Waker> {
        let Some(next) = self.sleepers.iter().map(|sleeper| sleeper.due).min() else {
            return Vec::new();
        };
        self.now = self.now.max(next);
        let due = self.sleepers.extract_if(.., |sleeper| sleeper.due <= next);
        due.map(|sleeper| sleeper.waker).collect()
    }
}
