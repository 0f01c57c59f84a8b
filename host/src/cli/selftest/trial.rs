//! Tries one guest: loads it, lets it do its deed, and looks what became of it.

use std::time::{Duration, Instant};

use apflow_api::{
    Api, ApiError, CancelJob, FindJob, LoadPlugin, SaidConsent, SubmitJob, Watch, WatchJob, chain,
};
use apflow_model::event::{Event, Happening};
use apflow_model::hops::Hops;
use apflow_model::job::Job;
use apflow_model::limit::Limits;
use apflow_model::plugin::DefinitionText;
use serde_json::{Value, json};

use super::case::{Case, Holds};
use super::cases;
use super::place::Place;
use super::verdict::{Verdict, judge};
use crate::cli::operator::operator;
use crate::hostile::Guest;

/// The longest that a guest may take, whatever it does: longer than any limit of time in a case.
const TRIAL_MAX: Duration = Duration::from_mins(1);

/// Tries a guest.
pub(super) async fn run(api: &Api, guest: Guest, place: &Place) -> Verdict {
    let case = cases::case(guest, place);
    let mut begun = Instant::now();
    let trying = tokio::time::timeout(TRIAL_MAX, attempt(api, guest, &case, &mut begun));
    let tried = match trying.await {
        Ok(tried) => tried,
        Err(_) => Err(format!("it was not stopped within {} s", TRIAL_MAX.as_secs())),
    };
    let ms = (begun.elapsed().as_secs_f64() * 1e4).round() / 10.0;
    let held = tried.and_then(|limit| place.harm().map_or(Ok(limit), Err));
    let (contained, limit) = held.map_or_else(|why| (false, why), |limit| (true, limit));
    Verdict { name: guest.name(), contained, limit: limit.replace('\n', " "), ms }
}

/// Says what held a guest, or how it got away. A guest that was loaded begins only then.
async fn attempt(
    api: &Api,
    guest: Guest,
    case: &Case,
    begun: &mut Instant,
) -> Result<String, String> {
    let limits = match (load(api, guest, case).await, &case.holds) {
        (Ok(_), Holds::Refused(..)) => return Err("it was loaded".to_owned()),
        (Ok(limits), _) => limits,
        (Err(error), holds) => {
            let refusal = format!("{}: {}", error.code().name(), chain(&error));
            let is_due = matches!(holds, Holds::Refused(code, words)
                if error.code() == *code && refusal.contains(words));
            return if is_due { Ok(refusal) } else { Err(refusal) };
        }
    };
    *begun = Instant::now();
    let job = let_loose(api, guest, case).await.map_err(|error| chain(&error))?;
    let judged: Result<Vec<String>, String> =
        job.tasks.iter().map(|task| judge(task, &case.holds, &limits)).collect();
    judged.map(|mut held| held.pop().unwrap_or_default())
}

/// Loads a guest with the manifest and grants of its case, and says which limits it has.
async fn load(api: &Api, guest: Guest, case: &Case) -> Result<Limits, ApiError> {
    let (name, asks) = (guest.name(), &case.asks);
    let grants = case.grants.iter().map(|grant| grant.parse());
    let grants = grants.collect::<Result<_, _>>();
    let load = LoadPlugin {
        component: guest.component().to_vec(),
        component_file: format!("{name}.wasm"),
        manifest: Some(DefinitionText::Plugin(format!(
            "name: {name}\nversion: 1.0.0\ndescription: A guest.\ncomponent: {name}.wasm\n{asks}\n"
        ))),
        manifest_file: "plugin.yaml".to_owned(),
        consent: SaidConsent {
            grants: Some(grants.map_err(|error: apflow_model::capability::InvalidGrant| {
                ApiError::InvalidRequest(error.to_string())
            })?),
            ..SaidConsent::default()
        },
        typed: Some(name.to_owned()),
    };
    Ok(api.invoke(load, &operator()).await?.plugin.plugin.manifest.limits)
}

/// Runs a job with a task for each input of the case, to its end.
async fn let_loose(api: &Api, guest: Guest, case: &Case) -> Result<Job, ApiError> {
    let none = [json!({})];
    let inputs = if case.inputs.is_empty() { &none[..] } else { &case.inputs };
    let task = |(index, input): (usize, &Value)| {
        json!({
            "id": format!("try-{index}"),
            "executor": guest.name(),
            "inputs": input,
            "max_attempts": 1,
            "token_budget": case.token_budget,
        })
    };
    let job = json!({ "tasks": inputs.iter().enumerate().map(task).collect::<Vec<_>>() });
    let is_cancelled = matches!(case.holds, Holds::Cancels);
    let wait = (!is_cancelled).then_some(TRIAL_MAX);
    let submit =
        SubmitJob { job, grants: Vec::new(), wait, idempotency_key: None, hops: Hops::default() };
    let job = api.invoke(submit, &operator()).await?.job;
    if !is_cancelled {
        return Ok(job);
    }
    let mut history = api.invoke(WatchJob { id: job.id, after: 0 }, &operator()).await?.events;
    until_it_speaks(&mut history).await?;
    api.invoke(CancelJob { id: job.id }, &operator()).await?;
    // A busy machine may take longer than the answer waits.
    while history.next().await?.is_some() {}
    api.invoke(FindJob { id: job.id }, &operator()).await
}

/// Waits for the first line of a job's log: its guest is running then.
async fn until_it_speaks(history: &mut Watch) -> Result<(), ApiError> {
    let is_line = |event: &Event| matches!(event.what, Happening::Log(_));
    while let Some(events) = history.next().await? {
        if events.iter().any(is_line) {
            break;
        }
    }
    Ok(())
}
