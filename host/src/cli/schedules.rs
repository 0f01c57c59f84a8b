//! `schedules`: what is submitted when.

use std::iter;

use apflow_api::{
    ListSchedules, Page, PauseSchedule, PutSchedule, RemoveSchedule, ResumeSchedule, ShowSchedule,
    SystemClock, TriggerSchedule,
};
use apflow_model::capability::Grant;
use apflow_model::clock::{Clock, Timestamp};
use apflow_model::cron::Cron;
use apflow_model::hops::Hops;
use apflow_model::schedule::{Missed, Overlap, Schedule, ScheduleSpec};
use apflow_model::tick;
use apflow_model::zone::Zone;
use clap::{Args, Subcommand};
use serde_json::json;

use super::error::CliError;
use super::exit::Exit;
use super::json::{Source, word};
use super::operator::invoke;
use super::output::{Output, columns};
use super::page::note_more;
use super::{asked, grant, tree};
use crate::config::{Config, ConfigError};

#[derive(Debug, Subcommand)]
pub(crate) enum SchedulesVerb {
    /// Make a schedule, or write one anew.
    Add(Box<AddSchedule>),
    /// List the schedules by name.
    List {
        /// How many, from 1 to 1000.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        /// The cursor that the page before ended with.
        #[arg(long)]
        cursor: Option<String>,
    },
    /// Show one schedule with its next ticks.
    Show {
        /// The name of the schedule.
        name: String,
    },
    /// Remove a schedule. Its jobs stay.
    Remove {
        /// The name of the schedule.
        name: String,
    },
    /// Let a schedule rest.
    Pause {
        /// The name of the schedule.
        name: String,
    },
    /// Let a paused schedule go on with its first tick from now.
    Resume {
        /// The name of the schedule.
        name: String,
    },
    /// Submit the job of a schedule now.
    Trigger {
        /// The name of the schedule.
        name: String,
    },
    /// Say when a cron expression ticks.
    Next(NextTicks),
}

#[derive(Debug, Args)]
pub(crate) struct AddSchedule {
    /// The name: lower case letters, digits, `_` and `-`.
    pub(crate) name: String,
    /// When it ticks, for example `30 6 * * MON-FRI` or `@hourly`.
    #[arg(long)]
    pub(crate) cron: Cron,
    /// Whose clocks, by their IANA name, for example `Europe/Berlin`.
    #[arg(long, default_value_t)]
    pub(crate) zone: Zone,
    /// What is submitted: JSON, @FILE, or - for standard input.
    #[arg(long, value_name = "JSON|@FILE|-")]
    pub(crate) job: Source,
    /// While an earlier job has not ended: skip the tick, or allow another beside it.
    #[arg(long, value_name = "skip|allow", default_value = "skip")]
    pub(crate) overlap: Overlap,
    /// Of ticks that no host saw, make up for none, the last, or the last N.
    #[arg(long, value_name = "skip|last|all:N", default_value_t)]
    pub(crate) missed: Missed,
    /// No tick before this moment, in RFC 3339.
    #[arg(long, value_name = "MOMENT", value_parser = word::<Timestamp>)]
    pub(crate) starts_at: Option<Timestamp>,
    /// No tick after this moment, in RFC 3339.
    #[arg(long, value_name = "MOMENT", value_parser = word::<Timestamp>)]
    pub(crate) ends_at: Option<Timestamp>,
    /// Do not tick until it is resumed.
    #[arg(long)]
    pub(crate) paused: bool,
    /// What to allow its jobs alone. Can be repeated.
    #[arg(long = "grant", value_name = "KIND=VALUE")]
    pub(crate) grants: Vec<Grant>,
}

#[derive(Debug, Args)]
pub(crate) struct NextTicks {
    /// The expression.
    pub(crate) cron: Cron,
    /// Whose clocks, by their IANA name.
    #[arg(long, default_value_t)]
    pub(crate) zone: Zone,
    /// After this moment, in RFC 3339 [default: now].
    #[arg(long, value_name = "MOMENT", value_parser = word::<Timestamp>)]
    pub(crate) from: Option<Timestamp>,
    /// How many, from 1 to 100.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub(crate) count: u8,
}

pub(crate) async fn run(
    config: impl FnOnce() -> Result<Config, ConfigError>,
    verb: SchedulesVerb,
    output: &Output,
) -> Result<Exit, CliError> {
    let (done, schedule) = match verb {
        // It needs no data directory.
        SchedulesVerb::Next(asked) => {
            next(&asked, output);
            return Ok(Exit::Ok);
        }
        SchedulesVerb::Add(asked) => ("added", add(&config()?, *asked, output).await?),
        SchedulesVerb::List { limit, cursor } => {
            return list(&config()?, limit, cursor, output).await;
        }
        SchedulesVerb::Show { name } => return show(&config()?, name, output).await,
        SchedulesVerb::Trigger { name } => {
            let job = invoke(&config()?, TriggerSchedule { name, hops: Hops::default() }).await?;
            output.result(&job, || tree::draw(&job));
            return Ok(Exit::Ok);
        }
        SchedulesVerb::Remove { name } => {
            ("removed", invoke(&config()?, RemoveSchedule { name }).await?)
        }
        SchedulesVerb::Pause { name } => {
            ("paused", invoke(&config()?, PauseSchedule { name }).await?)
        }
        SchedulesVerb::Resume { name } => {
            ("resumed", invoke(&config()?, ResumeSchedule { name }).await?)
        }
    };
    output.result(&schedule, || {
        let next = schedule.next_at.filter(|_| done != "removed");
        let next = next.map(|next| format!(": next at {}", local(&schedule.spec, next)));
        format!("{done} `{}`{}", schedule.name, next.unwrap_or_default())
    });
    Ok(Exit::Ok)
}

