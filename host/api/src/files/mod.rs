//! Verbs on the files that tasks left.

mod list;
mod open;

pub use list::{FileList, ListFiles};
pub use open::{OpenFile, OpenedFile};
