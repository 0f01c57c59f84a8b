//! `plugins.load` from afar: installs a plugin or a tool that comes in a form.

use std::sync::Arc;

use apflow_engine::{Approval, Engine, EngineError};
use apflow_model::access::{Permission, Principal};
use apflow_model::capability::{Grant, InvalidGrant};
use apflow_model::plugin::{Definition, DefinitionText};
use apflow_model::tool::Run;

use super::load::{LoadPlugin, LoadedPlugin};
use crate::code::Code;
use crate::error::ApiError;
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
    /// The text of the `plugin.yaml` or `tool.yaml`.
    pub manifest: Option<DefinitionText>,
    /// What the operator allows, each written `KIND=VALUE`, or `none`.
    pub grants: Vec<String>,
    /// Whether all that it asks for is allowed, but what has a [warning](Grant::warning).
    pub is_all: bool,
}

impl UploadPlugin<()> {
    /// The codes that it is refused with, beside those that every verb may be.
    pub const ERRORS: &'static [Code] = &[
        Code::InvalidManifest,
        Code::MissingManifest,
        Code::ComponentRefused,
        Code::InvalidSchema,
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
        let Self { component, manifest, grants, is_all } = self;
        let file = manifest.as_ref().map_or("plugin.yaml", DefinitionText::file);
        if component.is_none() && needs_component(manifest.as_ref()) {
            let message = "the field `component` is missing: the bytes of the component";
            return Err(ApiError::InvalidRequest(message.to_owned()));
        }
        Ok(LoadPlugin {
            component: component.unwrap_or_default(),
            component_file: "component".to_owned(),
            manifest,
            manifest_file: file.to_owned(),
            approval: approval(&grants, is_all)?,
            typed: None,
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

fn approval(said: &[String], all: bool) -> Result<Approval, ApiError> {
    if said.is_empty() && !all {
        return Ok(Approval::Unsaid);
    }
    let grants = said.iter().filter(|one| *one != "none").map(|one| grant(one));
    Ok(Approval::Said { grants: grants.collect::<Result<_, _>>()?, all })
}

fn grant(text: &str) -> Result<Grant, ApiError> {
    let invalid = |reason: String| ApiError::InvalidRequest(format!("the field `grant`: {reason}"));
    let grant: Grant = text.parse().map_err(|error: InvalidGrant| invalid(error.to_string()))?;
    if let Grant::FsIn(path) = &grant
        && !path.starts_with('/')
    {
        return Err(invalid(format!("`{path}` is no whole path of the host's machine")));
    }
    Ok(grant)
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
        let said = |grants: &[&str], is_all| {
            let grants = grants.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
            approval(&grants, is_all).ok()
        };
        let grants = vec!["http=https://a.test".parse::<Grant>().unwrap()];
        assert_eq!(said(&[], false), Some(Approval::Unsaid));
        assert_eq!(said(&["none"], false), Some(Approval::Said { grants: vec![], all: false }));
        let one = Approval::Said { grants, all: true };
        assert_eq!(said(&["http=https://a.test"], true), Some(one));
        for wrong in ["http", "fs.in=here", "everything=yes"] {
            assert_eq!(said(&[wrong], false), None, "{wrong}");
        }
        assert!(said(&["fs.in=/srv"], false).is_some());
    }
}
