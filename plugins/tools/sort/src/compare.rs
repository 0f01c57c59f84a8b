//! The order of lines: by their keys, and in the end by their bytes.

use std::cmp::Ordering;

use crate::key::Key;
use crate::order::Order;

/// How lines are compared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Compare {
    /// What is compared, the first first. Empty: the whole line.
    pub(crate) keys: Vec<Key>,
    /// What stands between fields. None: the change from what is not blank to what is.
    pub(crate) separator: Option<u8>,
    /// How a key without an order of its own is compared, and in the end the line.
    pub(crate) order: Order,
    /// Whether lines whose keys are equal count as one.
    pub(crate) is_unique: bool,
    /// Whether lines whose keys are equal stay in their order.
    pub(crate) is_stable: bool,
}

impl Compare {
    /// Gives keys without an order of their own that of the whole sort.
    pub(crate) fn inherit(&mut self) {
        for key in &mut self.keys {
            key.order.get_or_insert(self.order);
        }
    }

    /// The order of two lines, each with its end of line.
    pub(crate) fn lines(&self, left: &[u8], right: &[u8]) -> Ordering {
        let (left, right) = (content(left), content(right));
        let by_keys = self.keys.iter().map(|key| {
            let order = key.order.unwrap_or(self.order);
            let part = |line| key.of(line, self.separator, order.skips_blanks);
            order.compare(part(left), part(right))
        });
        let mut by_keys = by_keys.filter(|ordering| ordering.is_ne());
        let ordering = if self.keys.is_empty() {
            self.order.compare(left, right)
        } else {
            by_keys.next().unwrap_or(Ordering::Equal)
        };
        if ordering.is_ne() || self.is_unique || self.is_stable {
            return ordering;
        }
        let whole = left.cmp(right);
        if self.order.is_reversed { whole.reverse() } else { whole }
    }
}

fn content(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\n").unwrap_or(line)
}
