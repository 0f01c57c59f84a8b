//! Panics when it is asked what it is.

use apflow_guests::{Descriptor, Executor, executor};

struct PanicsInDescribe;

impl Executor for PanicsInDescribe {
    fn describe(_: Descriptor) -> Descriptor {
        #[expect(clippy::panic, reason = "the deed")]
        {
            panic!("none of your business");
        }
    }
}

executor!(PanicsInDescribe);
