//! A client of another process's API: what the command line does where a server works; and of the
//! registries that it loads plugins from.
//!
//! Every verb of the table is asked for by its own route and types, so none has words of its own
//! here. Which server that is, [`cli::target`](crate::cli) decides.

mod announced;
mod client;
mod connect;
mod error;
mod form;
mod registry;
mod retry;
mod settings;
mod stream;
mod url;

pub(crate) use announced::{Announced, announce};
pub(crate) use client::Client;
pub(crate) use connect::unescaped;
pub(crate) use error::{Refusal, RemoteError};
pub(crate) use form::Form;
pub(crate) use registry::{Image, ImageName, Pulled, RegistryError};
pub(crate) use settings::{ApiRetryCount, ApiTimeout, GatewaySettings, NamedBy, SERVER};
pub(crate) use stream::EventStream;
pub(crate) use url::ServerUrl;
