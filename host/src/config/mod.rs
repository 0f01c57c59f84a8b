//! Where things are: the XDG folders, unless the environment or a flag says otherwise. `config.yaml`
//! holds the operator's token, `secrets.yaml` says where secrets are, `policies.yaml` what
//! roles may do.

mod collector;
mod error;
mod file;
mod older;
mod variables;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use apflow_model::auth::{self, AuthSettings, JwtSecret};
use apflow_model::policies::CurrentPolicies;
use apflow_model::secret::SecretRule;
use apflow_model::telemetry::Exports;
use apflow_model::yaml_edit::{self, EditError};
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use serde_json::{Value, json};

use crate::models::Models;
use crate::policies::{self, POLICIES_FILE};
use crate::remote::{self, GatewaySettings};
use crate::secret::{self, SECRETS_FILE, Unreadable, Vault};
use collector::Collectors;
pub(crate) use error::ConfigError;
pub(crate) use file::{ConfigFile, open_folder};
pub(crate) use variables::{Variable, misnamed};

const APP: &str = "apflow-host";
/// A secret that signs JSON web tokens.
const JWT_SECRET: &str = "APFLOW_JWT_SECRET";
/// Keys of the HTTP API with their roles.
const API_KEYS: &str = "APFLOW_API_KEYS";
/// A shorter token could be guessed.
const TOKEN_CHARACTERS_MIN: usize = 32;

/// The settings of one process.
#[derive(Clone)]
pub(crate) struct Config {
    /// The folder of the plugins, the code cache, and the database unless it is elsewhere.
    pub(crate) data_dir: PathBuf,
    /// Where the database is: `DATABASE_URL`. None for a file in the data directory.
    pub(crate) database_url: Option<String>,
    /// The folder of `config.yaml`, `policies.yaml` and `secrets.yaml`.
    pub(crate) settings_dir: PathBuf,
    /// The longest that compiling a component may take.
    pub(crate) compile_timeout: Duration,
    /// The environment that `env` grants take their values from: without the variables that hold
    /// secrets.
    pub(crate) environment: BTreeMap<String, String>,
    /// The operator's secrets.
    pub(crate) secrets: Vault,
    /// Who provides models, and what they cost.
    pub(crate) models: Models,
    /// What roles may do, as `policies.yaml` says at each moment.
    pub(crate) policies: Arc<CurrentPolicies>,
    /// What opens the HTTP API, beside the operator's token.
    pub(crate) auth: AuthSettings,
    /// How the command line reaches a server.
    pub(crate) gateway: GatewaySettings,
    /// The collectors that the environment names. One in `config.yaml` wins.
    collectors: Collectors,
    /// The settings that the environment says.
    variables: Vec<Variable>,
    /// What `config.yaml` says, and above it the environment.
    pub(crate) file: ConfigFile,
}

/// Where the files of a process are, before any of them is read.
pub(crate) struct Places {
    /// The folder of the plugins, the code cache, and the database unless it is elsewhere.
    pub(crate) data_dir: PathBuf,
    /// The folder of `config.yaml`, `policies.yaml` and `secrets.yaml`.
    pub(crate) settings_dir: PathBuf,
    /// The environment of the process.
    pub(crate) environment: BTreeMap<String, String>,
}

impl Places {
    /// Settles where things are. Flags win over the environment, which wins over the XDG folders.
    pub(crate) fn find(
        data_dir: Option<PathBuf>,
        config_dir: Option<PathBuf>,
    ) -> Result<Self, ConfigError> {
        #[expect(clippy::disallowed_methods, reason = "this is where the environment is read")]
        let environment: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let below = |xdg: &str, home: &str| -> Result<PathBuf, ConfigError> {
            let absolute = |path: &&String| Path::new(path).is_absolute();
            match (environment.get(xdg).filter(absolute), environment.get("HOME")) {
                (Some(base), _) => Ok(Path::new(base).join(APP)),
                (None, Some(base)) => Ok(Path::new(base).join(home).join(APP)),
                (None, None) => Err(ConfigError::NoHome),
            }
        };
        // What completes names has no flags.
        let said = |name: &str| environment.get(name).filter(|path| !path.is_empty());
        let or_xdg = |dir: Option<PathBuf>, ours, xdg, home| {
            let dir = dir.or_else(|| said(ours).map(PathBuf::from));
            dir.map_or_else(|| below(xdg, home), Ok)
        };
        let data_dir = or_xdg(data_dir, "APFLOW_DATA_DIR", "XDG_DATA_HOME", ".local/share")?;
        let settings_dir = or_xdg(config_dir, "APFLOW_CONFIG_DIR", "XDG_CONFIG_HOME", ".config")?;
        Ok(Self { data_dir, settings_dir, environment })
    }

