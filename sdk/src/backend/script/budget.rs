//! A budget as the host keeps it: what is reserved is neither left nor spent.

use std::cell::Cell;

use super::{Script, installed};
use crate::bindings::apflow::plugin::types::TokenUsage;
use crate::tokens::Usage;

pub(crate) use crate::bindings::apflow::plugin::budget::{Error, ModelCall};

pub(crate) fn remaining() -> Option<u64> {
    installed().state().left
}

pub(crate) fn reserve(amount: u64) -> Result<Reservation, Error> {
    let model = installed().state().task.model.clone();
    set_aside(amount, model)
}

pub(crate) fn reserve_call(call: &ModelCall) -> Result<Reservation, Error> {
    set_aside(call.input.saturating_add(call.output), Some(call.model.clone()))
}

fn set_aside(amount: u64, model: Option<String>) -> Result<Reservation, Error> {
    let script = installed();
    let mut state = script.state();
    if let Some(reason) = &state.blocked {
        return Err(Error::Blocked(reason.clone()));
    }
    if let Some(left) = &mut state.left {
        *left = left.checked_sub(amount).ok_or(Error::Exhausted(*left))?;
    }
    let model = state.downgraded.clone().or(model);
    drop(state);
    Ok(Reservation { amount, model, told: Cell::default(), script })
}

/// Tokens set aside; dropping it gives them back, but for those that were told.
#[derive(Debug)]
pub(crate) struct Reservation {
    amount: u64,
    model: Option<String>,
    told: Cell<Usage>,
    script: Script,
}

impl Reservation {
    pub(crate) fn amount(&self) -> u64 {
        self.amount
    }

    pub(crate) fn model(&self) -> Option<String> {
        self.model.clone()
    }

    pub(crate) fn tell(&self, used: TokenUsage) {
        self.told.set(usage(used));
    }

    pub(crate) fn commit(reservation: Self, used: TokenUsage) {
        reservation.tell(used);
        drop(reservation);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let (used, mut state) = (self.told.get(), self.script.state());
        state.spent.input.0 = state.spent.input.0.saturating_add(used.input.0);
        state.spent.output.0 = state.spent.output.0.saturating_add(used.output.0);
        state.spent.cached.0 = state.spent.cached.0.saturating_add(used.cached.0);
        if let Some(left) = &mut state.left {
            *left = left.saturating_add(self.amount).saturating_sub(used.total().0);
        }
    }
}

fn usage(used: TokenUsage) -> Usage {
    Usage::new(used.input, used.output).with_cached(used.cached)
}
