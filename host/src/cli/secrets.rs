//! `secrets list`: what the operator named, and whether it can be read now. Never a value.

use apflow_model::secret::Secret;
use clap::Subcommand;
use serde_json::json;

use super::error::CliError;
use super::exit::Exit;
use super::output::{Output, columns};
use crate::config::Config;

#[derive(Debug, Subcommand)]
pub(crate) enum SecretsVerb {
    /// List each with where it belongs, and whether its value can be read now.
    List,
}

pub(crate) async fn list(config: &Config, output: &Output) -> Result<Exit, CliError> {
    let mut listed = Vec::new();
    for rule in config.secrets.rules() {
        let unreadable = config.secrets.read(&rule.name).await.map(|_: Secret| ()).err();
        listed.push((rule, unreadable));
    }
    let value: Vec<_> = listed
        .iter()
        .map(|(rule, unreadable)| {
            json!({
                "name": rule.name,
                "from": rule.from.kind(),
                "http": rule.to.http,
                "tcp": rule.to.tcp,
                "is_readable": unreadable.is_none(),
                "reason": unreadable,
            })
        })
        .collect();
    output.result(&json!({ "secrets": value }), || {
        let row = |(rule, unreadable): &(&_, Option<String>)| {
            let rule: &apflow_model::secret::SecretRule = rule;
            let to: Vec<String> = rule.to.texts().collect();
            let readable = unreadable.clone().unwrap_or_else(|| "yes".to_owned());
            vec![rule.name.clone(), rule.from.kind().to_owned(), to.join(", "), readable]
        };
        columns(&["NAME", "FROM", "BELONGS TO", "READABLE"], listed.iter().map(row).collect(), &[])
    });
    Ok(Exit::Ok)
}
