//! Why a server did not do what it was asked to.

use std::io;
use std::time::Duration;

use apflow_api::ApiError;
use apflow_model::reader::FileFault;
use serde::Deserialize;

use super::retry::Tried;

/// Why a server did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RemoteError {
    /// It is not reached.
    #[error("cannot connect to `{server}`")]
    CannotConnect {
        /// Its URL, or that of the proxy.
        server: String,
        /// Why.
        source: io::Error,
    },
    /// It does not answer in time.
    #[error("`{server}` did not answer within {} s", timeout.as_secs())]
    TimedOut {
        /// Its URL.
        server: String,
        /// How long was waited.
        timeout: Duration,
    },
    /// It does not show who it is in a way that is trusted.
    #[error("`{server}` cannot be trusted")]
    Untrusted {
        /// Its URL.
        server: String,
        /// Why.
        source: io::Error,
    },
    /// The connection ended before the answer did.
    #[error("`{server}` ended the connection before its answer was there")]
    Broken {
        /// Its URL.
        server: String,
        /// Why.
        source: hyper::Error,
    },
    /// It answers something else than a host does.
    #[error("`{server}` answers {what}")]
    Foreign {
        /// Its URL.
        server: String,
        /// What.
        what: String,
        /// The status of its answer.
        status: u16,
    },
    /// It refuses, and says why.
    #[error("{}", .0.detail)]
    Refused(Box<Refusal>),
    /// The way to it is set wrong.
    #[error("{0}")]
    Settings(String),
    /// What was asked has no form that can be sent.
    #[error(transparent)]
    Unsendable(#[from] ApiError),
}

/// What a server says when it refuses: an RFC 9457 problem.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Refusal {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The stable code.
    pub(crate) code: String,
    /// What went wrong, for people.
    pub(crate) detail: String,
    /// The place in the JSON that was sent, as a JSON pointer.
    pub(crate) pointer: Option<String>,
    /// Every fault of a manifest.
    pub(crate) faults: Vec<FileFault>,
    /// How many seconds to wait before the same is tried again.
    pub(crate) retry_after: Option<u32>,
    /// The id of the request.
    #[serde(rename = "instance")]
    pub(crate) request: Option<String>,
}

impl RemoteError {
    /// The stable code, where there is one.
    pub(crate) fn code(&self) -> Option<&str> {
        match self {
            Self::CannotConnect { .. } | Self::Broken { .. } => Some("cannot-connect"),
            Self::TimedOut { .. } => Some("timed-out"),
            Self::Untrusted { .. } => Some("untrusted-server"),
            Self::Foreign { .. } => Some("foreign-server"),
            Self::Refused(refusal) => Some(&refusal.code),
            Self::Settings(_) => None,
            Self::Unsendable(error) => Some(error.code().name()),
        }
    }

    /// What the server says, if it refuses.
    pub(crate) fn refusal(&self) -> Option<&Refusal> {
        if let Self::Refused(refusal) = self { Some(refusal) } else { None }
    }

    /// What to do about it, when that is about the way to the server.
    pub(crate) fn advice(&self) -> Option<&'static str> {
        match self {
            Self::CannotConnect { .. } | Self::Broken { .. } => Some(
                "see that `apflow-host serve` runs there, and that the address is right: \
                 `apflow-host config path` says where it comes from; `--direct` uses the data \
                 directory of this machine",
            ),
            Self::TimedOut { .. } => Some(
                "it may be busy, or something in between may hold the request back; \
                 `api_timeout` in `config.yaml` has it waited for longer",
            ),
            Self::Untrusted { .. } => Some(
                "name the authority of its certificate, a PEM file, as `api_ca_file` in \
                 `config.yaml`, and call it by a name that its certificate has",
            ),
            Self::Foreign { .. } => {
                Some("see that `api_server_url` names an apflow-host, and nothing in front of it")
            }
            Self::Refused(refusal) if refusal.code == "unauthorized" => Some(
                "put a token of that server into `APFLOW_API_AUTH_TOKEN`, or into `config.yaml` as \
                 `api_token`; there, `apflow-host tokens create NAME --role admin` makes one",
            ),
            Self::Refused(_) | Self::Settings(_) | Self::Unsendable(_) => None,
        }
    }

    /// What this says of another try.
    pub(super) fn tried(&self) -> Tried {
        match self {
            Self::CannotConnect { .. } => Tried::Unsent,
            // What stands in front of a host may speak for it: nobody knows whether the host heard.
            Self::TimedOut { .. }
            | Self::Broken { .. }
            | Self::Foreign { status: 502..=504, .. } => Tried::Unknown,
            Self::Refused(refusal) if matches!(refusal.status, 429 | 503) => {
                let wait = refusal.retry_after.map(|wait| Duration::from_secs(wait.into()));
                Tried::Deferred(wait)
            }
            Self::Untrusted { .. }
            | Self::Foreign { .. }
            | Self::Refused(_)
            | Self::Settings(_)
            | Self::Unsendable(_) => Tried::Final,
        }
    }
}
