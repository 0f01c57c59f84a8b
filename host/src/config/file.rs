//! `config.yaml`: its text, and what that says.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use apflow_model::audit::AuditRules;
use apflow_model::auth::AuthSettings;
use apflow_model::breaker::BreakerRules;
use apflow_model::concurrency::{Admission, Concurrency};
use apflow_model::file_settings::FileSettings;
use apflow_model::idempotency::IdempotencyHours;
use apflow_model::lease::LeaseSeconds;
use apflow_model::listener::ListenerSettings;
use apflow_model::provider::ModelSettings;
use apflow_model::proxies::Proxies;
use apflow_model::quarantine::QuarantineRule;
use apflow_model::retention::Retention;
use apflow_model::setting;
use apflow_model::telemetry::TelemetrySettings;
use apflow_model::tool_settings::ToolSettings;
use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt, Permissions, PermissionsExt};
use serde::Deserialize;

use super::error::ConfigError;
use crate::remote::{ApiRetryCount, ApiTimeout, GatewaySettings, NamedBy, ServerUrl};
use crate::webhook::WebhookSecret;

pub(super) const CONFIG_FILE: &str = "config.yaml";

/// What `config.yaml` may hold.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ConfigFile {
    /// The token of the operator, for the HTTP API.
    pub(crate) admin_token: Option<String>,
    /// What else opens the HTTP API.
    pub(crate) auth: AuthSettings,
    /// How the host listens for HTTP.
    pub(crate) http: ListenerSettings,
    /// How many attempts run at once.
    pub(crate) attempts_max: AttemptsMax,
    /// How long an idempotency key is kept.
    pub(crate) idempotency_hours: IdempotencyHours,
    /// When what keeps failing is left alone.
    pub(crate) breakers: BreakerRules,
    /// How many tasks run at once.
    pub(crate) concurrency: Concurrency,
    /// How many tasks may be open.
    pub(crate) admission: Admission,
    /// How long the tasks of a host stay its own after it was last heard of.
    pub(crate) lease_seconds: LeaseSeconds,
    /// When a component is not run any more because hosts ended while it ran.
    pub(crate) quarantine: QuarantineRule,
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
    pub(super) fn gateway(&self) -> GatewaySettings {
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

/// Where it is.
pub(crate) fn path(settings: &Path) -> PathBuf {
    settings.join(CONFIG_FILE)
}

/// Reads its text. None where there is no such file.
pub(crate) fn read(settings: &Path) -> Result<Option<String>, ConfigError> {
    let text = Dir::open_ambient_dir(settings, ambient_authority())
        .and_then(|folder| folder.read_to_string(CONFIG_FILE));
    match text {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ConfigError::Unusable { path: path(settings), source }),
    }
}

/// What its text says.
pub(crate) fn parse(settings: &Path, text: &str) -> Result<ConfigFile, ConfigError> {
    let path = || path(settings);
    // First what is wrong with its keys, all at once; then what the values mean.
    setting::check(text).map_err(|faults| ConfigError::Faults { path: path(), faults })?;
    serde_saphyr::from_str(text).map_err(|error: serde_saphyr::Error| {
        // Without the lines around it, which may hold a secret: this is logged.
        ConfigError::Invalid { path: path(), reason: error.without_snippet().to_string() }
    })
}

/// Writes its text anew: beside, then renamed, so that a token is never half written, nor readable
/// by others.
pub(crate) fn write(settings: &Path, text: &str) -> Result<(), ConfigError> {
    let written = open_folder(settings).and_then(|folder| {
        let beside = format!("{CONFIG_FILE}.{}.new", std::process::id());
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut written = folder.open_with(&beside, &options)?;
        written.write_all(text.as_bytes())?;
        written.sync_all()?;
        folder.rename(&beside, &folder, CONFIG_FILE)
    });
    written.map_err(|source| ConfigError::Unusable { path: path(settings), source })
}

