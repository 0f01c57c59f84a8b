//! The providers of language models: where each is, how it speaks, and which secret opens it.
//!
//! It reads no environment and holds no key. Who does hands in the variables, and learns which
//! secrets belong where and what the executor of models is granted for it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::capability::{Grant, HttpPattern};
use crate::manifest::check_name;
use crate::price::Prices;
use crate::secret::{Destinations, Origin, SecretRule};

/// The executor that calls models. It may reach the providers that are set up.
pub const EXECUTOR: &str = "llm_executor";
/// The variable that tells it, and whomever else it is granted to, where they are. It holds no key.
pub const VARIABLE: &str = "APFLOW_MODELS";

/// The variable that says where an Ollama is.
const OLLAMA_HOST: &str = "OLLAMA_HOST";
const OLLAMA_URL: &str = "http://127.0.0.1:11434";
const OLLAMA_PORT: u16 = 11_434;

/// Which protocol a provider speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProviderKind {
    /// Messages of Anthropic.
    Anthropic,
    /// The chat of Ollama.
    Ollama,
    /// Chat completions of `OpenAI`, which many others speak.
    Openai,
}

/// The section `models` of the settings.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelSettings {
    /// The providers by the name that a model has before its `/`.
    pub providers: BTreeMap<ProviderName, ProviderSettings>,
}

/// What the settings say of a provider. Of one that is well known, the rest is known.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProviderSettings {
    /// Which protocol it speaks.
    pub kind: Option<ProviderKind>,
    /// Where it is.
    pub base_url: Option<BaseUrl>,
    /// The secret of `secrets.yaml` that opens it. None for a provider that needs none, or whose
    /// variable has its key.
    pub secret: Option<String>,
}

/// The name of a provider: as that of a plugin.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct ProviderName(String);

impl TryFrom<String> for ProviderName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        check_name(&text)?;
        Ok(Self(text))
    }
}

/// Where a provider is: `https://api.openai.com/v1`, without a `/` at the end, a query or a user.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct BaseUrl {
    text: String,
    /// The requests that go there.
    requests: HttpPattern,
}

impl BaseUrl {
    /// The address.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The name of its host, without port. None for an address in brackets.
    fn host(&self) -> Option<&str> {
        let (_, rest) = self.text.split_once("://")?;
        let host = rest.split(['/', ':']).next()?;
        (!host.starts_with('[')).then_some(host)
    }
}

impl TryFrom<String> for BaseUrl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let text = text.trim_end_matches('/').to_owned();
        let expected = "expected an address such as `https://api.openai.com/v1`";
        if text.contains(['*', ' ', '?', '#', '@']) {
            return Err(format!("`{text}`: {expected}"));
        }
        let requests =
            format!("POST {text}").parse().map_err(|_| format!("`{text}`: {expected}"))?;
        Ok(Self { text, requests })
    }
}

/// A provider that everybody knows.
struct WellKnown {
    name: &'static str,
    kind: ProviderKind,
    base_url: &'static str,
    /// The variable that holds its key.
    key: Option<&'static str>,
}

const WELL_KNOWN: [WellKnown; 4] = [
    WellKnown {
        name: "anthropic",
        kind: ProviderKind::Anthropic,
        base_url: "https://api.anthropic.com",
        key: Some("ANTHROPIC_API_KEY"),
    },
    WellKnown {
        name: "google",
        kind: ProviderKind::Openai,
        base_url: "https://generativelanguage.googleapis.com/v1beta/openai",
        key: Some("GOOGLE_API_KEY"),
    },
    WellKnown { name: "ollama", kind: ProviderKind::Ollama, base_url: OLLAMA_URL, key: None },
    WellKnown {
        name: "openai",
        kind: ProviderKind::Openai,
        base_url: "https://api.openai.com/v1",
        key: Some("OPENAI_API_KEY"),
    },
];

/// A provider that is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provider {
    /// The name that its models have before their `/`.
    pub name: String,
    /// Which protocol it speaks.
    pub kind: ProviderKind,
    /// Where it is.
    pub base_url: BaseUrl,
    /// The secret that opens it.
    pub secret: Option<String>,
    /// Whether the operator said where it is, so that it may be on an address that is not public.
    is_placed: bool,
}

