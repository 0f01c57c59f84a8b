//! The MCP door: executors and tools that a model can call, and the verbs that look after their jobs.
//!
//! It has no permissions of its own, and no state that must survive: whoever asks is the caller of
//! verbs, as at the HTTP door.

mod answer;
mod refused;
mod run;
mod running;
mod stdio;
mod told;
mod tools;
mod verbs;

use std::sync::{Arc, Mutex, PoisonError};

use apflow_api::{Caller, CancelJob, Entry, ListPlugins, ShowPlugin, TABLE};
use apflow_model::access::Permission;
use apflow_model::event::Level;
use apflow_model::hops::{self, Hops};
use apflow_model::idempotency::IdempotencyKey;
use axum::http::request::Parts;
#[expect(deprecated, reason = "clients of older revisions say it so")]
use rmcp::model::SetLevelRequestParams;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ErrorCode, Implementation,
    ListToolsResult, PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde_json::{Map, Value};

use refused::Refused;
use run::Called;
use running::Running;
pub(crate) use stdio::serve;
use told::Teller;
pub(crate) use verbs::Verbs;

/// Where a call names what makes it one that is done once.
const KEY: &str = "idempotency-key";

const INSTRUCTIONS: &str = "Every executor and tool of this host is a tool, which runs to its end in \
    a sandbox: its log and progress come meanwhile, and cancelling the call cancels its job. Tools \
    with a capital inside their name, such as `jobsSubmit`, are verbs of the host: they submit \
    work that goes on by itself, and look after it. An error says in `code` what happened, in \
    `pointer` where, and in `advice` what to do.";

/// Who asks, and for what.
#[derive(Debug, Clone)]
pub(crate) struct Asker {
    /// Who.
    pub(crate) caller: Caller,
    /// The hosts that the request came through.
    pub(crate) hops: Hops,
    /// Whether they want all verbs listed that they may do, and not only the usual ones.
    pub(crate) lists_all: bool,
}

/// What answers clients: one of them on standard input, or any number that each say who they are.
#[derive(Clone)]
pub(crate) struct Server {
    verbs: Verbs,
    /// Who asks. None when each request says so.
    asker: Option<Asker>,
    /// From which level on log lines are told, once the client said so.
    level: Arc<Mutex<Option<Level>>>,
    running: Running,
}

impl Server {
    /// Answers requests that say who asks: their head has an [`Asker`] among its extensions.
    pub(crate) fn of_requests(verbs: Verbs) -> Self {
        Self { verbs, asker: None, level: Arc::default(), running: Running::default() }
    }

    /// Answers one client.
    fn of(verbs: Verbs, asker: Asker) -> Self {
        Self { asker: Some(asker), ..Self::of_requests(verbs) }
    }

    /// Cancels the jobs that calls still wait for.
    async fn stop(&self) {
        let Some(asker) = &self.asker else { return };
        for id in self.running.all() {
            if let Err(refused) = self.verbs.invoke(CancelJob { id }, &asker.caller).await {
                tracing::error!(job = %id, ?refused, "a job could not be cancelled");
            }
        }
    }

    fn asker(&self, context: &RequestContext<RoleServer>) -> Result<Asker, ErrorData> {
        let head = context.extensions.get::<Parts>();
        let asker = self.asker.as_ref().or_else(|| head?.extensions.get());
        asker.cloned().ok_or_else(|| ErrorData::internal_error("nobody asks", None))
    }

    /// The executors and tools that the caller may run.
    async fn plugins(&self, asker: &Asker) -> Result<Vec<Tool>, Refused> {
        let caller = &asker.caller;
        if !caller.may(Permission::JobsSubmit) || !caller.may(Permission::PluginsRead) {
            return Ok(Vec::new());
        }
        let listed = self.verbs.invoke(ListPlugins::default(), caller).await?;
        let plugins = listed.plugins.into_iter().map(|installed| installed.plugin);
        let runnable = plugins.filter(|plugin| {
            plugin.quarantined_at.is_none() && !self.verbs.blocks(&plugin.manifest.name, caller)
        });
        Ok(runnable.filter_map(|plugin| tools::of_plugin(&plugin)).collect())
    }