/// Takes it away, and answers where it is kept. None when there is none.
pub(crate) fn set_aside(settings: &Path) -> Result<Option<PathBuf>, ConfigError> {
    let kept = format!("{CONFIG_FILE}.bak");
    let path = settings.join(&kept);
    let unusable = |source| ConfigError::Unusable { path: path.clone(), source };
    let folder = match Dir::open_ambient_dir(settings, ambient_authority()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(unusable)?,
    };
    // A link, unlike a rename, writes over nothing.
    match folder.hard_link(CONFIG_FILE, &folder, &kept) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let why = "it keeps what was set before: move it away, or remove it";
            return Err(unusable(io::Error::new(io::ErrorKind::AlreadyExists, why)));
        }
        Err(error) => return Err(unusable(error)),
    }
    folder.remove_file(CONFIG_FILE).map_err(unusable)?;
    Ok(Some(path))
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// Whether a file with this value at a path can be read, as the types have it.
    fn reads(path: &str, value: &Value) -> bool {
        let path: Vec<_> = path.split('.').collect();
        let mut nested = path.iter().rev().fold(value.clone(), |value, key| json!({ *key: value }));
        if let Some(otlp) = nested.pointer_mut("/telemetry/otlp") {
            otlp["endpoint"] = "http://localhost".into();
        }
        serde_json::from_value::<ConfigFile>(nested).is_ok()
    }

    /// The keys that a section may have, as its type names them when it meets another.
    fn expected(section: &str) -> Vec<String> {
        let path: Vec<_> = section.split('.').filter(|key| !key.is_empty()).collect();
        let strange =
            path.iter().rev().fold(json!({ "\u{e9}": 1 }), |inner, key| json!({ *key: inner }));
        let told = serde_json::from_value::<ConfigFile>(strange).unwrap_err().to_string();
        let (_, names) = told.split_once("expected ").unwrap_or(("", &told));
        names.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    }

    #[test]
    fn the_table_has_exactly_the_keys_that_the_types_read() {
        let all = setting::all();
        let mut sections = vec![String::new()];
        for setting in &all {
            if let Some((section, _)) = setting.path().rsplit_once('.')
                && !sections.iter().any(|known| known == section)
            {
                sections.push(section.to_owned());
            }
        }
        for section in sections {
            let table: Vec<_> = match &*section {
                "" => setting::top(),
                section => setting::find(section).unwrap().keys(),
            };
            let mut table: Vec<_> =
                table.iter().map(|path| path.rsplit('.').next().unwrap().to_owned()).collect();
            let mut types = expected(&section);
            table.sort();
            types.sort();
            assert_eq!(table, types, "in `{section}`");
        }
    }

    #[test]
    fn the_ranges_of_the_table_are_those_of_the_types() {
        let mut count = 0;
        for setting in setting::all() {
            let Some((least, most)) = setting.range() else { continue };
            count += 1;
            let path = setting.path();
            // What a rule asks of two keys together is met by the larger one.
            assert!(reads(path, &json!(most)), "{path}: {most}");
            assert!(
                reads(path, &json!(least)) || path.ends_with("open_seconds_max"),
                "{path}: {least}"
            );
            assert!(!reads(path, &json!(most + 1)), "{path}: {}", most + 1);
            assert!(least == 0 || !reads(path, &json!(least - 1)), "{path}: {}", least - 1);
        }
        assert!(count > 25, "only {count} keys have ranges");
    }

    #[test]
    fn the_defaults_of_the_table_are_those_of_the_types() {
        let usual = format!("{:?}", ConfigFile::default());
        for setting in setting::all() {
            let Some(default) = setting.default() else { continue };
            // Sections that are not there without another word are not compared.
            if ["auth.oidc", "telemetry.otlp"].iter().any(|above| setting.path().starts_with(above))
            {
                continue;
            }
            let path: Vec<_> = setting.path().split('.').collect();
            let nested = path.iter().rev().fold(default, |value, key| json!({ *key: value }));
            let said = serde_json::from_value::<ConfigFile>(nested).unwrap();
            assert_eq!(format!("{said:?}"), usual, "{}", setting.path());
        }
    }
}
