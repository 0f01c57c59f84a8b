//! Takes memory until there is no more before it says what it is.

use apflow_guests::{Descriptor, Executor, executor};
use std::hint::black_box;

struct EatsMemoryInDescribe;

impl Executor for EatsMemoryInDescribe {
    fn describe(_: Descriptor) -> Descriptor {
        let mut eaten = Vec::new();
        loop {
            eaten.push(black_box(vec![1_u8; 1 << 20]));
        }
    }
}

executor!(EatsMemoryInDescribe);
