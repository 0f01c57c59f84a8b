//! Asks to be told of the same thing without an end.

fn main() {
    let stdin = wasip2::cli::stdin::get_stdin();
    let mut hoard = Vec::new();
    loop {
        hoard.push(stdin.subscribe());
    }
}
