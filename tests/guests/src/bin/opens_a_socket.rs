//! Connects to each address of its arguments by itself, past the names and the TLS of the host. It
//! ends as the last of them did.

use std::io::{Read, Write};
use std::net::TcpStream;

fn main() -> std::io::Result<()> {
    let (mut open, mut last) = (Vec::new(), Ok(()));
    for address in std::env::args().skip(1) {
        last = match connect(&address) {
            Ok((stream, answer)) => {
                open.push(stream);
                writeln!(std::io::stdout(), "{address} answered {answer}")
            }
            Err(error) => {
                writeln!(std::io::stdout(), "{address} was out of reach: {error}")?;
                Err(error)
            }
        };
    }
    last
}

fn connect(address: &str) -> std::io::Result<(TcpStream, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(b"ping\n")?;
    let mut answer = [0; 64];
    let length = stream.read(&mut answer)?;
    Ok((stream, String::from_utf8_lossy(&answer[..length]).trim().to_owned()))
}
