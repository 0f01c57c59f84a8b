//! Sends what it knows in datagrams, which nobody connects.

use std::net::UdpSocket;

fn main() -> std::io::Result<()> {
    UdpSocket::bind("0.0.0.0:0")?.send_to(b"secret", "127.0.0.1:53").map(drop)
}
