//! `config`: the settings, where each comes from, and what they may be.

mod change;
mod layers;
mod server;
mod show;
mod token;

use clap::Subcommand;

use super::error::CliError;
use super::exit::Exit;
use super::output::Output;
use super::target;
use crate::config::{Config, ConfigError, Places};
pub(crate) use layers::Flag;
use server::InitServer;
use token::GenToken;

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigVerb {
    /// List every setting with its value, and where that comes from.
    List,
    /// Explain one setting: what it is for, what it may be, and what each layer says.
    Explain {
        /// The setting, for example `http.drain_seconds`, or a section.
        key: String,
    },
    /// Print the value of one setting.
    Get {
        /// The setting, for example `http.drain_seconds`, or a section.
        key: String,
        /// Print it although it is a secret.
        #[arg(long)]
        show_secret: bool,
    },
    /// Write one setting into config.yaml, unless that would not be valid. All else in it stays.
    Set {
        /// The setting, for example `http.drain_seconds`.
        key: String,
        /// What it shall be: as in config.yaml, a list also with commas; - for standard input, where
        /// nobody else sees it.
        #[arg(allow_hyphen_values = true)]
        value: String,
    },
    /// Take one setting, or a section, out of config.yaml.
    Unset {
        /// The setting, for example `http.drain_seconds`, or a section.
        key: String,
    },
    /// Put one setting back to its default, or all: what was set is kept in config.yaml.bak then.
    Reset {
        /// The setting, for example `http.drain_seconds`, or a section. All when it is left out.
        key: Option<String>,
    },
    /// Print where the settings and the data are.
    Path,
    /// Check config.yaml, policies.yaml, secrets.yaml and the environment, with every fault.
    Validate,
    /// Set this machine up to use a server: its address, and a secret that both know.
    InitServer(InitServer),
    /// Make a JSON web token for the HTTP API, signed by the secret of the settings.
    GenToken(GenToken),
    /// Say whether a JSON web token is signed by a secret of the settings, and what it claims.
    VerifyToken {
        /// The token, or - for standard input, where nobody else sees it.
        #[arg(default_value = "-")]
        token: String,
    },
}

/// Does a verb. Most need no more than to know where the files are, so that they work while these
/// are not valid.
pub(crate) fn run(
    places: &Places,
    config: impl FnOnce() -> Result<Config, ConfigError>,
    flags: &[Flag],
    verb: ConfigVerb,
    output: &Output,
) -> Result<Exit, CliError> {
    match verb {
        ConfigVerb::List => show::list(places, flags, output),
        ConfigVerb::Explain { key } => show::explain(places, flags, &key, output),
        ConfigVerb::Get { key, show_secret } => {
            show::get(places, flags, (&key, show_secret), output)
        }
        ConfigVerb::Set { key, value } => change::set(places, &key, &value, output),
        ConfigVerb::Unset { key } => change::unset(places, &key, output),
        ConfigVerb::Reset { key } => change::reset(places, key.as_deref(), output),
        ConfigVerb::Path => {
            // Where things are is told although they are not valid; where verbs are done cannot be.
            let target = config().ok().map(|config| target::explain(&config));
            show::path(places, target, output);
            Ok(Exit::Ok)
        }
        ConfigVerb::Validate => show::validate(places, config, output),
        ConfigVerb::InitServer(asked) => server::init(places, &asked, output),
        ConfigVerb::GenToken(asked) => token::generate(&config()?, &asked, output),
        ConfigVerb::VerifyToken { token } => token::verify(&config()?, &token, output),
    }
}
