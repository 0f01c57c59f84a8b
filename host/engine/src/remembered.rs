//! What was found lately of what callers showed, so that a request costs no read of the database.
//!
//! What this host revokes, it forgets at once; of what others revoke, it hears when the seconds are
//! over that anything is good for.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use apflow_model::plugin::Digest;
use apflow_model::token::ApiToken;

/// How long what was found is good for.
const REMEMBERED_FOR: Duration = Duration::from_secs(2);
/// How many tokens are remembered. More are looked up each time.
const REMEMBERED_MAX: usize = 4_096;

/// What was found in the database within the last seconds.
#[derive(Default)]
pub(crate) struct Remembered {
    tokens: Mutex<Memory<ApiToken>>,
    jwts: Mutex<Memory<bool>>,
}

impl Remembered {
    pub(crate) fn tokens(&self) -> MutexGuard<'_, Memory<ApiToken>> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn jwts(&self) -> MutexGuard<'_, Memory<bool>> {
        self.jwts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets everything: something was revoked.
    pub(crate) fn forget(&self) {
        self.tokens().forget();
        self.jwts().forget();
    }
}

/// Things by the hash of what a caller shows.
pub(crate) struct Memory<T> {
    found: HashMap<Digest, (T, Instant)>,
    /// How often all was forgotten.
    forgotten: u64,
}

/// A look into the database, from its begin.
#[derive(Clone, Copy)]
pub(crate) struct Look {
    at: Instant,
    forgotten: u64,
}

impl<T> Default for Memory<T> {
    fn default() -> Self {
        Self { found: HashMap::new(), forgotten: 0 }
    }
}

impl<T: Clone> Memory<T> {
    /// What is remembered and still good.
    pub(crate) fn find(&self, hash: &Digest, now: Instant) -> Option<T> {
        let (value, at) = self.found.get(hash)?;
        (now.duration_since(*at) < REMEMBERED_FOR).then(|| value.clone())
    }

    /// Begins a look: what it finds is as old as its begin.
    pub(crate) fn look(&self, now: Instant) -> Look {
        Look { at: now, forgotten: self.forgotten }
    }

    /// Keeps what a look has found, unless all was forgotten meanwhile: it may have seen what was
    /// before a revocation.
    pub(crate) fn keep(&mut self, look: Look, hash: Digest, value: T) {
        if look.forgotten != self.forgotten {
            return;
        }
        if self.found.len() >= REMEMBERED_MAX {
            self.found.retain(|_, (_, at)| look.at.duration_since(*at) < REMEMBERED_FOR);
        }
        if self.found.len() < REMEMBERED_MAX {
            self.found.insert(hash, (value, look.at));
        }
    }

    /// Changes what is remembered, which does not get younger by it.
    pub(crate) fn change(&mut self, hash: &Digest, value: T) {
        if let Some((known, _)) = self.found.get_mut(hash) {
            *known = value;
        }
    }

    fn forget(&mut self) {
        self.found.clear();
        self.forgotten += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Digest = Digest([1; 32]);

    #[test]
    fn what_was_found_is_good_for_seconds_from_the_look() {
        let (mut memory, start) = (Memory::default(), Instant::now());
        let after = |ms| start + Duration::from_millis(ms);
        memory.keep(memory.look(start), A, 7);
        assert_eq!(memory.find(&A, after(1_000)), Some(7));
        memory.change(&A, 8);
        assert_eq!(memory.find(&A, after(1_999)), Some(8));
        assert_eq!(memory.find(&A, after(2_000)), None);
    }

    #[test]
    fn a_look_that_a_revocation_overtook_is_not_kept() {
        let (mut memory, start) = (Memory::default(), Instant::now());
        let look = memory.look(start);
        memory.forget();
        memory.keep(look, A, 7);
        assert_eq!(memory.find(&A, start), None);
    }

    #[test]
    fn no_more_is_remembered_than_there_is_room_for() {
        let (mut memory, start) = (Memory::default(), Instant::now());
        let hash = |n: usize| {
            let mut hash = [0; 32];
            hash[..8].copy_from_slice(&n.to_be_bytes());
            Digest(hash)
        };
        for n in 0..=REMEMBERED_MAX {
            memory.keep(memory.look(start), hash(n), n);
        }
        assert_eq!(memory.found.len(), REMEMBERED_MAX);
        assert_eq!(memory.find(&hash(REMEMBERED_MAX), start), None);
        memory.keep(memory.look(start + REMEMBERED_FOR), A, 7);
        assert_eq!(memory.found.len(), 1, "what is past makes room");
    }
}
