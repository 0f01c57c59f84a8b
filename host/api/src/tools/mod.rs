//! Verbs on tools.

mod list;
mod run;
mod show;

pub use list::{ListTools, ToolList};
pub use run::RunTool;
pub use show::ShowTool;