    /// Where `config.yaml` is.
    pub(crate) fn config_file(&self) -> PathBuf {
        file::path(&self.settings_dir)
    }

    /// The text of `config.yaml`, which is empty when it is not there. Settings of an older form become
    /// one first.
    pub(crate) fn text(&self) -> Result<String, ConfigError> {
        match file::read(&self.settings_dir)? {
            Some(text) => Ok(text),
            None => older::migrate(&self.settings_dir).map(Option::unwrap_or_default),
        }
    }

    /// The settings that the environment says.
    pub(crate) fn variables(&self) -> Result<Vec<Variable>, ConfigError> {
        variables::read(&self.environment)
    }

    /// What `config.yaml` says, and above it the environment.
    ///
    /// # Errors
    ///
    /// What is wrong with either.
    pub(crate) fn read(&self) -> Result<ConfigFile, ConfigError> {
        read(&self.settings_dir, &self.text()?, &self.variables()?)
    }

    /// Takes `config.yaml` away, and answers where it is kept. None when there is none.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Unusable`] when an earlier one is kept there: nothing is written over.
    pub(crate) fn set_aside(&self) -> Result<Option<PathBuf>, ConfigError> {
        // Settings of an older form would come back.
        self.text()?;
        file::set_aside(&self.settings_dir)
    }

    /// Writes `config.yaml` anew, unless that would not be valid.
    ///
    /// # Errors
    ///
    /// What is wrong with it. Nothing is written then.
    pub(crate) fn write(&self, text: &str) -> Result<(), ConfigError> {
        file::parse(&self.settings_dir, text)?;
        file::write(&self.settings_dir, text)
    }
}

/// Reads a text as settings, and what variables say above it.
fn read(
    settings_dir: &Path,
    text: &str,
    variables: &[Variable],
) -> Result<ConfigFile, ConfigError> {
    let file = file::parse(settings_dir, text)?;
    if variables.is_empty() {
        return Ok(file);
    }
    Ok(variables::above(text, variables)?.0)
}

/// What opens the HTTP API, by the settings.
pub(crate) struct Credentials {
    /// The operator's token.
    pub(crate) admin_token: String,
    /// What the operator shows from this machine: made anew for every process.
    pub(crate) operator_token: String,
    /// Whether that of the settings was made now.
    pub(crate) is_new: bool,
    /// What else does.
    pub(crate) auth: AuthSettings,
}

impl Config {
    /// Settles where things are and reads the settings. The shipped policies apply until
    /// [`Config::with_policies`].
    pub(crate) fn new(
        data_dir: Option<PathBuf>,
        config_dir: Option<PathBuf>,
        compile_timeout: Duration,
    ) -> Result<Self, ConfigError> {
        let places = Places::find(data_dir, config_dir)?;
        let (text, variables) = (places.text()?, places.variables()?);
        let Places { data_dir, settings_dir, mut environment } = places;
        let mut secrets = read_secrets(&settings_dir)?;
        // Taken out, since no plugin may be granted the way to the host's own database.
        let database_url = environment.remove("DATABASE_URL").filter(|url| !url.is_empty());
        let collectors = Collectors::take(&mut environment);
        variables::hide_secrets(&variables, &mut environment);
        let file = read(&settings_dir, &text, &variables)?;
        let auth = read_auth(file.auth.clone(), &mut environment)?;
        let models = Models::read(&settings_dir, &file.models, &mut environment, &mut secrets)
            .map_err(|error| ConfigError::of_models(&settings_dir, error))?;
        let secrets = Vault::new(secrets, &mut environment);
        let invalid = |reason| ConfigError::Variable { name: remote::SERVER.to_owned(), reason };
        let gateway = file.gateway().read(&mut environment).map_err(invalid)?;
        Ok(Self {
            data_dir,
            database_url,
            settings_dir,
            compile_timeout,
            environment,
            secrets,
            models,
            policies: Arc::default(),
            auth,
            gateway,
            collectors,
            variables,
            file,
        })
    }

