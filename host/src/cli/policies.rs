//! `policies`: what each role may do here, and whether `policies.yaml` is valid.

use apflow_model::access::Permission;
use apflow_model::role::{Role, ToolPattern};
use clap::Subcommand;
use serde_json::json;

use super::exit::Exit;
use super::output::{Output, columns};
use crate::config::Config;

#[derive(Debug, Subcommand)]
pub(crate) enum PoliciesVerb {
    /// List each role with its permissions, and the tools that are blocked or need an approval.
    Show,
    /// Check policies.yaml, with the line of every fault.
    Check,
}

/// Does a verb of it. A file that is not valid is an error of `config`.
pub(crate) fn run(config: &Config, verb: &PoliciesVerb, output: &Output) -> Exit {
    match verb {
        PoliciesVerb::Show => show(config, output),
        PoliciesVerb::Check => check(config, output),
    }
    Exit::Ok
}

fn show(config: &Config, output: &Output) {
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
    let path = config.policies_file();
    let count = config.policies.get().roles.all().count();
    output.result(&json!({ "path": path, "valid": true, "roles": count }), || {
        format!("{}: valid, {count} roles with the shipped ones", path.display())
    });
}
