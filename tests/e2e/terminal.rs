//! What a person sees on a terminal.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::guests::{GOES_ON_AFTER_CANCEL, NEVER_ENDS, TALKS_AND_WAITS};
use crate::host::{TestHost, project};
use crate::serving::Serving;

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_mins(1);
const CTRL_C: &[u8] = b"\x03";

#[test]
fn a_job_is_drawn_as_a_tree_that_ctrl_c_cancels() {
    let host = TestHost::new();
    load(&host);
    let tasks = json!([
        { "id": "talks", "executor": "talks_and_waits" },
        { "id": "below", "executor": "never_ends", "parent_id": "talks" },
        { "id": "after", "executor": "never_ends", "dependencies": ["talks"] },
    ]);
    let Some(mut terminal) = Terminal::run(&host, &["run", "batch", "--tasks", &tasks.to_string()])
    else {
        return;
    };
    terminal
        .until(|shown| shown.has("├─ talks     ▸ running") && shown.has("│  └─ below  ▸ running"));
    let said = ["talks   out first line", "talks   out second", "talks   err grün"];
    terminal.until(|shown| said.iter().all(|said| shown.has(said)));
    terminal.until(|shown| shown.has("└─ after     · blocked"));
    let (lines, frames) = (terminal.shown.lines(), terminal.shown.frames);
    terminal.until(|shown| shown.frames > frames + 3);
    assert_eq!(terminal.shown.lines().len(), lines.len(), "it is drawn in place");
    let of_tree = |line: &&String| line.contains("─ ") || line.contains("0/3");
    assert_eq!(lines.iter().filter(of_tree).count(), 4, "once: {lines:#?}");
    assert!(terminal.wrote.contains("\x1b[36m▸ running"), "a colour");
    terminal.type_in(CTRL_C);
    let shown = terminal.ends_with(5);
    assert!(shown.has("cancelling j_") && shown.has("├─ talks     – cancelled"), "{shown:#?}");
    assert!(!shown.has("▸") && !shown.has("0/3"), "nothing is left of the live tree: {shown:#?}");
    assert_eq!(host.jobs()[0]["state"], "cancelled");
}

#[test]
fn a_second_ctrl_c_leaves_at_once() {
    let host = TestHost::new();
    // It is given time to clean up, and takes all of it.
    GOES_ON_AFTER_CANCEL.load(&host, "limits: { timeout: 1h, cancel_grace: 1m }");
    let Some(mut terminal) = Terminal::run(&host, &["run", "goes_on_after_cancel"]) else { return };
    terminal.until(|shown| shown.has("▸ running"));
    terminal.type_in(CTRL_C);
    terminal.until(|shown| shown.has("Ctrl-C leaves at once"));
    let asked = Instant::now();
    terminal.type_in(CTRL_C);
    terminal.ends_with(5);
    assert!(asked.elapsed() < Duration::from_secs(20), "{:?}", asked.elapsed());
}

#[test]
fn a_job_of_a_server_is_watched_as_a_tree() {
    let host = TestHost::new();
    load(&host);
    let serving = Serving::start(&host);
    let job = serving.submit("", &json!({ "id": "works", "executor": "never_ends" })).is(202);
    let job = job.json();
    let id = job["id"].as_str().unwrap();
    let Some(mut terminal) = Terminal::run(&host, &["jobs", "watch", id]) else { return };
    terminal.until(|shown| shown.has("└─ works  ▸ running"));
    let cancel = format!("POST /api/v1/jobs/{id}/cancel");
    serving.ask(&cancel, Some(serving.token()), b"").is(200);
    let shown = terminal.ends_with(5);
    assert!(shown.has("└─ works  – cancelled") && !shown.has("▸"), "{shown:#?}");
}

#[test]
fn without_colours_none_is_written() {
    let host = TestHost::new();
    load(&host);
    let program = ["run", "never_ends"];
    let Some(mut terminal) = Terminal::run_with(&host, &program, &[("NO_COLOR", "1")]) else {
        return;
    };
    terminal.until(|shown| shown.has("▸ running"));
    terminal.type_in(CTRL_C);
    terminal.ends_with(5);
    assert!(!terminal.wrote.contains("\x1b[36m"), "{:?}", terminal.wrote);
}

#[test]
fn a_dumb_terminal_is_written_to_line_by_line() {
    let host = TestHost::new();
    load(&host);
    let program = ["run", "talks_and_waits"];
    let Some(mut terminal) = Terminal::run_with(&host, &program, &[("TERM", "dumb")]) else {
        return;
    };
    terminal.until(|shown| shown.has("out second"));
    terminal.type_in(CTRL_C);
    terminal.ends_with(5);
    assert!(!terminal.wrote.contains('\x1b'), "{:?}", terminal.wrote);
    assert!(!terminal.wrote.contains("▸"), "{:?}", terminal.wrote);
}

/// Loads two guests that do not end by themselves.
fn load(host: &TestHost) {
    NEVER_ENDS.load(host, "limits: { timeout: 1h }");
    TALKS_AND_WAITS.load(host, "capabilities: { clocks: true }\nlimits: { timeout: 1h }");
}

/// A program on a terminal of 100 columns and 24 rows, until this is dropped.
struct Terminal {
    child: Child,
    keys: ChildStdin,
    bytes: Receiver<Vec<u8>>,
    /// Everything that was written to it.
    wrote: String,
    /// The bytes at its end that are no whole character yet.
    rest: Vec<u8>,
    shown: Shown,
}

