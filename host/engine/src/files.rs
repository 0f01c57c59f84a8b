//! Files in the data directory: what callers uploaded, what tasks left, and the folders of attempts
//! that run.
//!
//! ```text
//! uploads/<sha256>                        the bytes of an upload
//! work/<task>.<attempt>/{in,out,scratch}  an attempt, while it runs
//! files/<job>/<task>/...                  what a completed task left in /out
//! ```
//!
//! It knows no row. Files are in place, and on the disk, before their rows are written, and go after
//! their rows; what has no row is removed when a host starts. So after a crash no row lacks its file,
//! and no file stays without a row.

use std::collections::HashSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use apflow_model::file::is_plain;
use apflow_model::id::{JobId, TaskId};
use apflow_model::plugin::Digest;
use apflow_store::NewTaskFile;
use cap_std::fs::{Dir, File, Metadata};
use cap_std::time::SystemTime;
use sha2::{Digest as _, Sha256};

use crate::error::EngineError;

/// The folder of attempts that run.
const WORK: &str = "work";
/// The folder of what tasks left.
const KEPT: &str = "files";
/// The folder of what callers uploaded.
const UPLOADS: &str = "uploads";

/// The folder of an attempt that becomes the task's files.
pub(crate) const OUT: &str = "out";

/// The files of a data directory.
#[derive(Debug)]
pub struct Files {
    pub(crate) work: Dir,
    kept: Dir,
    pub(crate) uploads: Dir,
    /// The data directory.
    pub(crate) root: Dir,
    /// Its path, for the sandbox: it opens what it mounts by that.
    pub(crate) path: PathBuf,
}

/// An upload that is coming in. It is written beside and renamed, so that no half of it can stay.
pub(crate) struct Incoming {
    files: Arc<Files>,
    /// The name it has until all of it is there. None from then on.
    beside: Option<String>,
    bytes: File,
    hasher: Sha256,
    size: u64,
}

