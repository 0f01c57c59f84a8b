//! From a request to its caller: the one place where anything that a caller shows is looked at.
//!
//! Whatever is wrong with it, a caller is told the same; the host's log says what it was.

mod jwks;
pub(crate) mod jwt;
mod keys;
mod oidc;

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use apflow_api::{Api, ApiError, Code};
use apflow_model::access::Principal;
use apflow_model::auth::JwtSecret;
use apflow_model::claims::{Claims, Expected};
use apflow_model::clock::Clock;
use apflow_model::guess::{Guesses, Pace};
use apflow_model::token::TokenText;
use axum::extract::ConnectInfo;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use tokio::sync::Semaphore;

use super::problem::Problem;
use crate::config::Credentials;
use jwt::{Algorithm, Jwt};
use keys::Keys;
use oidc::Provider;

pub(crate) use oidc::Fetch;

/// The longest that a caller may show, in bytes.
const TOKEN_BYTES_MAX: usize = 16 << 10;
/// How long a wrong token waits for its answer when there were many.
const SLOWLY: Duration = Duration::from_secs(1);
/// How many wrong tokens wait at once. More of them are refused without a wait.
const WAITING_MAX: usize = 256;

/// Before the names of those whom a provider of identities vouches for: so nobody there gets the
/// name of somebody here.
const OF_PROVIDER: &str = "oidc:";

/// What opens the API.
pub(crate) struct Access {
    api: Api,
    clock: Arc<dyn Clock>,
    keys: Keys,
    secrets: Vec<JwtSecret>,
    expected: Expected,
    provider: Option<(Arc<Provider>, Expected)>,
    guesses: Mutex<Guesses>,
    waiting: Semaphore,
}

/// Who holds what was shown earlier.
pub(super) enum Holder {
    /// This one, who may do what its role may now.
    Known(Principal),
    /// Nobody: it opens nothing any more.
    Nobody,
    /// Nobody can say at present.
    Unsure,
}

/// Why somebody is not let in.
enum Refusal {
    /// What was shown opens nothing. Why, for the host's log.
    Wrong(Box<dyn Display + Send + Sync>),
    /// Nobody can say at present.
    Host(ApiError),
    /// The provider of identities does not answer.
    Provider,
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self::Host(error)
    }
}

fn wrong(reason: impl Display + Send + Sync + 'static) -> Refusal {
    Refusal::Wrong(Box::new(reason))
}

impl Access {
    /// What opens the API: the operator's token, what the settings say, and the tokens that the API
    /// keeps.
    ///
    /// # Errors
    ///
    /// What is wrong with the settings: a role that there is not, or a key that is there twice.
    pub(crate) fn new(
        api: Api,
        clock: Arc<dyn Clock>,
        Credentials { admin_token, operator_token, auth: settings, .. }: &Credentials,
        fetch: Fetch,
    ) -> Result<Self, String> {
        let roles = api.roles();
        let of_keys = settings.api_keys.iter().map(|key| key.role.as_str());
        let of_provider = settings.oidc.iter().flat_map(|oidc| oidc.roles.roles());
        if let Some(role) =
            of_keys.chain(of_provider).find(|role| roles.principal("", role).is_none())
        {
            return Err(format!("there is no role `{role}`"));
        }
        let provider = settings.oidc.clone().map(|oidc| {
            let expected = settings.expected_of(&oidc);
            (Provider::new(oidc, fetch), expected)
        });
        Ok(Self {
            api,
            clock,
            keys: Keys::new(admin_token, operator_token, &settings.api_keys)?,
            secrets: settings.jwt_secrets.clone(),
            expected: settings.expected(),
            provider,
            guesses: Mutex::new(Guesses::new(settings.guesses_per_minute)),
            waiting: Semaphore::new(WAITING_MAX),
        })
    }

    /// Who sends a request.
    ///
    /// It is asked before the body is read: strangers cannot make the host read megabytes.
    pub(super) async fn caller(&self, request: &Parts) -> Result<Principal, Problem> {
        let Some(text) = shown(&request.headers) else { return Err(stranger()) };
        let refusal = match self.identify(text).await {
            Ok(principal) => return Ok(principal),
            Err(refusal) => refusal,
        };
        match refusal {
            Refusal::Wrong(reason) => {
                let peer = peer(request);
                let peer_text = peer.map(tracing::field::display);
                tracing::info!(peer = peer_text, %reason, "a token was refused");
                Err(self.answer_wrong(peer).await)
            }
            // The store has logged why.
            Refusal::Host(error) => Err(Problem::quietly(&error)),
            Refusal::Provider => {
                let detail = "the provider of identities does not answer the host";
                Err(Problem::new(Code::ProviderUnavailable, detail).retrying_after(60))
            }
        }
    }

    /// Who holds what somebody showed who was let in. It is no guess, so it is not counted as one.
    pub(super) async fn holder(&self, text: &str) -> Holder {
        match self.identify(text).await {
            Ok(principal) => Holder::Known(principal),
            Err(Refusal::Wrong(reason)) => {
                tracing::info!(%reason, "a token that was let in opens nothing any more");
                Holder::Nobody
            }
            Err(Refusal::Host(_) | Refusal::Provider) => Holder::Unsure,
        }
    }

