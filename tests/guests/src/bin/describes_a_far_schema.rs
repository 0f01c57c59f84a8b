//! Returns a schema that another server has the rest of.

use apflow_guests::{Descriptor, Executor, executor};

struct DescribesAFarSchema;

impl Executor for DescribesAFarSchema {
    fn describe(honest: Descriptor) -> Descriptor {
        Descriptor { input_schema: r#"{"$ref":"http://127.0.0.1/schema"}"#.to_owned(), ..honest }
    }
}

executor!(DescribesAFarSchema);
