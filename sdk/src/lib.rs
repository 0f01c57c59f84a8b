//! Write apflow-host plugins: one typed function becomes a sandboxed component.
//!
//! A plugin is a library crate of type `cdylib` (add `rlib` for tests) with one function under
//! [`macro@executor`]. Built for `wasm32-wasip2` it is the component that apflow-host loads;
//! built natively it is ordinary code that `cargo test` runs against [`testing::Host`].
//!
//! ```
//! use apflow_sdk::{Fault, JsonSchema, http, schemars};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Deserialize, JsonSchema)]
//! struct Input {
//!     /// Where the items are.
//!     url: String,
//! }
//!
//! #[derive(Serialize, JsonSchema)]
//! struct Output {
//!     /// How many items there are.
//!     count: usize,
//! }
//!
//! /// Counts the items of a JSON list on the web.
//! #[apflow_sdk::executor(id = "count_executor", name = "Count", tags = ["http"])]
//! async fn count(input: Input) -> Result<Output, Fault> {
//!     let response = http::Request::get(&input.url).send_async().await?;
//!     let items: Vec<serde_json::Value> = response.json()?;
//!     Ok(Output { count: items.len() })
//! }
//!
//! // In a test of the plugin:
//! use apflow_sdk::testing::{Answer, Host};
//!
//! let host = Host::new().expect("GET", "https://example.com/items", Answer::json(200, &[1, 2]));
//! let outcome = host.run(count, r#"{"url": "https://example.com/items"}"#)?;
//! assert_eq!(outcome.output["count"], 2);
//! # Ok::<(), Fault>(())
//! ```
//!
//! A plugin depends on `apflow-sdk` and `serde` (with `derive`). `use apflow_sdk::schemars` beside
//! `JsonSchema` is what that derive needs to find its crate; with `schemars = "1"` among the
//! plugin's own dependencies the line can go.
//!
//! The modules have the names of the interfaces in the contract (`wit/`): [`checkpoint`],
//! [`budget`], [`secret`], [`log`], [`control`] and [`dial`]. A component imports only what its code
//! calls.

// From the top down: what runs an executor, the words that it calls and the values they share, and
// below them who answers.
#[doc(hidden)]
pub mod entry;
#[cfg(not(target_family = "wasm"))]
pub mod testing;

pub mod budget;
pub mod checkpoint;
pub mod control;
pub mod dial;
pub mod http;
pub mod log;
pub mod secret;
mod trace;
pub mod wait;

mod fault;
mod outcome;
mod task;
mod tokens;

mod backend;
mod exchange;

pub mod bindings;

pub use apflow_sdk_macros::executor;
pub use fault::{Fault, OrFault};
pub use outcome::Outcome;
pub use schemars::{self, JsonSchema};
pub use serde_json;
pub use task::Task;
pub use tokens::Usage;
pub use tracing;
