//! Secrets of the operator, such as the key of an API, used without being seen.
//!
//! What [`get`] gives is a placeholder: a random text that stands for the secret during this attempt.
//! Write it where the value belongs, in a header, the query or the body of a request; the host fills
//! the value in on the way out, in requests to the destinations that the operator tied to the secret.
//! A placeholder on its way to anywhere else stops the request. To log in to a mail server with it, see
//! [`dial::smtp`](crate::dial::smtp).
//!
//! The manifest asks for the secret by name, `capabilities: { secrets: [api_key] }`, and the operator
//! grants it, `--grant secret=api_key`.
//!
//! ```
//! use apflow_sdk::testing::{Answer, Host};
//! use apflow_sdk::{Fault, http, secret};
//!
//! fn balance() -> Result<String, Fault> {
//!     let key = secret::get("api_key")?;
//!     let request = http::Request::get("https://api.example.com/balance");
//!     Ok(request.header("authorization", format!("Bearer {key}")).send()?.text())
//! }
//!
//! let host = Host::new()
//!     .secret("api_key", "a placeholder")
//!     .expect("GET", "https://api.example.com/balance", Answer::text(200, "12 €"));
//! assert_eq!(host.within(balance), Ok("12 €".to_owned()));
//! assert_eq!(host.requests()[0].header("authorization"), Some("Bearer a placeholder"));
//! ```

use std::fmt;

use crate::backend;

/// Gives the placeholder of a secret, or its value when that was asked for under `secret_values` and
/// granted.
///
/// # Errors
///
/// [`Error::Denied`] when it was not asked for or not granted, [`Error::Unavailable`] when the
/// operator has named no such secret or its value cannot be read.
pub fn get(name: impl AsRef<str>) -> Result<String, Error> {
    backend::secret::get(name.as_ref()).map_err(|error| match error {
        backend::secret::Error::Denied(denial) => Error::Denied(denial),
        backend::secret::Error::Unavailable(reason) => Error::Unavailable(reason),
    })
}

/// Why there is no placeholder and no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// It was not asked for or not granted. The text says what would allow it.
    Denied(String),
    /// The operator has named no such secret, or its value cannot be read now.
    Unavailable(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(denial) => f.write_str(denial),
            Self::Unavailable(reason) => write!(f, "the secret is not available: {reason}"),
        }
    }
}

impl std::error::Error for Error {}
