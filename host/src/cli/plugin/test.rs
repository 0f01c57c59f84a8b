//! `plugin test`: a plugin's own tests, then its examples in the sandbox.
//!
//! The examples run as tasks of a host of their own, in a folder that goes afterwards: nothing of the
//! operator's is touched, and nothing is granted but what an example names.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use apflow_api::{Api, ApiError, LoadPlugin, SaidConsent, SubmitJob, chain};
use apflow_model::hops::Hops;
use apflow_model::job::Task;
use apflow_model::state::TaskState;
use clap::Args;
use serde::Serialize;
use serde_json::json;

use super::build::{self, Built};
use super::examples::{self, Example};
use super::{cargo, differences};
use crate::assemble::Host;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::found;
use crate::cli::operator::operator;
use crate::cli::output::{Output, columns};
use crate::cli::signals::Signals;
use crate::cli::temporary::Folder;

/// The longest that one example may take. The limits of the plugin itself count as well.
const EXAMPLE_MAX: Duration = Duration::from_mins(10);

#[derive(Debug, Args)]
pub(crate) struct Test {
    /// The folder of the plugin, with its plugin.yaml or tool.yaml.
    #[arg(default_value = ".", value_name = "DIR")]
    folder: PathBuf,
    /// Try the component as it is loaded: optimised.
    #[arg(long)]
    release: bool,
}

/// What came of a test.
#[derive(Debug, Serialize)]
struct Report {
    name: String,
    version: String,
    component: PathBuf,
    /// Whether there were tests of its own, which passed then: otherwise nothing else is tried.
    has_own_tests: bool,
    examples: Vec<Tried>,
}

/// What came of an example.
#[derive(Debug, Serialize)]
struct Tried {
    name: String,
    passed: bool,
    /// Where it came to something else.
    differences: Vec<String>,
    ms: f64,
}

pub(super) async fn run(asked: &Test, output: &Output) -> Result<Exit, CliError> {
    let folder = &asked.folder;
    let manifest = found::manifest_of(folder)?;
    let examples = examples::read(folder)?;
    let has_own_tests = build::has_package(folder);
    let built = if has_own_tests {
        if !cargo::test(folder)? {
            let failed = "its own tests fail, as cargo says above: no example was tried";
            return Err(CliError::Build(failed.to_owned()));
        }
        build::build(folder, asked.release, output)?
    } else {
        let Some(said) = build::read(&manifest, output)? else { return Ok(Exit::Failed) };
        let (_, component) = found::read_component(folder, &said.component)?;
        build::check((&manifest, said), Path::new(&component), output)?
    };
    let Some(Built { name, version, component, .. }) = built else { return Ok(Exit::Failed) };
    if examples.is_empty() {
        output.note(&format!("there are no examples: {} names some", examples::FILE));
    }
    let load = loading(folder, &manifest, &component)?;
    let Some(tried) = try_all(load, &name, examples).await? else { return Ok(Exit::Cancelled) };
    let report = Report { name, version, component, has_own_tests, examples: tried };
    output.result(&report, || text(&report));
    let is_good = report.examples.iter().all(|tried| tried.passed);
    Ok(if is_good { Exit::Ok } else { Exit::Failed })
}

fn loading(folder: &Path, manifest: &Path, component: &Path) -> Result<LoadPlugin, CliError> {
    Ok(LoadPlugin {
        component: found::read(component)?,
        component_file: component.display().to_string(),
        manifest: Some(found::definition_text(manifest)?),
        manifest_file: manifest.display().to_string(),
        // Each example says what it is granted.
        consent: SaidConsent { grants: Some(Vec::new()), ..SaidConsent::default() },
        typed: Some(folder.display().to_string()),
    })
}

