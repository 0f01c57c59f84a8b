//! Who calls a verb, and by which request.

use std::net::SocketAddr;
use std::ops::Deref;

use apflow_model::access::Principal;
use apflow_model::audit::{Decision, Record};
use apflow_model::clock::Timestamp;

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

impl Caller {
    /// What a call is recorded as when it is allowed.
    pub(crate) fn record(&self, verb: &str, at: Timestamp) -> Record {
        Stranger::from(self).record(verb, at)
    }
}

/// Who calls, as far as that is known.
#[derive(Debug, Clone)]
pub struct Stranger {
    /// Who. None when they did not say who they are, or lied.
    pub principal: Option<Principal>,
    /// As [`Caller::request`].
    pub request: Option<String>,
    /// As [`Caller::peer`].
    pub peer: Option<SocketAddr>,
}

impl From<&Caller> for Stranger {
    fn from(caller: &Caller) -> Self {
        let Caller { principal, request, peer } = caller.clone();
        Self { principal: Some(principal), request, peer }
    }
}

impl Stranger {
    pub(crate) fn record(self, verb: &str, at: Timestamp) -> Record {
        let (principal, role) = self.principal.map(|who| (who.name, who.role)).unzip();
        Record {
            at,
            principal,
            role,
            verb: verb.to_owned(),
            target: None,
            decision: Decision::Allowed,
            code: None,
            reason: None,
            request: self.request,
            peer: self.peer.map(text),
        }
    }
}

/// An address as the audit has it: the port of whom a proxy names is not known, which is 0.
fn text(peer: SocketAddr) -> String {
    if peer.port() == 0 { peer.ip().to_string() } else { peer.to_string() }
}

impl Deref for Caller {
    type Target = Principal;

    fn deref(&self) -> &Principal {
        &self.principal
    }
}
