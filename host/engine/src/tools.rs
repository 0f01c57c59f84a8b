//! Tools: plugins with arguments of their own.
//!
//! What a tool's inputs become, and what its output means, is said by `apflow_model::tool`.

use apflow_model::capability::{Capabilities, Folders};
use apflow_model::fault::{Fault, FaultCode};
use apflow_model::likeness::nearest;
use apflow_model::manifest::Manifest;
use apflow_model::plugin::{Definition, Descriptor, Installed, Plugin, World};
use apflow_model::tool::metrics::ToolMetrics;
use apflow_model::tool::{REQUEST_EXECUTOR, Run, Tool};
use apflow_sandbox::Ended;
use serde_json::Value;

use crate::builtin::Builtin;
use crate::engine::Engine;
use crate::error::EngineError;

/// How alike two names must be for one to be suggested for the other, from 0 to 1.
const LIKENESS_MIN: f64 = 0.75;

impl Engine {
    /// Lists the installed tools by name. While `grants.lock` has a fault, none has a grant.
    ///
    /// # Errors
    ///
    /// As [`Engine::list_plugins`].
    pub async fn list_tools(&self) -> Result<Vec<Installed>, EngineError> {
        let mut tools = self.list_plugins().await?;
        tools.retain(|installed| installed.plugin.tool.is_some());
        Ok(tools)
    }

    /// Finds an installed tool. While `grants.lock` has a fault, it has no grant.
    ///
    /// # Errors
    ///
    /// [`EngineError::UnknownTool`], and as [`Engine::find_plugin`].
    pub async fn find_tool(&self, name: &str) -> Result<Installed, EngineError> {
        let found = self.find_plugin(name).await?;
        match found.filter(|installed| installed.plugin.tool.is_some()) {
            Some(installed) => Ok(installed),
            None => Err(EngineError::UnknownTool(self.unknown(name, true).await?)),
        }
    }

    /// How the runs of a tool went since it was installed.
    ///
    /// # Errors
    ///
    /// [`EngineError::Store`] when the database fails.
    pub async fn tool_metrics(&self, name: &str) -> Result<ToolMetrics, EngineError> {
        Ok(self.store.tool_metrics(name).await?)
    }

    /// Says that there is no tool or executor of a name, and what may have been meant.
    pub(crate) async fn unknown(&self, name: &str, is_tool: bool) -> Result<String, EngineError> {
        let installed = self.store.list_plugins().await?;
        let (kind, other, list) =
            if is_tool { ("tool", "executor", "tools") } else { ("executor", "tool", "plugins") };
        if installed.iter().any(|plugin| plugin.manifest.name == name) {
            return Ok(format!("`{name}` is no {kind}: name it as `{other}`"));
        }
        let same = installed.iter().filter(|plugin| plugin.tool.is_some() == is_tool);
        let names = same.map(|plugin| plugin.manifest.name.as_str());
        let hint = match nearest(name, names, LIKENESS_MIN) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("`apflow-host {list} list` shows what is installed"),
        };
        Ok(format!("there is no {kind} `{name}`: {hint}"))
    }

    /// A definition with what its component needs, and that component when it is the host's own: a
    /// request is made by that of `rest_executor`.
    pub(crate) fn completed(
        &self,
        mut definition: Definition,
    ) -> Result<(Definition, Option<&'static [u8]>), EngineError> {
        let run = definition.tool.as_ref().and_then(|tool| tool.run.as_ref());
        if !matches!(run, Some(Run::Request { .. })) {
            return Ok((definition, None));
        }
        let unknown = || EngineError::UnknownPlugin(REQUEST_EXECUTOR.to_owned());
        let mut builtins = self.registry.builtins.iter();
        let rest = builtins.find(|own| own.name() == REQUEST_EXECUTOR).ok_or_else(unknown)?;
        let needed = &rest.definition.manifest.capabilities;
        let asked = &mut definition.manifest.capabilities;
        // Nothing of this reaches anything outside the task, so it needs no grant.
        let own = Folders { is_in_read: false, ..needed.fs };
        *asked = Capabilities {
            fs: if asked.fs.is_any() { asked.fs } else { own },
            clocks: asked.clocks || needed.clocks,
            random: asked.random || needed.random,
            ..std::mem::take(asked)
        };
        Ok((definition, Some(rest.component)))
    }

    /// What a component is linked by: its manifest, and for a request the secrets that `rest_executor`
    /// can ask for, or it could not be linked. Being linked allows nothing.
    pub(crate) fn linked_by(&self, manifest: &Manifest, tool: Option<&Tool>) -> Manifest {
        let mut manifest = manifest.clone();
        let asked = &mut manifest.capabilities;
        let run = tool.and_then(|tool| tool.run.as_ref());
        if matches!(run, Some(Run::Request { .. })) && asked.secrets.is_empty() {
            let mut builtins = self.registry.builtins.iter();
            let rest = builtins.find(|own| own.name() == REQUEST_EXECUTOR);
            asked.secrets = rest.map_or_else(Vec::new, |rest| {
                rest.definition.manifest.capabilities.secrets.clone()
            });
        }
        manifest
    }

    /// The row of a tool that came with the host. Nothing is compiled for it: what a tool says of
    /// itself is in its manifest.
    pub(crate) fn builtin_tool(&self, builtin: &Builtin, definition: Definition) -> Option<Plugin> {
        let Definition { manifest, tool: Some(tool) } = definition else { return None };
        let world = match tool.run {
            Some(Run::Command { .. }) => World::Command,
            Some(Run::Request { .. }) | None => World::Executor,
        };
        Some(Plugin {
            digest: builtin.digest,
            bound_to: builtin.bound_to,
            world,
            manifest,
            descriptor: Descriptor::of_tool(&tool),
            tool: Some(tool),
            builtin: true,
            loaded_at: self.now(),
            quarantined_at: None,
        })
    }
}

/// The inputs of a task with what its tool adds to them. Those of an executor stay as they are.
pub(crate) fn complete(plugin: &Plugin, inputs: Value) -> Value {
    match &plugin.tool {
        Some(tool) => tool.complete(inputs),
        None => inputs,
    }
}

/// What the component of a plugin is called with for these inputs.
pub(crate) fn call(plugin: &Plugin, inputs: Value) -> Result<Value, Fault> {
    match &plugin.tool {
        Some(tool) => tool
            .call(&inputs)
            .map_err(|message| Fault::new(FaultCode::InvalidInput, format!("inputs: {message}"))),
        None => Ok(inputs),
    }
}

/// How an attempt ended, with the output as its tool returns it.
pub(crate) fn returned(plugin: &Plugin, ended: Ended) -> Ended {
    match &plugin.tool {
        Some(tool) => Ended { result: ended.result.and_then(|value| tool.output(value)), ..ended },
        None => ended,
    }
}
