//! `policies`: what each role may do here, what happens when budgets run low, and whether
//! `policies.yaml` is valid.

use apflow_api::{ListPolicies, Page, PutPolicy, RemovePolicy, ShowPolicy, ShownPolicy};
use apflow_model::access::Permission;
use apflow_model::cost_policy::{Action, Threshold};
use apflow_model::role::{Role, ToolPattern};
use clap::Subcommand;
use serde_json::json;

use super::error::CliError;
use super::exit::Exit;
use super::json::Source;
use super::operator::invoke;
use super::output::{Output, columns};
use super::page::note_more;
use crate::config::Config;

#[derive(Debug, Subcommand)]
pub(crate) enum PoliciesVerb {
    /// List the cost policies in force, of policies.yaml and of the database.
    List {
        /// How many, from 1 to 1000.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        /// The cursor that the page before ended with.
        #[arg(long)]
        cursor: Option<String>,
    },
    /// Show one cost policy; without a name, each role with its permissions, and the tools that are
    /// blocked or need an approval.
    Show {
        /// The name of the cost policy.
        name: Option<String>,
    },
    /// Make a cost policy, or write one anew.
    Put {
        /// The name: letters, digits, `.`, `_` and `-`.
        name: String,
        /// Its thresholds as a JSON array, @FILE, or - for standard input.
        #[arg(value_name = "JSON|@FILE|-")]
        thresholds: Source,
    },
    /// Remove a cost policy of the database.
    Remove {
        /// The name of the policy.
        name: String,
    },
    /// Check policies.yaml, with the line of every fault.
    Check,
}

/// Does a verb of it. A file that is not valid is an error of `config`.
pub(crate) async fn run(
    config: &Config,
    verb: PoliciesVerb,
    output: &Output,
) -> Result<Exit, CliError> {
    match verb {
        PoliciesVerb::List { limit, cursor } => {
            list(config, Page { limit: Some(limit), cursor }, output).await?;
        }
        PoliciesVerb::Show { name: None } => show_roles(config, output),
        PoliciesVerb::Show { name: Some(name) } => {
            show(&invoke(config, ShowPolicy { name }).await?, output);
        }
        PoliciesVerb::Put { name, thresholds } => {
            let thresholds = serde_json::from_value(thresholds.read()?)
                .map_err(|error| CliError::Usage(format!("the thresholds: {error}")))?;
            show(&invoke(config, PutPolicy { name, thresholds }).await?, output);
        }
        PoliciesVerb::Remove { name } => {
            let removed = invoke(config, RemovePolicy { name }).await?;
            output.result(&removed, || format!("`{}` is removed", removed.policy.name));
        }
        PoliciesVerb::Check => check(config, output),
    }
    Ok(Exit::Ok)
}

async fn list(config: &Config, page: Page<String>, output: &Output) -> Result<(), CliError> {
    let listed = invoke(config, ListPolicies { page }).await?;
    output.result(&listed, || {
        if listed.policies.is_empty() {
            return "there are no cost policies".to_owned();
        }
        let row = |shown: &ShownPolicy| {
            let thresholds: Vec<String> = shown.policy.thresholds.iter().map(short).collect();
            vec![shown.policy.name.clone(), shown.from.name().to_owned(), thresholds.join(", ")]
        };
        columns(&["POLICY", "FROM", "THRESHOLDS"], listed.policies.iter().map(row).collect(), &[])
    });
    note_more(listed.cursor.as_ref(), output);
    Ok(())
}

fn short(threshold: &Threshold) -> String {
    format!("{} {}", threshold.at, threshold.action.name())
}

fn show(shown: &ShownPolicy, output: &Output) {
    output.result(shown, || {
        let mut rows = vec![
            vec!["policy".to_owned(), shown.policy.name.clone()],
            vec!["from".to_owned(), shown.from.name().to_owned()],
        ];
        if let (Some(at), Some(by)) = (shown.changed_at, &shown.changed_by) {
            rows.push(vec!["changed".to_owned(), format!("{at} by {by}")]);
        }
        rows.extend(shown.policy.thresholds.iter().map(|threshold| {
            let more = match &threshold.action {
                Action::Downgrade { chain } => format!(": {}", chain.join(", ")),
                Action::Notify { webhook: Some(webhook) } => format!(": {webhook}"),
                Action::Notify { webhook: None } | Action::Block | Action::Continue => {
                    String::new()
                }
            };
            vec![format!("at {}", threshold.at), format!("{}{more}", threshold.action.name())]
        }));
        columns(&[], rows, &[])
    });
}

fn show_roles(config: &Config, output: &Output) {
    let policies = config.policies.get();
    let roles: Vec<&Role> = policies.roles.all().collect();
    output.result(&json!({ "roles": roles }), || {
        let names = ["ROLE", "MAY", "BLOCKED TOOLS", "NEED APPROVAL", "APPROVES OWN"];
        columns(&names, roles.iter().map(|role| row(role)).collect(), &[])
    });
}

fn row(role: &Role) -> Vec<String> {
    let patterns = |patterns: &[ToolPattern]| {
        let texts: Vec<String> = patterns.iter().map(ToString::to_string).collect();
        texts.join(", ")
    };
    let has_all = Permission::ALL.iter().all(|one| role.permissions.contains(one));
    let names: Vec<&str> = role.permissions.iter().map(|one| one.name()).collect();
    let may = if has_all { "everything".to_owned() } else { names.join(", ") };
    let approves_own = if role.may_approve_own { "yes" } else { "no" };
    let (blocked, approval) = (patterns(&role.blocked_tools), patterns(&role.requires_approval));
    vec![role.name.clone(), may, blocked, approval, approves_own.to_owned()]
}

fn check(config: &Config, output: &Output) {
    let (path, policies) = (config.policies_file(), config.policies.get());
    let (roles, costs) = (policies.roles.all().count(), policies.cost_policies.len());
    let said = json!({ "path": path, "valid": true, "roles": roles, "cost_policies": costs });
    output.result(&said, || {
        format!(
            "{}: valid, {roles} roles with the shipped ones and {costs} cost policies",
            path.display()
        )
    });
}
