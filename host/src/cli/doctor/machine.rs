//! What is examined besides the database: the files of the settings, the environment, the limits of
//! the system, and what else there is on the machine.

use std::net::TcpListener;
use std::path::{Path, PathBuf};

use apflow_model::doctor::{EXAMPLES_MAX, Finding};
use cap_std::ambient_authority;
use cap_std::fs::{Dir, PermissionsExt};
use rustix::process::{Resource, getrlimit};

use crate::cli::target;
use crate::config::{Config, misnamed};

/// With fewer open files the host takes very few connections.
const OPEN_FILES_MIN: u64 = 1_024;
/// How many addresses the pool reserves for one instance, in bytes.
const POOL_BYTES_EACH: u64 = 4 << 30;
/// Where `serve` listens unless it is told otherwise.
const PORT: u16 = 8_000;

/// A check, and what it is when all is well.
struct Check {
    name: &'static str,
    why: &'static str,
    remedy: &'static str,
    /// Whether it matters only where tasks run.
    is_of_hosts: bool,
    look: fn(&Config) -> Vec<String>,
}

const CHECKS: [Check; 4] = [
    Check {
        name: "file-permissions",
        why: "the settings, the data directory and the key of TLS are their owner's alone: they hold \
              tokens, secrets and what guests wrote",
        remedy: "`chmod go-rwx` them",
        is_of_hosts: false,
        look: open_to_others,
    },
    Check {
        name: "variable-unknown",
        why: "each variable of the environment that begins with `APFLOW_` says something: else a \
              setting is meant that does not apply",
        remedy: "correct its name, as `apflow-host config explain SETTING` has it, or remove it",
        is_of_hosts: false,
        look: unknown_variables,
    },
    Check {
        name: "open-files-limit",
        why: "the host may open 1024 files or more: each connection and each guest takes some",
        remedy: "raise it, by `ulimit -n 65536` or `LimitNOFILE=65536` of its systemd unit",
        is_of_hosts: true,
        look: few_open_files,
    },
    Check {
        name: "address-space-limit",
        why: "there are addresses enough for a pool of instances: without one, each attempt takes \
              longer to start",
        remedy: "lift it, by `ulimit -v unlimited` or without `LimitAS` of its systemd unit, or lower \
                 `attempts_max`",
        is_of_hosts: true,
        look: few_addresses,
    },
];

/// Examines this machine: where no tasks run, only what matters there as well. The names of the checks,
/// and what they find.
pub(super) fn examine(config: &Config, runs_tasks: bool) -> (Vec<&'static str>, Vec<Finding>) {
    let checks = || CHECKS.iter().filter(|check| runs_tasks || !check.is_of_hosts);
    let findings = checks().filter_map(|check| {
        let found = (check.look)(config);
        (!found.is_empty()).then(|| Finding {
            check: check.name.into(),
            count: found.len() as u64,
            examples: found.into_iter().take(EXAMPLES_MAX).collect(),
            why: check.why.into(),
            remedy: check.remedy.into(),
            is_repairable: false,
        })
    });
    (checks().map(|check| check.name).collect(), findings.collect())
}

fn open_to_others(config: &Config) -> Vec<String> {
    let settings = ["config.yaml", "secrets.yaml"].map(|name| config.settings_dir.join(name));
    let key = config.file.http.tls.as_ref().map(|tls| tls.key.clone());
    let files = settings.into_iter().chain(key).chain([config.data_dir.clone()]);
    files.filter_map(|path| mode_open_to_others(&path)).collect()
}

/// A path with its mode, when others than its owner may use it.
fn mode_open_to_others(path: &Path) -> Option<String> {
    let (folder, name) = (path.parent()?, path.file_name()?);
    let folder = Dir::open_ambient_dir(folder, ambient_authority()).ok()?;
    let mode = folder.metadata(name).ok()?.permissions().mode() & 0o777;
    (mode & 0o077 != 0).then(|| format!("{} has the mode {mode:03o}", path.display()))
}

