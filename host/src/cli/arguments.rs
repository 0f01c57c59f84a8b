//! What can be typed.

use std::net::IpAddr;
use std::path::PathBuf;

use apflow_model::breaker::BreakerKey;
use apflow_model::capability::Grant;
use apflow_model::clock::Timestamp;
use apflow_model::id::JobId;
use apflow_model::idempotency::IdempotencyKey;
use apflow_model::limit::Span;
use apflow_model::state::JobState;
use apflow_model::telemetry::LogFormat;
use clap::{Args, Parser, Subcommand, ValueEnum};

use super::approvals::ApprovalsVerb;
use super::audit::AuditVerb;
use super::bench::BenchVerb;
use super::budgets::BudgetsVerb;
use super::cache::CacheVerb;
use super::config::ConfigVerb;
use super::daemon::DaemonVerb;
use super::mcp::Mcp;
use super::plugin::PluginVerb;
use super::policies::PoliciesVerb;
use super::schedules::SchedulesVerb;
use super::schema::SchemaOf;
use super::secrets::SecretsVerb;
use super::shell::Shell;
use super::tasks::TasksVerb;
use super::tokens::TokensVerb;
use super::usage::Usage;
use super::validate::Validate;
use super::{grant, json, page, target};

/// Runs untrusted executors safely: every one is a WASI component that gets only what was granted.
#[derive(Debug, Parser)]
#[command(name = "apflow-host", version, propagate_version = true)]
pub(crate) struct Arguments {
    /// Print JSON.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Where the database, plugins and compiled code are [default: the XDG data folder].
    #[arg(
        long,
        global = true,
        value_name = "PATH",
        env = "APFLOW_DATA_DIR",
        hide_env_values = true
    )]
    pub(crate) data_dir: Option<PathBuf>,
    /// Where config.yaml and secrets.yaml are [default: the XDG config folder].
    #[arg(
        long,
        global = true,
        value_name = "PATH",
        env = "APFLOW_CONFIG_DIR",
        hide_env_values = true
    )]
    pub(crate) config_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) place: target::Place,
    /// What the log on standard error holds, for example `info`.
    #[arg(long, global = true, value_name = "FILTER", env = "APFLOW_LOG", hide_env_values = true)]
    pub(crate) log: Option<String>,
    /// How the lines of the log are written [default: text].
    #[arg(
        long,
        global = true,
        value_name = "FORMAT",
        env = "APFLOW_LOG_FORMAT",
        hide_env_values = true
    )]
    pub(crate) log_format: Option<LogLines>,
    /// The longest that compiling a component may take, for example `30s`.
    #[arg(
        long,
        global = true,
        value_name = "TIME",
        env = "APFLOW_COMPILE_TIMEOUT",
        hide_env_values = true,
        default_value = "1m",
        value_parser = Span::parse
    )]
    pub(crate) compile_timeout: Span,
    /// See <https://no-color.org>.
    #[arg(long, global = true, hide = true, env = "NO_COLOR", hide_env = true)]
    pub(crate) no_color: Option<String>,
    /// A terminal that is `dumb` knows no colours, and no cursor that goes back.
    #[arg(long, global = true, hide = true, env = "TERM", hide_env = true)]
    pub(crate) term: Option<String>,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// How the lines of a log are written.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum LogLines {
    /// For people.
    Text,
    /// A JSON object a line.
    Json,
}

