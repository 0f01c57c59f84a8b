//! Gives a handle back twice.

use wasip2::io::streams::OutputStream;

fn main() {
    let stdout = wasip2::cli::stdout::get_stdout();
    #[expect(unsafe_code, reason = "the deed")]
    let again = unsafe { OutputStream::from_handle(stdout.handle()) };
    drop(stdout);
    drop(again);
}
