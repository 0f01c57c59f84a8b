//! The secrets that the script grants.

use super::installed;

pub(crate) use crate::bindings::apflow::plugin::secret::Error;

pub(crate) fn get(name: &str) -> Result<String, Error> {
    let script = installed();
    let state = script.state();
    let denied = || Error::Denied(format!("the secret `{name}` was refused: nobody granted it"));
    state.secrets.get(name).cloned().ok_or_else(denied)
}
