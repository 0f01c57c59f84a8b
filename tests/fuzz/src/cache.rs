//! Files of the code cache that the host did not write.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use apflow_sandbox::{CodeCache, CompileIn, NoGate, NoSecrets, Sandbox, Settings};
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use tempfile::TempDir;

/// A component that does nothing.
const COMPONENT: &str = r#"(component
  (core module $main (func (export "run") (result i32) (i32.const 0)))
  (core instance $main (instantiate $main))
  (func $run (result (result)) (canon lift (core func $main "run")))
  (instance $exported (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $exported)))"#;

/// A sandbox whose cache holds the code of one component.
struct Cached {
    sandbox: Sandbox,
    component: Vec<u8>,
    /// Where its code is.
    file: PathBuf,
    /// Its code, as the host wrote it.
    code: Vec<u8>,
    _folder: TempDir,
}

/// Puts any bytes in the place of compiled code, and changes compiled code in any place: neither is
/// ever loaded.
pub fn code_cache(bytes: &[u8]) {
    static CACHED: OnceLock<Mutex<Cached>> = OnceLock::new();
    let cached = CACHED.get_or_init(|| Mutex::new(Cached::new()));
    let cached = cached.lock().unwrap_or_else(PoisonError::into_inner);
    cached.refuses(bytes);
    let mut changed = cached.code.clone();
    for edit in bytes.chunks_exact(5).take(8) {
        let at = u32::from_le_bytes([edit[0], edit[1], edit[2], edit[3]]) as usize % changed.len();
        changed[at] ^= edit[4];
    }
    cached.refuses(&changed);
    let length = bytes.iter().fold(0_usize, |sum, byte| sum.wrapping_mul(31) + usize::from(*byte));
    cached.refuses(&cached.code[..length % cached.code.len()]);
}

impl Cached {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let opened = Dir::open_ambient_dir(folder.path(), ambient_authority()).unwrap();
        let cache = Some(CodeCache::open(opened).unwrap());
        let settings = Settings {
            instances_max: 1,
            compile_in: CompileIn::Process,
            cache,
            environment: BTreeMap::new(),
            secrets: Arc::new(NoSecrets),
            gate: Arc::new(NoGate),
        };
        let sandbox = Sandbox::new(settings).unwrap();
        let component = wat::parse_str(COMPONENT).unwrap();
        assert!(!sandbox.compile(&component, false).unwrap().is_cached);
        assert!(sandbox.compile(&component, false).unwrap().is_cached);
        let files = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let file = files
            .filter(|path| !path.ends_with("key"))
            .max_by_key(|path| path.metadata().unwrap().len());
        let file = file.unwrap();
        let code = fs::read(&file).unwrap();
        Self { sandbox, component, file, code, _folder: folder }
    }

    fn refuses(&self, bytes: &[u8]) {
        if bytes == self.code {
            return;
        }
        fs::write(&self.file, bytes).unwrap();
        let compiled = self.sandbox.compile(&self.component, false).unwrap();
        assert!(!compiled.is_cached, "foreign code was loaded");
        assert_eq!(fs::read(&self.file).unwrap().len(), self.code.len(), "it was not made anew");
    }
}
