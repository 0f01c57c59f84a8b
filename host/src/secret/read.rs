//! Reads the value of a secret from where it is: a variable, a file, or a program.
//!
//! The program is the operator's own: its name and its arguments stand in `secrets.yaml`, and nothing
//! of a request reaches it.

use std::io::{self, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use apflow_model::secret::Secret;
use cap_std::ambient_authority;
use cap_std::fs::File;

/// The most that is read: more is no value, and says so.
const READ_BYTES_MAX: u64 = 64 << 10;
/// How often a program that has said all is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Reads a value from a file. This blocks.
pub(super) fn file(path: &str) -> Result<Secret, String> {
    let mut bytes = Vec::new();
    File::open_ambient(path, ambient_authority())
        .and_then(|file| file.take(READ_BYTES_MAX).read_to_end(&mut bytes))
        .map_err(|error| format!("the file `{path}` cannot be read: {error}"))?;
    Secret::parse(&bytes)
}

/// Reads a value from the standard output of a program. This blocks, at most for `patience`.
pub(super) fn command(words: &[String], patience: Duration) -> Result<Secret, String> {
    let Some((program, arguments)) = words.split_first() else {
        return Err("its command is empty".to_owned());
    };
    let until = Instant::now() + patience;
    #[expect(clippy::disallowed_methods, reason = "the operator's own program, from secrets.yaml")]
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child =
        command.spawn().map_err(|error| format!("`{program}` cannot be run: {error}"))?;
    let ended = wait(&mut child, until);
    if ended.is_err() {
        // It may have ended by itself in the meantime.
        drop(child.kill());
        drop(child.wait());
    }
    let bytes = ended.map_err(|reason| format!("`{program}` {reason}"))?;
    Secret::parse(&bytes)
}

/// Waits until a program has written its output and ended well.
fn wait(child: &mut Child, until: Instant) -> Result<Vec<u8>, String> {
    let late = || "did not end in time".to_owned();
    let stdout = child.stdout.take().ok_or("has no output")?;
    let (sender, receiver) = mpsc::sync_channel(1);
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = stdout.take(READ_BYTES_MAX).read_to_end(&mut bytes).map(|_| bytes);
        // Nobody listens any more when it took too long.
        drop(sender.send(read));
    });
    let left = until.saturating_duration_since(Instant::now());
    let read: io::Result<Vec<u8>> = receiver.recv_timeout(left).map_err(|_| late())?;
    let bytes = read.map_err(|error| format!("cannot be read: {error}"))?;
    loop {
        match child.try_wait().map_err(|error| format!("cannot be waited for: {error}"))? {
            Some(status) if status.success() => return Ok(bytes),
            Some(status) => return Err(format!("failed: {status}")),
            None if Instant::now() >= until => return Err(late()),
            None => thread::sleep(LOOK_AGAIN),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn a_program_says_the_value() {
        let value = command(&words(&["echo", "hunter2hunter2"]), PATIENCE).unwrap();
        assert_eq!(value.expose(), "hunter2hunter2");
    }

    #[test]
    fn no_shell_reads_the_words() {
        let value = command(&words(&["echo", "$HOME; echo `id`"]), PATIENCE).unwrap();
        assert_eq!(value.expose(), "$HOME; echo `id`");
    }

    #[test]
    fn a_program_that_fails_says_nothing_of_what_it_wrote() {
        let said = command(&words(&["sh", "-c", "echo hunter2hunter2; exit 3"]), PATIENCE);
        let text = said.unwrap_err();
        assert!(text.contains("exit status: 3") && !text.contains("hunter2"), "{text}");
        assert!(command(&words(&["there-is-no-such-program"]), PATIENCE).is_err());
    }

    #[test]
    fn a_program_that_does_not_end_is_ended() {
        for words in [words(&["sleep", "600"]), words(&["sh", "-c", "exec >&-; exec sleep 600"])] {
            let text = command(&words, Duration::from_millis(50)).unwrap_err();
            assert!(text.contains("did not end in time"), "{text}");
        }
    }

    #[test]
    fn a_file_says_the_value() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("key");
        #[expect(clippy::disallowed_methods, reason = "a test writes the file")]
        std::fs::write(&path, "hunter2hunter2\n").unwrap();
        let path = path.to_str().unwrap();
        assert_eq!(file(path).unwrap().expose(), "hunter2hunter2");
        let text = file(&format!("{path}.not")).unwrap_err();
        assert!(text.contains("key.not` cannot be read"), "{text}");
    }
}
