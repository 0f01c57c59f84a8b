//! Puts a million tags on itself.

use apflow_guests::{Descriptor, Executor, executor};

struct TagsItselfEndlessly;

impl Executor for TagsItselfEndlessly {
    fn describe(honest: Descriptor) -> Descriptor {
        Descriptor { tags: vec!["tag".to_owned(); 1_000_000], ..honest }
    }
}

executor!(TagsItselfEndlessly);
