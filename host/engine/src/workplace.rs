//! The folders of one attempt: made when its plugin asks for them, gone when it ends.

use std::io;
use std::path::Path;
use std::sync::Arc;

use apflow_model::capability::Folders;
use apflow_model::file::Upload;
use apflow_model::id::{FileId, JobId, TaskId};
use apflow_sandbox::{Input, Mounts};
use apflow_store::{Claimed, NewTaskFile};

use crate::files::{Files, OUT, folder_name, remove};

/// The folder below `/in` that holds uploaded files.
const UPLOADED: &str = "files";
const IN: &str = "in";
const SCRATCH: &str = "scratch";

/// What an attempt is handed.
#[derive(Debug, Default)]
pub(crate) struct Handed {
    /// The files that its inputs name.
    pub(crate) uploads: Vec<Upload>,
    /// The dependencies that left files, with the caller's references to them.
    pub(crate) dependencies: Vec<(TaskId, String)>,
}

/// Where an attempt finds an uploaded file.
pub(crate) fn upload_path(file: FileId, name: &str) -> String {
    format!("/in/{UPLOADED}/{file}/{name}")
}

/// The folders of one attempt. They are removed when this is dropped.
pub(crate) struct Workplace {
    files: Arc<Files>,
    job: JobId,
    task: TaskId,
    /// Its folder in `work`. None when nothing had to be made, or all is removed.
    name: Option<String>,
    /// What the sandbox mounts.
    pub(crate) mounts: Mounts,
}

impl Workplace {
    /// Makes what a plugin asks for. It blocks, for as long as folders take.
    pub(crate) fn make(
        files: &Arc<Files>,
        claimed: &Claimed,
        asked: Folders,
        handed: &Handed,
    ) -> io::Result<Self> {
        let inputs = handed.dependencies.iter().map(|(task, reference)| Input {
            name: folder_name(reference, *task, UPLOADED),
            folder: files.kept_path(claimed.job, *task),
        });
        let mounts = Mounts { inputs: inputs.collect(), ..Mounts::default() };
        let (job, task) = (claimed.job, claimed.task);
        let mut workplace = Self { files: Arc::clone(files), job, task, name: None, mounts };
        let needs_folder = asked.is_out_written || asked.scratch_bytes.is_some();
        if needs_folder || !handed.uploads.is_empty() {
            let name = format!("{task}.{}", claimed.attempt);
            // Known before anything is made, so that half of it is removed as well.
            workplace.name = Some(name.clone());
            workplace.fill(&name, asked, &handed.uploads)?;
        }
        Ok(workplace)
    }

    fn fill(&mut self, name: &str, asked: Folders, uploads: &[Upload]) -> io::Result<()> {
        let (work, path) = (&self.files.work, self.files.work_path(name));
        let make = |folder: &str| work.create_dir_all(Path::new(name).join(folder));
        if asked.is_out_written {
            make(OUT)?;
            self.mounts.out = Some(path.join(OUT));
        }
        if asked.scratch_bytes.is_some() {
            make(SCRATCH)?;
            self.mounts.scratch = Some(path.join(SCRATCH));
        }
        for upload in uploads {
            let folder = format!("{IN}/{}", upload.id);
            make(&folder)?;
            // Not a copy: the file has one more name, under which it can only be read.
            let link = Path::new(name).join(folder).join(&upload.name);
            self.files.uploads.hard_link(upload.sha256.to_string(), work, link)?;
        }
        if !uploads.is_empty() {
            self.mounts.inputs.push(Input { name: UPLOADED.to_owned(), folder: path.join(IN) });
        }
        Ok(())
    }

    /// Ends it. With `is_kept`, what is in `/out` becomes the task's files first.
    pub(crate) async fn end(mut self, is_kept: bool) -> io::Result<Vec<NewTaskFile>> {
        let Some(name) = &self.name else { return Ok(Vec::new()) };
        let leaves = is_kept && self.mounts.out.is_some() && self.files.has_left(name)?;
        if !leaves && self.mounts.scratch.is_none() {
            // Two empty folders are gone sooner than another thread has begun.
            self.remove();
            return Ok(Vec::new());
        }
        let ending = tokio::task::spawn_blocking(move || {
            let kept = match &self.name {
                Some(name) if leaves => self.files.keep(name, self.job, self.task),
                _ => Ok(Vec::new()),
            };
            self.remove();
            kept
        });
        ending.await.map_err(io::Error::other)?
    }

    fn remove(&mut self) {
        let Some(name) = self.name.take() else { return };
        if let Err(error) = remove(&self.files.work, Path::new(&name)) {
            tracing::error!(name, %error, "the folder of an attempt stays until the next start");
        }
    }
}

impl Drop for Workplace {
    fn drop(&mut self) {
        if self.name.is_none() {
            return;
        }
        // An attempt that is cut short is dropped where nothing may block.
        let mut left = Self {
            files: Arc::clone(&self.files),
            job: self.job,
            task: self.task,
            name: self.name.take(),
            mounts: Mounts::default(),
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || left.remove())),
            Err(_) => left.remove(),
        }
    }
}