impl Files {
    /// Opens the files of a data directory, and makes their folders when they are not there.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn open(folder: &Dir, path: &Path) -> io::Result<Self> {
        let open = |name| {
            folder.create_dir_all(name)?;
            folder.open_dir(name)
        };
        let (work, kept, uploads) = (open(WORK)?, open(KEPT)?, open(UPLOADS)?);
        Ok(Self { work, kept, uploads, root: folder.try_clone()?, path: path.to_owned() })
    }

    /// Where the folder of an attempt is.
    pub(crate) fn work_path(&self, name: &str) -> PathBuf {
        self.path.join(WORK).join(name)
    }

    /// Where the files are that a task left.
    pub(crate) fn kept_path(&self, job: JobId, task: TaskId) -> PathBuf {
        self.path.join(KEPT).join(job.to_string()).join(task.to_string())
    }

    /// Whether an attempt left anything in its `/out`.
    pub(crate) fn has_left(&self, work: &str) -> io::Result<bool> {
        Ok(self.work.read_dir(Path::new(work).join(OUT))?.next().is_some())
    }

    /// Makes what an attempt left in its `/out` the files of its task, and lists them.
    pub(crate) fn keep(
        &self,
        work: &str,
        job: JobId,
        task: TaskId,
    ) -> io::Result<Vec<NewTaskFile>> {
        let from = Path::new(work).join(OUT);
        let mut files = Vec::new();
        list(&self.work.open_dir(&from)?, "", &mut files)?;
        if files.is_empty() {
            return Ok(files);
        }
        // Left by a settlement that did not count.
        self.forget(job, task)?;
        let job = job.to_string();
        self.kept.create_dir_all(&job)?;
        let folder = self.kept.open_dir(&job)?;
        self.work.rename(&from, &folder, task.to_string())?;
        sync(&folder)?;
        sync(&self.kept)?;
        files.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(files)
    }

    /// Removes what a task left.
    pub(crate) fn forget(&self, job: JobId, task: TaskId) -> io::Result<()> {
        remove(&self.kept, &Path::new(&job.to_string()).join(task.to_string()))
    }

    /// Removes what all tasks of a job left.
    pub(crate) fn forget_job(&self, job: JobId) -> io::Result<()> {
        remove(&self.kept, Path::new(&job.to_string()))
    }

    /// Removes the bytes of uploads that are no more.
    pub(crate) fn forget_upload(&self, digest: &Digest) -> io::Result<()> {
        remove(&self.uploads, Path::new(&digest.to_string()))
    }

    /// The tasks that files are kept of, with their jobs.
    pub(crate) fn kept(&self) -> io::Result<Vec<(JobId, TaskId)>> {
        let mut kept = Vec::new();
        for job in names(&self.kept)? {
            let Ok(id) = job.parse() else { continue };
            let tasks = match self.kept.open_dir(&job) {
                Ok(folder) => names(&folder)?,
                // It was removed meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            kept.extend(tasks.iter().filter_map(|task| Some((id, task.parse().ok()?))));
        }
        Ok(kept)
    }

    /// The bytes of uploads, and how long ago each was written last.
    pub(crate) fn uploaded(&self) -> io::Result<Vec<(Digest, Duration)>> {
        let mut uploaded = Vec::new();
        for name in names(&self.uploads)? {
            let Ok(digest) = name.parse() else { continue };
            match self.uploads.metadata(&name).and_then(|metadata| metadata.modified()) {
                Ok(moment) => {
                    let age = moment.into_std().elapsed().unwrap_or_default();
                    uploaded.push((digest, age));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(uploaded)
    }

    /// Opens a file that a task left. Nothing when it leads out of the task's folder.
    pub(crate) fn open_kept(&self, job: JobId, task: TaskId, name: &str) -> io::Result<File> {
        let folder = Path::new(&job.to_string()).join(task.to_string());
        self.kept.open_dir(folder)?.open(name)
    }

    /// Opens the bytes of an upload.
    pub(crate) fn open_upload(&self, digest: &Digest) -> io::Result<File> {
        self.uploads.open(digest.to_string())
    }

    /// Begins to keep the bytes of an upload.
    pub(crate) fn receive(self: &Arc<Self>, beside: String) -> io::Result<Incoming> {
        let bytes = self.uploads.create(&beside)?;
        let files = Arc::clone(self);
        Ok(Incoming { files, beside: Some(beside), bytes, hasher: Sha256::new(), size: 0 })
    }

    /// Removes what attempts of an earlier host left behind, and every file without a row.
    pub(crate) fn sweep(&self, kept: &Kept) -> io::Result<()> {
        for name in names(&self.work)? {
            let task = name.split_once('.').and_then(|(task, _)| task.parse().ok());
            let runs = task.is_some_and(|task| kept.running.contains(&task));
            if !runs {
                kept.remove(&self.work, &name)?;
            }
        }
        for name in names(&self.uploads)? {
            if !name.parse().is_ok_and(|digest| kept.uploads.contains(&digest)) {
                kept.remove(&self.uploads, &name)?;
            }
        }
        for job in names(&self.kept)? {
            let folder = self.kept.open_dir(&job)?;
            for name in names(&folder)? {
                let has_row = |task| kept.tasks.contains(&task) || kept.running.contains(&task);
                if !name.parse().is_ok_and(has_row) {
                    kept.remove(&folder, &name)?;
                }
            }
            if names(&folder)?.is_empty() && kept.is_old(&self.kept, &job)? {
                // Fails, and that is right, when another host has put something in.
                drop(self.kept.remove_dir(&job));
            }
        }
        Ok(())
    }
}

/// What a sweep leaves alone.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// Tasks that run.
    pub(crate) running: HashSet<TaskId>,
    /// Tasks that left files.
    pub(crate) tasks: HashSet<TaskId>,
    pub(crate) uploads: HashSet<Digest>,
    /// Where other hosts write beside this one: what is younger, since its row may be to come.
    pub(crate) younger_than: Option<Duration>,
}

impl Kept {
    /// Removes what is old.
    fn remove(&self, folder: &Dir, name: &str) -> io::Result<()> {
        if self.is_old(folder, name)? { remove(folder, Path::new(name)) } else { Ok(()) }
    }

    /// Whether no other host can be about to use it.
    fn is_old(&self, folder: &Dir, name: &str) -> io::Result<bool> {
        let Some(age) = self.younger_than else { return Ok(true) };
        match folder.symlink_metadata(name) {
            Ok(metadata) => Ok(!is_younger(&metadata, age)),
            // Another host was faster.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Whether something was changed less than `age` ago, by the clock of the disk's own machine.
fn is_younger(metadata: &Metadata, age: Duration) -> bool {
    let changed = metadata.modified().map(SystemTime::into_std);
    // What cannot be told, or lies in the future, is left alone.
    changed.map_or(true, |changed| changed.elapsed().map_or(true, |passed| passed < age))
}

impl Incoming {
    /// How many bytes have come.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Adds a piece.
    pub(crate) fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        self.hasher.update(piece);
        self.size += piece.len() as u64;
        self.bytes.write_all(piece)
    }

    /// The sha256 of what has come.
    pub(crate) fn digest(&self) -> Digest {
        Digest(self.hasher.clone().finalize().into())
    }

    /// Keeps it under its digest, safe from a crash.
    pub(crate) fn finish(mut self) -> io::Result<(u64, Digest)> {
        let digest = self.digest();
        self.bytes.sync_all()?;
        let uploads = &self.files.uploads;
        if let Some(beside) = &self.beside {
            uploads.rename(beside, uploads, digest.to_string())?;
        }
        self.beside = None;
        sync(&self.files.uploads)?;
        Ok((self.size, digest))
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if let Some(beside) = &self.beside
            && let Err(error) = self.files.uploads.remove_file(beside)
        {
            tracing::error!(%error, "half of an upload stays until the next start");
        }
    }
}

/// Removes a file, or a folder with all that is in it. What is not there is as good as removed.
pub(crate) fn remove(folder: &Dir, path: &Path) -> io::Result<()> {
    let removed = match folder.symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => folder.remove_dir_all(path),
        Ok(_) => folder.remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Does something with files on a thread where blocking is fine.
pub(crate) async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, EngineError> {
    tokio::task::spawn_blocking(work).await?.map_err(EngineError::of_disk)
}

/// The name of a dependency's folder below `/in`: the caller's reference, or the task's id where
/// that is no name of a folder, or is taken.
pub(crate) fn folder_name(reference: &str, task: TaskId, taken: &str) -> String {
    if is_plain(reference) && reference != taken { reference.to_owned() } else { task.to_string() }
}

/// Lists the files below a folder, and sees to it that they are on the disk.
fn list(folder: &Dir, at: &str, files: &mut Vec<NewTaskFile>) -> io::Result<()> {
    let before = files.len();
    for entry in folder.entries()? {
        let entry = entry?;
        let name = entry.file_name().into_string().map_err(|_| io::ErrorKind::InvalidFilename)?;
        let path = if at.is_empty() { name } else { format!("{at}/{name}") };
        let kind = entry.file_type()?;
        if kind.is_dir() {
            list(&entry.open_dir()?, &path, files)?;
        } else if kind.is_file() {
            let file = entry.open()?;
            file.sync_all()?;
            files.push(NewTaskFile { name: path, size: file.metadata()?.len() });
        }
    }
    // A folder without a file is not kept, and one that was never on the disk is gone in no time.
    if files.len() == before { Ok(()) } else { sync(folder) }
}

fn names(folder: &Dir) -> io::Result<Vec<String>> {
    let names = folder.entries()?.map(|entry| {
        let name = entry?.file_name().into_string();
        name.map_err(|_| io::ErrorKind::InvalidFilename.into())
    });
    names.collect()
}

/// Puts the names in a folder on the disk.
fn sync(folder: &Dir) -> io::Result<()> {
    folder.open(".")?.sync_all()
}

#[cfg(test)]
mod tests {
    use cap_std::ambient_authority;

    use super::*;

    const JOB: JobId = JobId(1);
    const TASK: TaskId = TaskId(2);

    fn open() -> (tempfile::TempDir, Files) {
        let folder = tempfile::tempdir().unwrap();
        let opened = Dir::open_ambient_dir(folder.path(), ambient_authority()).unwrap();
        let files = Files::open(&opened, folder.path()).unwrap();
        (folder, files)
    }

    /// An attempt that left `below/a` with three bytes.
    fn attempt(files: &Files) {
        files.work.create_dir_all("w/out/below").unwrap();
        files.work.write("w/out/below/a", "abc").unwrap();
    }

    #[test]
    fn what_an_attempt_left_becomes_the_files_of_its_task() {
        let (_folder, files) = open();
        attempt(&files);
        let kept = files.keep("w", JOB, TASK).unwrap();
        assert_eq!(kept, [NewTaskFile { name: "below/a".to_owned(), size: 3 }]);
        assert!(files.open_kept(JOB, TASK, "below/a").is_ok());
        assert!(!files.work.exists("w/out"));
        for name in ["../a", "/etc/passwd", "below/../../x", ""] {
            assert!(files.open_kept(JOB, TASK, name).is_err(), "{name}");
        }
    }

    #[test]
    fn an_empty_folder_is_not_kept() {
        let (_folder, files) = open();
        files.work.create_dir_all("w/out/below").unwrap();
        assert_eq!(files.keep("w", JOB, TASK).unwrap(), []);
        assert_eq!(names(&files.kept).unwrap(), [""; 0]);
    }

    #[test]
    fn what_has_no_row_is_swept_and_the_rest_stays() {
        let (_folder, files) = open();
        for task in [TASK, TaskId(3)] {
            attempt(&files);
            files.keep("w", JOB, task).unwrap();
        }
        attempt(&files);
        files.keep("w", JobId(9), TaskId(10)).unwrap();
        attempt(&files);
        let digest = Digest([7; 32]);
        for name in [digest.to_string(), Digest([8; 32]).to_string(), "1-2.new".to_owned()] {
            files.uploads.write(name, "x").unwrap();
        }
        let (tasks, uploads) = ([TASK].into(), [digest].into());
        files.sweep(&Kept { tasks, uploads, ..Kept::default() }).unwrap();
        assert_eq!(names(&files.work).unwrap(), [""; 0]);
        assert_eq!(names(&files.uploads).unwrap(), [digest.to_string()]);
        assert_eq!(names(&files.kept).unwrap(), [JOB.to_string()]);
        assert!(files.open_kept(JOB, TASK, "below/a").is_ok());
        assert!(files.open_kept(JOB, TaskId(3), "below/a").is_err());
    }

    #[test]
    fn where_others_write_only_what_is_old_and_of_no_running_task_is_swept() {
        let (_folder, files) = open();
        attempt(&files);
        files.keep("w", JOB, TASK).unwrap();
        files.work.create_dir(format!("{TASK}.1")).unwrap();
        files.uploads.write("1-2.new", "x").unwrap();
        let sweep = |running: HashSet<TaskId>, younger_than| {
            let younger_than = Some(younger_than);
            files.sweep(&Kept { running, younger_than, ..Kept::default() }).unwrap();
            [&files.work, &files.uploads, &files.kept].map(|folder| names(folder).unwrap().len())
        };
        assert_eq!(sweep(HashSet::new(), Duration::from_hours(1)), [2, 1, 1]);
        assert_eq!(sweep([TASK].into(), Duration::ZERO), [1, 0, 1]);
        assert_eq!(sweep(HashSet::new(), Duration::ZERO), [0, 0, 0]);
    }

    #[test]
    fn links_out_of_a_folder_are_neither_listed_nor_followed() {
        let (folder, files) = open();
        attempt(&files);
        files.root.write("secret", "x").unwrap();
        let out = folder.path().join("work/w/out");
        for (to, name) in [("../../../secret", "up"), ("/etc/passwd", "far"), ("/etc", "folder")] {
            std::os::unix::fs::symlink(to, out.join(name)).unwrap();
        }
        let kept = files.keep("w", JOB, TASK).unwrap();
        assert_eq!(kept, [NewTaskFile { name: "below/a".to_owned(), size: 3 }]);
        for name in ["up", "far", "folder/passwd", "folder/../below/a"] {
            assert!(files.open_kept(JOB, TASK, name).is_err(), "{name}");
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn an_upload_onto_a_full_disk_says_so_and_leaves_nothing() {
        let (_folder, files) = open();
        let files = Arc::new(files);
        let mut incoming = files.receive("1-2.new".to_owned()).unwrap();
        let devices = Dir::open_ambient_dir("/dev", ambient_authority()).unwrap();
        let mut options = cap_std::fs::OpenOptions::new();
        incoming.bytes = devices.open_with("full", options.write(true)).unwrap();
        let written = on_disk(move || incoming.write(b"x")).await;
        assert!(matches!(written, Err(EngineError::DiskFull)), "{written:?}");
        assert_eq!(names(&files.uploads).unwrap(), [""; 0]);
    }

    #[test]
    fn a_reference_that_is_no_name_of_a_folder_is_not_used_as_one() {
        assert_eq!(folder_name("fetch", TASK, "files"), "fetch");
        for reference in ["..", "a/b", "files", "a\0"] {
            assert_eq!(folder_name(reference, TASK, "files"), TASK.to_string());
        }
    }
}
