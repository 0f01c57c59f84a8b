//! Connects to an address by itself, past the only way out.

use std::net::TcpStream;

fn main() -> std::io::Result<()> {
    TcpStream::connect("127.0.0.1:80").map(drop)
}
