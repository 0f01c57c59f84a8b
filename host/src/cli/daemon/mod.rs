//! `daemon`: a server in the background.

mod log;
mod process;
mod start;
mod stop;

use cap_std::fs::Dir;
use clap::{Args, Subcommand};
use serde_json::json;

use super::error::CliError;
use super::exit::Exit;
use super::output::{Output, columns};
use crate::config::{Places, open_folder};
use crate::daemon::{self, LOG_FILE, Present};
use start::Start;

#[derive(Debug, Subcommand)]
pub(crate) enum DaemonVerb {
    /// Start a server in the background, and wait until it answers.
    Start(Start),
    /// Stop it: running attempts may finish, then what is left is handed back.
    Stop(Stop),
    /// Say whether it runs, and where it answers.
    Status,
    /// Stop it and start it again, with the same options unless others are given.
    Restart(Start),
    /// Print its log.
    Logs {
        /// How many of the last lines.
        #[arg(long, short = 'n', default_value_t = 50)]
        lines: usize,
        /// Go on as more is written, until Ctrl-C.
        #[arg(long, short)]
        follow: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Stop {
    /// How many seconds it may take before it is stopped at once [default: `http.drain_seconds`
    /// and 15 more].
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(0..=86_400))]
    timeout: Option<u32>,
}

/// Does a verb. `typed` are the options that the daemon has to have as well.
pub(crate) async fn run(
    places: &Places,
    typed: Vec<String>,
    verb: DaemonVerb,
    output: &Output,
) -> Result<Exit, CliError> {
    let daemon = Daemon::new(places)?;
    match verb {
        DaemonVerb::Start(asked) => start::run(&daemon, typed, asked, output).await,
        DaemonVerb::Stop(asked) => stop::run(&daemon, places, &asked, output).await,
        DaemonVerb::Status => status(&daemon, output),
        DaemonVerb::Restart(asked) => {
            let asked = asked.or_as(daemon.find()?);
            stop::stop(&daemon, stop::patience(places, None), output).await?;
            start::run(&daemon, typed, asked, output).await
        }
        DaemonVerb::Logs { lines, follow } => log::run(&daemon, lines, follow, output).await,
    }
}

/// The data directory of a daemon.
struct Daemon {
    folder: Dir,
    path: std::path::PathBuf,
}

impl Daemon {
    fn new(places: &Places) -> Result<Self, CliError> {
        let path = places.data_dir.clone();
        let folder = open_folder(&path)
            .map_err(|source| CliError::Io { what: path.display().to_string(), source })?;
        Ok(Self { folder, path })
    }

    /// The one that runs.
    fn find(&self) -> Result<Option<Present>, CliError> {
        daemon::find(&self.folder).map_err(|source| self.unusable(source))
    }

    fn unusable(&self, source: std::io::Error) -> CliError {
        CliError::Io { what: self.path.display().to_string(), source }
    }

    /// Says how it stands.
    fn tell(&self, present: Option<&Present>, output: &Output) {
        let log = self.path.join(LOG_FILE);
        let shown = json!({
            "running": present.is_some(), "pid": present.map(|present| present.pid),
            "url": present.and_then(|present| present.url.as_deref()),
            "since": present.map(|present| present.since),
            "version": present.map(|present| &present.version), "log": log,
        });
        output.result(&shown, || {
            let Some(present) = present else { return "no daemon runs".to_owned() };
            let url = present.url.as_deref().unwrap_or("not yet: it starts");
            let rows = [
                ("running", format!("process {}", present.pid)),
                ("answers at", url.to_owned()),
                ("since", present.since.to_string()),
                ("version", present.version.clone()),
                ("log", log.display().to_string()),
            ];
            let rows = rows.into_iter().map(|(name, text)| vec![name.to_owned(), text]);
            columns(&[], rows.collect(), &[])
        });
    }
}

fn status(daemon: &Daemon, output: &Output) -> Result<Exit, CliError> {
    let present = daemon.find()?;
    daemon.tell(present.as_ref(), output);
    Ok(if present.is_some() { Exit::Ok } else { Exit::Failed })
}