async fn add(config: &Config, asked: AddSchedule, output: &Output) -> Result<Schedule, CliError> {
    let grants = grant::resolve(config, asked.grants)?;
    asked::warn(config, &grants, output);
    let spec = json!({
        "cron": asked.cron,
        "time_zone": asked.zone,
        "job": asked.job.read()?,
        "overlap": asked.overlap,
        "missed": asked.missed,
        "starts_at": asked.starts_at,
        "ends_at": asked.ends_at,
        "paused": asked.paused,
    });
    invoke(config, PutSchedule { name: asked.name, spec, grants }).await
}

async fn list(
    config: &Config,
    limit: u32,
    cursor: Option<String>,
    output: &Output,
) -> Result<Exit, CliError> {
    let page = Page { limit: Some(limit), cursor };
    let page = invoke(config, ListSchedules { page }).await?;
    output.result(&page, || {
        let row = |schedule: &Schedule| {
            let Schedule { name, principal, spec, next_at, last_fault, counts, .. } = schedule;
            let next = match next_at {
                Some(next) => local(spec, *next),
                None if spec.paused => "paused".to_owned(),
                None => "no more".to_owned(),
            };
            let fault = last_fault.as_ref().map(|fault| fault.message.clone());
            vec![
                name.clone(),
                spec.cron.to_string(),
                spec.time_zone.to_string(),
                next,
                counts.fired.to_string(),
                principal.clone(),
                fault.unwrap_or_default(),
            ]
        };
        let rows = page.schedules.iter().map(row).collect();
        columns(&["SCHEDULE", "CRON", "ZONE", "NEXT", "FIRED", "BY", "FAULT"], rows, &[4])
    });
    note_more(page.cursor.as_ref(), output);
    Ok(Exit::Ok)
}

async fn show(config: &Config, name: String, output: &Output) -> Result<Exit, CliError> {
    let shown = invoke(config, ShowSchedule { name }).await?;
    output.result(&shown, || {
        let Schedule { spec, counts, .. } = &shown.schedule;
        let moment = |moment: Option<Timestamp>| moment.map(|moment| local(spec, moment));
        let mut rows = vec![
            ("cron", spec.cron.to_string()),
            ("time zone", spec.time_zone.to_string()),
            ("overlap", spec.overlap.name().to_owned()),
            ("missed", spec.missed.to_string()),
            ("by", shown.schedule.principal.clone()),
        ];
        let last_job = shown.schedule.last_job.map(|job| job.to_string());
        let fault = shown.schedule.last_fault.as_ref().map(|fault| fault.message.clone());
        let perhaps = [
            ("starts at", moment(spec.starts_at)),
            ("ends at", moment(spec.ends_at)),
            ("paused", spec.paused.then(|| "yes".to_owned())),
            ("last tick", moment(shown.schedule.last_at)),
            ("last job", last_job),
            ("last fault", fault),
        ];
        rows.extend(perhaps.into_iter().filter_map(|(name, value)| Some((name, value?))));
        let counts = [
            ("jobs", counts.fired),
            ("ticks skipped", counts.skipped),
            ("ticks missed", counts.missed),
            ("ticks failed", counts.failed),
        ];
        rows.extend(counts.map(|(name, count)| (name, count.to_string())));
        rows.extend(shown.next.iter().map(|tick| ("next", local(spec, *tick))));
        let rows = rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
        let job = serde_json::to_string_pretty(&spec.job).unwrap_or_default();
        format!("{}\n\njob\n{job}", columns(&[], rows, &[]))
    });
    Ok(Exit::Ok)
}

fn next(asked: &NextTicks, output: &Output) {
    let from = asked.from.unwrap_or_else(|| SystemClock.now());
    let following = |tick: &Timestamp| tick::next_after(&asked.cron, &asked.zone, *tick);
    let ticks = iter::successors(following(&from), following).take(asked.count.into());
    let ticks: Vec<Timestamp> = ticks.collect();
    output.result(&json!({ "next": ticks }), || {
        let lines: Vec<String> = ticks.iter().map(|tick| asked.zone.show(*tick)).collect();
        lines.join("\n")
    });
}

/// A moment as the clocks of a schedule show it.
fn local(spec: &ScheduleSpec, moment: Timestamp) -> String {
    spec.time_zone.show(moment)
}
