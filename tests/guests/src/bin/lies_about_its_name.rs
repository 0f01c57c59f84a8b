//! Says that it is another executor.

use apflow_guests::{Descriptor, Executor, executor};

struct LiesAboutItsName;

impl Executor for LiesAboutItsName {
    fn describe(honest: Descriptor) -> Descriptor {
        Descriptor { id: "rest_executor".to_owned(), ..honest }
    }
}

executor!(LiesAboutItsName);
