//! What `serve` does more when it is a daemon: it says that it is one, leaves its terminal, and
//! keeps its log small.

use apflow_api::SystemClock;
use apflow_model::clock::Clock;
use tokio::task::JoinSet;

use super::error::CliError;
use crate::config::{Config, open_folder};
use crate::daemon::{self, Held, Present};

/// A server that works in the background, for as long as this is there.
pub(super) struct Background {
    held: Held,
    /// Ends with it.
    _keeping_small: JoinSet<()>,
}

impl Background {
    /// Takes the lock of daemons in the data directory, and leaves the terminal.
    pub(super) fn enter(config: &Config) -> Result<Self, CliError> {
        let unusable =
            |source| CliError::Io { what: config.data_dir.display().to_string(), source };
        let folder = open_folder(&config.data_dir).map_err(unusable)?;
        let options = std::env::args().skip_while(|argument| argument != "--daemon").skip(1);
        let present = Present {
            pid: std::process::id(),
            url: None,
            since: SystemClock.now(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            arguments: options.collect(),
        };
        let held = Held::take(&folder, present).map_err(unusable)?;
        let held = held.ok_or_else(|| CliError::Daemon("a daemon runs already".to_owned()))?;
        // Who leads its process group already has no terminal to leave.
        rustix::process::setsid().map(drop).unwrap_or_default();
        let mut keeping_small = JoinSet::new();
        keeping_small.spawn(daemon::keep_small(folder));
        Ok(Self { held, _keeping_small: keeping_small })
    }

    /// Says that the server answers.
    pub(super) fn ready(&mut self, url: &str) -> Result<(), CliError> {
        let unusable = |source| CliError::Io { what: "daemon.lock".to_owned(), source };
        self.held.ready(url).map_err(unusable)
    }
}
