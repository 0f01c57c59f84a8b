//! Why an image was not had from a registry.

use std::time::Duration;

use crate::remote::error::RemoteError;
use crate::remote::retry::Tried;

/// Why an image was not had from a registry.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RegistryError {
    /// The registry is not reached, or not trusted.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// It answers something else than a registry does, or fails.
    #[error("`{registry}` answers {what}, and not as a registry does")]
    Foreign {
        /// Its URL.
        registry: String,
        /// What.
        what: String,
        /// The status of its answer.
        status: u16,
        /// How long to wait before it is asked again, if it said.
        retry_after: Option<Duration>,
    },
    /// It has no such image.
    #[error("there is no `{image}`{said}")]
    Unknown {
        /// The image.
        image: String,
        /// What the registry says, after a colon. It may say nothing.
        said: String,
    },
    /// It does not give the image to this caller.
    #[error("`{registry}` does not give out `{image}`: {why}")]
    Refused {
        /// Its URL.
        registry: String,
        /// The image.
        image: String,
        /// Why.
        why: String,
    },
    /// The image is no plugin.
    #[error("`{image}` is no plugin: {why}")]
    Invalid {
        /// The image.
        image: String,
        /// Why.
        why: String,
    },
    /// What came is something else than what was asked for.
    #[error("what came as {what} of `{image}` is not what its digest says: {why}")]
    Altered {
        /// The image.
        image: String,
        /// Which part of it.
        what: String,
        /// Why.
        why: String,
    },
    /// It sends its caller where that may not go.
    #[error("`{registry}` sends to `{to}`: {why}")]
    Misled {
        /// Its URL.
        registry: String,
        /// Where, without what may be secret in it.
        to: String,
        /// Why not.
        why: &'static str,
    },
    /// The logins of this machine cannot be read.
    #[error("`{file}` cannot be used: {why}")]
    Login {
        /// The file.
        file: String,
        /// Why.
        why: String,
    },
}

impl RegistryError {
    /// The stable code, where there is one.
    pub(crate) fn code(&self) -> Option<&str> {
        match self {
            Self::Remote(error) => error.code(),
            Self::Foreign { .. } | Self::Misled { .. } => Some("foreign-registry"),
            Self::Unknown { .. } => Some("unknown-image"),
            Self::Refused { .. } => Some("registry-refused"),
            Self::Invalid { .. } => Some("invalid-image"),
            Self::Altered { .. } => Some("image-altered"),
            Self::Login { .. } => None,
        }
    }

    /// What to do about it.
    pub(crate) fn advice(&self) -> Option<&'static str> {
        match self {
            Self::Remote(RemoteError::CannotConnect { .. } | RemoteError::Broken { .. }) => Some(
                "see that the name of the registry is right, and that it answers on its port: TLS, \
                 but on this machine plain HTTP",
            ),
            Self::Remote(RemoteError::TimedOut { .. }) => {
                Some("try again; `api_timeout` in `config.yaml` has it waited for longer")
            }
            Self::Remote(RemoteError::Untrusted { .. }) => Some(
                "name the authority of its certificate, a PEM file, as `api_ca_file` in \
                 `config.yaml`, and call it by a name that its certificate has",
            ),
            Self::Foreign { .. } | Self::Misled { .. } => Some(
                "see that the name of the registry is right, and try again when it works; \
                 `curl -i https://REGISTRY/v2/` says what answers there",
            ),
            Self::Refused { .. } => Some(
                "`docker login REGISTRY`, and others that write `~/.docker/config.json`, let it in; \
                 credential helpers are not asked",
            ),
            Self::Login { .. } => {
                Some("write it anew by `docker logout REGISTRY` and `docker login REGISTRY`")
            }
            Self::Invalid { .. } => Some(
                "`oras push REGISTRY/NAME:TAG NAME.wasm:application/wasm plugin.yaml` makes an image \
                 of a plugin",
            ),
            Self::Unknown { .. } | Self::Altered { .. } | Self::Remote(_) => None,
        }
    }

    /// What this says of another try: reading does no harm twice.
    pub(super) fn tried(&self) -> Tried {
        match self {
            Self::Remote(error) => error.tried(),
            Self::Foreign { status: 429 | 503, retry_after, .. } => Tried::Deferred(*retry_after),
            Self::Foreign { status: 500 | 502 | 504, .. } => Tried::Unknown,
            Self::Foreign { .. }
            | Self::Unknown { .. }
            | Self::Refused { .. }
            | Self::Invalid { .. }
            | Self::Altered { .. }
            | Self::Misled { .. }
            | Self::Login { .. } => Tried::Final,
        }
    }
}
