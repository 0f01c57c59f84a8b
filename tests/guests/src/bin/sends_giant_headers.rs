//! Adds headers to a request without an end.

use apflow_guests::report;
use wasip2::http::types::Fields;

fn main() {
    let fields = Fields::new();
    loop {
        let added = fields.append("x-many", &[b'x'; 1 << 10]);
        if added.is_err() {
            report("more headers", added);
            return;
        }
    }
}
