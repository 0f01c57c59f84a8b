//! The import `checkpoint`: handed on to the task.

use wasmtime::Result;

use crate::bindings::apflow::plugin::checkpoint::{Error, Host, Saved};
use crate::port::CheckpointError;
use crate::state::State;

impl Host for State {
    async fn save(&mut self, step: String, value: Vec<u8>) -> Result<Result<(), Error>> {
        self.stop.check()?;
        let saved = self.port.save_checkpoint(step, value).await.map_err(Error::from);
        // An attempt that lost its task learns it here, and is ended for it.
        self.stop.check()?;
        Ok(saved)
    }

    async fn load(&mut self) -> Result<Result<Option<Saved>, Error>> {
        self.stop.check()?;
        let loaded = self.port.load_checkpoint().await.map_err(Error::from);
        Ok(loaded.map(|checkpoint| {
            checkpoint.map(|saved| Saved {
                step: saved.step,
                attempt: saved.attempt,
                value: saved.value,
            })
        }))
    }
}

impl From<CheckpointError> for Error {
    fn from(error: CheckpointError) -> Self {
        match error {
            CheckpointError::TooLarge(bytes_max) => Self::TooLarge(bytes_max),
            CheckpointError::TooMany(count_max) => Self::TooMany(count_max),
            CheckpointError::Fenced => Self::Fenced,
            CheckpointError::Unavailable(reason) => Self::Unavailable(reason),
        }
    }
}
