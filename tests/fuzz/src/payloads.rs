//! What goes into guests and comes out of them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use apflow_model::fault::FaultCode;
use apflow_model::hops::Hops;
use apflow_model::manifest::Manifest;
use apflow_sandbox::{
    Call, CompileIn, Compiled, Ended, Linked, Mounts, NoGate, NoSecrets, NoTask, Sandbox, Settings,
    Stop,
};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

/// The most bytes that the echo has room for.
const BYTES_MAX: usize = 32 << 10;

/// The longest that a component may run that nobody knows.
const UNKNOWN_MAX: Duration = Duration::from_millis(20);

/// A command that reads bytes from its first argument, in hexadecimal, and reports them as a text.
const ECHO: &str = include_str!("echo.wat");

/// Hands any bytes to a guest as text, back from it as text, and to the compiler as a component.
pub fn payload(bytes: &[u8]) {
    let host = host();
    host.echo(&bytes[..bytes.len().min(BYTES_MAX)]);
    host.run_unknown(bytes);
    // A component with a few bytes changed gets further than noise.
    let mut changed = host.component.clone();
    for edit in bytes.chunks_exact(3).take(8) {
        let at = usize::from(u16::from_le_bytes([edit[0], edit[1]])) % changed.len();
        changed[at] ^= edit[2];
    }
    host.run_unknown(&changed);
}

struct Host {
    runtime: Runtime,
    sandbox: Sandbox,
    component: Vec<u8>,
    echo: Linked,
}

fn host() -> &'static Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    HOST.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let settings = Settings {
            instances_max: 1,
            compile_in: CompileIn::Process,
            cache: None,
            environment: BTreeMap::new(),
            secrets: Arc::new(NoSecrets),
            gate: Arc::new(NoGate),
        };
        let sandbox = Sandbox::new(settings).unwrap();
        let component = wat::parse_str(ECHO).unwrap();
        let echo = sandbox.compile(&component, false).unwrap();
        let echo = sandbox.link(&echo, &manifest()).unwrap();
        Host { runtime, sandbox, component, echo }
    })
}

impl Host {
    /// Whatever is text arrives and comes back; whatever is none ends the guest, and nothing else.
    fn echo(&self, bytes: &[u8]) {
        let hex = bytes.iter().fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").expect("a text takes more");
            hex
        });
        let text = String::from_utf8_lossy(bytes);
        let input = json!({ "args": [hex, text], "stdin": text });
        let ended = self.run(&self.echo, &input, Duration::from_secs(10));
        match (ended.result, std::str::from_utf8(bytes)) {
            (Ok(output), Ok(_)) => assert_eq!(output["exit_code"], 0),
            (Err(fault), Err(_)) => assert_eq!(fault.code, FaultCode::Trapped, "{fault}"),
            (result, text) => panic!("{text:?} ended with {result:?}"),
        }
    }

    /// Whatever the bytes are, the host goes on.
    fn run_unknown(&self, bytes: &[u8]) {
        let Ok(compiled) = self.sandbox.compile(bytes, false) else { return };
        let Compiled { imports, .. } = &compiled;
        assert!(imports.len() < 1_000, "more imports than bytes");
        if let Ok(linked) = self.sandbox.link(&compiled, &manifest()) {
            let input = json!({ "args": ["00", "a"] });
            let ended = self.run(&linked, &input, UNKNOWN_MAX);
            drop(ended);
        }
    }

    fn run(&self, plugin: &Linked, input: &Value, timeout: Duration) -> Ended {
        let call = Call {
            task_id: "t_0000000000000",
            job_id: "j_0000000000000",
            attempt: 1,
            model: None,
            input,
            timeout: Some(timeout),
            granted: Arc::default(),
            narrowed: None,
            mounts: Mounts::default(),
            hops: Hops::default(),
            trace: None,
            stop: Stop::new(),
        };
        self.runtime.block_on(self.sandbox.run(plugin, call, Arc::new(NoTask)))
    }
}

fn manifest() -> Manifest {
    let text =
        "name: echo\nversion: 0.1.0\ndescription: Says what it hears.\ncomponent: echo.wasm\n";
    Manifest::parse(text).unwrap()
}
