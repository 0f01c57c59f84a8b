//! A provider of identities: where its keys are, and which of them it has now.
//!
//! Its keys are fetched when they are needed first, again when they are old, and when a token names
//! one that is not known, though never more than once a minute. A provider that does not answer
//! shuts nobody out whose key is known, until the keys are a day old.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use apflow_model::auth::{OidcSettings, ProviderUrl};
use serde::Deserialize;

use super::jwks::KeySet;
use super::jwt::Jwt;

/// How often the provider is asked at most.
const ASK_EVERY: Duration = Duration::from_mins(1);
/// How old keys may get before they are fetched again.
const FRESH_FOR: Duration = Duration::from_mins(10);
/// How old keys may get before they open nothing any more.
const GOOD_FOR: Duration = Duration::from_hours(24);

/// Fetches the body at an address.
pub(crate) type Fetch = Arc<dyn Fn(String) -> Fetching + Send + Sync>;
/// The body to come, or why there is none.
pub(crate) type Fetching = Pin<Box<dyn Future<Output = Result<Vec<u8>, String>> + Send>>;

/// A provider of identities.
pub(super) struct Provider {
    settings: OidcSettings,
    fetch: Fetch,
    held: Mutex<Held>,
    /// Held by whoever asks the provider: the others wait for the answer to the same question.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Held {
    keys: Option<(Arc<KeySet>, Instant)>,
    asked: Option<Instant>,
}

/// The provider has no keys that are good, so nobody can say whether a token is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Silent;

/// Where a provider says that its things are.
#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: ProviderUrl,
}

impl Provider {
    pub(super) fn new(settings: OidcSettings, fetch: Fetch) -> Arc<Self> {
        let (held, asking) = (Mutex::default(), tokio::sync::Mutex::default());
        Arc::new(Self { settings, fetch, held, asking })
    }

    /// What is known of it.
    pub(super) fn settings(&self) -> &OidcSettings {
        &self.settings
    }

    /// Whether it signed a token.
    ///
    /// # Errors
    ///
    /// [`Silent`] when it was not reached for so long that its keys are too old.
    pub(super) async fn signed(self: &Arc<Self>, jwt: &Jwt<'_>) -> Result<bool, Silent> {
        let id = jwt.head.kid.as_deref();
        let is_known = |keys: &Arc<KeySet>| keys.has(id);
        if let Some((keys, age)) = self.keys().filter(|(keys, _)| is_known(keys)) {
            if age >= FRESH_FOR {
                let provider = Arc::clone(self);
                tokio::spawn(async move { provider.ask(None).await });
            }
            return Ok(keys.signed(jwt));
        }
        self.ask(id).await;
        let (keys, _) = self.keys().ok_or(Silent)?;
        Ok(keys.signed(jwt))
    }

