//! Numbers by name, of which there are never too many.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

/// What all share who come after the last place is taken.
const OTHER: &str = "other";

/// The numbers of each of a few names. Whoever asks for one too many shares those of `other`, so that
/// a page of metrics stays short whatever names there are.
#[derive(Debug)]
pub struct ByName<T> {
    names_max: usize,
    known: RwLock<BTreeMap<String, Arc<T>>>,
}

impl<T: Default> ByName<T> {
    /// No names yet, and at most so many.
    pub fn new(names_max: usize) -> Self {
        Self { names_max, known: RwLock::default() }
    }

    /// The numbers of a name.
    pub fn of(&self, name: &str) -> Arc<T> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known.get(name) {
            return Arc::clone(found);
        }
        drop(known);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let is_full = known.len() >= self.names_max && !known.contains_key(name);
        let name = if is_full { OTHER } else { name };
        Arc::clone(known.entry(name.to_owned()).or_default())
    }

    /// All names with their numbers.
    pub fn all(&self) -> Vec<(String, Arc<T>)> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.iter().map(|(name, of)| (name.clone(), Arc::clone(of))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::Counter;

    #[test]
    fn who_comes_too_late_shares_a_place() {
        let names = ByName::<Counter>::new(2);
        for name in ["a", "b", "c", "d", "a"] {
            names.of(name).count();
        }
        let all = names.all().into_iter().map(|(name, count)| (name, count.get()));
        let expected = [("a", 2), ("b", 1), (OTHER, 2)].map(|(name, n)| (name.to_owned(), n));
        assert_eq!(all.collect::<Vec<_>>(), expected);
    }
}
