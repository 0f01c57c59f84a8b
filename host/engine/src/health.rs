//! Whether tools can do their work: what each needs is looked at, and its services are asked.
//!
//! It repairs nothing.

use std::sync::Arc;
use std::time::Duration;

use apflow_model::breaker::{BreakerKey, BreakerState};
use apflow_model::capability::{Capabilities, Grant};
use apflow_model::hops::Hops;
use apflow_model::manifest::Manifest;
use apflow_model::plugin::{Installed, Plugin};
use apflow_model::tool::health::{HealthIssue, ToolHealth};
use apflow_model::tool::{REQUEST_EXECUTOR, ServiceApi};
use apflow_sandbox::{Call, Linked, Mounts, NoTask, Stop};
use serde_json::json;

use crate::engine::Engine;
use crate::error::{EngineError, chain};
use crate::looks::Look;

/// How long a service may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);

impl Engine {
    /// Looks at what a tool needs: its component, its grants, its breaker, the services that it
    /// names, and the tool that is tried when it fails. A look is good for as long as
    /// [`Settings`](crate::Settings) say.
    ///
    /// # Errors
    ///
    /// [`EngineError::UnknownTool`], [`EngineError::Store`] when the database fails, and
    /// [`EngineError::DataDir`] when `grants.lock` cannot be read.
    pub async fn tool_health(self: &Arc<Self>, name: &str) -> Result<ToolHealth, EngineError> {
        let installed = self.find_tool(name).await?;
        let (loaded_at, now) = (installed.plugin.loaded_at, self.now());
        if let Some(health) = self.looks.find(name, loaded_at, now, self.settings.tools.health) {
            return Ok(health);
        }
        let health = ToolHealth::of(name.to_owned(), self.issues(installed).await?, self.now());
        self.looks.keep(Look { loaded_at, health: health.clone() }, self.settings.tools.health);
        Ok(health)
    }

    async fn issues(
        self: &Arc<Self>,
        installed: Installed,
    ) -> Result<Vec<HealthIssue>, EngineError> {
        let mut issues = Vec::new();
        issues.extend(self.component_issue(&installed.plugin).await?);
        issues.extend(quarantine_issue(&installed.plugin));
        issues.extend(self.breaker_issue(&installed.plugin.manifest.name).await?);
        issues.extend(self.grant_issues(&installed)?);
        issues.extend(self.fallback_issue(&installed.plugin).await?);
        issues.extend(self.api_issues(&installed).await?);
        Ok(issues)
    }

    /// Whether the component is there, is what was installed, and asks for no more than it may.
    async fn component_issue(
        self: &Arc<Self>,
        plugin: &Plugin,
    ) -> Result<Option<HealthIssue>, EngineError> {
        let (engine, installed) = (Arc::clone(self), plugin.clone());
        let checking = tokio::task::spawn_blocking(move || engine.check_component(&installed));
        let checked = match checking.await? {
            Ok(()) => self.ready_plugin(&plugin.manifest.name).await.map(drop),
            Err(error) => Err(error),
        };
        Ok(checked.err().map(|error| {
            let message = format!("its component cannot be used: {}", chain(&error));
            HealthIssue::unhealthy("component", message)
        }))
    }

    async fn breaker_issue(&self, tool: &str) -> Result<Option<HealthIssue>, EngineError> {
        let key = BreakerKey::Executor(tool.to_owned());
        let listed = self.list_breakers().await?;
        let Some(breaker) = listed.into_iter().find(|listed| listed.key == key) else {
            return Ok(None);
        };
        let fault = breaker.fault.map(|fault| format!("; last: {fault}")).unwrap_or_default();
        Ok(match breaker.state {
            BreakerState::Closed => None,
            BreakerState::HalfOpen => {
                let message = format!("it failed {} times and is tried{fault}", breaker.failures);
                Some(HealthIssue::degraded("breaker", message))
            }
            BreakerState::Open => {
                let until = breaker.until.map(|until| format!(" until {until}"));
                let message = format!(
                    "it failed {} times, so its tasks wait{}{fault}; `apflow-host breakers reset \
                     {key}` tries it now",
                    breaker.failures,
                    until.unwrap_or_default()
                );
                Some(HealthIssue::unhealthy("breaker", message))
            }
        })
    }

    /// What it asks for and is not granted.
    fn grant_issues(&self, installed: &Installed) -> Result<Vec<HealthIssue>, EngineError> {
        let name = &installed.plugin.manifest.name;
        if let Some(fault) = self.lock_faults()?.first()
            && installed.plugin.manifest.capabilities.needs_grants()
        {
            let message = format!("nothing is granted while `grants.lock` is not valid: {fault}");
            return Ok(vec![HealthIssue::unhealthy("grants", message)]);
        }
        let missing = installed.asks.iter().filter(|ask| ask.needs_grant && ask.grants.is_empty());
        let issue = |what: &str| {
            let message = format!(
                "it asks for `{what}`, of which nothing is granted: `apflow-host load {name}` with \
                 `--grant` does"
            );
            HealthIssue::degraded("grants", message)
        };
        Ok(missing.map(|ask| issue(&ask.what)).collect())
    }

