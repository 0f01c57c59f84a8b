//! Completion of what is typed in a shell, with the names of what there is: the shell asks this
//! program, which looks them up as any verb would.

use std::time::Duration;

use apflow_api::{ListJobs, ListPlugins, ListTasks, ListTools, Page, Remote};
use apflow_model::setting;
use clap::Command;
use clap::builder::StyledStr;
use clap_complete::CompleteEnv;
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use clap_complete::env::Shells;
use serde_json::json;
use tokio::runtime::Builder;
use tokio::time::timeout;

use super::error::CliError;
use super::exit::Exit;
use super::help;
use super::operator::invoke;
use super::output::Output;
use super::shell::Shell;
use crate::config::Config;

/// The variable by which a shell asks.
const VARIABLE: &str = "APFLOW_COMPLETE";
/// The longest that a shell waits for names: without them it completes the rest.
const LOOK_UP_MAX: Duration = Duration::from_secs(2);
/// How many jobs or tasks are offered, the newest first.
const OFFERED_MAX: u32 = 50;

/// What can be typed where a name is expected.
type Names = fn() -> Vec<CompletionCandidate>;

/// The arguments that are names of what there is: the verb, the argument, and where its names are.
const NAMED: &[(&str, &str, Names)] = &[
    ("run", "name", runnable),
    ("plugins show", "name", plugins),
    ("plugins verify", "name", plugins),
    ("plugins remove", "name", plugins),
    ("plugins release", "name", plugins),
    ("tools show", "name", tools),
    ("tools run", "name", tools),
    ("tools health", "name", tools),
    ("tools cache clear", "tool", tools),
    ("jobs show", "id", jobs),
    ("jobs watch", "id", jobs),
    ("jobs files", "id", jobs),
    ("jobs retry", "id", jobs),
    ("jobs cancel", "id", jobs),
    ("jobs purge", "id", jobs),
    ("tasks show", "id", tasks),
    ("tasks watch", "id", tasks),
    ("tasks checkpoints", "id", tasks),
    ("tasks cancel", "id", tasks),
    ("tasks retry", "id", tasks),
    ("config explain", "key", settings),
    ("config get", "key", settings),
    ("config set", "key", settings),
    ("config unset", "key", settings),
    ("config reset", "key", settings),
    ("explain", "code", codes),
];

/// Prints what a shell reads to complete verbs, options and names.
pub(crate) fn run(shell: Shell, output: &Output) -> Result<Exit, CliError> {
    let name = "apflow-host";
    let mut script = Vec::new();
    let shells = Shells::builtins();
    let completer = shells.completer(shell.name());
    let completer = completer
        .ok_or_else(|| CliError::NotFound(format!("no completion for {}", shell.name())))?;
    completer
        .write_registration(VARIABLE, name, name, name, &mut script)
        .map_err(|source| CliError::Io { what: "the script".to_owned(), source })?;
    let script = String::from_utf8_lossy(&script);
    output.result(&json!({ "shell": shell.name(), "script": script }), || script.to_string());
    Ok(Exit::Ok)
}

/// Answers a shell that asks how to go on. False when none does: then this is a usual start.
pub(crate) fn answer() -> Result<bool, clap::Error> {
    let place = std::env::current_dir().ok();
    CompleteEnv::with_factory(command)
        .var(VARIABLE)
        .try_complete(std::env::args_os(), place.as_deref())
}

fn command() -> Command {
    NAMED.iter().fold(help::command(), |command, (verb, argument, names)| {
        let path: Vec<&str> = verb.split(' ').collect();
        named(command, &path, argument, *names)
    })
}

fn named(command: Command, path: &[&str], argument: &str, names: Names) -> Command {
    match path.split_first() {
        Some((verb, below)) => {
            command.mut_subcommand(verb, |verb| named(verb, below, argument, names))
        }
        // In its place: the order of arguments is that in which they are typed.
        None => command.mut_args(|found| {
            if found.get_id() == argument {
                found.add(ArgValueCandidates::new(names))
            } else {
                found
            }
        }),
    }
}

fn candidate(name: &str, about: impl Into<StyledStr>) -> CompletionCandidate {
    CompletionCandidate::new(name.to_owned()).help(Some(about.into()))
}

/// Looks names up. Whatever keeps them from being found, the shell goes on without.
fn look_up<O: Remote>(
    operation: O,
    names: impl Fn(&O::Output) -> Vec<CompletionCandidate>,
) -> Vec<CompletionCandidate> {
    let found = || {
        let runtime = Builder::new_current_thread().enable_all().build().ok()?;
        let config = Config::new(None, None, Duration::from_mins(1)).ok()?;
        let looking = async { timeout(LOOK_UP_MAX, invoke(&config, operation)).await };
        let output = runtime.block_on(looking).ok()?.ok()?;
        Some(names(&output))
    };
    found().unwrap_or_default()
}

fn page<C>() -> Page<C> {
    Page { limit: Some(OFFERED_MAX), cursor: None }
}

fn jobs() -> Vec<CompletionCandidate> {
    let asked = ListJobs { page: page(), ..ListJobs::default() };
    look_up(asked, |list| {
        let about = |state: &str, name: Option<&str>| match name {
            Some(name) => format!("{state}: {name}"),
            None => state.to_owned(),
        };
        let jobs = list.jobs.iter();
        jobs.map(|job| candidate(&job.id.to_string(), about(job.state.name(), job.name.as_deref())))
            .collect()
    })
}

fn tasks() -> Vec<CompletionCandidate> {
    let asked = ListTasks { page: page(), ..ListTasks::default() };
    look_up(asked, |list| {
        let tasks = list.tasks.iter();
        tasks
            .map(|task| {
                let about = format!("{}: {}", task.state.name(), task.executor);
                candidate(&task.id.to_string(), about)
            })
            .collect()
    })
}

fn plugins() -> Vec<CompletionCandidate> {
    look_up(ListPlugins::default(), |list| {
        let manifests = list.plugins.iter().map(|plugin| &plugin.plugin.manifest);
        manifests.map(|manifest| candidate(&manifest.name, manifest.description.clone())).collect()
    })
}

fn tools() -> Vec<CompletionCandidate> {
    look_up(ListTools::default(), |list| {
        let manifests = list.tools.iter().map(|tool| &tool.plugin.manifest);
        manifests.map(|manifest| candidate(&manifest.name, manifest.description.clone())).collect()
    })
}

fn runnable() -> Vec<CompletionCandidate> {
    plugins().into_iter().chain(tools()).collect()
}

fn settings() -> Vec<CompletionCandidate> {
    setting::all().iter().map(|setting| candidate(setting.path(), setting.about())).collect()
}

fn codes() -> Vec<CompletionCandidate> {
    apflow_api::pages().map(|(code, _)| CompletionCandidate::new(code)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_argument_that_is_completed_is_there() {
        command().debug_assert();
        for (verb, argument, _) in NAMED {
            let mut command = command();
            for name in verb.split(' ') {
                command = command.find_subcommand(name).unwrap().clone();
            }
            let mut arguments = command.get_arguments();
            let found = arguments.any(|found| found.get_id() == *argument);
            assert!(found, "`{verb}` has no `{argument}`");
        }
        assert!(settings().len() > 50 && !codes().is_empty());
    }
}
