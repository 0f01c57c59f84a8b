//! Dials each destination of its arguments, in TLS when it begins with `tls:`, says a word and waits
//! for the answer. It keeps all its connections, whatever came of the one before.

use std::io::{BufRead, BufReader, Write};

use apflow_sdk::dial::{self, Connection};

fn main() -> std::io::Result<()> {
    let mut open = Vec::new();
    for to in std::env::args().skip(1) {
        let word = match dial(&to) {
            Ok((connection, answer)) => {
                open.push(connection);
                format!("answered {answer}")
            }
            Err(error) => format!("was out of reach: {error}"),
        };
        writeln!(std::io::stdout(), "{to} {word}")?;
    }
    Ok(())
}

fn dial(to: &str) -> Result<(BufReader<Connection>, String), Box<dyn std::error::Error>> {
    let (address, is_secured) = match to.strip_prefix("tls:") {
        Some(address) => (address, true),
        None => (to, false),
    };
    let (host, port) = address.rsplit_once(':').ok_or("there is no port")?;
    let connection = dial::connect(host, port.parse()?)?;
    let connection = if is_secured { connection.tls()? } else { connection };
    let mut reader = BufReader::new(connection);
    reader.get_mut().write_all(b"ping\n")?;
    let mut answer = String::new();
    reader.read_line(&mut answer)?;
    Ok((reader, answer.trim().to_owned()))
}
