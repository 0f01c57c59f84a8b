//! The import `budget`: reservations are resources, so that a dropped one gives back what it holds.

use apflow_model::money::{TokenUse, Tokens};
use wasmtime::Result;
use wasmtime::component::Resource;

use crate::bindings::apflow::plugin::budget::{Error, Host, HostReservation, ModelCall};
use crate::bindings::apflow::plugin::types::TokenUsage;
use crate::port::{self, BudgetError, Reservation};
use crate::state::State;

type Reserved = Result<Result<Resource<Reservation>, Error>>;

/// The longest name of a model, in bytes.
const MODEL_BYTES_MAX: usize = 256;

impl Host for State {
    async fn remaining(&mut self) -> Result<Option<u64>> {
        self.stop.check()?;
        Ok(self.port.tokens_remaining().await)
    }

    async fn reserve(&mut self, tokens: u64) -> Reserved {
        // Which way they go is not said, so all of them count as the dearer ones.
        self.set_aside(port::ModelCall { model: None, input: 0, output: tokens }).await
    }

    async fn reserve_call(&mut self, call: ModelCall) -> Reserved {
        let ModelCall { model, input, output } = call;
        if model.is_empty() || model.len() > MODEL_BYTES_MAX || model.contains('\0') {
            let message = format!("the name of a model has 1 to {MODEL_BYTES_MAX} bytes");
            return Ok(Err(Error::Blocked(message)));
        }
        self.set_aside(port::ModelCall { model: Some(model), input, output }).await
    }
}

impl State {
    async fn set_aside(&mut self, call: port::ModelCall) -> Reserved {
        self.stop.check()?;
        match self.port.reserve(call).await {
            Ok(reservation) => Ok(Ok(self.table.push(reservation)?)),
            Err(BudgetError::Exhausted(left)) => Ok(Err(Error::Exhausted(left))),
            Err(BudgetError::Blocked(reason)) => Ok(Err(Error::Blocked(reason))),
        }
    }
}

impl HostReservation for State {
    fn amount(&mut self, reservation: Resource<Reservation>) -> Result<u64> {
        Ok(self.table.get(&reservation)?.tokens)
    }

    fn model(&mut self, reservation: Resource<Reservation>) -> Result<Option<String>> {
        Ok(self.table.get(&reservation)?.model.clone())
    }

    fn tell(&mut self, reservation: Resource<Reservation>, used: TokenUsage) -> Result<()> {
        self.port.tell(self.table.get(&reservation)?, of_one_call(used));
        Ok(())
    }

    async fn commit(&mut self, reservation: Resource<Reservation>, used: TokenUsage) -> Result<()> {
        let reservation = self.table.delete(reservation)?;
        let used = of_one_call(used);
        self.tokens = self.tokens.and(used);
        self.port.commit(reservation, used).await;
        // It may have been ended by that: it used more than there was.
        self.stop.check()
    }

    fn drop(&mut self, reservation: Resource<Reservation>) -> Result<()> {
        let reservation = self.table.delete(reservation)?;
        self.port.release(reservation);
        Ok(())
    }
}

fn of_one_call(used: TokenUsage) -> TokenUse {
    let TokenUsage { input, output, cached } = used;
    let (input, output, cached) = (Tokens(input), Tokens(output), Tokens(cached));
    TokenUse { input, output, cached }.of_one_call()
}
