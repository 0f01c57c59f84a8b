//! Pulls the parts of a plugin from a registry: the OCI distribution specification, its reading half.

use std::collections::BTreeMap;

use apflow_model::plugin::Digest;
use axum::http::HeaderValue;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::ask::{Address, Asker, Came, Wanted};
use super::document::{ACCEPTED, Document, Fault, Layer, Layers};
use super::error::RegistryError;
use super::login::Login;
use super::name::{ImageName, Version, digest_word};
use super::token;
use crate::remote::settings::GatewaySettings;

/// The most bytes of a manifest of an image, as the specification has it.
const DOCUMENT_BYTES_MAX: u64 = 4 << 20;
/// The longest word of a registry that is repeated, in characters.
const SAID_CHARACTERS_MAX: usize = 200;

/// An image that a registry has.
pub(crate) struct Image<'a> {
    registry: Registry<'a>,
    layers: Layers,
}

/// A file of an image.
pub(crate) struct Pulled {
    /// Its name.
    pub(crate) title: String,
    /// What is in it.
    pub(crate) bytes: Vec<u8>,
}

/// A registry, as long as one image is pulled from it.
struct Registry<'a> {
    settings: &'a GatewaySettings,
    image: ImageName,
    login: Login,
    /// What opened it last.
    shown: Option<HeaderValue>,
}

/// What a registry says when it refuses.
#[derive(Deserialize)]
struct Errors {
    errors: Vec<Said>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Said {
    code: String,
    message: String,
}

impl<'a> Image<'a> {
    /// Finds an image. What `environment` names opens its registry, where that is needed.
    ///
    /// # Errors
    ///
    /// [`RegistryError`].
    pub(crate) async fn find(
        image: ImageName,
        settings: &'a GatewaySettings,
        environment: &BTreeMap<String, String>,
    ) -> Result<Self, RegistryError> {
        let login = Login::find(environment, &image.registry)?;
        let mut registry = Registry { settings, image, login, shown: None };
        let layers = match registry.document().await? {
            Document::Image(layers) => layers,
            Document::Index(digest) => {
                registry.image = registry.image.pinned(digest);
                match registry.document().await? {
                    Document::Image(layers) => layers,
                    Document::Index(_) => {
                        let why = "its index leads to another index".to_owned();
                        return Err(registry.fault(Fault::Invalid(why)));
                    }
                }
            }
        };
        Ok(Self { registry, layers })
    }

    /// Its name with its digest: the same image whenever it is asked for.
    pub(crate) fn pinned(&self) -> String {
        self.registry.image.to_string()
    }

    /// Gets its `plugin.yaml` or `tool.yaml`. None when it has none.
    ///
    /// # Errors
    ///
    /// [`RegistryError`].
    pub(crate) async fn definition(&mut self) -> Result<Option<Pulled>, RegistryError> {
        let Some(layer) = &self.layers.definition else { return Ok(None) };
        self.registry.blob(layer).await.map(Some)
    }

    /// Gets the component that its definition calls so, or the only one.
    ///
    /// # Errors
    ///
    /// [`RegistryError`].
    pub(crate) async fn component(&mut self, name: Option<&str>) -> Result<Pulled, RegistryError> {
        let layer = self.layers.component(name).map_err(|fault| self.registry.fault(fault))?;
        self.registry.blob(layer).await
    }
}

impl Registry<'_> {
    /// Gets what is under the name, and knows from then on its digest.
    async fn document(&mut self) -> Result<Document, RegistryError> {
        let word = self.image.version.word();
        let came = self.get("manifests", &word, ACCEPTED, DOCUMENT_BYTES_MAX).await?;
        let found = Digest(Sha256::digest(&came.bytes).into());
        if let Version::Digest(digest) = self.image.version
            && (found != digest || !came.is_whole)
        {
            return Err(self.altered("the manifest", format!("it has {}", digest_word(found))));
        }
        if !came.is_whole {
            let why = format!("its manifest has more than {DOCUMENT_BYTES_MAX} bytes");
            return Err(self.fault(Fault::Invalid(why)));
        }
        let document = Document::read(&came.bytes).map_err(|fault| self.fault(fault))?;
        self.image = self.image.pinned(found);
        Ok(document)
    }

