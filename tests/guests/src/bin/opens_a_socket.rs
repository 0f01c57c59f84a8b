//! Connects to each address of its arguments by itself, past the names and the TLS of the host.

use std::io::{Read, Write};
use std::net::TcpStream;

fn main() -> std::io::Result<()> {
    let mut open = Vec::new();
    for address in std::env::args().skip(1) {
        let word = match connect(&address) {
            Ok((stream, answer)) => {
                open.push(stream);
                format!("answered {answer}")
            }
            Err(error) => format!("was out of reach: {error}"),
        };
        writeln!(std::io::stdout(), "{address} {word}")?;
    }
    Ok(())
}

fn connect(address: &str) -> std::io::Result<(TcpStream, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(b"ping\n")?;
    let mut answer = [0; 64];
    let length = stream.read(&mut answer)?;
    Ok((stream, String::from_utf8_lossy(&answer[..length]).trim().to_owned()))
}
