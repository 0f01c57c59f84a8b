//! Says what it is without coming to an end.

use apflow_guests::{Descriptor, Executor, executor};

struct DescribesForever;

impl Executor for DescribesForever {
    fn describe(_: Descriptor) -> Descriptor {
        #[expect(clippy::empty_loop, reason = "the deed")]
        loop {}
    }
}

executor!(DescribesForever);
