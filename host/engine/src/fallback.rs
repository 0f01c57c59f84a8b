//! What comes after a tool that failed for good: another in its place, or the end.

use apflow_model::clock::Timestamp;
use apflow_model::event::Happening;
use apflow_model::fault::{Fault, FaultCode};
use apflow_store::{Claimed, End, NewEvent};

use crate::engine::Engine;
use crate::error::{EngineError, chain};
use crate::roles;

/// How many tools may take the place of the first, one after the other.
const FALLBACKS_MAX: usize = 2;

/// Ends a task whose attempts are used up, or lets the fallback of its tool try. That is an event.
pub(crate) async fn end(
    engine: &Engine,
    claimed: &Claimed,
    fault: Fault,
    now: Timestamp,
    events: &mut Vec<NewEvent>,
) -> End {
    let next = match next(engine, claimed, &fault).await {
        Ok(next) => next,
        Err(error) => {
            tracing::error!(task = %claimed.task, error = chain(&error), "no fallback was found");
            return End::Failed { fault };
        }
    };
    match next {
        Next::Tool { from, to, needs_approval } => {
            let what = Happening::Fallback { from: claimed.executor.clone(), to: to.clone() };
            events.push(NewEvent { at: now, what });
            End::Fallback { fault, from, to, needs_approval, run_at: now }
        }
        Next::Nothing(why) => End::Failed {
            fault: match why {
                Some(why) => Fault {
                    exit_code: fault.exit_code,
                    ..Fault::new(fault.code, format!("{}; {why}", fault.message))
                },
                None => fault,
            },
        },
    }
}

/// What comes next.
enum Next {
    /// A tool, after those that have failed, and whether somebody must approve it first.
    Tool { from: Vec<String>, to: String, needs_approval: bool },
    /// Nothing, and what there is to say of that.
    Nothing(Option<String>),
}

async fn next(engine: &Engine, claimed: &Claimed, fault: &Fault) -> Result<Next, EngineError> {
    if !may_end_better_elsewhere(fault.code) {
        return Ok(Next::Nothing(None));
    }
    let failed = engine.store.find_plugin(&claimed.executor).await?;
    let Some(tool) = failed.and_then(|plugin| plugin.tool) else { return Ok(Next::Nothing(None)) };
    let task = engine.store.find_task(claimed.task).await?;
    let mut from = task.map(|task| task.fallback_from).unwrap_or_default();
    from.push(claimed.executor.clone());
    let Some(to) = tool.fallback.map(|fallback| fallback.tool) else {
        let told = (from.len() > 1).then(|| format!("the tools that were tried: {}", way(&from)));
        return Ok(Next::Nothing(told));
    };
    let way = way(from.iter().chain([&to]));
    if from.contains(&to) {
        let why = format!("its fallback was tried already: {way}");
        return Ok(Next::Nothing(Some(why)));
    }
    if from.len() > FALLBACKS_MAX {
        let why =
            format!("its fallback is not tried: at most {FALLBACKS_MAX} are, and {way} is more");
        return Ok(Next::Nothing(Some(why)));
    }
    let installed = engine.store.find_plugin(&to).await?;
    if installed.is_none_or(|plugin| plugin.tool.is_none()) {
        let why = format!("its fallback `{to}` is not installed: {way}");
        return Ok(Next::Nothing(Some(why)));
    }
    let role = engine.store.role_of_job(claimed.job).await?.unwrap_or_default();
    let why = match engine.role(&role) {
        Ok(role) if role.blocks(&to) => roles::blocked(&role, &to),
        Ok(role) => {
            let needs_approval = role.needs_approval(&to);
            return Ok(Next::Tool { from, to, needs_approval });
        }
        Err(error) => error.to_string(),
    };
    Ok(Next::Nothing(Some(format!("its fallback is not tried: {why}"))))
}

/// Whether another tool could do better with the same inputs.
const fn may_end_better_elsewhere(code: FaultCode) -> bool {
    match code {
        FaultCode::Retryable
        | FaultCode::Permanent
        | FaultCode::CapabilityDenied
        | FaultCode::LimitExceeded
        | FaultCode::Trapped
        | FaultCode::BreakerOpen
        | FaultCode::HostLost
        | FaultCode::PluginUnavailable
        | FaultCode::PluginQuarantined => true,
        FaultCode::InvalidInput
        | FaultCode::Cancelled
        | FaultCode::BudgetExhausted
        | FaultCode::ReferenceUnresolved
        | FaultCode::DependencyLost
        | FaultCode::Denied
        | FaultCode::DeadlineExceeded => false,
    }
}

fn way<'a>(tools: impl IntoIterator<Item = &'a String>) -> String {
    tools.into_iter().map(String::as_str).collect::<Vec<_>>().join(" → ")
}