    /// Gets the bytes of a layer, which are what it says or nothing.
    async fn blob(&mut self, layer: &Layer) -> Result<Pulled, RegistryError> {
        let word = digest_word(layer.digest);
        let came = self.get("blobs", &word, "*/*", layer.bytes).await?;
        let (title, bytes) = (layer.title.clone(), came.bytes);
        if !came.is_whole || bytes.len() as u64 != layer.bytes {
            let compared = if came.is_whole { "less" } else { "more" };
            let why = format!("it has {compared} than {} bytes", layer.bytes);
            return Err(self.altered(&format!("`{title}`"), why));
        }
        let found = Digest(Sha256::digest(&bytes).into());
        if found != layer.digest {
            let why = format!("it has {}, and not {word}", digest_word(found));
            return Err(self.altered(&format!("`{title}`"), why));
        }
        Ok(Pulled { title, bytes })
    }

    /// Gets something of the repository, and shows what is wanted for that.
    async fn get(
        &mut self,
        what: &str,
        word: &str,
        accept: &'static str,
        bytes_max: u64,
    ) -> Result<Came, RegistryError> {
        let ImageName { server, repository, .. } = &self.image;
        let asker = Asker { registry: server, settings: self.settings };
        let address = Address::of(server, format!("/v2/{repository}/{what}/{word}"));
        let mut wanted = Wanted { address, accept, shown: self.shown.as_ref(), bytes_max };
        let mut came = asker.get(&wanted).await?;
        if came.status.as_u16() == 401 {
            let shown = token::answer(&asker, &self.image, &self.login, &came.headers).await?;
            wanted.shown = Some(&shown);
            came = asker.get(&wanted).await?;
            self.shown = Some(shown);
        }
        match came.status.as_u16() {
            200 => Ok(came),
            404 if what == "blobs" => {
                let said = format!(": its layer `{word}` is missing");
                Err(RegistryError::Unknown { image: self.image.to_string(), said })
            }
            status => Err(self.refusal(status, &came)),
        }
    }

    /// What an answer says that is not a good one.
    fn refusal(&self, status: u16, came: &Came) -> RegistryError {
        let errors: Option<Errors> = serde_json::from_slice(&came.bytes).ok();
        let is_registry =
            errors.is_some() || came.headers.contains_key("docker-distribution-api-version");
        let said = errors.and_then(|errors| errors.errors.into_iter().next());
        let said = said.map(|Said { code, message }| format!("{code} {message}"));
        let said = said.unwrap_or_default().chars().take(SAID_CHARACTERS_MAX).collect::<String>();
        let said = said.trim();
        match status {
            401 | 403 => {
                let said = if said.is_empty() { came.status.to_string() } else { said.to_owned() };
                let why = format!("it answers {said}{}", token::known(&self.login));
                token::refused(&self.image, why)
            }
            404 if is_registry => RegistryError::Unknown {
                image: self.image.to_string(),
                said: if said.is_empty() { String::new() } else { format!(": {said}") },
            },
            status => RegistryError::Foreign {
                registry: self.image.server.to_string(),
                what: came.status.to_string(),
                status,
                retry_after: None,
            },
        }
    }

    fn altered(&self, what: &str, why: String) -> RegistryError {
        let image = self.image.to_string();
        RegistryError::Altered { image, what: what.to_owned(), why }
    }

    fn fault(&self, fault: Fault) -> RegistryError {
        match fault {
            Fault::Invalid(why) => RegistryError::Invalid { image: self.image.to_string(), why },
            Fault::Foreign => RegistryError::Foreign {
                registry: self.image.server.to_string(),
                what: "something that is no manifest".to_owned(),
                status: 200,
                retry_after: None,
            },
        }
    }
}
