//! `doctor`: what is wrong with the host, and what there is.
//!
//! Where verbs go to a server that is named, its database and files are examined there, and this machine
//! and the way between them from here. A server that works on the data directory of this machine is no
//! other host: all is examined here.

mod machine;
mod server;
mod token;

use std::collections::BTreeMap;

use apflow_api::{Diagnosis, ExamineHost};
use apflow_model::doctor::{Finding, Repair};
use apflow_model::limit::Bytes;
use serde_json::{Value, json};

use super::error::CliError;
use super::exit::Exit;
use super::operator::invoke_here;
use super::output::{Output, columns};
use super::target::Target;
use crate::config::Config;

/// What was examined, and what was found.
struct Examined {
    /// What the host found of its database and files.
    host: Option<Diagnosis>,
    /// The server that this was, where it was not this machine; and why it found nothing out.
    server: Option<(String, Option<String>)>,
    /// The names of the checks made from here.
    checks: Vec<&'static str>,
    /// What they found.
    findings: Vec<Finding>,
    /// What there is on this machine, by name.
    machine: Vec<(&'static str, String)>,
}

pub(crate) async fn run(
    config: Config,
    is_repair: bool,
    output: &Output,
) -> Result<Exit, CliError> {
    // Policies that are not valid are something to be told of, not to stop at.
    let config = config.with_policies_or_troubles();
    let target = Target::find(&config).await?;
    let is_elsewhere = target.is_elsewhere();
    let (mut checks, mut findings) = machine::examine(&config, !is_elsewhere);
    let asked = ExamineHost { is_repair };
    let (there, here) = if is_elsewhere { (Some(asked), None) } else { (None, Some(asked)) };
    let mut host = match here {
        Some(asked) => Some(invoke_here(&config, asked).await?),
        None => None,
    };
    let mut server = None;
    if let Some(client) = &target.client {
        let looked = server::look(client, there).await;
        checks.extend(looked.checks);
        findings.extend(looked.findings);
        if is_elsewhere {
            host = looked.diagnosis;
            server = Some((client.server().to_string(), looked.unexamined));
        }
    }
    let machine = machine::figures(&config, !is_elsewhere);
    let examined = Examined { host, server, checks, findings, machine };
    output.result(&examined.json(), || examined.text(is_repair));
    Ok(if examined.is_healthy() { Exit::Ok } else { Exit::Failed })
}

impl Examined {
    fn is_healthy(&self) -> bool {
        let is_known = self.server.as_ref().is_none_or(|(_, unexamined)| unexamined.is_none());
        self.all_findings().next().is_none() && is_known
    }

    /// Every finding, and where it was found.
    fn all_findings(&self) -> impl Iterator<Item = (&'static str, &Finding)> {
        let place = if self.server.is_some() { "server" } else { "machine" };
        let host = self.host.iter().flat_map(|host| &host.findings);
        let here = self.findings.iter().map(|finding| ("machine", finding));
        host.map(move |finding| (place, finding)).chain(here)
    }

    fn json(&self) -> Value {
        let host = self.host.as_ref();
        let findings = self.all_findings().map(|(place, finding)| {
            let mut finding = json!(finding);
            finding["place"] = place.into();
            finding
        });
        let checks = host.iter().flat_map(|host| host.checks.iter().map(|check| &**check));
        let machine = self.machine.iter();
        let machine = machine.map(|(name, text)| (name.replace(' ', "_"), json!(text)));
        json!({
            "healthy": self.is_healthy(),
            "checks": checks.chain(self.checks.iter().copied()).collect::<Vec<_>>(),
            "findings": findings.collect::<Vec<_>>(),
            "repairs": host.map_or(&[][..], |host| &host.repairs),
            "data_dir": host.map(|host| &host.data_dir),
            "held_by": host.and_then(|host| host.held_by),
            "figures": host.map(|host| &host.figures),
            "examined_at": host.map(|host| host.examined_at),
            "server": self.server.as_ref().map(|(url, _)| url),
            "unexamined": self.server.as_ref().and_then(|(_, why)| why.as_ref()),
            "machine": Value::Object(machine.collect()),
        })
    }

