//! `plugin.yaml` and `grants.lock`.

use apflow_model::capability::Capabilities;
use apflow_model::consent::GrantLock;
use apflow_model::manifest::Manifest;
use apflow_model::reader::FileFault;

/// Reads any text as a manifest and as a lock: what is accepted means one thing, and what is refused
/// has a fault with a place in the text.
pub fn manifest(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match Manifest::parse(&text) {
        Ok(manifest) => {
            let stored = serde_json::to_string(&manifest).unwrap();
            assert_eq!(serde_json::from_str::<Manifest>(&stored).unwrap(), manifest);
            let asked = &manifest.capabilities;
            assert!(asked.covers(asked), "it asks for what it asks for");
            let lines: Vec<String> = asked.each().iter().flat_map(Capabilities::lines).collect();
            assert_eq!(lines, asked.lines());
        }
        Err(faults) => check(&text, &faults),
    }
    match GrantLock::parse(&text) {
        Ok(lock) => assert_eq!(GrantLock::parse(&lock.to_string()).unwrap(), lock),
        Err(faults) => check(&text, &faults),
    }
}

fn check(text: &str, faults: &[FileFault]) {
    assert!(!faults.is_empty(), "it was refused for no reason");
    // A YAML line ends at more than a line feed; whatever ends one is a character.
    let lines = text.chars().count() as u64 + 1;
    for fault in faults {
        assert!((1..=lines).contains(&fault.line) && fault.column >= 1, "{fault}");
        assert!(!fault.message.is_empty() && !fault.fix.is_empty(), "{fault}");
    }
}
