//! `jobs files`: what the tasks of a job left.

use std::io;
use std::path::Path;

use apflow_api::{ListFiles, OpenFile, OpenedFile, Page};
use apflow_model::file::TaskFile;
use apflow_model::id::JobId;
use apflow_model::limit::Bytes;
use cap_std::fs::{Dir, OpenOptions};
use serde_json::json;

use super::error::CliError;
use super::exit::Exit;
use super::operator::operator;
use super::output::{Output, columns};
use crate::assemble::Host;
use crate::config::{self, Config};

pub(crate) async fn run(
    config: &Config,
    id: JobId,
    save: Option<&Path>,
    output: &Output,
) -> Result<Exit, CliError> {
    let files = Host::with(config, async |host| {
        let files = list(host, id).await?;
        if let Some(path) = save {
            let unusable = |source| CliError::Io { what: format!("`{}`", path.display()), source };
            let folder = config::open_folder(path).map_err(unusable)?;
            for file in &files {
                let (task, name) = (file.task.clone(), file.name.clone());
                let opened = host.api.invoke(OpenFile { id, task, name }, &operator()).await?;
                write(&folder, opened).map_err(unusable)?;
            }
        }
        Ok::<_, CliError>(files)
    })
    .await?;
    output.result(&json!({ "files": files }), || {
        let size = |file: &TaskFile| Bytes(file.size).to_string();
        let row = |file: &TaskFile| vec![file.task.clone(), size(file), file.name.clone()];
        columns(&["TASK", "SIZE", "NAME"], files.iter().map(row).collect(), &[1])
    });
    Ok(Exit::Ok)
}

/// Every file of the job, page by page.
async fn list(host: &Host, id: JobId) -> Result<Vec<TaskFile>, CliError> {
    let mut files = Vec::new();
    let mut cursor = None;
    loop {
        let page = ListFiles { id, page: Page { limit: None, cursor } };
        let page = host.api.invoke(page, &operator()).await?;
        files.extend(page.files);
        cursor = page.cursor;
        if cursor.is_none() {
            return Ok(files);
        }
    }
}

/// Writes a file below the folder of its task. The id is its name: the caller's reference may be
/// none. What is there already stays.
fn write(folder: &Dir, opened: OpenedFile) -> io::Result<()> {
    let OpenedFile { file, mut bytes, .. } = opened;
    let path = Path::new(&file.task_id.to_string()).join(&file.name);
    if let Some(parent) = path.parent() {
        folder.create_dir_all(parent)?;
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    io::copy(&mut bytes, &mut folder.open_with(path, &options)?).map(drop)
}
