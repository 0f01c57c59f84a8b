//! Where the values of secrets come from.
//!
//! The trait is declared here and implemented by the host, so that the sandbox knows no file and no
//! variable of the operator's.

use apflow_model::secret::{Destinations, Secret};

use crate::port::PortFuture;

/// The operator's secrets.
pub trait SecretSource: Send + Sync {
    /// Where a secret may be filled in. None when there is no such secret.
    fn destinations(&self, name: &str) -> Option<&Destinations>;

    /// Reads the value of a secret as it is now.
    ///
    /// # Errors
    ///
    /// A sentence that says why it cannot be read, without anything that was read.
    fn read<'a>(&'a self, name: &'a str) -> PortFuture<'a, Result<Secret, String>>;
}

/// No secrets at all.
#[derive(Debug, Clone, Copy)]
pub struct NoSecrets;

impl SecretSource for NoSecrets {
    fn destinations(&self, _: &str) -> Option<&Destinations> {
        None
    }

    fn read<'a>(&'a self, name: &'a str) -> PortFuture<'a, Result<Secret, String>> {
        Box::pin(std::future::ready(Err(super::undefined(name))))
    }
}
