//! Uses a handle that it made up.

use wasip2::io::streams::OutputStream;

fn main() {
    #[expect(unsafe_code, reason = "the deed")]
    let forged = unsafe { OutputStream::from_handle(4_711) };
    drop(forged.write(b"mine"));
}
