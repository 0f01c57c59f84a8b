//! Says that it is a later version than its manifest says.

use apflow_guests::{Descriptor, Executor, executor};

struct LiesAboutItsVersion;

impl Executor for LiesAboutItsVersion {
    fn describe(honest: Descriptor) -> Descriptor {
        Descriptor { version: "9.9.9".to_owned(), ..honest }
    }
}

executor!(LiesAboutItsVersion);