/// Why a provider cannot be set up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// The settings lack something. The sentence says where.
    #[error("{0}")]
    Settings(String),
    /// A variable of the environment cannot be read.
    #[error("the environment variable `{name}` is not valid: {reason}")]
    Variable {
        /// Which.
        name: &'static str,
        /// What is wrong.
        reason: String,
    },
}

/// The providers that are set up, in the order of their names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Providers {
    list: Vec<Provider>,
    /// The keys that are in variables, as secrets of the variables' names.
    keys: Vec<SecretRule>,
}

impl Providers {
    /// Sets providers up: those that the settings name, and those that are well known and have a
    /// variable. A secret of a variable's name counts as that variable; a variable that a secret
    /// takes under another name is not looked at.
    ///
    /// # Errors
    ///
    /// What a provider lacks, and what is wrong with a variable.
    pub fn new(
        settings: &ModelSettings,
        environment: &BTreeMap<String, String>,
        secrets: &[SecretRule],
    ) -> Result<Self, ProviderError> {
        let known = WELL_KNOWN.iter().map(|known| known.name);
        let named = settings.providers.keys().map(|ProviderName(name)| name.as_str());
        let mut found = Self::default();
        for name in known.chain(named).collect::<BTreeSet<_>>() {
            let said = settings.providers.get(&ProviderName(name.to_owned()));
            found.add(name, said, environment, secrets)?;
        }
        Ok(found)
    }

    fn add(
        &mut self,
        name: &str,
        said: Option<&ProviderSettings>,
        environment: &BTreeMap<String, String>,
        secrets: &[SecretRule],
    ) -> Result<(), ProviderError> {
        let known = WELL_KNOWN.iter().find(|known| known.name == name);
        let key = known.and_then(|known| Key::find(known.key?, environment, secrets));
        let host = known.filter(|known| known.kind == ProviderKind::Ollama);
        let host = host.and_then(|_| environment.get(OLLAMA_HOST)).filter(|text| !text.is_empty());
        if said.is_none() && key.is_none() && host.is_none() {
            return Ok(());
        }
        let ProviderSettings { kind, base_url, secret } = said.cloned().unwrap_or_default();
        let lacks = |key: &str| {
            ProviderError::Settings(format!("`models.providers.{name}` needs a `{key}`"))
        };
        let kind = kind.or(known.map(|known| known.kind)).ok_or_else(|| lacks("kind"))?;
        let placed = match (base_url, host) {
            (None, Some(host)) => {
                let invalid = |reason| ProviderError::Variable { name: OLLAMA_HOST, reason };
                Some(ollama_url(host).map_err(invalid)?)
            }
            (said, _) => said,
        };
        let is_placed = placed.is_some();
        let usual = || known.and_then(|known| BaseUrl::try_from(known.base_url.to_owned()).ok());
        let base_url = placed.or_else(usual).ok_or_else(|| lacks("base_url"))?;
        let secret = match (secret, key) {
            (Some(secret), _) => Some(known_secret(name, secret, secrets)?),
            (None, Some(Key::Secret(secret))) => Some(secret),
            (None, Some(Key::Variable(variable))) => {
                let to = Destinations { http: vec![base_url.requests.clone()], tcp: Vec::new() };
                let from = Origin::Env(variable.clone());
                self.keys.push(SecretRule { name: variable.clone(), from, to });
                Some(variable)
            }
            (None, None) => None,
        };
        self.list.push(Provider { name: name.to_owned(), kind, base_url, secret, is_placed });
        Ok(())
    }

    /// Every provider.
    pub fn iter(&self) -> impl Iterator<Item = &Provider> {
        self.list.iter()
    }

    /// The secrets that are in the variables of providers, each tied to where its provider is.
    pub fn keys(&self) -> &[SecretRule] {
        &self.keys
    }

    /// What [`EXECUTOR`] is granted: to reach each provider with its secret, and to know of it. An
    /// address that is not public is reached only where the operator said it.
    pub fn grants(&self) -> Vec<Grant> {
        let mut grants = vec![Grant::Env(VARIABLE.to_owned())];
        for provider in &self.list {
            grants.push(Grant::Http(provider.base_url.requests.clone()));
            grants.extend(provider.secret.clone().map(Grant::Secret));
            let host = provider.base_url.host().filter(|_| provider.is_placed);
            grants.extend(host.and_then(|host| host.parse().ok()).map(Grant::Net));
        }
        grants
    }

