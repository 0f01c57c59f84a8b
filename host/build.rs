//! Builds the first-party plugins and tools and the hostile guests from source, so that the binary
//! can hold them, and writes the list of the guests.
//!
//! It runs a second cargo for `wasm32-wasip2` in a target directory of its own, and adds that
//! target with rustup when it is missing.

#![expect(
    clippy::disallowed_methods,
    reason = "a build script is told everything by its environment, and runs cargo and rustup; no \
              request can reach it"
)]

use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

/// The plugins, by the name of their package. `noop_executor` is there for the benchmarks.
const PLUGINS: [&str; 7] = [
    "aggregate_results_executor",
    "apflow_api_executor",
    "llm_executor",
    "noop_executor",
    "rest_executor",
    "send_email_executor",
    "transform_executor",
];
/// The command tools, by the name of their program. Their packages are called `NAME_tool`.
const TOOLS: [&str; 14] = [
    "base64",
    "csv",
    "date",
    "diff",
    "grep",
    "head",
    "jq",
    "markdown",
    "qr",
    "sha256sum",
    "sort",
    "tail",
    "uniq",
    "wc",
];
const TARGET: &str = "wasm32-wasip2";
const PROFILE: &str = "plugin";
/// Where the guests are: one program or one component in the text format a file.
const GUESTS: &str = "tests/guests";
const GUESTS_PACKAGE: &str = "apflow-guests";
const GUESTS_PROFILE: &str = "guest";

fn main() -> Result<(), Box<dyn Error>> {
    let package = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or("not run by cargo")?);
    let workspace = package.parent().ok_or("the package is not inside the workspace")?;
    for source in [
        "plugins",
        "sdk/command/src",
        "sdk/command/Cargo.toml",
        "sdk/src",
        "sdk/macros/src",
        "sdk/Cargo.toml",
        "wit",
        "Cargo.toml",
        "Cargo.lock",
        GUESTS,
    ] {
        println!("cargo::rerun-if-changed={}", workspace.join(source).display());
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("not run by cargo")?);
    let target_dir = target_dir(&out)?;
    if !has_target()? {
        add_target()?;
    }
    build(workspace, &target_dir, PROFILE, &PLUGINS)?;
    // By themselves: together, each would be built with the features that the others want of their
    // common dependencies.
    let tools = TOOLS.map(|tool| format!("{tool}_tool"));
    build(workspace, &target_dir, PROFILE, &tools)?;
    build(workspace, &target_dir, GUESTS_PROFILE, &[GUESTS_PACKAGE])?;
    let built = target_dir.join(TARGET);
    for plugin in PLUGINS.into_iter().chain(TOOLS) {
        let component = format!("{plugin}.wasm");
        std::fs::copy(built.join(PROFILE).join(&component), out.join(&component))?;
        // Hashed once for all starts: every verb would do it anew.
        let hash = Sha256::digest(std::fs::read(out.join(&component))?);
        std::fs::write(out.join(format!("{plugin}.sha256")), hash)?;
    }
    let guests = guests(&workspace.join(GUESTS).join("src"))?;
    let folder = out.join("guests");
    std::fs::create_dir_all(&folder)?;
    for guest in &guests {
        let component = format!("{}.wasm", guest.name);
        if guest.is_text() {
            std::fs::write(folder.join(&component), wat::parse_file(&guest.source)?)?;
        } else {
            std::fs::copy(built.join(GUESTS_PROFILE).join(&component), folder.join(&component))?;
        }
    }
    std::fs::write(out.join("guests.rs"), list(&guests)?)?;
    Ok(())
}

/// A program that does one bad deed.
struct Guest {
    name: String,
    source: PathBuf,
}

impl Guest {
    fn is_text(&self) -> bool {
        self.source.extension().is_some_and(|extension| extension == "wat")
    }

    /// Its name as a variant: `never_ends` becomes `NeverEnds`.
    fn variant(&self) -> String {
        let words = self.name.split('_').map(|word| {
            let (first, rest) = word.split_at(1.min(word.len()));
            first.to_uppercase() + rest
        });
        words.collect()
    }

    /// The first paragraph of its source, which says what it does.
    fn deed(&self) -> Result<String, Box<dyn Error>> {
        let mark = if self.is_text() { ";;" } else { "//!" };
        let text = std::fs::read_to_string(&self.source)?;
        let lines = text.lines().map_while(|line| line.strip_prefix(mark));
        let lines: Vec<&str> = lines.map(str::trim).take_while(|line| !line.is_empty()).collect();
        if lines.is_empty() {
            let source = self.source.display();
            return Err(format!("{source} does not begin with `{mark}` and its deed").into());
        }
        Ok(lines.join(" "))
    }
}

