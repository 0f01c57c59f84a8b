//! The log of a daemon: what it writes to its standard output and error, in files of a limited size.

#[expect(clippy::disallowed_types, reason = "a process is given its log as an open file")]
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::time::Duration;

use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt};
use tokio::time::{MissedTickBehavior, interval};

/// The file that is written.
pub(crate) const LOG_FILE: &str = "daemon.log";
/// How large it grows before the next begins, but for what is written until that is seen.
const BYTES_MAX: u64 = 16 << 20;
/// How many older ones are kept, as `daemon.log.1` and so on.
const OLDER_MAX: u32 = 3;
/// How often its size is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How much of its end is read at most.
const TAIL_BYTES_MAX: u64 = 4 << 20;

/// Opens it to write on, and begins the next one where it is too large.
#[expect(clippy::disallowed_types, reason = "a process is given its log as an open file")]
pub(crate) fn open(folder: &Dir) -> io::Result<File> {
    turn(folder, BYTES_MAX)?;
    let mut options = OpenOptions::new();
    options.create(true).append(true).mode(0o600);
    Ok(folder.open_with(LOG_FILE, &options)?.into_std())
}

/// Begins the next file when this one is too large. Whether it did.
fn turn(folder: &Dir, bytes_max: u64) -> io::Result<bool> {
    let size = match folder.metadata(LOG_FILE) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    if size < bytes_max {
        return Ok(false);
    }
    let older = |number| format!("{LOG_FILE}.{number}");
    for number in (1..OLDER_MAX).rev() {
        match folder.rename(older(number), folder, older(number + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    folder.rename(LOG_FILE, folder, older(1))?;
    Ok(true)
}

/// Keeps the files small for as long as this process lives, whose standard output and error the log
/// is.
pub(crate) async fn keep_small(folder: Dir) {
    let mut look = interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        if let Err(error) = renew(&folder) {
            tracing::warn!(%error, "the log could not be continued in a new file");
        }
    }
}

fn renew(folder: &Dir) -> io::Result<()> {
    if folder.metadata(LOG_FILE).is_ok_and(|metadata| metadata.len() < BYTES_MAX) {
        return Ok(());
    }
    let log = open(folder)?;
    rustix::stdio::dup2_stdout(&log)?;
    Ok(rustix::stdio::dup2_stderr(&log)?)
}

/// The last lines of it, and where it ends.
pub(crate) fn tail(folder: &Dir, lines_max: usize) -> io::Result<(Vec<String>, u64)> {
    let mut file = match folder.open(LOG_FILE) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), 0)),
        Err(error) => return Err(error),
    };
    let size = file.metadata()?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(TAIL_BYTES_MAX)))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES_MAX).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(lines_max);
    Ok((lines[from..].iter().map(|line| (*line).to_owned()).collect(), size))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use cap_std::ambient_authority;

    use super::*;

    #[test]
    fn a_large_log_makes_way_for_the_next_and_the_oldest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Dir::open_ambient_dir(folder.path(), ambient_authority()).unwrap();
        assert!(!turn(&folder, 4).unwrap(), "there is none yet");
        for round in 0..6 {
            let mut log = open(&folder).unwrap();
            write!(log, "line {round}").unwrap();
            assert!(!turn(&folder, 100).unwrap());
            assert!(turn(&folder, 4).unwrap());
        }
        let mut names: Vec<_> =
            folder.entries().unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["daemon.log.1", "daemon.log.2", "daemon.log.3"]);
        assert_eq!(folder.read_to_string("daemon.log.1").unwrap(), "line 5");
    }

    #[test]
    fn the_last_lines_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Dir::open_ambient_dir(folder.path(), ambient_authority()).unwrap();
        assert_eq!(tail(&folder, 3).unwrap(), (Vec::new(), 0));
        folder.write(LOG_FILE, "a\nb\nc\n").unwrap();
        assert_eq!(tail(&folder, 2).unwrap(), (vec!["b".to_owned(), "c".to_owned()], 6));
    }
}
