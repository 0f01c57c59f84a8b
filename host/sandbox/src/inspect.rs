//! What a component truly is: its world and its imports, read from its type, compiled or not.
//!
//! A toolchain drops imports that the code never calls, so the list is what the code can do.

use apflow_model::capability::Capabilities;
use apflow_model::import::{ExcessImport, Import};
use apflow_model::plugin::World;
use apflow_model::validate::Inspected;
use wasmparser::component_types::ComponentEntityType;
use wasmparser::types::Types;
use wasmparser::{BinaryReaderError, Parser, Payload, Validator};
use wasmtime::Engine;
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

use crate::bulk;
use crate::error::SandboxError;

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

/// Reads what a component is, without compiling it and without running any of it.
///
/// # Errors
///
/// [`SandboxError::NotWebAssembly`], [`SandboxError::CoreModule`] and
/// [`SandboxError::InvalidComponent`] for bytes that are no component, [`SandboxError::TooLarge`] and
/// [`SandboxError::FunctionTooLarge`] for one that would not be compiled, and
/// [`SandboxError::OtherWorld`] and [`SandboxError::OtherVersion`] for one that this host has no use
/// for.
pub fn inspect(bytes: &[u8]) -> Result<Inspected, SandboxError> {
    let invalid = |error: BinaryReaderError| SandboxError::InvalidComponent(error.to_string());
    check_header(bytes)?;
    bulk::check(bytes)?;
    let types = Validator::new().validate_all(bytes).map_err(invalid)?;
    let (imports, exports) = names(bytes).map_err(invalid)?;
    let imports = imports.into_iter().filter(|name| gives_functions(&types, name));
    Ok(Inspected {
        bytes: bytes.len() as u64,
        world: world_of(&exports)?,
        imports: imports.map(Import::new).collect(),
    })
}

/// The names that a component imports and exports itself, not those of what is nested in it.
fn names(bytes: &[u8]) -> Result<(Vec<&str>, Vec<&str>), BinaryReaderError> {
    let (mut imports, mut exports, mut depth) = (Vec::new(), Vec::new(), 0_usize);
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload?;
        if let Payload::ModuleSection { .. } | Payload::ComponentSection { .. } = payload {
            depth += 1;
        } else if let Payload::End(_) = payload {
            depth = depth.saturating_sub(1);
        } else if depth == 0
            && let Payload::ComponentImportSection(section) = payload
        {
            for import in section {
                imports.push(import?.name.name);
            }
        } else if depth == 0
            && let Payload::ComponentExportSection(section) = payload
        {
            for export in section {
                exports.push(export?.name.name);
            }
        }
    }
    Ok((imports, exports))
}

/// Whether an import is more than types: those alone give nothing.
fn gives_functions(types: &Types, name: &str) -> bool {
    match types.component_item_for_import(name).map(|item| item.ty) {
        Some(ComponentEntityType::Instance(instance)) => types[instance]
            .exports
            .values()
            .any(|export| matches!(export.ty, ComponentEntityType::Func(_))),
        Some(ComponentEntityType::Type { .. } | ComponentEntityType::Value(_)) | None => false,
        Some(
            ComponentEntityType::Func(_)
            | ComponentEntityType::Module(_)
            | ComponentEntityType::Component(_),
        ) => true,
    }
}

/// Finds which world a component is of.
pub(crate) fn world(engine: &Engine, component: &Component) -> Result<World, SandboxError> {
    let ty = component.component_type();
    world_of(&ty.exports(engine).map(|(name, _)| name).collect::<Vec<_>>())
}

/// Finds which world exports these.
fn world_of(exports: &[&str]) -> Result<World, SandboxError> {
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
        .map(|(name, _)| Import::new(name))
        .collect()
}

/// Compares the true imports with what the manifest asks for.
///
/// # Errors
///
/// [`SandboxError::ExcessImports`] with each that is not asked for.
pub fn check_imports(imports: &[Import], asked: &Capabilities) -> Result<(), SandboxError> {
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
    fn a_component_is_known_without_compiling_it() {
        let component = wat::parse_str(
            r#"(component
                (import "wasi:io/poll@0.2.0" (instance (export "pollable" (type (sub resource)))))
                (import "wasi:random/random@0.2.0" (instance (export "get-random-u64"
                    (func (result u64)))))
                (component (import "nested:not/own" (func)))
                (core module $main (func (export "run") (result i32) (i32.const 0)))
                (core instance $main (instantiate $main))
                (func $run (result (result)) (canon lift (core func $main "run")))
                (instance $exported (export "run" (func $run)))
                (export "wasi:cli/run@0.2.0" (instance $exported)))"#,
        )
        .unwrap();
        let found = inspect(&component).unwrap();
        let bytes = component.len() as u64;
        let imports = vec![Import::new("wasi:random/random@0.2.0")];
        assert_eq!(found, Inspected { bytes, world: World::Command, imports });
        assert!(matches!(inspect(b"text"), Err(SandboxError::NotWebAssembly)));
        let cut = &component[..component.len() - 3];
        assert!(matches!(inspect(cut), Err(SandboxError::InvalidComponent(_))));
        let empty = wat::parse_str("(component)").unwrap();
        assert!(matches!(inspect(&empty), Err(SandboxError::OtherWorld { .. })));
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
        let imports = ["wasi:clocks/wall-clock@0.2.6", "wasi:sockets/udp@0.2.6"].map(Import::new);
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