    async fn fallback_issue(&self, plugin: &Plugin) -> Result<Option<HealthIssue>, EngineError> {
        let fallback = plugin.tool.as_ref().and_then(|tool| tool.fallback.as_ref());
        let Some(fallback) = fallback else { return Ok(None) };
        match self.find_tool(&fallback.tool).await {
            Ok(_) => Ok(None),
            Err(EngineError::UnknownTool(why)) => {
                let message = format!("nothing can be tried when it fails: {why}");
                Ok(Some(HealthIssue::degraded("fallback", message)))
            }
            Err(error) => Err(error),
        }
    }

    /// Asks the services that it names, one after the other, as the tool itself would.
    async fn api_issues(
        self: &Arc<Self>,
        installed: &Installed,
    ) -> Result<Vec<HealthIssue>, EngineError> {
        let apis = installed.plugin.tool.iter().flat_map(|tool| &tool.apis);
        let reachable = apis.filter_map(|api| Some((api.clone(), api.health_endpoint.clone()?)));
        let reachable: Vec<_> = reachable.collect();
        if reachable.is_empty() {
            return Ok(Vec::new());
        }
        let manifest = installed.plugin.manifest.clone();
        let client = match self.client(manifest).await? {
            Ok(client) => client,
            Err(why) => return Ok(vec![HealthIssue::degraded("api", why)]),
        };
        let granted: Arc<[Grant]> = installed.grants.iter().cloned().collect();
        let mut issues = Vec::new();
        for (api, url) in reachable {
            issues.extend(match missing_grant(&url, installed) {
                Some(why) => Some(HealthIssue::degraded("api", format!("`{}` {why}", api.name))),
                None => self.ask(&client, &api, url, Arc::clone(&granted)).await,
            });
        }
        Ok(issues)
    }

    /// The program that makes requests, with what the tool may do. Says why there is none.
    async fn client(
        self: &Arc<Self>,
        manifest: Manifest,
    ) -> Result<Result<Linked, String>, EngineError> {
        let mut builtins = self.registry.builtins.iter();
        let Some(rest) = builtins.find(|own| own.name() == REQUEST_EXECUTOR) else {
            return Ok(Err(format!("nothing can be asked without `{REQUEST_EXECUTOR}`")));
        };
        let needed = &rest.definition.manifest.capabilities;
        // Nothing but its own requests reaches anything.
        let capabilities =
            Capabilities { http: manifest.capabilities.http.clone(), ..needed.clone() };
        let manifest = Manifest { capabilities, ..manifest };
        let (sandbox, component) = (Arc::clone(&self.sandbox), rest.component);
        let linking = tokio::task::spawn_blocking(move || {
            let compiled = sandbox.compile(component, manifest.limits.fuel.is_some())?;
            sandbox.link(&compiled, &manifest)
        });
        let unlinked = |error| format!("its services could not be asked: {}", chain(&error));
        Ok(linking.await?.map_err(unlinked))
    }

    async fn ask(
        &self,
        client: &Linked,
        api: &ServiceApi,
        url: String,
        granted: Arc<[Grant]>,
    ) -> Option<HealthIssue> {
        let (sandbox, program) = (Arc::clone(&self.sandbox), client.clone());
        let input = json!({"url": url, "method": "GET"});
        let asking = self.sandbox.spawn(async move {
            let call = Call {
                trace: None,
                task_id: "health",
                job_id: "health",
                attempt: 1,
                model: None,
                input: &input,
                timeout: Some(ANSWER_MAX),
                granted,
                narrowed: None,
                mounts: Mounts::default(),
                hops: Hops::default(),
                stop: Stop::new(),
            };
            sandbox.run(&program, call, Arc::new(NoTask)).await
        });
        let fault = asking.await?.result.err()?;
        let message = format!("`{}` did not answer at {url}: {}", api.name, fault.message);
        Some(HealthIssue::degraded("api", message))
    }
}

fn quarantine_issue(plugin: &Plugin) -> Option<HealthIssue> {
    let since = plugin.quarantined_at?;
    let name = &plugin.manifest.name;
    let message = format!(
        "it is quarantined since {since}, because hosts ended while it ran: `apflow-host plugins \
         release {name}` lets it run again"
    );
    Some(HealthIssue::unhealthy("quarantine", message))
}

/// Why a service cannot be asked as the tool would ask it, and the grant that would allow it.
fn missing_grant(url: &str, installed: &Installed) -> Option<String> {
    let address = url.split(['?', '#']).next().unwrap_or_default();
    let Ok(grant) = format!("http=GET {address}").parse::<Grant>() else {
        return Some(format!("has no usable `health_endpoint`: {url}"));
    };
    let Grant::Http(wanted) = &grant else { return None };
    let allows = |granted: &Grant| matches!(granted, Grant::Http(set) if set.covers(wanted));
    if !installed.plugin.manifest.capabilities.http.iter().any(|asked| asked.covers(wanted)) {
        return Some(format!("was not asked, since the tool does not ask for `{grant}`"));
    }
    if !installed.grants.iter().any(allows) {
        return Some(format!("was not asked, since `{grant}` is not granted"));
    }
    None
}
