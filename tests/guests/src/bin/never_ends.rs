//! Works on nothing, without an end and without a call to the host.

use std::hint::black_box;

fn main() {
    let mut count = 0_u64;
    loop {
        count = black_box(count.wrapping_add(1));
    }
}
