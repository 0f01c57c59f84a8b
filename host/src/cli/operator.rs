//! The operator: whoever can open the data directory may do everything in it.

use apflow_api::Operation;
use apflow_model::access::Principal;

use super::error::CliError;
use crate::assemble::Host;
use crate::config::Config;

/// The caller of every verb of the command line.
pub(crate) fn operator() -> Principal {
    Principal::admin("operator")
}

/// Does one verb on the data directory.
pub(crate) async fn invoke<O: Operation>(
    config: &Config,
    operation: O,
) -> Result<O::Output, CliError> {
    Host::with(config, async |host| Ok(host.api.invoke(operation, &operator()).await?)).await
}
