//! Panics with some last words.

fn main() {
    #[expect(clippy::panic, reason = "the deed")]
    {
        panic!("it was the butler");
    }
}
