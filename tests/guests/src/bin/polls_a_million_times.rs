//! Waits for a million things at once, which are all the same.

use wasip2::io::poll::poll;

fn main() {
    let stdin = wasip2::cli::stdin::get_stdin();
    let ready = stdin.subscribe();
    poll(&vec![&ready; 1_000_000]);
}
