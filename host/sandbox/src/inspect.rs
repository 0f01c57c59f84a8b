//! What a component truly is: its world and its imports, read from its type.
//!
//! A toolchain drops imports that the code never calls, so the list is what the code can do.

use apflow_model::capability::Capabilities;
use apflow_model::plugin::World;
use wasmtime::Engine;
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

use crate::error::SandboxError;
use crate::import::{ExcessImport, Family, Import};

/// The export of an executor, as this host runs it.
pub(crate) const EXECUTOR_EXPORT: &str = "apflow:plugin/run@0.1.0";
const EXECUTOR_INTERFACE: &str = "apflow:plugin/run@";
const COMMAND_INTERFACE: &str = "wasi:cli/run@0.2.";

/// Refuses bytes that are no component by their first eight bytes, with better words than a
/// parser's.
pub(crate) fn check_header(bytes: &[u8]) -> Result<(), SandboxError> {
    const CORE_MODULE: [u8; 4] = [1, 0, 0, 0];
    if !bytes.starts_with(b"\0asm") {
        return Err(SandboxError::NotWebAssembly);
    }
    if bytes.get(4..8) == Some(&CORE_MODULE) {
        return Err(SandboxError::CoreModule);
    }
    Ok(())
}

/// Finds which world a component is of.
pub(crate) fn world(engine: &Engine, component: &Component) -> Result<World, SandboxError> {
    let ty = component.component_type();
    let exports: Vec<&str> = ty.exports(engine).map(|(name, _)| name).collect();
    if let Some(found) = exports.iter().find(|name| name.starts_with(EXECUTOR_INTERFACE)) {
        if runs_version(found) {
            return Ok(World::Executor);
        }
        let found = (*found).to_owned();
        return Err(SandboxError::OtherVersion { expected: EXECUTOR_EXPORT, found });
    }
    if exports.iter().any(|name| name.starts_with(COMMAND_INTERFACE)) {
        return Ok(World::Command);
    }
    let quoted: Vec<String> = exports.iter().map(|name| format!("`{name}`")).collect();
    Err(SandboxError::OtherWorld {
        expected: EXECUTOR_EXPORT,
        found: if quoted.is_empty() { "nothing".to_owned() } else { quoted.join(", ") },
    })
}

/// Whether a plugin of this version of the interface runs here: the same minor version, and no
/// later patch.
fn runs_version(export: &str) -> bool {
    let version = |text: &str| {
        let mut parts = text.split('@').nth(1)?.split('.').map(str::parse::<u32>);
        Some((parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?))
    };
    match (version(export), version(EXECUTOR_EXPORT)) {
        (Some(found), Some(own)) => (found.0, found.1) == (own.0, own.1) && found.2 <= own.2,
        _ => false,
    }
}

/// Lists the interfaces that a component imports functions of, in its own order.
///
/// An import of types alone gives its component nothing, so it is left out.
pub(crate) fn imports(engine: &Engine, component: &Component) -> Vec<Import> {
    let ty = component.component_type();
    ty.imports(engine)
        .filter(|(_, import)| match &import.ty {
            ComponentItem::ComponentInstance(instance) => instance
                .exports(engine)
                .any(|(_, export)| matches!(export.ty, ComponentItem::ComponentFunc(_))),
            ComponentItem::Type(_) | ComponentItem::Resource(_) => false,
            ComponentItem::ComponentFunc(_)
            | ComponentItem::CoreFunc(_)
            | ComponentItem::Module(_)
            | ComponentItem::Component(_) => true,
        })
        .map(|(name, _)| Import { interface: name.to_owned(), family: Family::of(name) })
        .collect()
}

/// Compares the true imports with what the manifest asks for.
pub(crate) fn check_imports(imports: &[Import], asked: &Capabilities) -> Result<(), SandboxError> {
    let excess: Vec<ExcessImport> = imports
        .iter()
        .filter(|import| !import.family.is_asked(asked))
        .cloned()
        .map(ExcessImport)
        .collect();
    if excess.is_empty() { Ok(()) } else { Err(SandboxError::ExcessImports(excess)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_belong_to_families() {
        for (interface, family) in [
            ("wasi:random/insecure-seed@0.2.6", Family::Base),
            ("wasi:random/random@0.2.6", Family::Random),
            ("wasi:cli/environment@0.2.0", Family::Base),
            ("wasi:sockets/tcp@0.2.6", Family::Sockets),
            ("wasi:http/outgoing-handler@0.2.0", Family::Http),
            ("wasi:http/incoming-handler@0.2.0", Family::Unknown),
            ("apflow:plugin/log@0.1.0", Family::Task),
            ("apflow:plugin/dial@0.1.0", Family::Tcp),
            ("acme:own/thing", Family::Unknown),
        ] {
            assert_eq!(Family::of(interface), family, "{interface}");
        }
    }

    #[test]
    fn only_the_same_minor_version_and_no_later_patch_runs() {
        assert!(runs_version("apflow:plugin/run@0.1.0"));
        assert!(!runs_version("apflow:plugin/run@0.1.7"));
        assert!(!runs_version("apflow:plugin/run@0.2.0"));
        assert!(!runs_version("apflow:plugin/run@1.1.0"));
    }

    #[test]
    fn excess_imports_are_all_listed_with_what_to_write() {
        let import = |name: &str| Import { interface: name.into(), family: Family::of(name) };
        let imports = [import("wasi:clocks/wall-clock@0.2.6"), import("wasi:sockets/udp@0.2.6")];
        let text = check_imports(&imports, &Capabilities::default()).unwrap_err().to_string();
        assert!(text.contains("`wasi:clocks/wall-clock@0.2.6` needs `capabilities"), "{text}");
        assert!(
            text.contains("`wasi:sockets/udp@0.2.6` needs `capabilities: { sockets:"),
            "{text}"
        );
        let asked = Capabilities { clocks: true, ..Capabilities::default() };
        assert!(check_imports(&imports[..1], &asked).is_ok());
    }
}
