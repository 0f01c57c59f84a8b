//! What opens a registry: the logins that `docker login` and the like leave in `config.json`.
//!
//! It starts no program, so what a credential helper keeps is not had.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use axum::http::HeaderValue;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use cap_std::ambient_authority;
use cap_std::fs::File;
use serde::Deserialize;

use super::error::RegistryError;

/// The largest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Under which name the registry of Docker is kept.
const HUB: &str = "index.docker.io";

/// What is known that opens a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Login {
    /// A name and a password, as they stand in the header `Authorization`.
    Basic(HeaderValue),
    /// A program keeps it, and is not asked.
    Helper(String),
    /// Nothing.
    None,
}

/// The file, as far as it is read.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Kept {
    auths: BTreeMap<String, Auth>,
    creds_store: Option<String>,
    cred_helpers: BTreeMap<String, String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Auth {
    /// `NAME:PASSWORD` in base64.
    auth: Option<String>,
}

impl Login {
    /// Finds what is known of a registry.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Login`] when the file cannot be used.
    pub(super) fn find(
        environment: &BTreeMap<String, String>,
        registry: &str,
    ) -> Result<Self, RegistryError> {
        let Some(path) = path(environment) else { return Ok(Self::None) };
        let fault = |why: String| RegistryError::Login { file: path.display().to_string(), why };
        match read(&path) {
            Ok(text) => Self::of(&text, registry).map_err(fault),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::None),
            Err(error) => Err(fault(error.to_string())),
        }
    }

    /// What the file says of a registry. The text itself, which holds passwords, is never repeated.
    fn of(text: &str, registry: &str) -> Result<Self, String> {
        let kept: Kept = serde_json::from_str(text)
            .map_err(|error| format!("it is not read at line {}", error.line()))?;
        let is_it = |name: &str| host(name) == if registry == "docker.io" { HUB } else { registry };
        let auth = kept
            .auths
            .iter()
            .find(|(name, _)| is_it(name))
            .and_then(|(_, auth)| auth.auth.as_ref());
        if let Some(auth) = auth.filter(|auth| !auth.is_empty()) {
            let wrong = || format!("`auth` of `{registry}` is not `NAME:PASSWORD` in base64");
            let bytes = BASE64_STANDARD.decode(auth.trim()).map_err(|_| wrong())?;
            if !bytes.contains(&b':') {
                return Err(wrong());
            }
            let value = format!("Basic {}", BASE64_STANDARD.encode(bytes));
            let mut value = HeaderValue::try_from(value).map_err(|_| wrong())?;
            value.set_sensitive(true);
            return Ok(Self::Basic(value));
        }
        let helper = kept.cred_helpers.iter().find(|(name, _)| is_it(name));
        let helper = helper.map(|(_, helper)| helper.clone()).or(kept.creds_store);
        Ok(helper.map_or(Self::None, Self::Helper))
    }
}

fn path(environment: &BTreeMap<String, String>) -> Option<PathBuf> {
    let find = |name: &str| environment.get(name).filter(|value| !value.is_empty());
    let folder = find("DOCKER_CONFIG").map(PathBuf::from);
    let folder = folder.or_else(|| Some(Path::new(find("HOME")?).join(".docker")));
    Some(folder?.join("config.json"))
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let file = File::open_ambient(path, ambient_authority())?;
    file.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

/// A name of a registry without what older programs write around it.
fn host(name: &str) -> &str {
    let name = name.split_once("://").map_or(name, |(_, rest)| rest);
    name.split('/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{
        "auths": {
            "ghcr.io": { "auth": "bWU6cHc=" },
            "https://index.docker.io/v1/": { "auth": "aHViOnB3" },
            "localhost:5000": {},
            "broken.test": { "auth": "bm90aGluZw==" },
            "kept.test": {}
        },
        "credHelpers": { "kept.test": "pass" }
    }"#;

    fn shown(login: Result<Login, String>) -> String {
        match login {
            Ok(Login::Basic(value)) => value.to_str().unwrap().to_owned(),
            Ok(Login::Helper(helper)) => format!("helper {helper}"),
            Ok(Login::None) => "none".to_owned(),
            Err(fault) => fault,
        }
    }

    #[test]
    fn a_login_is_found_by_the_name_of_its_registry() {
        let found = |registry| shown(Login::of(TEXT, registry));
        assert_eq!(found("ghcr.io"), "Basic bWU6cHc=");
        assert_eq!(found("docker.io"), "Basic aHViOnB3");
        for other in ["localhost:5000", "localhost", "other.ghcr.io", "ghcr.io:443"] {
            assert_eq!(found(other), "none", "{other}");
        }
    }

    #[test]
    fn what_a_helper_keeps_is_told_and_not_had() {
        assert_eq!(shown(Login::of(TEXT, "kept.test")), "helper pass");
        assert_eq!(shown(Login::of(r#"{"credsStore": "desktop"}"#, "any.test")), "helper desktop");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_not_repeated() {
        assert!(shown(Login::of(TEXT, "broken.test")).contains("base64"));
        let fault = shown(Login::of("{ \"auths\": secret", "any.test"));
        assert!(fault.contains("line 1") && !fault.contains("secret"), "{fault}");
        assert_eq!(shown(Login::of("{}", "any.test")), "none");
        let nowhere = BTreeMap::from([("HOME".to_owned(), "/no/such/home".to_owned())]);
        assert_eq!(Login::find(&nowhere, "ghcr.io").unwrap(), Login::None);
        assert_eq!(Login::find(&BTreeMap::new(), "ghcr.io").unwrap(), Login::None);
    }
}
