//! The import `secret`: a placeholder, or the value where that was granted.

use wasmtime::Result;

use crate::bindings::apflow::plugin::secret::{Error, Host};
use crate::secret::NoSecret;
use crate::state::State;

impl Host for State {
    fn get(&mut self, name: String) -> Result<Result<String, Error>> {
        self.stop.check()?;
        Ok(self.secrets.get(&name).map_err(|error| match error {
            NoSecret::Denied(denial) => {
                self.egress.deny(&denial);
                Error::Denied(denial)
            }
            NoSecret::Unavailable(reason) => Error::Unavailable(reason),
        }))
    }
}
