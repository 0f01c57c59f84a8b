//! Where a verb is done: on the data directory, or by the server that works there or is named.
//!
//! This is the one place that decides.

use std::fmt;

use clap::Args;
use serde_json::{Value, json};

use super::error::CliError;
use crate::assemble;
use crate::config::Config;
use crate::remote::{Announced, Client, NamedBy, RemoteError, ServerUrl};

/// Where a verb is to be done, as it is typed.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// The server to do it on instead of on the data directory [env: `APFLOW_API_SERVER`].
    #[arg(long, global = true, value_name = "URL", conflicts_with = "direct")]
    pub(crate) api_server: Option<ServerUrl>,
    /// Do it on the data directory, whichever server is named or runs.
    #[arg(long, global = true)]
    pub(crate) direct: bool,
}

/// Where a verb is done, and why there.
pub(crate) struct Target {
    /// The server that does it. None when it is done here, on the data directory.
    pub(crate) client: Option<Client>,
    /// Why there.
    pub(crate) reason: Reason,
}

/// Why a verb is done where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reason {
    /// `--direct` was typed.
    Typed,
    /// This server is named.
    Named(ServerUrl, NamedBy),
    /// This server works on the data directory.
    Works(ServerUrl, u32),
    /// No server is named, and none works on the data directory.
    NoServer,
    /// This server is named, but is not reached, and `api_fallback` is set.
    FellBack(ServerUrl),
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Typed => formatter.write_str("`--direct` was given"),
            Self::Named(_, by) => write!(formatter, "{by} names it"),
            Self::Works(_, process) => {
                write!(formatter, "it works on the data directory, as process {process}")
            }
            Self::NoServer => {
                formatter.write_str("no server is named, and none works on the data directory")
            }
            Self::FellBack(server) => {
                write!(formatter, "`{server}` is not reached, and `api_fallback` is set")
            }
        }
    }
}

impl Reason {
    /// What the settings alone say, without asking a server.
    fn of(config: &Config) -> Self {
        if config.gateway.is_direct {
            return Self::Typed;
        }
        if let Some((server, by)) = &config.gateway.server {
            return Self::Named(server.clone(), *by);
        }
        match Announced::find(&config.data_dir) {
            Some(announced) => Self::Works(announced.url, announced.process),
            None => Self::NoServer,
        }
    }

    fn server(&self) -> Option<&ServerUrl> {
        match self {
            Self::Named(server, _) | Self::Works(server, _) => Some(server),
            Self::Typed | Self::NoServer | Self::FellBack(_) => None,
        }
    }
}

impl Target {
    /// Whether it is a server that is named: another host, as far as anybody can say.
    pub(crate) fn is_elsewhere(&self) -> bool {
        matches!(self.reason, Reason::Named(..))
    }

    /// Where a verb is done.
    ///
    /// # Errors
    ///
    /// [`CliError::Remote`] when the way to the server is set wrong, or the server that is named is
    /// not reached and the data directory is in use.
    pub(crate) async fn find(config: &Config) -> Result<Self, CliError> {
        let gateway = &config.gateway;
        if gateway.is_direct {
            return Ok(Self { client: None, reason: Reason::Typed });
        }
        if let Some((server, by)) = &gateway.server {
            let client = Client::of_settings(server, gateway)?;
            if gateway.falls_back
                && let Err(error) = client.probe().await
            {
                return fall_back(config, server, error);
            }
            let reason = Reason::Named(server.clone(), *by);
            return Ok(Self { client: Some(client), reason });
        }
        let Some(announced) = Announced::find(&config.data_dir) else {
            return Ok(Self { client: None, reason: Reason::NoServer });
        };
        let reason = Reason::Works(announced.url.clone(), announced.process);
        Ok(Self { client: Some(Client::of_announced(&announced, gateway)?), reason })
    }
}

/// Uses the data directory in place of a server that is not reached, unless another process does.
fn fall_back(config: &Config, server: &ServerUrl, error: RemoteError) -> Result<Target, CliError> {
    let is_away = matches!(
        error,
        RemoteError::CannotConnect { .. }
            | RemoteError::TimedOut { .. }
            | RemoteError::Broken { .. }
    );
    if !is_away || !assemble::is_free(config) {
        return Err(error.into());
    }
    tracing::warn!(%server, "the server is not reached: the data directory is used");
    Ok(Target { client: None, reason: Reason::FellBack(server.clone()) })
}

/// Says where verbs are done and why, without asking a server: `mode` is `api` or `direct`.
pub(crate) fn explain(config: &Config) -> (Value, String) {
    let reason = Reason::of(config);
    let server = reason.server().map(ToString::to_string);
    let mode = if server.is_some() { "api" } else { "direct" };
    let place = server.clone().unwrap_or_else(|| config.data_dir.display().to_string());
    let text = format!("{mode}: {place}, since {reason}");
    let data_dir = &config.data_dir;
    let value = json!({
        "mode": mode, "server": server, "data_dir": data_dir, "reason": reason.to_string(),
    });
    (value, text)
}
