//! Where things are: the XDG folders, unless the environment or a flag says otherwise. `config.yaml`
//! holds the operator's token, `secrets.yaml` says where secrets are, `policies.yaml` what
//! roles may do.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use apflow_model::audit::AuditRules;
use apflow_model::auth::{self, AuthSettings, JwtSecret};
use apflow_model::breaker::BreakerRules;
use apflow_model::concurrency::{Admission, Concurrency};
use apflow_model::file_settings::FileSettings;
use apflow_model::idempotency::IdempotencyHours;
use apflow_model::lease::LeaseSeconds;
use apflow_model::listener::ListenerSettings;
use apflow_model::policies::CurrentPolicies;
use apflow_model::provider::{ModelSettings, ProviderError};
use apflow_model::proxies::Proxies;
use apflow_model::quarantine::QuarantineRule;
use apflow_model::reader::FileFault;
use apflow_model::retention::Retention;
use apflow_model::secret::SecretRule;
use apflow_model::telemetry::{OtlpHeaders, OtlpSettings, Share, TelemetrySettings};
use apflow_model::tool_settings::ToolSettings;
use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt, Permissions, PermissionsExt};
use serde::Deserialize;
use serde_json::Value;

use crate::models::{self, Models, PRICES_FILE};
use crate::policies::{self, POLICIES_FILE};
use crate::remote::{self, ApiRetryCount, ApiTimeout, GatewaySettings, NamedBy, ServerUrl};
use crate::secret::{self, SECRETS_FILE, Unreadable, Vault};
use crate::webhook::WebhookSecret;

const CONFIG_FILE: &str = "config.yaml";
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
    /// The collector that the environment names. One in `config.yaml` wins.
    collector: Option<OtlpSettings>,
    /// What `config.yaml` says.
    pub(crate) file: ConfigFile,
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

/// What keeps the settings from being read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// Neither a home nor the folders themselves are set.
    #[error("there is no home folder: set `APFLOW_DATA_DIR` and `APFLOW_CONFIG_DIR`")]
    NoHome,
    /// A folder or file cannot be read or written.
    #[error("`{}` cannot be used", path.display())]
    Unusable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// `config.yaml` has a fault.
    #[error("`{}` is not valid: {reason}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Where and what.
        reason: String,
    },
    /// A variable of the environment has a fault.
    #[error("the environment variable `{name}` is not valid: {reason}")]
    Variable {
        /// Which.
        name: &'static str,
        /// What.
        reason: String,
    },
    /// `secrets.yaml` is open to others.
    #[error(
        "`{}` has the mode {mode:o}, so others than its owner may use it: `chmod 600` it",
        path.display()
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// `secrets.yaml`, `policies.yaml` or `prices.yaml` has faults.
    #[error("`{}` is not valid", path.display())]
    Faults {
        /// The file.
        path: PathBuf,
        /// Every fault, in the order of the file.
        faults: Vec<FileFault>,
    },
    /// The system gives no random numbers for a token.
    #[error("the system gives no random numbers: {0}")]
    NoRandom(String),
}

impl ConfigError {
    fn of_models(settings: &Path, error: models::Unreadable) -> Self {
        let path = settings.join(PRICES_FILE);
        match error {
            models::Unreadable::Io(source) => Self::Unusable { path, source },
            models::Unreadable::Faults(faults) => Self::Faults { path, faults },
            models::Unreadable::Provider(ProviderError::Settings(reason)) => {
                Self::Invalid { path: settings.join(CONFIG_FILE), reason }
            }
            models::Unreadable::Provider(ProviderError::Variable { name, reason }) => {
                Self::Variable { name, reason }
            }
        }
    }
}

