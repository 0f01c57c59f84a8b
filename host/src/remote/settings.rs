//! How the command line reaches a server.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use apflow_model::listener::Within;
use apflow_model::proxies::Proxies;

use super::url::ServerUrl;

/// Where a server is that every verb goes to.
pub(crate) const SERVER: &str = "APFLOW_API_SERVER";
/// What is shown to it.
pub(crate) const TOKEN: &str = "APFLOW_API_AUTH_TOKEN";

/// How long a request to a server may take, in seconds: 1 to 3600.
pub(crate) type ApiTimeout = Within<1, 3_600, 30>;
/// How often a request is repeated: 0 to 10 times.
pub(crate) type ApiRetryCount = Within<0, 10, 3>;

/// How the command line reaches a server.
#[derive(Clone, Default)]
pub(crate) struct GatewaySettings {
    /// The server that is named, and where. None when none is.
    pub(crate) server: Option<(ServerUrl, NamedBy)>,
    /// Whether the data directory is used whatever is named or runs.
    pub(crate) is_direct: bool,
    /// What is shown to the server that is named.
    pub(crate) token: Option<String>,
    /// The token of this host's own API: it is for no other machine.
    pub(crate) own_token: Option<String>,
    /// How long a request may take.
    pub(crate) timeout: Duration,
    /// How often a request is repeated that may be.
    pub(crate) retries: u32,
    /// A PEM file with the authority of its certificate, beside those that the system knows.
    pub(crate) ca_file: Option<PathBuf>,
    /// Whether the data directory is used when the server that is named is not reached.
    pub(crate) falls_back: bool,
    /// Through which proxy it is reached.
    pub(crate) proxies: Proxies,
}

/// Where a server is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NamedBy {
    /// On the command line.
    Flag,
    /// In the environment.
    Environment,
    /// In `config.yaml`.
    Settings,
}

impl fmt::Display for NamedBy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Flag => "`--api-server`",
            Self::Environment => "`APFLOW_API_SERVER`",
            Self::Settings => "`api_server_url` in `config.yaml`",
        })
    }
}

impl GatewaySettings {
    /// Adds what the environment says, which is taken out of it: no plugin may be granted a token.
    ///
    /// # Errors
    ///
    /// What is wrong with [`SERVER`].
    pub(crate) fn read(
        mut self,
        environment: &mut BTreeMap<String, String>,
    ) -> Result<Self, String> {
        self.proxies = Proxies::of(environment);
        let mut take = |name| environment.remove(name).filter(|text| !text.is_empty());
        if let Some(url) = take(SERVER) {
            self.server = Some((url.parse()?, NamedBy::Environment));
        }
        self.token = take(TOKEN).or(self.token);
        Ok(self)
    }

    /// The same with what was typed.
    pub(crate) fn typed(self, server: Option<ServerUrl>, is_direct: bool) -> Self {
        let server = server.map(|url| (url, NamedBy::Flag)).or(self.server);
        Self { server: server.filter(|_| !is_direct), is_direct, ..self }
    }

    /// Whether verbs are done on another data directory than that of the settings, as far as
    /// anybody can say.
    pub(crate) fn is_elsewhere(&self) -> bool {
        self.server.is_some()
    }
}
