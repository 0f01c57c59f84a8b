//! `policies.yaml`: read when the host starts, and again whenever it changes.
//!
//! What it says is put in force as a whole. A file that is not valid keeps a host from starting, and
//! changes nothing of one that runs.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use apflow_model::policies::{CurrentPolicies, Policies};
use apflow_model::reader::FileFault;
use cap_std::ambient_authority;
use cap_std::fs::{Dir, Metadata, MetadataExt};

/// The file in the folder of the settings.
pub(crate) const POLICIES_FILE: &str = "policies.yaml";

/// How often to look whether the file has changed.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The largest file.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What keeps the file from being read.
#[derive(Debug)]
pub(crate) enum Unreadable {
    /// It cannot be opened, or is too large.
    Io(io::Error),
    /// It has faults.
    Faults(Vec<FileFault>),
}

impl Unreadable {
    /// What is wrong, a sentence each, with the place of every fault.
    pub(crate) fn troubles(&self, settings: &Path) -> Vec<String> {
        let path = settings.join(POLICIES_FILE);
        match self {
            Self::Io(error) => vec![format!("{}: {error}", path.display())],
            Self::Faults(faults) => {
                faults.iter().map(|fault| format!("{}:{fault}", path.display())).collect()
            }
        }
    }
}

/// What tells two states of the file apart: when it was changed, its size, and which file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark(i64, i64, u64, u64);

impl Mark {
    fn of(metadata: &Metadata) -> Self {
        Self(metadata.mtime(), metadata.mtime_nsec(), metadata.size(), metadata.ino())
    }
}

/// Reads the file. None where there is none: the shipped roles apply then.
pub(crate) fn read(settings: &Path) -> Result<Option<Policies>, Unreadable> {
    let text = Dir::open_ambient_dir(settings, ambient_authority()).and_then(|folder| {
        let mut text = String::new();
        folder.open(POLICIES_FILE)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
        // Half of a file could mean something else.
        let is_whole = text.len() as u64 <= FILE_BYTES_MAX;
        is_whole.then_some(text).ok_or_else(|| io::Error::other("it has more than 1 MiB"))
    });
    match text {
        Ok(text) => Policies::parse(&text).map(Some).map_err(Unreadable::Faults),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Unreadable::Io(error)),
    }
}

/// Puts what the file says in force whenever it has changed, without an end.
pub(crate) async fn follow(settings: PathBuf, current: Arc<CurrentPolicies>) {
    let mut seen = None;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let (folder, of, before) = (settings.clone(), Arc::clone(&current), seen);
        let looking = tokio::task::spawn_blocking(move || look(&folder, &of, before));
        // A look that failed is made again.
        seen = looking.await.unwrap_or(seen);
    }
}

/// Looks whether the file is another than it was, and returns which it is now.
fn look(settings: &Path, current: &CurrentPolicies, before: Option<Mark>) -> Option<Mark> {
    let metadata = Dir::open_ambient_dir(settings, ambient_authority())
        .and_then(|folder| folder.metadata(POLICIES_FILE));
    let now = metadata.ok().map(|metadata| Mark::of(&metadata));
    if now == before {
        return now;
    }
    match read(settings) {
        Ok(Some(policies)) if policies == *current.get() && current.troubles().is_empty() => {}
        Ok(Some(policies)) => {
            current.replace(policies);
            tracing::info!("`{POLICIES_FILE}` was read again");
        }
        Ok(None) => refuse(
            current,
            vec![format!(
                "`{}` is gone: what it said stays in force until the host starts again",
                settings.join(POLICIES_FILE).display()
            )],
        ),
        Err(error) => refuse(current, error.troubles(settings)),
    }
    now
}

fn refuse(current: &CurrentPolicies, troubles: Vec<String>) {
    for trouble in &troubles {
        tracing::error!(trouble, "`{POLICIES_FILE}` was refused: what was in force stays");
    }
    current.refuse(troubles);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes the file of a folder, and looks at it.
    fn rewrite(folder: &Path, current: &CurrentPolicies, seen: &mut Option<Mark>, text: &str) {
        let settings = Dir::open_ambient_dir(folder, ambient_authority()).unwrap();
        settings.write("new", text).unwrap();
        settings.rename("new", &settings, POLICIES_FILE).unwrap();
        *seen = look(folder, current, *seen);
    }

    #[test]
    fn what_is_written_is_in_force_as_a_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let (current, mut seen) = (CurrentPolicies::default(), None);
        assert_eq!(look(folder, &current, seen), None);
        let good = "roles: { guest: { permissions: [jobs-read] } }\n";
        rewrite(folder, &current, &mut seen, good);
        assert!(current.get().roles.find("guest").is_some());

        rewrite(
            folder,
            &current,
            &mut seen,
            "roles: { guest: { permissions: [all] }, root: {} }\n",
        );
        assert!(current.get().roles.find("guest").is_some(), "the old ones stay");
        assert!(current.get().roles.find("root").is_none());
        let troubles = current.troubles();
        assert_eq!(troubles.len(), 2, "{troubles:?}");
        assert!(troubles[0].contains("policies.yaml:1:"), "{troubles:?}");

        rewrite(folder, &current, &mut seen, good);
        assert!(current.troubles().is_empty());
        let settings = Dir::open_ambient_dir(folder, ambient_authority()).unwrap();
        settings.remove_file(POLICIES_FILE).unwrap();
        look(folder, &current, seen);
        assert!(current.get().roles.find("guest").is_some());
        assert!(current.troubles()[0].contains("is gone"));
    }
}
