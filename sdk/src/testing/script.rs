//! The state of a scripted host. It decides nothing about waiting; `backend` does.

use std::task::Waker;
use std::time::Duration;

use super::{Answer, Line, Sent};
use crate::budget::Tokens;
use crate::checkpoint::{self, Saved};
use crate::{Task, Usage};

const DEADLINE_DEFAULT: Duration = Duration::from_mins(5);

#[derive(Debug)]
pub(super) struct Script {
    pub(super) task: Task,
    /// Virtual time since the attempt began.
    pub(super) now: Duration,
    pub(super) deadline: Duration,
    pub(super) cancelled_at: Option<Duration>,
    pub(super) left: Option<Tokens>,
    pub(super) spent: Usage,
    pub(super) checkpoints: Vec<Saved>,
    pub(super) refused: Option<checkpoint::Error>,
    pub(super) expected: Vec<Expected>,
    pub(super) sent: Vec<Sent>,
    pub(super) lines: Vec<Line>,
    pub(super) progress: Vec<(f64, String)>,
    pub(super) sleepers: Vec<Sleeper>,
}

/// A request that may come, once.
#[derive(Debug)]
pub(super) struct Expected {
    pub(super) method: String,
    pub(super) url: String,
    pub(super) answer: Answer,
}

/// A future that waits for the virtual clock.
#[derive(Debug)]
pub(super) struct Sleeper {
    pub(super) due: Duration,
    pub(super) waker: Waker,
}

impl Default for Script {
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
            spent: Usage::default(),
            checkpoints: Vec::new(),
            refused: None,
            expected: Vec::new(),
            sent: Vec::new(),
            lines: Vec::new(),
            progress: Vec::new(),
            sleepers: Vec::new(),
        }
    }
}

impl Script {
    /// Takes the answer of the first expectation that `sent` meets.
    ///
    /// # Errors
    ///
    /// A text for the test's author when there is none.
    pub(super) fn answer(&mut self, sent: &Sent) -> Result<Answer, String> {
        let found =
            self.expected.iter().position(|one| one.method == sent.method && one.url == sent.url);
        if let Some(index) = found {
            return Ok(self.expected.remove(index).answer);
        }
        let known: Vec<String> =
            self.expected.iter().map(|one| format!("\n  {} {}", one.method, one.url)).collect();
        let known = if known.is_empty() { " nothing".to_owned() } else { known.concat() };
        Err(format!("nobody expected {} {}; still expected:{known}", sent.method, sent.url))
    }

    /// Moves the clock to the next moment that somebody waits for, and hands over who does.
    pub(super) fn advance(&mut self) -> Vec<Waker> {
        let Some(next) = self.sleepers.iter().map(|sleeper| sleeper.due).min() else {
            return Vec::new();
        };
        self.now = self.now.max(next);
        let due = self.sleepers.extract_if(.., |sleeper| sleeper.due <= next);
        due.map(|sleeper| sleeper.waker).collect()
    }
}
