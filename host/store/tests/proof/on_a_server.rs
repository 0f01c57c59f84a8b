//! A database on a server.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::server;

/// One of the proofs stops the server that all of them share.
static TURN: Mutex<()> = Mutex::new(());

/// A database of one proof.
pub(crate) struct Place {
    url: String,
    _turn: MutexGuard<'static, ()>,
}

impl Place {
    pub(crate) fn make() -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        // Without a server, nothing of this can be tried.
        let url = server::make_database().unwrap_or_else(|| std::process::exit(0));
        Self { url, _turn: turn }
    }

    /// Its address, as text.
    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }
}