    /// What [`VARIABLE`] says, as JSON: of each provider by name its `kind`, its `base_url`, the name
    /// of its `secret`, and the `models` that have a price.
    pub fn variable(&self, prices: &Prices) -> String {
        #[derive(Serialize)]
        struct Told<'a> {
            kind: ProviderKind,
            base_url: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            secret: Option<&'a str>,
            models: Vec<&'a str>,
        }
        let told = self.list.iter().map(|provider| {
            let Provider { name, kind, base_url, secret, .. } = provider;
            let models = prices.models(name).collect();
            let (base_url, secret) = (base_url.as_str(), secret.as_deref());
            (name, Told { kind: *kind, base_url, secret, models })
        });
        serde_json::to_string(&told.collect::<BTreeMap<_, _>>()).unwrap_or_default()
    }
}

/// Where the key of a well-known provider is.
enum Key {
    /// In a variable of this name.
    Variable(String),
    /// In a secret of this name, which the operator has tied to its destinations.
    Secret(String),
}

impl Key {
    fn find(
        variable: &str,
        environment: &BTreeMap<String, String>,
        secrets: &[SecretRule],
    ) -> Option<Self> {
        if secrets.iter().any(|rule| rule.name == variable) {
            return Some(Self::Secret(variable.to_owned()));
        }
        let is_taken =
            |rule: &SecretRule| matches!(&rule.from, Origin::Env(name) if name == variable);
        let is_set = environment.get(variable).is_some_and(|value| !value.is_empty());
        (is_set && !secrets.iter().any(is_taken)).then(|| Self::Variable(variable.to_owned()))
    }
}

/// A secret that there is.
fn known_secret(
    provider: &str,
    secret: String,
    secrets: &[SecretRule],
) -> Result<String, ProviderError> {
    if secrets.iter().any(|rule| rule.name == secret) {
        return Ok(secret);
    }
    let what = format!("secrets.yaml names no secret `{secret}`");
    Err(ProviderError::Settings(format!("`models.providers.{provider}.secret`: {what}")))
}

