//! Checkpoints that live as long as the script.

use super::installed;

pub(crate) use crate::bindings::apflow::plugin::checkpoint::{Error, Saved};

pub(crate) fn save(step: &str, value: &[u8]) -> Result<(), Error> {
    let script = installed();
    let mut state = script.state();
    if let Some(error) = &state.refused {
        return Err(error.clone());
    }
    let attempt = state.task.attempt;
    state.checkpoints.push(Saved { step: step.to_owned(), attempt, value: value.to_owned() });
    Ok(())
}

pub(crate) fn load() -> Result<Option<Saved>, Error> {
    let script = installed();
    let state = script.state();
    match &state.refused {
        Some(error) => Err(error.clone()),
        None => Ok(state.checkpoints.last().cloned()),
    }
}