/// What `config.yaml` may hold.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ConfigFile {
    /// The token of the operator, for the HTTP API.
    pub(crate) admin_token: Option<String>,
    /// What else opens the HTTP API.
    pub(crate) auth: Option<AuthSettings>,
    /// How the host listens for HTTP.
    pub(crate) http: ListenerSettings,
    /// How many attempts run at once.
    pub(crate) attempts_max: Option<AttemptsMax>,
    /// How long an idempotency key is kept.
    pub(crate) idempotency_hours: Option<IdempotencyHours>,
    /// When what keeps failing is left alone.
    pub(crate) breakers: BreakerRules,
    /// How many tasks run at once.
    pub(crate) concurrency: Concurrency,
    /// How many tasks may be open.
    pub(crate) admission: Admission,
    /// How long the tasks of a host stay its own after it was last heard of.
    pub(crate) lease_seconds: Option<LeaseSeconds>,
    /// When a component is not run any more because hosts ended while it ran.
    pub(crate) quarantine: Option<QuarantineRule>,
    /// How long what is over is kept.
    pub(crate) retention: Retention,
    /// How tools are taken care of.
    pub(crate) tools: ToolSettings,
    /// What is written into the audit, and how long it is kept.
    pub(crate) audit: AuditRules,
    /// What the host says of itself, and to whom.
    pub(crate) telemetry: TelemetrySettings,
    /// How much callers may upload.
    pub(crate) files: FileSettings,
    /// Who provides models.
    pub(crate) models: ModelSettings,
    /// What the posts of cost policies are signed with.
    pub(crate) webhook_secret: Option<WebhookSecret>,
    /// The server that verbs of the command line go to.
    pub(crate) api_server_url: Option<ServerUrl>,
    /// What is shown to it.
    pub(crate) api_token: Option<String>,
    /// How long a request to it may take.
    pub(crate) api_timeout: ApiTimeout,
    /// How often a request to it is repeated.
    pub(crate) api_retry_count: ApiRetryCount,
    /// A PEM file with the authority of its certificate.
    pub(crate) api_ca_file: Option<PathBuf>,
    /// Whether the data directory is used when it is not reached.
    pub(crate) api_fallback: bool,
}

impl ConfigFile {
    /// How the command line reaches a server.
    fn gateway(&self) -> GatewaySettings {
        let server = self.api_server_url.clone().map(|url| (url, NamedBy::Settings));
        GatewaySettings {
            token: self.api_token.clone(),
            own_token: self.admin_token.clone(),
            server,
            is_direct: false,
            timeout: self.api_timeout.seconds(),
            retries: self.api_retry_count.get(),
            ca_file: self.api_ca_file.clone(),
            falls_back: self.api_fallback,
            proxies: Proxies::default(),
        }
    }
}

/// A number from 1 to 1024. The default is enough to keep a machine busy while some attempts wait
/// for the network.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "u32")]
pub(crate) struct AttemptsMax(pub(crate) u32);

impl Default for AttemptsMax {
    fn default() -> Self {
        Self(128)
    }
}

impl TryFrom<u32> for AttemptsMax {
    type Error = String;

    fn try_from(number: u32) -> Result<Self, String> {
        let is_right = (1..=1_024).contains(&number);
        is_right.then_some(Self(number)).ok_or(format!("{number} is not from 1 to 1024"))
    }
}