    fn text(&self, is_repair: bool) -> String {
        let repairs = self.host.iter().flat_map(|host| host.repairs.iter().map(repair));
        let is_apart = self.server.is_some();
        let findings = self.all_findings().map(|(place, found)| {
            let place = if is_apart { format!(" of the {place}") } else { String::new() };
            finding(found, &place, is_repair)
        });
        let checks = self.host.as_ref().map_or(0, |host| host.checks.len()) + self.checks.len();
        let verdict = match (self.all_findings().count(), &self.server) {
            (0, Some((server, Some(why)))) => {
                format!(
                    "{server} is not examined: {why}\nof this machine all is well: {checks} checks"
                )
            }
            (0, _) => format!("all is well: {checks} checks"),
            (1, _) => format!("1 of {checks} checks found something"),
            (count, _) => format!("{count} of {checks} checks found something"),
        };
        let all: String = repairs.chain(findings).collect();
        format!("{all}{verdict}\n\n{}", self.figures())
    }

    fn figures(&self) -> String {
        let mut rows = Vec::new();
        if let Some((server, unexamined)) = &self.server {
            let why = unexamined.as_ref().map(|why| format!(", not examined: {why}"));
            rows.push(("server", format!("{server}{}", why.unwrap_or_default())));
        }
        rows.extend(self.host.iter().flat_map(host_figures));
        rows.extend(self.machine.iter().cloned());
        let rows = rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
        columns(&[], rows, &[])
    }
}

fn repair(Repair { check, count, what }: &Repair) -> String {
    format!("repaired {check}: {what} ({count})\n")
}

fn finding(finding: &Finding, place: &str, is_repair: bool) -> String {
    let Finding { check, count, examples, why, remedy, is_repairable } = finding;
    let more = if *count > examples.len() as u64 { ", …" } else { "" };
    let remedy = match (is_repairable, is_repair) {
        (true, false) => format!("`apflow-host doctor --repair` {remedy}"),
        (true, true) => format!("the repair ({remedy}) did not do: keep a backup, and report it"),
        (false, _) => remedy.to_string(),
    };
    format!("{check}{place}: {count}: {}{more}\n  {why}\n  {remedy}\n", examples.join(", "))
}

/// What there is of a host, by name.
fn host_figures(diagnosis: &Diagnosis) -> Vec<(&'static str, String)> {
    let figures = &diagnosis.figures;
    let counts = |counts: &BTreeMap<String, u64>| {
        let each = counts.iter().map(|(state, count)| format!("{count} {state}"));
        each.collect::<Vec<_>>().join(", ")
    };
    let unused = match (figures.unused_bytes, figures.gives_space_back) {
        (0, _) => String::new(),
        (bytes, true) => format!(", {} of them unused", Bytes(bytes)),
        (bytes, false) => {
            format!(", {} of them unused and kept: see the guide's page on retention", Bytes(bytes))
        }
    };
    let mut rows = vec![
        ("database", figures.database.clone()),
        ("schema", figures.schema.to_string()),
        ("size", format!("{}{unused}", Bytes(figures.bytes))),
        ("data directory", diagnosis.data_dir.clone()),
    ];
    if !figures.jobs.is_empty() {
        rows.push(("jobs", counts(&figures.jobs)));
        rows.push(("tasks", counts(&figures.tasks)));
    }
    if let Some(process) = diagnosis.held_by {
        rows.push(("run by", format!("process {process}")));
    }
    if figures.jobs_going > 0 {
        rows.push(("being removed", format!("{} jobs", figures.jobs_going)));
    }
    if let Some(moment) = figures.oldest_ready {
        rows.push(("oldest ready task", format!("due since {moment}")));
    }
    rows
}