    /// The keys that are good, and how old they are.
    fn keys(&self) -> Option<(Arc<KeySet>, Duration)> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let (keys, at) = held.keys.as_ref()?;
        let age = at.elapsed();
        (age < GOOD_FOR).then(|| (Arc::clone(keys), age))
    }

    /// Asks the provider for its keys, unless somebody did within the last minute.
    async fn ask(&self, wanted: Option<&str>) {
        let _turn = self.asking.lock().await;
        if !self.may_ask(Instant::now()) {
            return;
        }
        match self.fetch_keys().await {
            Ok(keys) => {
                let issuer = self.settings.issuer.as_str();
                tracing::info!(issuer, wanted, "fetched the keys of the provider");
                let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
                held.keys = Some((Arc::new(keys), Instant::now()));
            }
            Err(error) => {
                let issuer = self.settings.issuer.as_str();
                tracing::warn!(issuer, error, "the keys of the provider cannot be fetched");
            }
        }
    }

    fn may_ask(&self, now: Instant) -> bool {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let may = held.asked.is_none_or(|asked| now.duration_since(asked) >= ASK_EVERY);
        if may {
            held.asked = Some(now);
        }
        may
    }

    async fn fetch_keys(&self) -> Result<KeySet, String> {
        let jwks_url = match &self.settings.jwks_url {
            Some(url) => url.clone(),
            None => self.discover().await?,
        };
        let text = (self.fetch)(jwks_url.as_str().to_owned()).await?;
        KeySet::read(&text).ok_or_else(|| format!("`{}` has no keys", jwks_url.as_str()))
    }

    /// As in `OpenID` Connect Discovery 1.0, section 4.
    async fn discover(&self) -> Result<ProviderUrl, String> {
        let issuer = self.settings.issuer.as_str();
        let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let text = (self.fetch)(url.clone()).await?;
        let found = serde_json::from_slice::<Discovery>(&text);
        let found = found.map_err(|error| format!("`{url}` is not what it should be: {error}"))?;
        if found.issuer != issuer {
            return Err(format!("`{url}` speaks for another issuer: `{}`", found.issuer));
        }
        Ok(found.jwks_uri)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use serde_json::json;

    use super::*;

    const KEYS: &str = r#"{"keys":[{"kty":"RSA","kid":"one","n":"AQAB","e":"AQAB"}]}"#;

    /// A provider whose documents are these, and how often it was asked for one.
    fn provider(
        answer: impl Fn(&str) -> Result<String, String> + Send + Sync + 'static,
    ) -> (Arc<Provider>, Arc<AtomicUsize>) {
        let settings = json!({"issuer": "https://id.example", "audience": "a", "roles": {}});
        let asked = Arc::<AtomicUsize>::default();
        let counter = Arc::clone(&asked);
        let fetch = move |url: String| -> Fetching {
            counter.fetch_add(1, Ordering::SeqCst);
            let answer = answer(&url).map(String::into_bytes);
            Box::pin(async move { answer })
        };
        (Provider::new(serde_json::from_value(settings).unwrap(), Arc::new(fetch)), asked)
    }

    fn discovery(issuer: &str, jwks: &str) -> String {
        json!({"issuer": issuer, "jwks_uri": jwks}).to_string()
    }

    /// A token that names this key.
    fn token(kid: &str) -> String {
        use base64::Engine;
        let encode = |text: String| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
        let head = encode(json!({"alg": "RS256", "kid": kid}).to_string());
        format!("{head}.{}.AAAA", encode("{}".to_owned()))
    }

    #[tokio::test]
    async fn an_unknown_key_has_the_provider_asked_once_a_minute() {
        let (provider, asked) = provider(|url| match url {
            "https://id.example/.well-known/openid-configuration" => {
                Ok(discovery("https://id.example", "https://id.example/keys"))
            }
            "https://id.example/keys" => Ok(KEYS.to_owned()),
            _ => Err("there is no such thing".to_owned()),
        });
        for kid in ["one", "two", "three"] {
            let text = token(kid);
            assert_eq!(provider.signed(&Jwt::read(&text).unwrap()).await, Ok(false));
        }
        assert_eq!(asked.load(Ordering::SeqCst), 2, "the discovery and the keys, once");
        let later = Instant::now() + ASK_EVERY;
        assert!(provider.may_ask(later));
        assert!(!provider.may_ask(later + Duration::from_secs(59)));
    }

    #[tokio::test]
    async fn a_provider_that_changes_its_keys_is_asked_again_and_one_that_fails_keeps_the_last() {
        let said = Arc::new(Mutex::new(Ok(KEYS.to_owned())));
        let answer = Arc::clone(&said);
        let (provider, _) = provider(move |url| match url {
            "https://id.example/keys" => answer.lock().unwrap().clone(),
            _ => Ok(discovery("https://id.example", "https://id.example/keys")),
        });
        let has = |kid| provider.keys().is_some_and(|(keys, _)| keys.has(Some(kid)));
        let (one, two) = (token("one"), token("two"));
        provider.signed(&Jwt::read(&one).unwrap()).await.unwrap();
        *said.lock().unwrap() = Ok(KEYS.replace("one", "two"));
        provider.signed(&Jwt::read(&two).unwrap()).await.unwrap();
        assert!(has("one") && !has("two"), "the minute is not over");
        provider.held.lock().unwrap().asked = None;
        provider.signed(&Jwt::read(&two).unwrap()).await.unwrap();
        assert!(has("two") && !has("one"));
        *said.lock().unwrap() = Err("nobody answers".to_owned());
        provider.held.lock().unwrap().asked = None;
        provider.signed(&Jwt::read(&one).unwrap()).await.unwrap();
        assert!(has("two"));
    }

    #[tokio::test]
    async fn nobody_can_say_what_a_provider_that_is_silent_signed() {
        let (provider, _) = provider(|_| Err("nobody answers".to_owned()));
        let text = token("one");
        assert_eq!(provider.signed(&Jwt::read(&text).unwrap()).await, Err(Silent));
    }

    #[tokio::test]
    async fn a_discovery_that_leads_astray_is_not_followed() {
        for wrong in [
            discovery("https://other.example", "https://id.example/keys"),
            discovery("https://id.example/", "https://id.example/keys"),
            discovery("https://id.example", "http://id.example/keys"),
            discovery("https://id.example", "file:///etc/passwd"),
            "<html>".to_owned(),
        ] {
            let (provider, asked) = provider(move |_| Ok(wrong.clone()));
            assert!(provider.fetch_keys().await.is_err());
            assert_eq!(asked.load(Ordering::SeqCst), 1, "only the discovery");
        }
    }
}
