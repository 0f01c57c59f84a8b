//! Grants as they are typed: folders become whole paths.

use std::str::FromStr;

use apflow_model::capability::{Grant, InvalidGrant};
use cap_std::ambient_authority;
use cap_std::fs::Dir;

use super::error::CliError;
use crate::config::Config;

/// What is typed where nothing can be meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    /// Nothing.
    None,
    /// This.
    Grant(Grant),
}

impl FromStr for Said {
    type Err = InvalidGrant;

    fn from_str(text: &str) -> Result<Self, InvalidGrant> {
        if text == "none" {
            return Ok(Self::None);
        }
        text.parse().map(Self::Grant)
    }
}

/// All that was said, perhaps that it is nothing. None when nothing was said.
pub(crate) fn all(config: &Config, said: Vec<Said>) -> Result<Option<Vec<Grant>>, CliError> {
    if said.is_empty() {
        return Ok(None);
    }
    let grants = said.into_iter().filter_map(|one| match one {
        Said::None => None,
        Said::Grant(grant) => Some(grant),
    });
    resolve(config, grants.collect()).map(Some)
}

/// Makes the folders of grants absolute, so that they mean the same wherever the host runs. Those
/// of another machine must be.
pub(crate) fn resolve(config: &Config, grants: Vec<Grant>) -> Result<Vec<Grant>, CliError> {
    if config.gateway.is_elsewhere() {
        return Ok(grants);
    }
    grants.into_iter().map(resolve_one).collect()
}

fn resolve_one(grant: Grant) -> Result<Grant, CliError> {
    let Grant::FsIn(path) = &grant else { return Ok(grant) };
    let unusable = |source| CliError::Io { what: format!("grant `{grant}`"), source };
    Dir::open_ambient_dir(path, ambient_authority()).map_err(unusable)?;
    let absolute = std::path::Path::new(path).canonicalize().map_err(unusable)?;
    let absolute = absolute.into_os_string().into_string().map_err(|_| {
        CliError::Usage(format!("grant `{grant}`: the path of the folder is not UTF-8"))
    })?;
    Ok(Grant::FsIn(absolute))
}
