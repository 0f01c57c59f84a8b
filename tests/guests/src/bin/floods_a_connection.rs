//! Dials the destination of its argument and sends without end.

use std::io::Write;

use apflow_sdk::dial;

const CHUNK: &[u8] = &[b'x'; 64 << 10];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let to = std::env::args().nth(1).ok_or("there is no destination")?;
    let (host, port) = to.rsplit_once(':').ok_or("there is no port")?;
    let mut connection = dial::connect(host, port.parse()?)?;
    // A server of HTTP may know this as a place where it reads and does not answer.
    connection.write_all(b"POST /silent HTTP/1.1\r\n\r\n")?;
    loop {
        connection.write_all(CHUNK)?;
    }
}
