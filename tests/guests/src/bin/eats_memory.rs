//! Takes memory until there is no more, and cannot do with less.

use std::hint::black_box;

const CHUNK_BYTES: usize = 1 << 20;

fn main() {
    let mut eaten = Vec::new();
    loop {
        // Written to, so that it is truly taken.
        eaten.push(black_box(vec![1_u8; CHUNK_BYTES]));
    }
}
