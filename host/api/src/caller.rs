//! Who calls a verb, and by which request.

use std::net::SocketAddr;
use std::ops::Deref;

use apflow_model::access::Principal;

/// Who calls a verb, and what the audit tells of how.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who.
    pub principal: Principal,
    /// The id of the request, which its answer carries as well. None on the command line.
    pub request: Option<String>,
    /// Where the request came from. None on the command line.
    pub peer: Option<SocketAddr>,
}

impl From<Principal> for Caller {
    fn from(principal: Principal) -> Self {
        Self { principal, request: None, peer: None }
    }
}

impl From<&Principal> for Caller {
    fn from(principal: &Principal) -> Self {
        principal.clone().into()
    }
}

impl From<&Self> for Caller {
    fn from(caller: &Self) -> Self {
        caller.clone()
    }
}

impl Deref for Caller {
    type Target = Principal;

    fn deref(&self) -> &Principal {
        &self.principal
    }
}
