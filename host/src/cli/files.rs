//! `jobs files`: what the tasks of a job left.

use std::io;
use std::path::Path;

use apflow_api::{ListFiles, OpenFile, Page};
use apflow_model::file::TaskFile;
use apflow_model::id::JobId;
use apflow_model::limit::Bytes;
use cap_std::fs::{Dir, File, OpenOptions};
use serde_json::json;

use super::error::CliError;
use super::exit::Exit;
use super::operator::{self, Operator};
use super::output::{Output, columns};
use crate::config::{self, Config};

pub(crate) async fn run(
    config: &Config,
    id: JobId,
    save: Option<&Path>,
    output: &Output,
) -> Result<Exit, CliError> {
    let files = operator::with(config, async |operator| {
        let files = list(operator, id).await?;
        if let Some(path) = save {
            let unusable = |source| CliError::Io { what: format!("`{}`", path.display()), source };
            let folder = config::open_folder(path).map_err(unusable)?;
            for file in &files {
                save_one(operator, id, file, &folder).await?.map_err(unusable)?;
            }
        }
        Ok(files)
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
async fn list(operator: &Operator<'_>, id: JobId) -> Result<Vec<TaskFile>, CliError> {
    let mut files = Vec::new();
    let mut cursor = None;
    loop {
        let page = ListFiles { id, page: Page { limit: None, cursor } };
        let page = operator.invoke(page).await?;
        files.extend(page.files);
        cursor = page.cursor;
        if cursor.is_none() {
            return Ok(files);
        }
    }
}

/// Writes a file below the folder of its task, as a whole or not at all.
async fn save_one(
    operator: &Operator<'_>,
    id: JobId,
    file: &TaskFile,
    folder: &Dir,
) -> Result<io::Result<()>, CliError> {
    let path = Path::new(&file.task_id.to_string()).join(&file.name);
    let mut new = match create(folder, &path) {
        Ok(new) => new,
        Err(error) => return Ok(Err(error)),
    };
    let (task, name) = (Some(file.task.clone()), file.name.clone());
    let saved = operator.save(OpenFile { id, task, name }, &mut new).await;
    if !matches!(saved, Ok(Ok(()))) {
        drop(folder.remove_file(&path));
    }
    saved
}

/// Makes a file in the folder of its task. The id is its name: the caller's reference may be none.
/// What is there already stays.
fn create(folder: &Dir, path: &Path) -> io::Result<File> {
    if let Some(parent) = path.parent() {
        folder.create_dir_all(parent)?;
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    folder.open_with(path, &options)
}
