//! Checks what the operator grants.

use apflow_model::capability::{Capabilities, Grant};
use apflow_model::manifest::Manifest;

use crate::error::EngineError;

/// What a plugin is granted: what was said, and with `all` what it asks for beside.
pub(crate) fn of_plugin(
    manifest: &Manifest,
    mut said: Vec<Grant>,
    all: bool,
) -> Result<Vec<Grant>, EngineError> {
    check(&said, &[(&manifest.name, &manifest.capabilities)])?;
    if all {
        let asked = &manifest.capabilities;
        said.extend(asked.http.iter().cloned().map(Grant::Http));
        said.extend(asked.tcp.iter().cloned().map(Grant::Tcp));
        said.extend(asked.sockets.iter().cloned().map(Grant::Sockets));
        said.extend(asked.env.iter().cloned().map(Grant::Env));
        said.extend(asked.secrets.iter().cloned().map(Grant::Secret));
        said.extend(asked.secret_values.iter().cloned().map(Grant::SecretValue));
    }
    Ok(said)
}

/// Refuses a grant that none of the plugins asks for: a typing error must not look like consent.
pub(crate) fn check(
    grants: &[Grant],
    plugins: &[(&String, &Capabilities)],
) -> Result<(), EngineError> {
    let is_asked = |grant: &&Grant| plugins.iter().any(|(_, asked)| grant.is_asked(asked));
    let Some(grant) = grants.iter().find(|grant| !is_asked(grant)) else { return Ok(()) };
    let names: Vec<String> = plugins.iter().map(|(name, _)| format!("`{name}`")).collect();
    let lines: Vec<String> = plugins.iter().flat_map(|(_, asked)| asked.lines()).collect();
    Err(EngineError::GrantNotAsked {
        grant: Box::new(grant.clone()),
        asker: names.join(" or "),
        asked: if lines.is_empty() { "nothing".to_owned() } else { lines.join(", ") },
    })
}
