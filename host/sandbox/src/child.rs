//! Compiling in a process of its own.
//!
//! A small component can keep a compiler busy for minutes, and nothing can interrupt it. So it gets
//! a process that limits itself before it reads anything, and that the host ends when time is up.
//!
//! The component goes in by standard input. The code comes out by standard output, its length
//! first; what is wrong with the component comes by standard error.

use std::io::{self, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, Signal, setpriority_process, setrlimit};
use serde::{Deserialize, Serialize};

use crate::bulk::COMPONENT_BYTES_MAX;
use crate::engine::{self, Profile};
use crate::error::{CompileLimit, SandboxError};

/// The verb of the program that compiles: its one argument is for [`compile_child`].
const VERB: &str = "compile-component";
/// The most bytes of code that are taken from a child. Code is a few times as long as its component.
const CODE_BYTES_MAX: u64 = 512 << 20;
/// The most bytes of a child's complaint that are read.
const WORDS_BYTES_MAX: u64 = 16 << 10;
/// How often to look whether a child has ended. The shortest compilation takes ten times as long.
const LOOK_AGAIN: Duration = Duration::from_millis(2);
/// The most threads of a child: each takes addresses that its limit on memory counts.
const THREADS_MAX: usize = 4;
/// How far a child stands behind the host when both want a core, as a nice value.
const NICE: i32 = 10;

/// What wasmtime, the standard library and the system say when there is no memory left.
const NO_MEMORY_TEXTS: [&str; 3] =
    ["out of memory", "memory allocation of", "Cannot allocate memory"];

/// Where components are compiled.
#[derive(Debug, Clone)]
pub enum CompileIn {
    /// In this process, without limits: for components that are trusted.
    Process,
    /// In a child process.
    Child {
        /// This program, or another that hands the argument of its verb `compile-component` to
        /// [`compile_child`].
        program: PathBuf,
        /// What compiling may take.
        limits: CompileLimits,
    },
}

/// What compiling one component may take.
#[derive(Debug, Clone, Copy)]
pub struct CompileLimits {
    /// Time. 60 s if not set.
    pub timeout: Duration,
    /// Addresses of memory, in bytes. 2 GiB if not set.
    pub memory_bytes: u64,
}

impl Default for CompileLimits {
    fn default() -> Self {
        Self { timeout: Duration::from_mins(1), memory_bytes: 2 << 30 }
    }
}

/// What a child is told.
#[derive(Debug, Serialize, Deserialize)]
struct Order {
    profile: Profile,
    is_pooled: bool,
    memory_bytes: u64,
    cpu_seconds: u64,
}

/// How a child says that the component is to blame, and that it is not.
const INVALID: u8 = 1;
const BROKEN: u8 = 2;

/// Compiles a component in a child process. Returns its code for engines of this profile.
pub(crate) fn compile(
    program: &Path,
    limits: CompileLimits,
    (profile, is_pooled): (Profile, bool),
    component: &[u8],
) -> Result<Vec<u8>, SandboxError> {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
    // Should the host end first, no child outlives it by more than this.
    let cpu_seconds = limits.timeout.as_secs().saturating_add(1).saturating_mul(threads as u64);
    let order = Order { profile, is_pooled, memory_bytes: limits.memory_bytes, cpu_seconds };
    let order = serde_json::to_string(&order).map_err(|error| failed(error.into()))?;
    let started = Instant::now();
    let child = start(program, &order, threads).map_err(failed)?;
    let said = attend(child, component, started + limits.timeout).map_err(failed)?;
    judge(said, limits)
}

fn failed(error: io::Error) -> SandboxError {
    SandboxError::Compiler(error)
}

fn start(program: &Path, order: &str, threads: usize) -> io::Result<Child> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the program is the host itself, and its arguments are the host's own"
    )]
    let mut command = Command::new(program);
    command.arg0("apflow-host").args([VERB, order]).current_dir("/").env_clear();
    // Arenas of the allocator take addresses, whether they are used or not.
    command.env("MALLOC_ARENA_MAX", "2").env("RAYON_NUM_THREADS", threads.to_string());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
}

/// What a child left behind.
struct Said {
    /// None when it was ended because its time was up.
    status: Option<ExitStatus>,
    code: Vec<u8>,
    words: String,
}

/// Feeds a child, takes what it says, and waits for its end until the deadline.
fn attend(mut child: Child, component: &[u8], deadline: Instant) -> io::Result<Said> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    thread::scope(|scope| {
        // A child that ends early does not read it all: its status says why.
        scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(component)));
        let code = scope.spawn(move || read(stdout, CODE_BYTES_MAX));
        let words = scope.spawn(move || read(stderr, WORDS_BYTES_MAX));
        let status = wait(&mut child, deadline)?;
        let read = |reading: thread::ScopedJoinHandle<'_, _>| {
            reading.join().unwrap_or_else(|_| Err(io::Error::other("a reader ended")))
        };
        let words = String::from_utf8_lossy(&read(words)?).trim().to_owned();
        Ok(Said { status, code: read(code)?, words })
    })
}

/// Reads to the end or to a limit. A child that writes more then finds nobody who reads.
fn read(stream: Option<impl Read>, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        stream.take(bytes_max).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

/// Waits for the end of a child. None when it was ended at the deadline.
fn wait(child: &mut Child, deadline: Instant) -> io::Result<Option<ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(LOOK_AGAIN);
    }
}