    /// Reads the settings anew, and the keys with their values.
    pub(crate) fn reread(&self) -> Result<(ConfigFile, Value), ConfigError> {
        let text = file::read(&self.settings_dir)?.unwrap_or_default();
        // What is told of the file has its lines.
        file::parse(&self.settings_dir, &text)?;
        variables::above(&text, &self.variables)
    }

    /// What opens the HTTP API. Makes the operator's token when there is none, and with it a secret
    /// that signs JSON web tokens.
    pub(crate) fn credentials(&self) -> Result<Credentials, ConfigError> {
        // Another process may have made it since the settings were read.
        let mut text = file::read(&self.settings_dir)?.unwrap_or_default();
        let file = read(&self.settings_dir, &text, &self.variables)?;
        let mut auth = self.auth.clone();
        let operator_token = format!("apf_{}", random_text()?);
        if let Some(admin_token) = file.admin_token {
            if admin_token.len() < TOKEN_CHARACTERS_MIN {
                let reason = format!(
                    "`admin_token` is shorter than {TOKEN_CHARACTERS_MIN} characters: take the line out, \
                     and `serve` makes one"
                );
                return Err(ConfigError::Invalid { path: self.config_file(), reason });
            }
            return Ok(Credentials { admin_token, operator_token, is_new: false, auth });
        }
        let admin_token = format!("apf_{}", random_text()?);
        add_lines(
            &mut text,
            &format!(
                "# The operator's token for the HTTP API. Keep it secret.\n\
                 admin_token: {admin_token}\n"
            ),
        );
        if auth.jwt_secrets.is_empty() {
            let secret = random_text()?;
            text = self.with_secret(&text, &secret)?;
            let invalid = |reason| ConfigError::Invalid { path: self.config_file(), reason };
            auth.jwt_secrets.push(JwtSecret::try_from(secret).map_err(invalid)?);
        }
        file::write(&self.settings_dir, &text)?;
        Ok(Credentials { admin_token, operator_token, is_new: true, auth })
    }

    /// What of spans and metrics is sent, and where, by these settings or else the environment.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Variable`] when the environment does not say how often.
    pub(crate) fn exports(&self, file: &ConfigFile) -> Result<Exports, ConfigError> {
        self.collectors.exports(file.telemetry.otlp.as_ref())
    }

    /// Puts what `policies.yaml` says in force.
    pub(crate) fn with_policies(self) -> Result<Self, ConfigError> {
        let path = self.policies_file();
        let policies = policies::read(&self.settings_dir).map_err(|error| match error {
            policies::Unreadable::Io(source) => ConfigError::Unusable { path, source },
            policies::Unreadable::Faults(faults) => ConfigError::Faults { path, faults },
        });
        self.policies.replace(policies?.unwrap_or_default());
        Ok(self)
    }

    /// The same, but a file that is not valid is a trouble to be told.
    pub(crate) fn with_policies_or_troubles(self) -> Self {
        match policies::read(&self.settings_dir) {
            Ok(policies) => self.policies.replace(policies.unwrap_or_default()),
            Err(error) => self.policies.refuse(error.troubles(&self.settings_dir)),
        }
        self
    }

    /// Where `policies.yaml` is.
    pub(crate) fn policies_file(&self) -> PathBuf {
        self.settings_dir.join(POLICIES_FILE)
    }

