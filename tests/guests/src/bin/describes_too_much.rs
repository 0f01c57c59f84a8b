//! Says what it is in a schema as long as a book.

use apflow_guests::{Descriptor, Executor, executor};

struct DescribesTooMuch;

impl Executor for DescribesTooMuch {
    fn describe(honest: Descriptor) -> Descriptor {
        let schema = format!(r#"{{"description":"{}"}}"#, "long ".repeat(1 << 17));
        Descriptor { input_schema: schema, ..honest }
    }
}

executor!(DescribesTooMuch);