impl From<LogLines> for LogFormat {
    fn from(lines: LogLines) -> Self {
        match lines {
            LogLines::Text => Self::Text,
            LogLines::Json => Self::Json,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Check, compile and install a plugin, a tool, or a folder of tools.
    Load(Load),
    /// List, show, verify, remove and release installed plugins.
    Plugins {
        #[command(subcommand)]
        verb: PluginsVerb,
    },
    /// List, show, run and look after installed tools.
    Tools {
        #[command(subcommand)]
        verb: ToolsVerb,
    },
    /// Check manifests and components, as CI does: plugin.yaml, tool.yaml and policies.yaml.
    Validate(Validate),
    /// Print the JSON Schema of a manifest or of policies.yaml, or the `OpenAPI` document, for editors
    /// and CI.
    Schema {
        /// Of what.
        of: SchemaOf,
    },
    /// Run one task now, or a batch of them.
    Run(Run),
    /// List, show, watch, cancel, retry and remove jobs, and get their files.
    Jobs {
        #[command(subcommand)]
        verb: JobsVerb,
    },
    /// Submit jobs at times of the clock.
    Schedules {
        #[command(subcommand)]
        verb: SchedulesVerb,
    },
    /// List, show, watch, cancel and retry tasks of whichever job.
    Tasks {
        #[command(subcommand)]
        verb: TasksVerb,
    },
    /// List what waits for an approval, approve and deny it.
    Approvals {
        #[command(subcommand)]
        verb: ApprovalsVerb,
    },
    /// Make, list and revoke tokens for the HTTP API.
    Tokens {
        #[command(subcommand)]
        verb: TokensVerb,
    },
    /// Show, explain, change and check the settings; make and check JSON web tokens.
    Config {
        #[command(subcommand)]
        verb: ConfigVerb,
    },
    /// List what is left alone since it keeps failing, and try it again.
    Breakers {
        #[command(subcommand)]
        verb: BreakersVerb,
    },
    /// Set what principals may spend, and show what is left of it.
    Budgets {
        #[command(subcommand)]
        verb: BudgetsVerb,
    },
    /// Show what calls of models used and cost, as a table, JSON, CSV or bars.
    Usage(Box<Usage>),
    /// List who did what and when, verify that it is as it was written, and export it.
    Audit {
        #[command(subcommand)]
        verb: AuditVerb,
    },
    /// List the secrets that secrets.yaml names.
    Secrets {
        #[command(subcommand)]
        verb: SecretsVerb,
    },
    /// Show what roles may do, keep cost policies, and check policies.yaml.
    Policies {
        #[command(subcommand)]
        verb: PoliciesVerb,
    },
    /// Serve the HTTP API and run what is submitted to it.
    Serve(Serve),
    /// Answer an MCP client on standard input and output: executors, tools and verbs for a model.
    Mcp(Mcp),
    /// Run what is submitted to others, beside any number of workers of the same server.
    Worker,
    /// Start, stop and watch over a server in the background.
    Daemon {
        #[command(subcommand)]
        verb: DaemonVerb,
    },
    /// Examine the database and the files of the host, also while it runs.
    Doctor {
        /// Repair what can be repaired.
        #[arg(long)]
        repair: bool,
    },
    /// Start, build and test a plugin of your own.
    Plugin {
        #[command(subcommand)]
        verb: PluginVerb,
    },
    /// Measure this machine.
    Bench {
        #[command(subcommand)]
        verb: BenchVerb,
    },
    /// Run hostile guests on this machine, and see that the sandbox holds them.
    Selftest(Selftest),
    /// Compile the component on standard input: the host starts itself so, to be limited.
    #[command(hide = true)]
    CompileComponent {
        /// What the host says.
        order: String,
    },
    /// Explain an error code, or list them all.
    Explain {
        /// The code, for example `capability-denied`.
        code: Option<String>,
    },
    /// Print what a shell reads to complete verbs, options and names.
    Completions {
        /// Which shell.
        shell: Shell,
    },
    /// Write a manual page for every verb.
    Man {
        /// The folder, which is made when it is not there.
        folder: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Load {
    /// A folder with a plugin.yaml or a tool.yaml, a folder of such folders, one of these files, a
    /// component beside a plugin.yaml, an image in a registry such as ghcr.io/owner/name:1.2, or the
    /// name of a plugin that came with the host.
    #[arg(value_name = "PATH|DIR|OCI-REF")]
    pub(crate) path: String,
    /// What to allow it: http=https://api.example.com, tcp=HOST:PORT, fs.in=PATH, env=NAME and more.
    /// `none` for nothing. Can be repeated.
    #[arg(long = "grant", value_name = "KIND=VALUE|none")]
    pub(crate) grants: Vec<grant::Said>,
    /// Allow all that its manifest asks for, but folders, raw sockets and values of secrets.
    #[arg(long)]
    pub(crate) yes: bool,
    /// Allow exactly what this reviewed lock allows this component, and no other component.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["grants", "yes"])]
    pub(crate) locked: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PluginsVerb {
    /// List the installed plugins.
    List(page::ByName),
    /// Show one plugin: its capabilities, grants, limits and schemas.
    Show {
        /// The name of the plugin.
        name: String,
    },
    /// Remove a plugin.
    Remove {
        /// The name of the plugin.
        name: String,
    },
    /// Verify one plugin or all: their bytes, imports, compiled code and grants.
    Verify {
        /// The name of the plugin.
        name: Option<String>,
    },
    /// Let a quarantined plugin run again.
    Release {
        /// The name of the plugin.
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ToolsVerb {
    /// Look whether one tool can do its work, or all.
    Health {
        /// The name of the tool.
        name: Option<String>,
    },
    /// List and forget the results that are given again.
    Cache {
        #[command(subcommand)]
        verb: CacheVerb,
    },
    /// List the installed tools.
    List(page::ByName),
    /// Show one tool: how it is called, what it asks for and what it is granted.
    Show {
        /// The name of the tool.
        name: String,
    },
    /// Run one tool now.
    Run {
        /// The name of the tool.
        name: String,
        #[command(flatten)]
        task: RunTask,
    },
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Run {
    #[command(subcommand)]
    pub(crate) batch: Option<RunVerb>,
    /// The executor or the tool.
    #[arg(required = true)]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) task: RunTask,
}

/// What a task is run with.
#[derive(Debug, Args)]
pub(crate) struct RunTask {
    /// The arguments and flags of a tool, or of a command. Flags come after `--`.
    #[arg(conflicts_with = "input")]
    pub(crate) words: Vec<String>,
    /// Its input: JSON, @FILE, or - for standard input. `{}` if left out.
    #[arg(long, value_name = "JSON|@FILE|-")]
    pub(crate) input: Option<json::Source>,
    /// What to allow this run alone. Can be repeated.
    #[arg(long = "grant", value_name = "KIND=VALUE")]
    pub(crate) grants: Vec<Grant>,
    /// A key of your own for this run: the same run with the same key is not run again, and answers
    /// what the first did.
    #[arg(long, value_name = "KEY")]
    pub(crate) idempotency_key: Option<IdempotencyKey>,
    /// Of all that it is granted, allow this run only this; `none` for nothing. Can be repeated.
    #[arg(long = "allow", value_name = "KIND=VALUE|none")]
    pub(crate) allow: Vec<grant::Said>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RunVerb {
    /// Run a forest of tasks, drawn as a tree.
    Batch(Batch),
}

#[derive(Debug, Args)]
pub(crate) struct Batch {
    /// The job or the list of its tasks: JSON, @FILE, or - for standard input.
    #[arg(long, value_name = "JSON|@FILE|-")]
    pub(crate) tasks: json::Source,
    /// A key of your own for this run: the same run with the same key is not run again, and answers
    /// what the first did.
    #[arg(long, value_name = "KEY")]
    pub(crate) idempotency_key: Option<IdempotencyKey>,
    /// What to allow this run alone. Can be repeated.
    #[arg(long = "grant", value_name = "KIND=VALUE")]
    pub(crate) grants: Vec<Grant>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum JobsVerb {
    /// List jobs, newest first.
    List(ListJobs),
    /// Show one job with its tasks.
    Show {
        /// The id of the job, for example `j_01h2xcejqtf2n`.
        id: JobId,
    },
    /// Print what happened to one job, and what happens, to its end.
    Watch {
        /// The id of the job.
        id: JobId,
        /// Go on after the event with this number.
        #[arg(long, value_name = "N", default_value_t = 0)]
        after: u64,
    },
    /// List the files that the tasks of one job left, or save them.
    Files {
        /// The id of the job.
        id: JobId,
        /// Save them below this folder, each task's in a folder of its own, which must be new.
        #[arg(long, value_name = "DIR")]
        save: Option<PathBuf>,
    },
    /// Let the failed tasks of one job run again, with their checkpoints.
    Retry {
        /// The id of the job.
        id: JobId,
        /// Only these of its tasks: their ids, or the caller's references.
        tasks: Vec<String>,
        /// The cancelled ones as well.
        #[arg(long)]
        cancelled: bool,
    },
    /// Cancel one job or all: tasks that have not ended end now.
    Cancel {
        /// The id of the job.
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        id: Option<JobId>,
        /// Every job that has not ended.
        #[arg(long)]
        all: bool,
    },
    /// Remove one job that has ended, or many, with everything they left.
    Purge(PurgeJobs),
}

#[derive(Debug, Args)]
pub(crate) struct PurgeJobs {
    /// The id of the job.
    #[arg(required_unless_present = "before", conflicts_with = "before")]
    pub(crate) id: Option<JobId>,
    /// Every job that ended before this day, for example `2026-01-31`, or this moment in RFC 3339.
    #[arg(long, value_name = "DATE", value_parser = json::day_or_moment)]
    pub(crate) before: Option<Timestamp>,
    /// Of these only jobs that ended so: completed, failed or cancelled.
    #[arg(long, requires = "before", value_parser = json::end)]
    pub(crate) state: Option<JobState>,
}

#[derive(Debug, Args)]
pub(crate) struct ListJobs {
    /// Only jobs in this state.
    #[arg(long, value_parser = json::word::<JobState>)]
    pub(crate) state: Option<JobState>,
    /// Only jobs with a task of this executor.
    #[arg(long)]
    pub(crate) executor: Option<String>,
    /// Only jobs with a task of this tool.
    #[arg(long)]
    pub(crate) tool: Option<String>,
    /// Only jobs that this caller submitted.
    #[arg(long)]
    pub(crate) principal: Option<String>,
    /// Only jobs accepted at this moment or later, in RFC 3339.
    #[arg(long, value_parser = json::word::<Timestamp>)]
    pub(crate) since: Option<Timestamp>,
    /// Only jobs accepted before this moment, in RFC 3339.
    #[arg(long, value_parser = json::word::<Timestamp>)]
    pub(crate) until: Option<Timestamp>,
    /// How many, from 1 to 1000.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) limit: u32,
    /// The cursor that the page before ended with.
    #[arg(long)]
    pub(crate) cursor: Option<JobId>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BreakersVerb {
    /// List the breakers that are open or have counted failures.
    List(page::ByName),
    /// Close one breaker or all, and forget their failures.
    Reset {
        /// As the list names it: `executor:NAME`, `destination:SCHEME://HOST:PORT`.
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        key: Option<BreakerKey>,
        /// Every breaker.
        #[arg(long)]
        all: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// The address to listen on.
    #[arg(long, default_value = "127.0.0.1")]
    pub(crate) host: IpAddr,
    /// The port to listen on; 0 for any free one.
    #[arg(long, default_value_t = 8000)]
    pub(crate) port: u16,
    /// Run nothing: leave that to workers.
    #[arg(long)]
    pub(crate) no_dispatch: bool,
    /// Speak TLS, with this certificate: a PEM file, with those that lead to its authority.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The private key of the certificate: a PEM file.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Listen on an open address without TLS: a proxy in front of the host speaks it.
    #[arg(long)]
    pub(crate) behind_proxy: bool,
    /// Work in the background: `daemon start` says so.
    #[arg(long, hide = true)]
    pub(crate) daemon: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Selftest {
    /// Only this guest.
    #[arg(long, value_name = "NAME")]
    pub(crate) only: Option<String>,
}
