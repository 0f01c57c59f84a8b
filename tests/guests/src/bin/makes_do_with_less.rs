//! Takes memory until it is refused some, gives it back and ends well.

use std::hint::black_box;
use std::io::Write;

const CHUNK_BYTES: usize = 1 << 20;

fn main() -> std::io::Result<()> {
    let mut taken: Vec<Vec<u8>> = Vec::new();
    loop {
        let mut chunk = Vec::new();
        if chunk.try_reserve_exact(CHUNK_BYTES).is_err() {
            break;
        }
        chunk.resize(CHUNK_BYTES, 1);
        taken.push(black_box(chunk));
    }
    let count = taken.len();
    drop(taken);
    write!(std::io::stdout(), "{count}")
}
