//! `daemon logs`.

use std::io::{self, Read, Seek, SeekFrom};
use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use super::Daemon;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::Output;
use crate::daemon::{self, LOG_FILE};

/// How often to look for more.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How much is read at once, in bytes.
const PIECE_BYTES_MAX: u64 = 1 << 20;

pub(super) async fn run(
    daemon: &Daemon,
    lines_max: usize,
    follows: bool,
    output: &Output,
) -> Result<Exit, CliError> {
    let unusable = |source| daemon.unusable(source);
    let (lines, mut at) = daemon::tail(&daemon.folder, lines_max).map_err(unusable)?;
    for line in lines {
        output.line(&json!({ "line": line }), || line.clone());
    }
    if !follows {
        return Ok(Exit::Ok);
    }
    let mut begun = String::new();
    loop {
        sleep(LOOK_EVERY).await;
        begun += &more(daemon, &mut at).map_err(unusable)?;
        // What has no end yet waits for it.
        while let Some((line, rest)) = begun.split_once('\n') {
            output.line(&json!({ "line": line }), || line.to_owned());
            begun = rest.to_owned();
        }
    }
}

/// What was written since; from the beginning, where the next file has begun.
fn more(daemon: &Daemon, at: &mut u64) -> io::Result<String> {
    let mut file = match daemon.folder.open(LOG_FILE) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(error),
    };
    if file.metadata()?.len() < *at {
        *at = 0;
    }
    file.seek(SeekFrom::Start(*at))?;
    let mut bytes = Vec::new();
    *at += file.take(PIECE_BYTES_MAX).read_to_end(&mut bytes)? as u64;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
