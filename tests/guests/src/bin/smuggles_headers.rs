//! Sets headers that are the host's own, and hides a second request in one.

use apflow_guests::report;
use wasip2::http::types::Fields;

fn main() {
    let fields = Fields::new();
    for name in ["Host", "Connection", "Transfer-Encoding", "Upgrade", "Proxy-Connection"] {
        report(name, fields.append(name, b"value"));
    }
    for value in ["a\r\nHost: other", "a\nb", "a\r\n\r\nGET / HTTP/1.1", "a\0b"] {
        report(&format!("{value:?}"), fields.append("x-value", value.as_bytes()));
    }
    for name in ["", "a b", "a:b", "a\r\nb", "\u{e4}"] {
        report(&format!("{name:?}"), fields.append(name, b"value"));
    }
}
