//! `doctor`: what is wrong with the host, and what there is.

mod machine;

use std::collections::BTreeMap;

use apflow_api::{Diagnosis, ExamineHost};
use apflow_model::doctor::{Finding, Repair};
use apflow_model::limit::Bytes;
use serde_json::{Value, json};

use super::error::CliError;
use super::exit::Exit;
use super::operator::invoke_here;
use super::output::{Output, columns};
use crate::config::Config;

pub(crate) async fn run(
    config: Config,
    is_repair: bool,
    output: &Output,
) -> Result<Exit, CliError> {
    // Policies that are not valid are something to be told of, not to stop at.
    let config = config.with_policies_or_troubles();
    let mut diagnosis = invoke_here(&config, ExamineHost { is_repair }).await?;
    diagnosis.checks.extend(machine::checks());
    diagnosis.findings.extend(machine::examine(&config));
    diagnosis.healthy = diagnosis.findings.is_empty();
    let machine = machine::figures(&config);
    output.result(&with_machine(&diagnosis, &machine), || text(&diagnosis, &machine, is_repair));
    Ok(if diagnosis.healthy { Exit::Ok } else { Exit::Failed })
}

fn with_machine(diagnosis: &Diagnosis, machine: &[(&str, String)]) -> Value {
    let mut shown = json!(diagnosis);
    let machine = machine.iter().map(|(name, text)| (name.replace(' ', "_"), json!(text)));
    shown["machine"] = Value::Object(machine.collect());
    shown
}

fn text(diagnosis: &Diagnosis, machine: &[(&str, String)], is_repair: bool) -> String {
    let repairs = diagnosis.repairs.iter().map(repair);
    let findings = diagnosis.findings.iter().map(|found| finding(found, is_repair));
    let checks = diagnosis.checks.len();
    let verdict = match diagnosis.findings.len() {
        0 => format!("all is well: {checks} checks"),
        1 => format!("1 of {checks} checks found something"),
        count => format!("{count} of {checks} checks found something"),
    };
    let all: String = repairs.chain(findings).collect();
    format!("{all}{verdict}\n\n{}", figures(diagnosis, machine))
}

fn repair(Repair { check, count, what }: &Repair) -> String {
    format!("repaired {check}: {what} ({count})\n")
}

fn finding(finding: &Finding, is_repair: bool) -> String {
    let Finding { check, count, examples, why, remedy, is_repairable } = finding;
    let more = if *count > examples.len() as u64 { ", …" } else { "" };
    let remedy = match (is_repairable, is_repair) {
        (true, false) => format!("`apflow-host doctor --repair` {remedy}"),
        (true, true) => format!("the repair ({remedy}) did not do: keep a backup, and report it"),
        (false, _) => (*remedy).to_owned(),
    };
    format!("{check}: {count}: {}{more}\n  {why}\n  {remedy}\n", examples.join(", "))
}

fn figures(diagnosis: &Diagnosis, machine: &[(&str, String)]) -> String {
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
    rows.extend(machine.iter().cloned());
    let rows = rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    columns(&[], rows, &[])
}
