//! Verbs on tools.

mod health;
mod list;
mod run;
mod show;

pub use health::CheckTool;
pub use list::{ListTools, ToolList};
pub use run::RunTool;
pub use show::{ShowTool, ShownTool};
