//! Calls itself until its stack is full.

use std::hint::black_box;

fn main() {
    black_box(deeper(1));
}

fn deeper(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    // Used after the call, so that no compiler makes a loop of it.
    if frame[0] == 0 { 0 } else { deeper(depth + 1) + black_box(frame)[1] }
}