impl Config {
    /// Settles where things are. Flags win over the environment, which wins over the XDG folders. The
    /// shipped policies apply until [`Config::with_policies`].
    pub(crate) fn new(
        data_dir: Option<PathBuf>,
        config_dir: Option<PathBuf>,
        compile_timeout: Duration,
    ) -> Result<Self, ConfigError> {
        #[expect(clippy::disallowed_methods, reason = "this is where the environment is read")]
        let mut environment: BTreeMap<String, String> = std::env::vars_os()
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
        let or_xdg = |dir: Option<PathBuf>, xdg, home| dir.map_or_else(|| below(xdg, home), Ok);
        let data_dir = or_xdg(data_dir, "XDG_DATA_HOME", ".local/share")?;
        let settings_dir = or_xdg(config_dir, "XDG_CONFIG_HOME", ".config")?;
        let mut secrets = read_secrets(&settings_dir)?;
        // Taken out, since no plugin may be granted the way to the host's own database.
        let database_url = environment.remove("DATABASE_URL").filter(|url| !url.is_empty());
        let collector = take_collector(&mut environment);
        let mut file = read_file(&settings_dir)?.map(|(file, _)| file).unwrap_or_default();
        file.telemetry.otlp = file.telemetry.otlp.or_else(|| collector.clone());
        let auth = read_auth(file.auth.clone().unwrap_or_default(), &mut environment)?;
        let models = Models::read(&settings_dir, &file.models, &mut environment, &mut secrets)
            .map_err(|error| ConfigError::of_models(&settings_dir, error))?;
        let secrets = Vault::new(secrets, &mut environment);
        let invalid = |reason| ConfigError::Variable { name: remote::SERVER, reason };
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
            collector,
            file,
        })
    }

    /// Reads `config.yaml` anew, and its keys with their values as they stand there.
    pub(crate) fn reread(&self) -> Result<(ConfigFile, Value), ConfigError> {
        let (mut file, text) = read_file(&self.settings_dir)?.unwrap_or_default();
        file.telemetry.otlp = file.telemetry.otlp.or_else(|| self.collector.clone());
        // It was read as settings, so it can be read as anything.
        Ok((file, serde_saphyr::from_str(&text).unwrap_or_default()))
    }

    /// What opens the HTTP API. Makes the operator's token when there is none, and with it a secret
    /// that signs JSON web tokens.
    pub(crate) fn credentials(&self) -> Result<Credentials, ConfigError> {
        let path = self.config_file();
        let (file, text) = read_file(&self.settings_dir)?.unwrap_or_default();
        let mut auth = self.auth.clone();
        let operator_token = format!("apf_{}", random_text()?);
        if let Some(admin_token) = file.admin_token {
            if admin_token.len() < TOKEN_CHARACTERS_MIN {
                let reason = format!("`admin_token` is shorter than {TOKEN_CHARACTERS_MIN}");
                return Err(ConfigError::Invalid { path, reason });
            }
            return Ok(Credentials { admin_token, operator_token, is_new: false, auth });
        }
        let admin_token = format!("apf_{}", random_text()?);
        let mut lines = format!(
            "# The operator's token for the HTTP API. Keep it secret.\nadmin_token: {admin_token}\n"
        );
        if file.auth.is_none() {
            let secret = random_text()?;
            lines += &secret_lines(&secret);
            let invalid = |reason| ConfigError::Invalid { path, reason };
            auth.jwt_secrets.push(JwtSecret::try_from(secret).map_err(invalid)?);
        }
        self.add(text, &lines)?;
        Ok(Credentials { admin_token, operator_token, is_new: true, auth })
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
        let invalid = |reason| ConfigError::Invalid { path: self.config_file(), reason };
        let (file, text) = read_file(&self.settings_dir)?.unwrap_or_default();
        if file.auth.is_some() {
            let what = "`auth` has no `jwt_secrets`: add one, as `openssl rand -hex 32` makes it";
            return Err(invalid(what.to_owned()));
        }
        let secret = random_text()?;
        self.add(text, &secret_lines(&secret))?;
        JwtSecret::try_from(secret).map(Some).map_err(invalid)
    }

    /// Keeps what the command line shows to a server, in place of what it showed before.
    pub(crate) fn save_api_token(&self, token: &str) -> Result<(), ConfigError> {
        let (_, text) = read_file(&self.settings_dir)?.unwrap_or_default();
        let is_other = |line: &&str| !line.starts_with("api_token:");
        let others = text.lines().filter(is_other).map(|line| format!("{line}\n"));
        self.add(others.collect(), &format!("api_token: {token}\n"))
    }

    /// Adds lines to what `config.yaml` holds.
    fn add(&self, text: String, lines: &str) -> Result<(), ConfigError> {
        let unusable = |source| ConfigError::Unusable { path: self.config_file(), source };
        let folder = open_folder(&self.settings_dir).map_err(unusable)?;
        add_lines(&folder, text, lines).map_err(unusable)
    }

    /// Where `secrets.yaml` is.
    pub(crate) fn secrets_file(&self) -> PathBuf {
        self.settings_dir.join(SECRETS_FILE)
    }

    /// Where `config.yaml` is.
    pub(crate) fn config_file(&self) -> PathBuf {
        self.settings_dir.join(CONFIG_FILE)
    }
}

