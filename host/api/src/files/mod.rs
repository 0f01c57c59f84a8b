//! Verbs on files.

mod list;
mod open;
mod upload;

pub use list::{FileList, ListFiles};
pub use open::{OpenFile, OpenedFile};
pub use upload::UploadFile;