/// Reads `OLLAMA_HOST` as Ollama itself does: `HOST`, `:PORT`, `HOST:PORT` or an address. What it
/// listens on everywhere is reached on this machine.
fn ollama_url(text: &str) -> Result<BaseUrl, String> {
    let text = text.trim().trim_end_matches('/');
    let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if is_port(port) => (host, Some(port)),
        Some(_) | None => (authority, None),
    };
    let host = match host {
        "" | "0.0.0.0" => "127.0.0.1",
        "[::]" => "[::1]",
        host => host,
    };
    let port = match port {
        Some(port) => format!(":{port}"),
        None if text.contains("://") => String::new(),
        None => format!(":{OLLAMA_PORT}"),
    };
    BaseUrl::try_from(format!("{scheme}://{host}{port}{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::parse_rules;

    fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn set_up(
        yaml: &str,
        environment: &[(&str, &str)],
        secrets: &str,
    ) -> Result<Providers, String> {
        let settings: ModelSettings = serde_saphyr::from_str(yaml).map_err(|e| e.to_string())?;
        let rules = parse_rules(secrets).unwrap();
        Providers::new(&settings, &variables(environment), &rules).map_err(|e| e.to_string())
    }

    fn grants(providers: &Providers) -> Vec<String> {
        providers.grants().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_variable_with_a_key_sets_its_provider_up() {
        let keys = [("ANTHROPIC_API_KEY", "a-key-of-one"), ("GOOGLE_API_KEY", ""), ("LANG", "C")];
        let providers = set_up("{}", &keys, "").unwrap();
        let names: Vec<_> = providers.iter().map(|provider| provider.name.as_str()).collect();
        assert_eq!(names, ["anthropic"]);
        let [key] = providers.keys() else { panic!("{providers:?}") };
        assert_eq!((key.name.as_str(), key.from.kind()), ("ANTHROPIC_API_KEY", "env"));
        assert_eq!(key.to.texts().collect::<Vec<_>>(), ["POST https://api.anthropic.com"]);
        assert_eq!(
            grants(&providers),
            [
                "env=APFLOW_MODELS",
                "http=POST https://api.anthropic.com",
                "secret=ANTHROPIC_API_KEY"
            ]
        );
        assert_eq!(set_up("{}", &[], "").unwrap(), Providers::default());
    }

    #[test]
    fn the_settings_win_and_the_rest_is_known() {
        let yaml = "providers:\n  openai: { base_url: \"http://models.internal:8080/v1/\" }\n";
        let providers = set_up(yaml, &[("OPENAI_API_KEY", "a-key-of-one")], "").unwrap();
        let text = "POST http://models.internal:8080/v1";
        assert_eq!(providers.keys()[0].to.texts().collect::<Vec<_>>(), [text]);
        let [_, http, secret, net] = &grants(&providers)[..] else { panic!("{providers:?}") };
        assert_eq!(
            (http.as_str(), secret.as_str()),
            (&*format!("http={text}"), "secret=OPENAI_API_KEY")
        );
        assert_eq!(net, "net=models.internal");
    }

    #[test]
    fn a_provider_of_ones_own_has_a_secret_of_ones_own() {
        let yaml =
            "providers: { own: { kind: openai, base_url: \"https://a.example\", secret: key } }";
        let secrets = "key: { from: { file: /key }, http: [\"https://a.example\"] }";
        let providers = set_up(yaml, &[], secrets).unwrap();
        assert_eq!((providers.list[0].secret.as_deref(), providers.keys()), (Some("key"), &[][..]));
        for (yaml, expected) in [
            (yaml.replace("kind: openai, ", ""), "`models.providers.own` needs a `kind`"),
            (yaml.replace("https://a.example", "a.example"), "expected an address"),
            (yaml.replace("https://a.example", "https://*"), "expected an address"),
            (yaml.replace("secret: key", "secret: other"), "names no secret `other`"),
            (yaml.replace("own:", "Own:"), "Own"),
            (yaml.replace("kind: openai", "kind: bard"), "bard"),
            (yaml.replace("kind: openai", "knd: openai"), "knd"),
        ] {
            let error = set_up(&yaml, &[], secrets).unwrap_err();
            assert!(error.contains(expected), "{yaml}: {error}");
        }
    }

    #[test]
    fn a_secret_of_a_variables_name_counts_and_a_taken_variable_does_not() {
        let named = "OPENAI_API_KEY: { from: { file: /key }, http: [\"https://api.openai.com\"] }";
        let providers = set_up("{}", &[("OPENAI_API_KEY", "a-key-of-one")], named).unwrap();
        assert_eq!(providers.list[0].secret.as_deref(), Some("OPENAI_API_KEY"));
        assert_eq!(providers.keys(), []);
        let taken = "key: { from: { env: OPENAI_API_KEY }, http: [\"https://a.example\"] }";
        let providers = set_up("{}", &[("OPENAI_API_KEY", "a-key-of-one")], taken).unwrap();
        assert_eq!(providers, Providers::default());
    }

    #[test]
    fn an_ollama_is_where_its_variable_says() {
        for (text, url) in [
            ("192.168.1.5", "http://192.168.1.5:11434"),
            ("0.0.0.0:8080", "http://127.0.0.1:8080"),
            (":8080", "http://127.0.0.1:8080"),
            ("[::]", "http://[::1]:11434"),
            ("http://ollama.internal", "http://ollama.internal"),
            ("https://a.example/ollama/", "https://a.example/ollama"),
        ] {
            let providers = set_up("{}", &[(OLLAMA_HOST, text)], "").unwrap();
            assert_eq!(providers.list[0].base_url.as_str(), url, "{text}");
        }
        let error = set_up("{}", &[(OLLAMA_HOST, "a b")], "").unwrap_err();
        assert!(error.contains("`OLLAMA_HOST` is not valid"), "{error}");
    }

    #[test]
    fn what_the_executor_is_told_holds_no_key() {
        let keys = [("OPENAI_API_KEY", "a-key-of-one"), (OLLAMA_HOST, "127.0.0.1")];
        let told = set_up("{}", &keys, "").unwrap().variable(&Prices::shipped());
        assert!(!told.contains("a-key-of-one"), "{told}");
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        assert_eq!(told["openai"]["base_url"], "https://api.openai.com/v1");
        assert_eq!(told["openai"]["secret"], "OPENAI_API_KEY");
        assert!(told["openai"]["models"].as_array().unwrap().contains(&"gpt-5".into()));
        assert_eq!(
            (&told["ollama"]["kind"], told["ollama"]["secret"].is_null()),
            (&"ollama".into(), true)
        );
    }
}