fn unknown_variables(config: &Config) -> Vec<String> {
    let unknown = misnamed(&config.environment).into_iter();
    let told = unknown.map(|(name, meant)| match meant {
        Some(meant) => format!("`{name}`: did you mean `{meant}`?"),
        None => format!("`{name}`"),
    });
    told.collect()
}

fn few_open_files(_: &Config) -> Vec<String> {
    let limit = getrlimit(Resource::Nofile).current;
    limit
        .filter(|limit| *limit < OPEN_FILES_MIN)
        .map(|limit| limit.to_string())
        .into_iter()
        .collect()
}

fn few_addresses(config: &Config) -> Vec<String> {
    let wanted = u64::from(config.file.attempts_max.0) * POOL_BYTES_EACH;
    let limit = getrlimit(Resource::As).current;
    let gib = |bytes: u64| bytes >> 30;
    limit
        .filter(|limit| *limit < wanted)
        .map(|limit| format!("{} GiB of {} GiB", gib(limit), gib(wanted)))
        .into_iter()
        .collect()
}

/// What there is on the machine, to be told and not judged: by name.
pub(super) fn figures(config: &Config, runs_tasks: bool) -> Vec<(&'static str, String)> {
    let mut figures = vec![("settings", config.settings_dir.display().to_string())];
    figures.push(("verbs are done", target::explain(config).1));
    if runs_tasks {
        figures.push(("port 8000", port()));
    }
    figures.push(("toolchain", toolchain(config)));
    figures
}

fn port() -> String {
    let is_free = TcpListener::bind(("127.0.0.1", PORT)).is_ok();
    if is_free { "free" } else { "taken: `serve` is told another by `--port`" }.to_owned()
}

/// What builds plugins, where it is installed. Nothing else needs it.
fn toolchain(config: &Config) -> String {
    let variable = |name: &str| config.environment.get(name).map(PathBuf::from);
    let has = |folder: &Path, name: &str| {
        Dir::open_ambient_dir(folder, ambient_authority()).is_ok_and(|folder| folder.exists(name))
    };
    let path = config.environment.get("PATH").cloned().unwrap_or_default();
    let Some(cargo) = std::env::split_paths(&path).find(|folder| has(folder, "cargo")) else {
        return "no cargo: it builds plugins, and nothing else needs it".to_owned();
    };
    let rustup = variable("RUSTUP_HOME")
        .or_else(|| variable("HOME").map(|home| home.join(".rustup")))
        .map(|rustup| rustup.join("toolchains"));
    let installed =
        rustup.and_then(|rustup| Dir::open_ambient_dir(rustup, ambient_authority()).ok());
    let entries = installed.and_then(|folder| folder.entries().ok());
    let names = entries.into_iter().flatten().filter_map(Result::ok);
    let has_target = names
        .filter_map(|toolchain| toolchain.open_dir().ok())
        .any(|toolchain| toolchain.exists("lib/rustlib/wasm32-wasip2"));
    let target = if has_target {
        "wasm32-wasip2 is there"
    } else {
        "`rustup target add wasm32-wasip2` to build plugins"
    };
    format!("{}, {target}", cargo.join("cargo").display())
}

#[cfg(test)]
mod tests {
    use cap_std::fs::Permissions;

    use super::*;

    #[test]
    fn what_others_may_use_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.yaml");
        let opened = Dir::open_ambient_dir(folder.path(), ambient_authority()).unwrap();
        opened.write("config.yaml", "").unwrap();
        opened.set_permissions("config.yaml", Permissions::from_mode(0o640)).unwrap();
        let told = mode_open_to_others(&path).unwrap();
        assert!(told.ends_with("config.yaml has the mode 640"), "{told}");
        opened.set_permissions("config.yaml", Permissions::from_mode(0o600)).unwrap();
        assert_eq!(mode_open_to_others(&path), None);
        assert_eq!(mode_open_to_others(&folder.path().join("none")), None);
    }
}