fn judge(said: Said, limits: CompileLimits) -> Result<Vec<u8>, SandboxError> {
    let too_long = || SandboxError::CompileLimit(CompileLimit::Time(limits.timeout));
    let Some(status) = said.status else { return Err(too_long()) };
    if status.success() {
        let half = || failed(io::Error::other("the compiler's answer was cut short"));
        return unframe(said.code).ok_or_else(half);
    }
    if status.code() == Some(INVALID.into()) {
        return Err(SandboxError::InvalidComponent(said.words));
    }
    if status.signal() == Some(Signal::XCPU.as_raw()) {
        return Err(too_long());
    }
    if NO_MEMORY_TEXTS.iter().any(|text| said.words.contains(text)) {
        return Err(SandboxError::CompileLimit(CompileLimit::Memory(limits.memory_bytes)));
    }
    if status.code() == Some(BROKEN.into()) {
        return Err(failed(io::Error::other(said.words)));
    }
    Err(SandboxError::CompilerCrashed(format!("{status}: {}", said.words)))
}

fn frame(code: &[u8]) -> [u8; 8] {
    (code.len() as u64).to_le_bytes()
}

/// The code of a whole answer.
fn unframe(mut answer: Vec<u8>) -> Option<Vec<u8>> {
    let code = answer.split_off(answer.len().min(8));
    (answer == frame(&code)).then_some(code)
}

/// The child's side: compiles the component on standard input, within the limits of its order.
pub fn compile_child(order: &str) -> ExitCode {
    let mut words = io::stderr();
    let (text, code) = match obey(order) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Trouble::Invalid(text)) => (text, INVALID),
        Err(Trouble::Broken(text)) => (text, BROKEN),
    };
    // Without its words, the code still says who is to blame.
    words.write_all(text.as_bytes()).ok();
    code.into()
}

/// What keeps a child from compiling.
enum Trouble {
    /// The component is to blame.
    Invalid(String),
    /// It is not.
    Broken(String),
}

fn obey(order: &str) -> Result<(), Trouble> {
    let broken = |error: io::Error| Trouble::Broken(error.to_string());
    let order: Order = serde_json::from_str(order).map_err(|error| broken(error.into()))?;
    limit(&order).map_err(|error| broken(error.into()))?;
    let mut component = Vec::new();
    io::stdin().take(COMPONENT_BYTES_MAX).read_to_end(&mut component).map_err(broken)?;
    let engine = engine::make_compiler(order.profile, order.is_pooled)
        .map_err(|error| Trouble::Broken(error.to_string()))?;
    let code = engine.precompile_component(&component);
    let code = code.map_err(|error| Trouble::Invalid(format!("{error:#}")))?;
    let mut answer = io::stdout();
    answer.write_all(&frame(&code)).and_then(|()| answer.write_all(&code)).map_err(broken)?;
    answer.flush().map_err(broken)
}

/// Limits this process, for good.
fn limit(order: &Order) -> rustix::io::Result<()> {
    let to = |most| Rlimit { current: Some(most), maximum: Some(most) };
    setrlimit(Resource::As, to(order.memory_bytes))?;
    // At the soft limit comes a signal that says why, at the hard one the end.
    let cpu = Rlimit { maximum: Some(order.cpu_seconds + 1), ..to(order.cpu_seconds) };
    setrlimit(Resource::Cpu, cpu)?;
    setrlimit(Resource::Core, to(0))?;
    setrlimit(Resource::Fsize, to(0))?;
    setpriority_process(None, NICE)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the tests start other programs as compilers")]
mod tests {
    use super::*;

    const LIMITS: CompileLimits =
        CompileLimits { timeout: Duration::from_millis(50), memory_bytes: 1 << 30 };

    fn said(program: &str, arguments: &[&str]) -> Said {
        let mut command = Command::new(program);
        command.args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let deadline = Instant::now() + Duration::from_secs(30);
        attend(command.spawn().unwrap(), b"component", deadline).unwrap()
    }

    fn shell(script: &str) -> Result<Vec<u8>, SandboxError> {
        judge(said("sh", &["-c", script]), LIMITS)
    }

    #[test]
    fn a_child_that_does_not_end_is_ended() {
        let mut command = Command::new("sleep");
        command.arg("1000").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let deadline = Instant::now() + LIMITS.timeout;
        let said = attend(command.spawn().unwrap(), b"component", deadline).unwrap();
        let text = judge(said, LIMITS).unwrap_err().to_string();
        assert!(text.contains("50 ms") && text.contains("APFLOW_COMPILE_TIMEOUT"), "{text}");
    }

    #[test]
    fn the_end_of_a_child_says_what_is_wrong() {
        let text = |script| shell(script).unwrap_err().to_string();
        assert!(text("echo no header >&2; exit 1").ends_with("no header"));
        assert!(
            text("echo 'memory allocation of 7 bytes failed' >&2; kill -ABRT $$")
                .contains("more than 1 GiB of memory")
        );
        assert!(text("kill -XCPU $$").contains("50 ms"));
        assert!(text("kill -SEGV $$").contains("crashed"));
        assert!(matches!(shell("exit 2"), Err(SandboxError::Compiler(_))));
    }

    #[test]
    fn only_a_whole_answer_is_taken() {
        assert_eq!(shell("printf '\\003\\0\\0\\0\\0\\0\\0\\0abc'").unwrap(), b"abc");
        for cut in ["true", "printf abc", "printf '\\003\\0\\0\\0\\0\\0\\0\\0ab'"] {
            assert!(matches!(shell(cut), Err(SandboxError::Compiler(_))), "{cut}");
        }
    }
}