impl Terminal {
    fn run(host: &TestHost, arguments: &[&str]) -> Option<Self> {
        Self::run_with(host, arguments, &[])
    }

    /// Starts the program. None without a Python, which is said aloud; where changes are checked,
    /// with `CI` set, that is a failure.
    fn run_with(host: &TestHost, arguments: &[&str], environment: &[(&str, &str)]) -> Option<Self> {
        let program = host.command();
        let mut python = Command::new("python3");
        python.arg(project().join("tests/e2e/terminal.py")).args(["100", "24"]);
        python.arg(program.get_program()).args(arguments).current_dir(project());
        // The program sees nothing of this process's environment but where programs are.
        python.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        let own = program.get_envs().filter_map(|(name, value)| Some((name, value?)));
        python.envs(own).envs(environment.iter().copied());
        python.stdin(Stdio::piped()).stdout(Stdio::piped());
        let Ok(mut child) = python.spawn() else {
            assert!(std::env::var_os("CI").is_none(), "python3 is not installed");
            let said = writeln!(std::io::stderr(), "\nSKIPPED what needs a terminal: no python3\n");
            said.unwrap();
            return None;
        };
        let mut written = child.stdout.take().unwrap();
        let (sender, bytes) = channel();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = written.read(&mut buffer) {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        let keys = child.stdin.take().unwrap();
        let (wrote, rest) = (String::new(), Vec::new());
        Some(Self { child, keys, bytes, wrote, rest, shown: Shown::default() })
    }

    fn type_in(&mut self, keys: &[u8]) {
        self.keys.write_all(keys).unwrap();
    }

    /// Waits until this is shown.
    #[track_caller]
    fn until(&mut self, is_so: impl Fn(&Shown) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so(&self.shown) {
            let left = deadline.saturating_duration_since(Instant::now());
            let bytes = self.bytes.recv_timeout(left);
            let bytes = bytes.unwrap_or_else(|error| panic!("{error}: {:#?}", self.shown));
            self.take(&bytes);
        }
    }

    /// Waits for the end, and fails when the code is another or the terminal is not left clean.
    #[track_caller]
    fn ends_with(&mut self, code: i32) -> &Shown {
        while let Ok(bytes) = self.bytes.recv_timeout(PATIENCE) {
            self.take(&bytes);
        }
        let status = self.child.wait().unwrap();
        assert_eq!(status.code(), Some(code), "{:#?}", self.shown);
        assert!(!self.shown.hides_cursor && !self.shown.cuts_lines, "{:#?}", self.shown);
        &self.shown
    }

    fn take(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
        let whole = match std::str::from_utf8(&self.rest) {
            Ok(text) => text.len(),
            Err(error) => error.valid_up_to(),
        };
        let text: Vec<u8> = self.rest.drain(..whole).collect();
        let text = String::from_utf8(text).unwrap();
        self.wrote += &text;
        text.chars().for_each(|character| self.shown.take(character));
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended already. Without its terminal, the program ends too.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What a terminal shows: as much of ECMA-48 as the program uses. Lines that scroll away stay.
#[derive(Debug, Default)]
struct Shown {
    lines: Vec<Vec<char>>,
    row: usize,
    column: usize,
    /// A control sequence that has begun.
    sequence: Option<String>,
    hides_cursor: bool,
    cuts_lines: bool,
    /// How often something was drawn.
    frames: usize,
}

impl Shown {
    fn lines(&self) -> Vec<String> {
        let lines = self.lines.iter().map(|line| line.iter().collect::<String>());
        let mut lines: Vec<_> = lines.map(|line| line.trim_end().to_owned()).collect();
        while lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
        lines
    }

    fn has(&self, text: &str) -> bool {
        self.lines().iter().any(|line| line.contains(text))
    }

    fn take(&mut self, character: char) {
        if let Some(mut sequence) = self.sequence.take() {
            sequence.push(character);
            let is_whole = sequence.len() > 1 && ('@'..='~').contains(&character);
            if is_whole {
                self.obey(&sequence);
            } else {
                self.sequence = Some(sequence);
            }
            return;
        }
        match character {
            '\x1b' => self.sequence = Some(String::new()),
            '\r' => self.column = 0,
            '\n' => self.row += 1,
            character => {
                if self.lines.len() <= self.row {
                    self.lines.resize(self.row + 1, Vec::new());
                }
                let line = &mut self.lines[self.row];
                if line.len() <= self.column {
                    line.resize(self.column + 1, ' ');
                }
                line[self.column] = character;
                self.column += 1;
            }
        }
    }

    fn obey(&mut self, sequence: &str) {
        match sequence {
            "[J" => {
                self.lines.truncate(self.row + 1);
                if let Some(line) = self.lines.get_mut(self.row) {
                    line.truncate(self.column);
                }
            }
            "[?25l" => (self.hides_cursor, self.frames) = (true, self.frames + 1),
            "[?25h" => self.hides_cursor = false,
            "[?7l" => self.cuts_lines = true,
            "[?7h" => self.cuts_lines = false,
            colour if colour.ends_with('m') => {}
            up => {
                let rows = up.strip_prefix('[').and_then(|up| up.strip_suffix('F'));
                let rows: usize = rows.and_then(|rows| rows.parse().ok()).unwrap();
                assert!(rows <= self.row && rows < 24, "above the terminal: {self:#?}");
                (self.row, self.column) = (self.row - rows, 0);
            }
        }
    }
}
