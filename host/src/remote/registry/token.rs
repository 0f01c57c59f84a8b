//! What is shown to a registry that asks who calls: a token that another server gives out, or a name and
//! a password.

use apflow_api::{Body, Call, Method};
use axum::http::header::WWW_AUTHENTICATE;
use axum::http::{HeaderMap, HeaderValue};
use serde::Deserialize;
use serde_json::json;

use super::ask::{Address, Asker, Wanted};
use super::challenge::Challenge;
use super::error::RegistryError;
use super::login::Login;
use super::name::ImageName;

/// The most bytes of an answer with a token.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// What the giver of tokens answers.
#[derive(Deserialize)]
struct Given {
    token: Option<String>,
    /// As OAuth 2 calls it.
    access_token: Option<String>,
}

/// What to show to a registry that refused with these headers.
pub(super) async fn answer(
    asker: &Asker<'_>,
    image: &ImageName,
    login: &Login,
    headers: &HeaderMap,
) -> Result<HeaderValue, RegistryError> {
    let headers = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    match (Challenge::find(headers), login) {
        (Some(Challenge::Bearer { realm, service, scope }), login) => {
            let address = Address::read(&realm, asker.registry);
            let address = address.ok_or_else(|| asker.misled("…".to_owned(), "this is no URL"))?;
            let scope = scope.unwrap_or_else(|| format!("repository:{}:pull", image.repository));
            let fields = json!({ "service": service, "scope": scope });
            let query = Call::to(Method::Get, "", Body::None, &fields);
            let query = query.map(|call| call.target).unwrap_or_default();
            token(asker, image, login, address.with(&query)).await
        }
        (Some(Challenge::Basic), Login::Basic(shown)) => Ok(shown.clone()),
        (Some(Challenge::Basic), login) => {
            Err(refused(image, format!("it wants a name and a password{}", known(login))))
        }
        (None, _) => {
            Err(refused(image, "it wants something to be shown that this host has not".into()))
        }
    }
}

/// Why nothing more is shown.
pub(super) fn known(login: &Login) -> String {
    match login {
        Login::Basic(_) => String::new(),
        Login::None => ", and no login is known".to_owned(),
        Login::Helper(helper) => {
            format!(", and the login is kept by `docker-credential-{helper}`, which is not asked")
        }
    }
}

/// That a registry does not give an image out.
pub(super) fn refused(image: &ImageName, why: String) -> RegistryError {
    let (registry, image) = (image.server.to_string(), image.to_string());
    RegistryError::Refused { registry, image, why }
}

async fn token(
    asker: &Asker<'_>,
    image: &ImageName,
    login: &Login,
    address: Address,
) -> Result<HeaderValue, RegistryError> {
    let shown = if let Login::Basic(shown) = login { Some(shown) } else { None };
    let wanted = Wanted { address, accept: "application/json", shown, bytes_max: ANSWER_BYTES_MAX };
    let came = asker.get(&wanted).await?;
    if matches!(came.status.as_u16(), 400..=403) {
        let why = format!("who gives its tokens answers {}{}", came.status, known(login));
        return Err(refused(image, why));
    }
    let given: Option<Given> = serde_json::from_slice(&came.bytes).ok();
    let token = given.and_then(|given| given.token.or(given.access_token));
    let token = token.filter(|_| came.status.is_success());
    let value = token.and_then(|token| HeaderValue::try_from(format!("Bearer {token}")).ok());
    let mut value = value.ok_or_else(|| RegistryError::Foreign {
        registry: asker.registry.to_string(),
        what: format!("that tokens are given elsewhere, and there came {} and none", came.status),
        status: came.status.as_u16(),
        retry_after: None,
    })?;
    value.set_sensitive(true);
    Ok(value)
}