    async fn identify(&self, text: &str) -> Result<Principal, Refusal> {
        if text.len() > TOKEN_BYTES_MAX {
            return Err(wrong("it is too long"));
        }
        if let Some(holder) = self.keys.find(text) {
            return self.in_role(&holder.name, &holder.role);
        }
        if Jwt::is_like(text) {
            let jwt = Jwt::read(text).map_err(wrong)?;
            return match jwt.head.alg {
                Algorithm::Hs256 => self.by_secret(&jwt).await,
                Algorithm::Rs256 | Algorithm::Es256 => self.by_provider(&jwt).await,
            };
        }
        let token = TokenText::parse(text).map_err(wrong)?;
        let found = self.api.admit_token(&token).await?;
        let unknown = || wrong(format!("{token:?} is unknown, revoked or past"));
        let found = found.ok_or_else(unknown)?;
        Ok(found.scopes.narrow(self.in_role(&found.principal, &found.role)?))
    }

    /// The caller of a token that the host's own secrets signed.
    async fn by_secret(&self, jwt: &Jwt<'_>) -> Result<Principal, Refusal> {
        if !jwt.is_signed_by(&self.secrets) {
            return Err(wrong("its signature is not by a secret of the host"));
        }
        self.check(&jwt.claims, &self.expected).await?;
        let name = jwt.claims.subject().map_err(wrong)?;
        let [role] = jwt.claims.texts("role")[..] else {
            return Err(wrong("the claim `role` is missing or of the wrong type"));
        };
        self.in_role(name.as_str(), role)
    }

    /// The caller of a token that the provider of identities signed.
    async fn by_provider(&self, jwt: &Jwt<'_>) -> Result<Principal, Refusal> {
        let Some((provider, expected)) = &self.provider else {
            return Err(wrong("there is no provider of identities"));
        };
        // First: what was made for somebody else must not have the provider asked.
        self.check(&jwt.claims, expected).await?;
        if !provider.signed(jwt).await.map_err(|oidc::Silent| Refusal::Provider)? {
            return Err(wrong("its signature is not by a key of the provider"));
        }
        let name = jwt.claims.subject().map_err(wrong)?;
        let oidc = provider.settings();
        let values = jwt.claims.texts(&oidc.role_claim);
        let role = oidc.roles.role(&values).ok_or_else(|| wrong("none of its roles is known"))?;
        self.in_role(&format!("{OF_PROVIDER}{}", name.as_str()), role)
    }

    async fn check(&self, claims: &Claims, expected: &Expected) -> Result<(), Refusal> {
        claims.check(expected, self.clock.now()).map_err(wrong)?;
        match claims.id() {
            Some(id) if self.api.is_jwt_revoked(id).await? => Err(wrong("it was revoked")),
            _ => Ok(()),
        }
    }

    fn in_role(&self, name: &str, role: &str) -> Result<Principal, Refusal> {
        let principal = self.api.roles().principal(name, role);
        principal.ok_or_else(|| wrong(format!("there is no role `{role}`")))
    }

    /// Answers a wrong token: the more there were, the later.
    async fn answer_wrong(&self, peer: Option<IpAddr>) -> Problem {
        let pace = peer.map_or(Pace::AtOnce, |peer| {
            let now = self.clock.now();
            self.guesses.lock().unwrap_or_else(PoisonError::into_inner).count(peer, now)
        });
        let wait = match pace {
            Pace::AtOnce => return refused(),
            Pace::Slowly => match self.waiting.try_acquire() {
                Ok(_place) => {
                    tokio::time::sleep(SLOWLY).await;
                    return refused();
                }
                Err(_) => SLOWLY,
            },
            Pace::NotBefore(wait) => wait,
        };
        let seconds = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1);
        let detail = "too many wrong tokens came from this address: wait before the next";
        Problem::new(Code::RateLimited, detail).retrying_after(seconds)
    }
}

/// What a request shows. None when it shows nothing, or not as RFC 6750 has it.
pub(super) fn shown(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let (first, None) = (all.next()?, all.next()) else { return None };
    let (scheme, token) = first.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// The address that a request comes from.
fn peer(request: &Parts) -> Option<IpAddr> {
    request.extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip())
}

/// What somebody is told who shows nothing.
fn stranger() -> Problem {
    let detail = "send the header `Authorization: Bearer TOKEN`; `serve` prints where its token is";
    Problem::new(Code::Unauthorized, detail)
}

/// What everybody is told whose token opens nothing.
fn refused() -> Problem {
    let detail = "the token is not valid: it may be mistyped, revoked, past, or of another host";
    Problem::new(Code::Unauthorized, detail).of_token()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn only_one_bearer_is_heard() {
        let headers = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, HeaderValue::from_static(value));
            }
            shown(&headers).map(str::to_owned)
        };
        assert_eq!(headers(&["Bearer abc"]).as_deref(), Some("abc"));
        assert_eq!(headers(&["bearer  abc "]).as_deref(), Some("abc"));
        for none in [&[][..], &["Basic abc"], &["Bearer"], &["Bearer "], &["Bearer a", "Bearer a"]]
        {
            assert_eq!(headers(none), None, "{none:?}");
        }
    }
}
