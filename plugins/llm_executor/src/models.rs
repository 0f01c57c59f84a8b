//! Where models are: what the host says in the variable `APFLOW_MODELS`.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The variable.
pub const VARIABLE: &str = "APFLOW_MODELS";

/// Which protocol a provider speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Messages of Anthropic.
    Anthropic,
    /// The chat of Ollama.
    Ollama,
    /// Chat completions of `OpenAI`.
    Openai,
}

/// Where models are.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Provider {
    /// Which protocol it speaks.
    pub kind: Kind,
    /// Where it is, without a `/` at the end.
    pub base_url: String,
    /// The secret that opens it.
    #[serde(default)]
    pub secret: Option<String>,
    /// The models that it is known to have. It may have others.
    #[serde(default)]
    models: Vec<String>,
}

/// The providers that are set up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Models(BTreeMap<String, Provider>);

/// A model and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model<'a> {
    /// Its name with that of its provider.
    pub name: String,
    /// Its name at its provider.
    pub own_name: String,
    /// Where it is.
    pub provider: &'a Provider,
}

/// Why a model is not found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// The host says something else than this reads.
    #[error("the variable `{VARIABLE}` cannot be read: {0}")]
    Unreadable(String),
    /// Nobody set a provider up.
    #[error(
        "no provider of models is set up: start the host with ANTHROPIC_API_KEY, GOOGLE_API_KEY, \
         OPENAI_API_KEY or OLLAMA_HOST, or name one under `models` in its config.yaml"
    )]
    None,
    /// The name has no provider, and none is known to have it.
    #[error("no provider is known to have `{model}`: write PROVIDER/MODEL, with one of {known}")]
    Unknown {
        /// The model.
        model: String,
        /// The providers.
        known: String,
    },
    /// The provider is not set up.
    #[error(
        "`{model}`: the provider `{provider}` is not set up, but {known}; the operator adds it by \
         its variable, or under `models` in the host's config.yaml"
    )]
    NotSetUp {
        /// The model.
        model: String,
        /// Its provider.
        provider: String,
        /// Those that are.
        known: String,
    },
}

impl Models {
    /// Reads what the host says. Without the variable there are none.
    ///
    /// # Errors
    ///
    /// [`ModelError::Unreadable`].
    pub fn read(text: Option<&str>) -> Result<Self, ModelError> {
        let read = serde_json::from_str(text.unwrap_or("{}")).map(Self);
        read.map_err(|error| ModelError::Unreadable(error.to_string()))
    }

    /// Finds a model by `PROVIDER/MODEL`, or by a name alone: it is that of the one provider that is
    /// known to have it, or of the only one there is.
    ///
    /// # Errors
    ///
    /// What the name or the host lacks.
    pub fn find(&self, name: &str) -> Result<Model<'_>, ModelError> {
        if self.0.is_empty() {
            return Err(ModelError::None);
        }
        let found = |at: &str, own_name: &str, provider| Model {
            name: format!("{at}/{own_name}"),
            own_name: own_name.to_owned(),
            provider,
        };
        if let Some((at, own_name)) = name.split_once('/')
            && let Some(provider) = self.0.get(at)
        {
            return Ok(found(at, own_name, provider));
        }
        let mut having =
            self.0.iter().filter(|(_, provider)| provider.models.iter().any(|own| own == name));
        let only = (self.0.len() == 1 && !name.contains('/')).then(|| self.0.iter().next());
        match (having.next(), having.next()) {
            (Some((at, provider)), None) => Ok(found(at, name, provider)),
            _ => match only.flatten() {
                Some((at, provider)) => Ok(found(at, name, provider)),
                None => Err(self.unknown(name)),
            },
        }
    }

    fn unknown(&self, name: &str) -> ModelError {
        let known: Vec<String> = self.0.keys().map(|name| format!("`{name}`")).collect();
        let (model, known) = (name.to_owned(), known.join(", "));
        match name.split_once('/') {
            Some((provider, _)) => {
                ModelError::NotSetUp { model, provider: provider.to_owned(), known }
            }
            None => ModelError::Unknown { model, known },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLD: &str = r#"{
        "openai": { "kind": "openai", "base_url": "https://a.example/v1", "secret": "KEY", "models": ["gpt-5", "both"] },
        "own": { "kind": "ollama", "base_url": "http://127.0.0.1:11434", "models": ["both"] } }"#;

    #[test]
    fn a_model_is_found_by_its_provider_or_by_its_name_alone() {
        let models = Models::read(Some(TOLD)).unwrap();
        let found = |name: &str| models.find(name).map(|model| (model.name, model.own_name));
        let both = |name: &str, own: &str| Ok((name.to_owned(), own.to_owned()));
        assert_eq!(found("own/llama3"), both("own/llama3", "llama3"));
        assert_eq!(found("openai/meta/llama3"), both("openai/meta/llama3", "meta/llama3"));
        assert_eq!(found("gpt-5"), both("openai/gpt-5", "gpt-5"));
        assert!(found("both").unwrap_err().to_string().contains("one of `openai`, `own`"));
        let error = found("google/gemini").unwrap_err().to_string();
        assert!(error.contains("`google` is not set up"), "{error}");
    }

    #[test]
    fn the_only_provider_has_every_name_alone() {
        let told = r#"{ "own": { "kind": "ollama", "base_url": "http://127.0.0.1:11434" } }"#;
        let models = Models::read(Some(told)).unwrap();
        assert_eq!(models.find("llama3").unwrap().name, "own/llama3");
        assert!(models.find("openai/gpt-5").is_err());
        assert_eq!(Models::read(None).unwrap().find("a"), Err(ModelError::None));
        assert!(Models::read(Some("[]")).is_err());
    }
}