/// Finds every guest, in the order of their names.
fn guests(sources: &Path) -> Result<Vec<Guest>, Box<dyn Error>> {
    let mut guests = Vec::new();
    for folder in ["bin", "wat"] {
        for entry in std::fs::read_dir(sources.join(folder))? {
            let source = entry?.path();
            let name = source.file_stem().and_then(|name| name.to_str()).map(str::to_owned);
            guests.push(Guest { name: name.ok_or("a guest has no name")?, source });
        }
    }
    guests.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(guests)
}

/// Writes the guests as an enum: a `match` over it needs an arm for each.
fn list(guests: &[Guest]) -> Result<String, Box<dyn Error>> {
    let deeds = guests.iter().map(Guest::deed).collect::<Result<Vec<_>, _>>()?;
    let variants = guests.iter().zip(deeds);
    let variants = variants.map(|(guest, deed)| format!("#[doc = {deed:?}] {},", guest.variant()));
    let variants: String = variants.collect();
    let arms = |value: &dyn Fn(&str) -> String| -> String {
        let arm = |guest: &Guest| format!("Self::{} => {},", guest.variant(), value(&guest.name));
        guests.iter().map(arm).collect()
    };
    let names = arms(&|name| format!("{name:?}"));
    let components = arms(&|name| {
        format!("include_bytes!(concat!(env!(\"OUT_DIR\"), \"/guests/{name}.wasm\"))")
    });
    let all = guests.iter().map(|guest| format!("Self::{},", guest.variant()));
    let (all, count, own) = (all.collect::<String>(), guests.len(), "pub(crate) const");
    Ok(format!(
        "/// A program that does one bad deed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Guest {{ {variants} }}
        impl Guest {{
            /// Every guest, in the order of their names.
            {own} ALL: [Self; {count}] = [{all}];
            /// The name of its file.
            {own} fn name(self) -> &'static str {{ match self {{ {names} }} }}
            /// The bytes of its component.
            {own} fn component(self) -> &'static [u8] {{ match self {{ {components} }} }}
        }}"
    ))
}

/// `target/plugins`, found from `target/PROFILE/build/PACKAGE-HASH/out`.
///
/// One directory for all profiles of the host: a plugin is built the same way for each.
fn target_dir(out: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let build = out.ancestors().find(|folder| folder.ends_with("build"));
    let profile = build.and_then(Path::parent).ok_or("OUT_DIR has no `build` in it")?;
    Ok(profile.parent().ok_or("OUT_DIR is too short")?.join("plugins"))
}

fn build(
    workspace: &Path,
    target_dir: &Path,
    profile: &str,
    packages: &[impl AsRef<str>],
) -> Result<(), Box<dyn Error>> {
    let mut cargo = Command::new(env::var_os("CARGO").ok_or("not run by cargo")?);
    cargo.current_dir(workspace).args([
        "build",
        "--locked",
        "--target",
        TARGET,
        "--profile",
        profile,
    ]);
    cargo.arg("--target-dir").arg(target_dir);
    for package in packages {
        cargo.args(["--package", package.as_ref()]);
    }
    // What the outer build was told about the host's own machine must not reach the inner one.
    for name in ["RUSTFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "CARGO_BUILD_TARGET"] {
        cargo.env_remove(name);
    }
    cargo.env("CARGO_ENCODED_RUSTFLAGS", remapped_paths(workspace).join("\u{1f}"));
    if cargo.status()?.success() {
        return Ok(());
    }
    let packages: Vec<&str> = packages.iter().map(AsRef::as_ref).collect();
    Err(format!("{} do not build for {TARGET}: see above", packages.join(", ")).into())
}

/// Flags that keep the paths of this machine out of the plugins, which name their source files when
/// they panic. The same source then gives the same bytes, and the same digest, wherever it is built.
fn remapped_paths(workspace: &Path) -> Vec<String> {
    let own = (workspace.to_owned(), "apflow-host");
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")));
    let registry = home.map(|home| (home.join("registry/src"), "registry"));
    std::iter::once(own)
        .chain(registry)
        .map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display()))
        .collect()
}

/// Whether the compiler has a standard library for the target.
fn has_target() -> Result<bool, Box<dyn Error>> {
    let rustc = env::var_os("RUSTC").ok_or("not run by cargo")?;
    let output =
        Command::new(rustc).args(["--print", "target-libdir", "--target", TARGET]).output()?;
    let folder = String::from_utf8(output.stdout)?;
    Ok(output.status.success() && Path::new(folder.trim()).is_dir())
}

fn add_target() -> Result<(), Box<dyn Error>> {
    let added = Command::new("rustup").args(["target", "add", TARGET]).status();
    match added {
        Ok(status) if status.success() => Ok(()),
        _ => Err(format!(
            "the Rust target {TARGET} is missing: run `rustup target add {TARGET}`, or install \
             your distribution's package for it"
        )
        .into()),
    }
}