/// Loads a plugin into a host of its own and tries its examples. None when its author left.
async fn try_all(
    load: LoadPlugin,
    name: &str,
    examples: Vec<Example>,
) -> Result<Option<Vec<Tried>>, CliError> {
    let mut signals = Signals::listen()
        .map_err(|source| CliError::Io { what: "the process's signals".to_owned(), source })?;
    let folder = Folder::make("apflow-plugin-test")?;
    let config = folder.config()?;
    let trying = Host::with(&config, async |host| {
        host.start().await?;
        let is_tool = host.api.invoke(load, &operator()).await?.plugin.plugin.tool.is_some();
        let mut tried = Vec::with_capacity(examples.len());
        for example in examples {
            let begun = Instant::now();
            let differences = try_one(&host.api, (name, is_tool), &example).await?;
            let ms = (begun.elapsed().as_secs_f64() * 1e4).round() / 10.0;
            let passed = differences.is_empty();
            tried.push(Tried { name: example.name, passed, differences, ms });
        }
        Ok::<_, CliError>(tried)
    });
    tokio::select! {
        tried = Box::pin(trying) => tried.map(Some),
        () = signals.ended() => Ok(None),
    }
}

/// Where an example comes to something else than it says.
async fn try_one(
    api: &Api,
    (name, is_tool): (&str, bool),
    example: &Example,
) -> Result<Vec<String>, CliError> {
    let key = if is_tool { "tool" } else { "executor" };
    let submit = SubmitJob {
        job: json!({ "id": "example", key: name, "inputs": example.inputs, "max_attempts": 1 }),
        grants: example.grants.clone(),
        wait: Some(EXAMPLE_MAX),
        idempotency_key: None,
        hops: Hops::default(),
    };
    let job = match api.invoke(submit, &operator()).await {
        Ok(submitted) => submitted.job,
        // What the schema refuses never becomes a task.
        Err(error) => return Ok(refused(&error, example)),
    };
    let task = job.tasks.first();
    Ok(task.map_or_else(|| vec!["it has no task".to_owned()], |task| judge(task, example)))
}

fn refused(error: &ApiError, example: &Example) -> Vec<String> {
    let code = error.code().name();
    if example.fault.is_some_and(|fault| fault.name() == code) {
        return Vec::new();
    }
    vec![format!("expected {}, found {code}: {}", wanted(example), chain(error))]
}

fn judge(task: &Task, example: &Example) -> Vec<String> {
    match (task.state, &task.output, &task.fault) {
        (TaskState::Completed, Some(found), _) if example.fault.is_none() => {
            let wanted = example.output.as_ref();
            wanted.map_or_else(Vec::new, |wanted| differences::between(wanted, found))
        }
        (_, _, Some(fault)) if example.fault == Some(fault.code) => Vec::new(),
        (_, _, Some(fault)) => {
            vec![format!("expected {}, found {}: {}", wanted(example), fault.code, fault.message)]
        }
        (state, found, None) => {
            let found = found.as_ref().map_or_else(|| state.to_string(), ToString::to_string);
            vec![format!("expected {}, found {found}", wanted(example))]
        }
    }
}

/// What must come of an example, in words.
fn wanted(example: &Example) -> String {
    match (&example.fault, &example.output) {
        (Some(fault), _) => format!("the fault {fault}"),
        (None, Some(output)) => output.to_string(),
        (None, None) => "an output".to_owned(),
    }
}

fn text(report: &Report) -> String {
    let Report { name, version, examples, .. } = report;
    let row = |tried: &Tried| {
        let verdict = if tried.passed { "passed" } else { "failed" };
        vec![verdict.to_owned(), tried.name.clone(), format!("{:.1} ms", tried.ms)]
    };
    let rows = columns(&[], examples.iter().map(row).collect(), &[2]);
    let told = examples.iter().filter(|tried| !tried.passed).flat_map(|tried| {
        let lines = tried.differences.iter().map(|line| format!("\n  {line}"));
        std::iter::once(format!("\n\n{}", tried.name)).chain(lines)
    });
    let told: String = told.collect();
    let passed = examples.iter().filter(|tried| tried.passed).count();
    let own = if report.has_own_tests { "its own tests passed, " } else { "" };
    let all = examples.len();
    format!("{rows}{told}\n\n{name} {version}: {own}{passed} of {all} examples passed")
        .trim_start()
        .to_owned()
}
