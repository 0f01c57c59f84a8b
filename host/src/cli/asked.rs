//! What a plugin asks for beside what it is granted.

use apflow_model::capability::Grant;
use apflow_model::plugin::{Asked, Installed};

use super::output::{Output, columns};
use crate::config::Config;

/// What is asked for and what is granted, side by side.
pub(crate) fn table(installed: &Installed) -> String {
    let row = |asked: &Asked| vec![asked.what.clone(), granted(asked)];
    let mut rows: Vec<_> = installed.asks.iter().map(row).collect();
    // What belongs to no line, such as a range of addresses for all destinations.
    let is_apart = |grant: &&Grant| installed.asks.iter().all(|one| !one.grants.contains(grant));
    let apart = installed.grants.iter().filter(is_apart);
    rows.extend(apart.map(|grant| vec![String::new(), grant.to_string()]));
    if rows.is_empty() {
        return "asks for nothing".to_owned();
    }
    columns(&["ASKS FOR", "GRANTED"], rows, &[])
}

fn granted(asked: &Asked) -> String {
    match (asked.needs_grant, &asked.warning) {
        (false, _) => "needs no grant".to_owned(),
        (true, _) if !asked.grants.is_empty() => list(&asked.grants),
        (true, None) => "not granted".to_owned(),
        (true, Some(warning)) => format!("not granted; {warning}"),
    }
}

/// Grants on one line.
pub(crate) fn list(grants: &[Grant]) -> String {
    match grants {
        [] => "-".to_owned(),
        grants => grants.iter().map(Grant::to_string).collect::<Vec<_>>().join(" "),
    }
}

/// Says what the operator should think about twice.
pub(crate) fn warn(config: &Config, grants: &[Grant], output: &Output) {
    for grant in grants {
        if let Some(warning) = grant.warning() {
            output.note(&format!("warning: `{grant}`: {warning}"));
        }
        if let Grant::Secret(name) | Grant::SecretValue(name) = grant
            // Those of another machine are known there.
            && !config.gateway.is_elsewhere()
            && config.secrets.find(name).is_none()
        {
            let file = config.secrets_file();
            output.note(&format!("warning: `{grant}`: {} has no such secret", file.display()));
        }
    }
}
