//! Returns schemas that are not even JSON.

use apflow_guests::{Descriptor, Executor, executor};

struct DescribesNoSchema;

impl Executor for DescribesNoSchema {
    fn describe(honest: Descriptor) -> Descriptor {
        Descriptor { output_schema: "{\"type\": }".to_owned(), ..honest }
    }
}

executor!(DescribesNoSchema);