    /// The secret that signs JSON web tokens. When there is none, `makes` one.
    pub(crate) fn jwt_secret(&self, makes: bool) -> Result<Option<JwtSecret>, ConfigError> {
        if let Some(first) = self.auth.jwt_secrets.first() {
            return Ok(Some(first.clone()));
        }
        if !makes {
            return Ok(None);
        }
        let secret = random_text()?;
        let text = file::read(&self.settings_dir)?.unwrap_or_default();
        file::write(&self.settings_dir, &self.with_secret(&text, &secret)?)?;
        let invalid = |reason| ConfigError::Invalid { path: self.config_file(), reason };
        JwtSecret::try_from(secret).map(Some).map_err(invalid)
    }

    /// Keeps what the command line shows to a server, in place of what it showed before.
    pub(crate) fn save_api_token(&self, token: &str) -> Result<(), ConfigError> {
        let text = file::read(&self.settings_dir)?.unwrap_or_default();
        let edited = yaml_edit::set(&text, &["api_token"], &json!(token));
        let entangled = |source| ConfigError::Edit { path: self.config_file(), source };
        file::write(&self.settings_dir, &edited.map_err(entangled)?)
    }

    fn with_secret(&self, text: &str, secret: &str) -> Result<String, ConfigError> {
        with_secret(text, secret)
            .map_err(|source| ConfigError::Edit { path: self.config_file(), source })
    }

    /// Where `secrets.yaml` is.
    pub(crate) fn secrets_file(&self) -> PathBuf {
        self.settings_dir.join(SECRETS_FILE)
    }

    /// Where `config.yaml` is.
    pub(crate) fn config_file(&self) -> PathBuf {
        file::path(&self.settings_dir)
    }
}

/// Reads `secrets.yaml`, where there is one.
fn read_secrets(settings: &Path) -> Result<Vec<SecretRule>, ConfigError> {
    let unusable = |path: PathBuf, source| Err(ConfigError::Unusable { path, source });
    let folder = match Dir::open_ambient_dir(settings, ambient_authority()) {
        Ok(folder) => folder,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return unusable(settings.to_owned(), source),
    };
    let path = settings.join(SECRETS_FILE);
    match secret::read_rules(&folder) {
        Ok(rules) => Ok(rules),
        Err(Unreadable::Io(source)) => unusable(path, source),
        Err(Unreadable::Open(mode)) => Err(ConfigError::Open { path, mode }),
        Err(Unreadable::Faults(faults)) => Err(ConfigError::Faults { path, faults }),
    }
}

/// Adds lines at the end of a text.
fn add_lines(text: &mut String, lines: &str) {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(lines);
}

/// A `config.yaml` with a secret that signs JSON web tokens.
pub(crate) fn with_secret(text: &str, secret: &str) -> Result<String, EditError> {
    let mut text = text.to_owned();
    if !text.lines().any(|line| line.starts_with("auth:")) {
        add_lines(
            &mut text,
            "# What signs the tokens of `apflow-host config gen-token`. Keep it secret.\n",
        );
    }
    yaml_edit::set(&text, &["auth", "jwt_secrets"], &json!([secret]))
}

/// Adds what the environment says, which is taken out of it: no plugin may be granted it.
fn read_auth(
    settings: AuthSettings,
    environment: &mut BTreeMap<String, String>,
) -> Result<AuthSettings, ConfigError> {
    let mut auth = settings;
    let mut take = |name| environment.remove(name).filter(|text| !text.is_empty());
    if let Some(text) = take(JWT_SECRET) {
        let invalid = |reason| ConfigError::Variable { name: JWT_SECRET.to_owned(), reason };
        // It signs; those of the file still verify.
        auth.jwt_secrets.insert(0, JwtSecret::try_from(text).map_err(invalid)?);
    }
    if let Some(text) = take(API_KEYS) {
        let invalid = |reason| ConfigError::Variable { name: API_KEYS.to_owned(), reason };
        auth.api_keys.extend(auth::parse_keys(&text).map_err(invalid)?);
    }
    Ok(auth)
}

/// 256 random bits, in hexadecimal.
pub(crate) fn random_text() -> Result<String, ConfigError> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).map_err(|error| ConfigError::NoRandom(error.to_string()))?;
    Ok(bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}")))
}
