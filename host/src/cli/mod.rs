//! The command line: a verb a file.

mod approvals;
mod arguments;
mod asked;
mod audit;
mod background;
mod bench;
mod breakers;
mod budgets;
mod cache;
mod compile;
mod complete;
mod config;
mod daemon;
mod doctor;
mod error;
mod exit;
mod explain;
mod files;
mod found;
mod grant;
mod health;
mod help;
mod image;
mod jobs;
mod json;
mod live;
mod load;
mod man;
mod mcp;
mod operations;
mod operator;
mod options;
mod output;
mod page;
mod plot;
mod plugin;
mod plugins;
mod policies;
mod run;
mod schedules;
mod schema;
mod screen;
mod secrets;
mod selftest;
mod serve;
mod shell;
mod signals;
mod target;
mod tasks;
mod temporary;
mod tokens;
mod tools;
mod tree;
mod usage;
mod validate;
mod watch;
mod worker;

use std::process::ExitCode;

use apflow_api::RetryJob;
use clap::FromArgMatches;

use crate::config::{Config, ConfigError, Places};
use crate::telemetry::{self, Typed};
use arguments::{Arguments, BreakersVerb, JobsVerb, Verb};
use error::CliError;
use exit::Exit;
use output::Output;

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    match complete::answer() {
        Ok(true) => return Exit::Ok.into(),
        Ok(false) => {}
        Err(error) => error.exit(),
    }
    // A wrong argument ends the process here, with clap's own words and exit code 2.
    let typed = help::command().get_matches();
    let arguments = Arguments::from_arg_matches(&typed).unwrap_or_else(|error| error.exit());
    if let Verb::CompileComponent { order } = &arguments.verb {
        return compile::run(order);
    }
    // The MCP library tells of each request; what fails is told where it does.
    let usual = if matches!(arguments.verb, Verb::Serve(_) | Verb::Worker) {
        "info,rmcp=off"
    } else {
        "warn,rmcp=off"
    };
    let is_dumb = arguments.term.as_deref() == Some("dumb");
    let is_plain = is_dumb || arguments.no_color.as_ref().is_some_and(|value| !value.is_empty());
    let output = Output::new(arguments.json, !is_plain, !is_dumb);
    let (filter, format) = (arguments.log.clone(), arguments.log_format.map(Into::into));
    if let Err(reason) = telemetry::start(Typed { filter, usual, format, is_plain }) {
        output.error(&CliError::Usage(reason));
        return Exit::Usage.into();
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output.error(&CliError::Io { what: "the runtime".to_owned(), source: error });
            return Exit::Internal.into();
        }
    };
    let exit = runtime.block_on(dispatch(arguments, &output)).unwrap_or_else(|error| {
        output.error(&error);
        error.exit()
    });
    runtime.shutdown_background();
    exit.into()
}

async fn dispatch(arguments: Arguments, output: &Output) -> Result<Exit, CliError> {
    let settings = || -> Result<Config, ConfigError> {
        let compile_timeout = arguments.compile_timeout.0;
        let (data_dir, config_dir) = (arguments.data_dir.clone(), arguments.config_dir.clone());
        let mut config = Config::new(data_dir, config_dir, compile_timeout)?;
        config.gateway =
            config.gateway.typed(arguments.place.api_server.clone(), arguments.place.direct);
        Ok(config)
    };
    let config = || settings()?.with_policies();
    let places = || Places::find(arguments.data_dir.clone(), arguments.config_dir.clone());
    let (flags, typed) = (arguments.flags(), arguments.passed_on());
    match arguments.verb {
        Verb::Load(load) => load::run(&config()?, load, output).await,
        Verb::Plugins { verb } => plugins::run(&config()?, verb, output).await,
        Verb::Tools { verb } => tools::run(&config()?, verb, output).await,
        Verb::Validate(verb) => validate::run(&verb, output),
        Verb::Schema { of } => Ok(schema::run(of, output)),
        Verb::Run(verb) => run::run(&config()?, verb, output).await,
        Verb::Jobs { verb: JobsVerb::List(list) } => jobs::list(&config()?, list, output).await,
        Verb::Jobs { verb: JobsVerb::Show { id } } => jobs::show(&config()?, &id, output).await,
        Verb::Jobs { verb: JobsVerb::Watch { id, after } } => {
            watch::run(&config()?, id, after, output).await
        }
        Verb::Jobs { verb: JobsVerb::Cancel { id, .. } } => {
            jobs::cancel(&config()?, id, output).await
        }
        Verb::Jobs { verb: JobsVerb::Purge(purge) } => jobs::purge(&config()?, purge, output).await,
        Verb::Jobs { verb: JobsVerb::Files { id, save } } => {
            files::run(&config()?, id, save.as_deref(), output).await
        }
        Verb::Schedules { verb } => Box::pin(schedules::run(config, verb, output)).await,
        Verb::Jobs { verb: JobsVerb::Retry { id, tasks, cancelled } } => {
            jobs::retry(&config()?, RetryJob { id, tasks, with_cancelled: cancelled }, output).await
        }
        Verb::Tasks { verb } => tasks::run(&config()?, verb, output).await,
        Verb::Tokens { verb } => tokens::run(&config()?, verb, output).await,
        Verb::Config { verb } => config::run(&places()?, config, &flags, verb, output),
        Verb::Approvals { verb } => approvals::run(&config()?, verb, output).await,
        Verb::Breakers { verb: BreakersVerb::List(page) } => {
            breakers::list(&config()?, page.into(), output).await
        }
        Verb::Breakers { verb: BreakersVerb::Reset { key, .. } } => {
            breakers::reset(&config()?, key, output).await
        }
        Verb::Budgets { verb } => budgets::run(&config()?, verb, output).await,
        Verb::Usage(usage) => usage::run(&config()?, *usage, output).await,
        Verb::Audit { verb } => Box::pin(audit::run(config, verb, output)).await,
        Verb::Secrets { verb: secrets::SecretsVerb::List } => {
            secrets::list(&config()?, output).await
        }
        Verb::Doctor { repair } => Box::pin(doctor::run(settings()?, repair, output)).await,
        Verb::Policies { verb } => policies::run(&config()?, verb, output).await,
        Verb::Serve(verb) => serve::run(&config()?, verb, output).await,
        Verb::Mcp(verb) => Box::pin(mcp::run(&config()?, verb)).await,
        Verb::Worker => worker::run(&config()?, output).await,
        Verb::Plugin { verb } => plugin::run(verb, output).await,
        Verb::Bench { verb } => Box::pin(bench::run(config, verb, output)).await,
        Verb::Selftest(verb) => selftest::run(verb, output).await,
        // It needs no runtime, so it never gets here.
        Verb::CompileComponent { .. } => Ok(Exit::Internal),
        Verb::Daemon { verb } => daemon::run(&places()?, typed, verb, output).await,
        Verb::Explain { code } => explain::run(code.as_deref(), output),
        Verb::Completions { shell } => complete::run(shell, output),
        Verb::Man { folder } => man::run(&folder, output),
    }
}