    /// Calls a verb, or runs an executor or a tool. None when there is none of that name.
    async fn call(
        &self,
        request: CallToolRequestParams,
        context: &RequestContext<RoleServer>,
        asker: &Asker,
    ) -> Result<Option<CallToolResult>, Refused> {
        let inputs = request.arguments.unwrap_or_default();
        if let Some(entry) = tools::find(&request.name) {
            let value =
                self.verbs.ask(entry, with_hops(inputs, entry, asker), &asker.caller).await?;
            return Ok(Some(answer::of_value(value)));
        }
        let name = request.name.into_owned();
        let show = ShowPlugin { name: name.clone() };
        let plugin = match self.verbs.invoke(show, &asker.caller).await {
            Ok(installed) => installed.plugin,
            Err(refused) if refused.is_unknown_plugin() => return Ok(None),
            Err(refused) => return Err(refused),
        };
        let key = if plugin.tool.is_some() { "tool" } else { "executor" };
        let idempotency_key = key_of(context)?;
        let called = Called { key, name, inputs, idempotency_key };
        let level = *self.level.lock().unwrap_or_else(PoisonError::into_inner);
        let teller = Teller::new(context, level);
        let (running, cancelled) = (&self.running, &context.ct);
        run::run(&self.verbs, asker, called, teller, running, cancelled).await.map(Some)
    }
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        #[expect(deprecated, reason = "clients of older revisions want log lines")]
        let capabilities = ServerCapabilities::builder().enable_tools().enable_logging().build();
        let program = Implementation::new("apflow-host", env!("CARGO_PKG_VERSION"));
        ServerConfig::new(capabilities).with_server_info(program).with_instructions(INSTRUCTIONS)
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let asker = self.asker(&context)?;
        let mut listed = self.plugins(&asker).await.map_err(Refused::into_error)?;
        let verbs = TABLE.iter().filter(|entry| asker.caller.may(entry.permission));
        let verbs = verbs.filter(|entry| asker.lists_all || tools::is_usual(entry));
        listed.extend(verbs.map(tools::of_entry));
        Ok(ListToolsResult::with_all_items(listed))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let asker = self.asker(&context)?;
        let name = request.name.clone();
        // It holds much: its own place in memory keeps that out of all that waits for it.
        let called = Box::pin(self.call(request, &context, &asker)).await;
        let result = called.unwrap_or_else(|refused| Some(refused.into_result()));
        let unknown = || {
            let message =
                format!("there is no tool `{name}`: `tools/list` answers those there are");
            ErrorData::invalid_params(message, None)
        };
        Ok(result.ok_or_else(unknown)?.into())
    }

    #[expect(deprecated, reason = "clients of older revisions say it so")]
    async fn set_level(
        &self,
        request: SetLevelRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        if self.asker.is_none() {
            let message = "nothing is kept between two requests here: a call that names a \
                           `progressToken` gets its log lines from `info` on";
            return Err(ErrorData::new(ErrorCode::METHOD_NOT_FOUND, message, None));
        }
        let level = Some(told::level_of(request.level));
        *self.level.lock().unwrap_or_else(PoisonError::into_inner) = level;
        Ok(())
    }
}

/// The fields of a verb, with what the request itself says.
fn with_hops(mut fields: Map<String, Value>, entry: &Entry, asker: &Asker) -> Map<String, Value> {
    fields.remove(hops::HEADER);
    if !asker.hops.is_empty() && tools::submits(entry) {
        fields.insert(hops::HEADER.to_owned(), asker.hops.to_string().into());
    }
    fields
}

/// What makes a call one that is done once, if it says so.
fn key_of(context: &RequestContext<RoleServer>) -> Result<Option<IdempotencyKey>, Refused> {
    let Some(key) = context.meta.get(KEY) else { return Ok(None) };
    let parsed = key.as_str().ok_or_else(|| "it is no text".to_owned());
    let parsed = parsed.and_then(str::parse::<IdempotencyKey>);
    let invalid = |error| Refused::invalid(format!("`_meta.{KEY}` is not valid: {error}"));
    parsed.map(Some).map_err(invalid)
}
