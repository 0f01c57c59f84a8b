//! Needs clocks, files and random numbers. Its manifest asks for none of them.

use std::hint::black_box;
use std::time::{Instant, SystemTime};

#[expect(unsafe_code, reason = "the standard library has no stable way to ask for random bytes")]
mod libc {
    //! What the C library of the target offers.

    unsafe extern "C" {
        pub(crate) fn getentropy(buffer: *mut u8, length: usize) -> i32;
    }
}

fn main() -> std::io::Result<()> {
    let mut random = [0_u8; 8];
    #[expect(unsafe_code, reason = "the buffer is as long as is said")]
    let filled = unsafe { libc::getentropy(random.as_mut_ptr(), random.len()) };
    black_box((filled, random, Instant::now(), SystemTime::now()));
    std::fs::read("/in/notes.txt").map(drop)
}
