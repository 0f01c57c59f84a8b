//! Makes requests without an end, and sends none.

use wasip2::http::types::{Fields, OutgoingRequest};

fn main() {
    let mut hoard = Vec::new();
    loop {
        hoard.push(OutgoingRequest::new(Fields::new()));
    }
}