/// The collector that the environment names, as the specification of OpenTelemetry says. Taken out,
/// since its headers may hold keys, which no plugin may be granted.
fn take_collector(environment: &mut BTreeMap<String, String>) -> Option<OtlpSettings> {
    let headers = environment.remove("OTEL_EXPORTER_OTLP_HEADERS").unwrap_or_default();
    let endpoint = environment.remove("OTEL_EXPORTER_OTLP_ENDPOINT")?;
    let header = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        Some((name.trim().to_owned(), value.trim().to_owned()))
    };
    let headers = OtlpHeaders(headers.split(',').filter_map(header).collect());
    let collector = OtlpSettings { endpoint, headers, sample: Share::default() };
    (!collector.endpoint.is_empty()).then_some(collector)
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

/// Opens a folder of the host's own. When it is not there, it is made for this user alone.
pub(crate) fn open_folder(path: &Path) -> io::Result<Dir> {
    let open = || Dir::open_ambient_dir(path, ambient_authority());
    match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Dir::create_ambient_dir_all(path, ambient_authority())?;
            let folder = open()?;
            folder.set_permissions(".", Permissions::from_mode(0o700))?;
            Ok(folder)
        }
        opened => opened,
    }
}

/// Reads `config.yaml`, where there is one, with its text.
fn read_file(settings: &Path) -> Result<Option<(ConfigFile, String)>, ConfigError> {
    let path = settings.join(CONFIG_FILE);
    let text = Dir::open_ambient_dir(settings, ambient_authority())
        .and_then(|folder| folder.read_to_string(CONFIG_FILE));
    let text = match text {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(ConfigError::Unusable { path, source }),
    };
    match serde_saphyr::from_str(&text) {
        Ok(file) => Ok(Some((file, text))),
        // Without the lines around it, which may hold a secret: this is logged.
        Err(error) => {
            Err(ConfigError::Invalid { path, reason: error.without_snippet().to_string() })
        }
    }
}

/// Adds lines to what is there. Writes beside, then renames: a token is never half written, nor
/// readable by others.
fn add_lines(folder: &Dir, mut text: String, lines: &str) -> io::Result<()> {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    let beside = format!("{CONFIG_FILE}.{}.new", std::process::id());
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut written = folder.open_with(&beside, &options)?;
    write!(written, "{text}{lines}")?;
    written.sync_all()?;
    folder.rename(&beside, folder, CONFIG_FILE)
}

fn secret_lines(secret: &str) -> String {
    format!(
        "# What signs the tokens of `apflow-host config gen-token`. Keep it secret.\n\
         auth:\n  jwt_secrets:\n  - {secret}\n"
    )
}

/// Adds what the environment says, which is taken out of it: no plugin may be granted it.
fn read_auth(
    settings: AuthSettings,
    environment: &mut BTreeMap<String, String>,
) -> Result<AuthSettings, ConfigError> {
    let mut auth = settings;
    let mut take = |name| environment.remove(name).filter(|text| !text.is_empty());
    if let Some(text) = take(JWT_SECRET) {
        let invalid = |reason| ConfigError::Variable { name: JWT_SECRET, reason };
        // It signs; those of the file still verify.
        auth.jwt_secrets.insert(0, JwtSecret::try_from(text).map_err(invalid)?);
    }
    if let Some(text) = take(API_KEYS) {
        let invalid = |reason| ConfigError::Variable { name: API_KEYS, reason };
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
