//! `plugins.load` from afar: installs a plugin or a tool that comes in a form.

use std::sync::Arc;

use apflow_engine::{Engine, EngineError};
use apflow_model::access::{Permission, Principal};
use apflow_model::capability::Grant;
use apflow_model::plugin::{Definition, DefinitionText};
use apflow_model::tool::Run;

use super::load::{LoadPlugin, LoadedPlugin};
use super::said::SaidConsent;
use crate::code::Code;
use crate::error::ApiError;
use crate::grants;
use crate::operation::Operation;

/// Installs a plugin, or replaces the one of its name.
///
/// Its bytes come with the request, so it is no verb of the table. They are read once it is known
/// that the caller may do this.
#[derive(Debug)]
pub struct UploadPlugin<F> {
    /// The form, as it comes.
    pub form: F,
}

/// What a form says of a plugin.
#[derive(Debug, Default)]
pub struct PluginForm {
    /// The bytes of the component. A tool that is a request has none.
    pub component: Option<Vec<u8>>,
    /// What its client calls that file.
    pub component_file: Option<String>,
    /// The text of the `plugin.yaml` or `tool.yaml`.
    pub manifest: Option<DefinitionText>,
    /// What its client calls that file.
    pub manifest_file: Option<String>,
    /// What the operator allows, each written `KIND=VALUE`, or `none`.
    pub grants: Vec<String>,
    /// Whether all that it asks for is allowed, but what has a [warning](Grant::warning).
    pub is_all: bool,
    /// The text of a lock that was reviewed, instead of these.
    pub lock: Option<String>,
    /// What its client calls that file.
    pub lock_file: Option<String>,
    /// What would be typed to load it again, for messages.
    pub typed: Option<String>,
}

impl UploadPlugin<()> {
    /// The codes that it is refused with, beside those that every verb may be.
    pub const ERRORS: &'static [Code] = &[
        Code::InvalidManifest,
        Code::MissingManifest,
        Code::ComponentRefused,
        Code::InvalidSchema,
        Code::InvalidGrant,
        Code::GrantNotAsked,
        Code::ConsentNeeded,
        Code::InvalidLock,
        Code::BuiltinPlugin,
        Code::DataDirUnusable,
        Code::DiskFull,
    ];

    /// The path that it is called by.
    pub const PATH: &'static str = "/api/v1/plugins";

    /// The most bytes that a form may have: a component of the largest size, and a manifest.
    pub const FORM_BYTES_MAX: usize = 66 << 20;
}

impl<F> Operation for UploadPlugin<F>
where
    F: Future<Output = Result<PluginForm, ApiError>> + Send + 'static,
{
    const NAME: &'static str = LoadPlugin::NAME;
    const PERMISSION: Permission = LoadPlugin::PERMISSION;
    type Output = LoadedPlugin;

    fn target(&self) -> Option<String> {
        // It is in the form, which is not read yet.
        None
    }

    async fn run(self, engine: &Arc<Engine>, caller: &Principal) -> Result<LoadedPlugin, ApiError> {
        let load = self.form.await?.read()?;
        let (engine, caller) = (Arc::clone(engine), caller.clone());
        // A caller that hangs up does not leave it half done.
        let loading = tokio::spawn(async move { load.run(&engine, &caller).await });
        loading.await.map_err(EngineError::Background)?
    }
}

impl PluginForm {
    fn read(self) -> Result<LoadPlugin, ApiError> {
        let Self { component, component_file, manifest, manifest_file, .. } = self;
        let file = || manifest.as_ref().map_or("plugin.yaml", DefinitionText::file).to_owned();
        let manifest_file = manifest_file.unwrap_or_else(file);
        let grants = consent_grants(&self.grants)?;
        let (all, lock, lock_file) = (self.is_all, self.lock, self.lock_file);
        let consent = SaidConsent { grants, all, lock, lock_file };
        if component.is_none() && needs_component(manifest.as_ref()) {
            let message = "the field `component` is missing: the bytes of the component";
            return Err(ApiError::InvalidRequest(message.to_owned()));
        }
        Ok(LoadPlugin {
            component: component.unwrap_or_default(),
            component_file: component_file.unwrap_or_else(|| "component".to_owned()),
            manifest,
            manifest_file,
            consent,
            typed: self.typed,
        })
    }
}

fn needs_component(manifest: Option<&DefinitionText>) -> bool {
    // One with faults is told them.
    let Some(Ok(Definition { tool, .. })) = manifest.map(DefinitionText::read) else {
        return manifest.is_none();
    };
    !matches!(tool.and_then(|tool| tool.run), Some(Run::Request { .. }))
}

/// What was said, perhaps that it is nothing. None when nothing was said.
fn consent_grants(said: &[String]) -> Result<Option<Vec<Grant>>, ApiError> {
    if said.is_empty() {
        return Ok(None);
    }
    let grants = said.iter().filter(|one| *one != "none").map(|one| grants::one("grant", one));
    grants.collect::<Result<_, _>>().map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(manifest: DefinitionText) -> PluginForm {
        PluginForm { manifest: Some(manifest), ..PluginForm::default() }
    }

    fn tool(run: &str) -> DefinitionText {
        let text = format!(
            "name: t\nversion: 1.0.0\ndescription: A tool.\ncategory: data\n\
             capabilities: {{ http: [\"https://a.test\"] }}\nrun: {run}\n"
        );
        DefinitionText::Tool { text, folder: None }
    }

    #[test]
    fn only_a_request_comes_without_a_component() {
        assert!(form(tool("{ request: { url: \"https://a.test/\" } }")).read().is_ok());
        assert!(form(tool("{ command: a.wasm }")).read().is_err());
        assert!(PluginForm::default().read().is_err());
        // Its faults are told instead.
        assert!(form(DefinitionText::Plugin("name: 3".to_owned())).read().is_ok());
    }

    #[test]
    fn consent_is_what_was_said() {
        let said = |grants: &[&str]| {
            let grants = grants.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
            consent_grants(&grants).ok()
        };
        let grants = vec!["http=https://a.test".parse::<Grant>().unwrap()];
        assert_eq!(said(&[]), Some(None));
        assert_eq!(said(&["none"]), Some(Some(Vec::new())));
        assert_eq!(said(&["http=https://a.test"]), Some(Some(grants)));
        for wrong in ["http", "fs.in=here", "everything=yes"] {
            assert_eq!(said(&[wrong]), None, "{wrong}");
        }
        assert!(said(&["fs.in=/srv"]).is_some());
    }
}
