//! The import `budget`: reservations are resources, so that a dropped one gives its tokens back.

use wasmtime::Result;
use wasmtime::component::Resource;

use crate::bindings::apflow::plugin::budget::{Error, Host, HostReservation};
use crate::bindings::apflow::plugin::types::TokenUsage;
use crate::reservation::Reservation;
use crate::state::State;

impl Host for State {
    fn remaining(&mut self) -> Result<Option<u64>> {
        self.stop.check()?;
        Ok(self.port.tokens_remaining())
    }

    fn reserve(&mut self, tokens: u64) -> Result<Result<Resource<Reservation>, Error>> {
        self.stop.check()?;
        match self.port.reserve_tokens(tokens) {
            Ok(()) => Ok(Ok(self.table.push(Reservation { tokens })?)),
            Err(left) => Ok(Err(Error::Exhausted(left))),
        }
    }
}

impl HostReservation for State {
    fn amount(&mut self, reservation: Resource<Reservation>) -> Result<u64> {
        Ok(self.table.get(&reservation)?.tokens)
    }

    fn commit(&mut self, reservation: Resource<Reservation>, used: TokenUsage) -> Result<()> {
        let reservation = self.table.delete(reservation)?;
        self.port.settle_tokens(reservation.tokens, used.input.saturating_add(used.output));
        self.tokens_input = self.tokens_input.saturating_add(used.input);
        self.tokens_output = self.tokens_output.saturating_add(used.output);
        Ok(())
    }

    fn drop(&mut self, reservation: Resource<Reservation>) -> Result<()> {
        let reservation = self.table.delete(reservation)?;
        self.port.settle_tokens(reservation.tokens, 0);
        Ok(())
    }
}
