//! Returns a schema that is JSON, but no schema.

use apflow_guests::{Descriptor, Executor, executor};

struct DescribesAFalseSchema;

impl Executor for DescribesAFalseSchema {
    fn describe(honest: Descriptor) -> Descriptor {
        Descriptor { input_schema: r#"{"type":"everything","minimum":[]}"#.to_owned(), ..honest }
    }
}

executor!(DescribesAFalseSchema);
