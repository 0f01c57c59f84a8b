//! What a plugin asks for, and what the operator allows.
//!
//! An attempt may do what its plugin's manifest asks for *and* the operator granted *and* its task
//! did not give up, never more: [`Scope`] is that rule. Enforcement is the sandbox's.

mod asked;
pub(crate) mod cidr;
mod grant;
mod host;
mod http;
mod net;
mod path;
mod port;
mod scope;
mod socket;
mod tcp;
mod text;

pub use asked::{ANY_SECRET, Capabilities, Folders, check_asked_secret, check_secret_name};
pub use grant::{Grant, InvalidGrant};
pub use http::{HttpPattern, HttpTarget, Scheme};
pub use net::NetPattern;
pub use path::normal_path;
pub use scope::{Denial, Scope};
pub use socket::SocketPattern;
pub use tcp::TcpPattern;
