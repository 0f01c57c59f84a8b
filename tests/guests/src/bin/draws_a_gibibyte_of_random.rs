//! Asks for a gibibyte of random numbers at once.

use std::hint::black_box;

fn main() {
    black_box(wasip2::random::random::get_random_bytes(1 << 30));
}
