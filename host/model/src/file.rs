//! Files: what callers upload, what tasks leave, and `{"$file": ID}` inside a task's inputs.
//!
//! It opens none: it knows their names and sizes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::clock::Timestamp;
use crate::id::{FileId, TaskId};
use crate::plugin::Digest;
use crate::pointer;
use crate::reference::{self, ReferenceFault};

/// The key that makes an object stand for an uploaded file.
pub(crate) const FILE: &str = "$file";

/// The longest name of a file, in bytes: what file systems take.
const NAME_BYTES_MAX: usize = 255;

/// A file that a caller uploaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Upload {
    /// What inputs call it.
    #[serde(rename = "file_id")]
    pub id: FileId,
    /// The name that a task finds it under.
    #[schemars(example = &"report.csv")]
    pub name: String,
    /// Its size in bytes.
    #[schemars(example = 1234)]
    pub size: u64,
    /// The sha256 of its bytes.
    pub sha256: Digest,
    /// Who uploaded it.
    #[schemars(example = &"admin")]
    pub principal: String,
    /// When.
    pub created_at: Timestamp,
    /// When it came, or a job last named it.
    pub used_at: Timestamp,
}

/// What the uploads of one caller may have together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// The most files.
    pub files_max: u64,
    /// The most bytes.
    pub bytes_max: u64,
}

/// A file that a task left in `/out`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TaskFile {
    /// The task.
    pub task_id: TaskId,
    /// The caller's reference to the task.
    #[schemars(example = &"fetch")]
    pub task: String,
    /// Its path below `/out`.
    #[schemars(example = &"report.csv")]
    pub name: String,
    /// Its size in bytes.
    #[schemars(example = 1234)]
    pub size: u64,
}

/// A `$file` found in inputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileReference {
    /// Where in the inputs it stands, as a JSON pointer (RFC 6901).
    pub at: String,
    /// The file it names.
    pub file: FileId,
}

impl FileReference {
    /// The place of the id itself.
    pub fn id_at(&self) -> String {
        pointer::key(&self.at, FILE)
    }
}

/// Finds every `$file` in `inputs`.
///
/// # Errors
///
/// The first object with a `$file` that is not well-formed.
pub fn find(inputs: &Value) -> Result<Vec<FileReference>, ReferenceFault> {
    let mut found = Vec::new();
    reference::collect(inputs, "", &read, &mut found)?;
    Ok(found)
}

/// Replaces every `$file` by what `path` gives for it.
///
/// # Errors
///
/// The first `$file` that is not well-formed, or that `path` has nothing for.
pub fn resolve(
    inputs: &mut Value,
    path: &impl Fn(FileId) -> Option<String>,
) -> Result<(), ReferenceFault> {
    for FileReference { at, file } in find(inputs)? {
        let Some(path) = path(file) else {
            return Err(ReferenceFault { at, reason: format!("there is no file `{file}`") });
        };
        if let Some(place) = inputs.pointer_mut(&at) {
            *place = Value::String(path);
        }
    }
    Ok(())
}

/// Checks the name of an uploaded file: one that a folder of any system can hold.
///
/// # Errors
///
/// A sentence that says what is accepted.
pub fn check_name(name: &str) -> Result<String, String> {
    if is_plain(name) {
        return Ok(name.to_owned());
    }
    Err(format!(
        "`{name}` is not the name of a file: expected 1 to {NAME_BYTES_MAX} bytes without `/`, `\\` \
         and control characters, and neither `.` nor `..`"
    ))
}

/// Whether a text is one step of a path, and no step up.
pub fn is_plain(name: &str) -> bool {
    let is_allowed = |c: char| !c.is_control() && c != '/' && c != '\\';
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && name != "."
        && name != ".."
        && name.chars().all(is_allowed)
}

fn read(map: &Map<String, Value>, at: &str) -> Result<Option<FileReference>, ReferenceFault> {
    let fault = |at: String, reason: String| ReferenceFault { at, reason };
    let Some(id) = map.get(FILE) else { return Ok(None) };
    if map.len() > 1 {
        return Err(fault(at.to_owned(), "nothing may stand beside `$file`".to_owned()));
    }
    let text = id.as_str().unwrap_or_default();
    let file = text.parse().map_err(|_| {
        fault(pointer::key(at, FILE), "`$file` must be the id of a file".to_owned())
    })?;
    Ok(Some(FileReference { at: at.to_owned(), file }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn files_are_found_and_replaced_wherever_they_stand() {
        let id = FileId(7).to_string();
        let mut inputs = json!({ "args": ["-v", { "$file": id }], "a/b": { "$file": id } });
        let found = find(&inputs).unwrap();
        assert_eq!(found.len(), 2);
        assert!(found.iter().any(|found| found.at == "/a~1b" && found.file == FileId(7)));
        assert!(found.iter().any(|found| found.id_at() == "/args/1/$file"));
        resolve(&mut inputs, &|file| Some(format!("/in/{}", file.0))).unwrap();
        assert_eq!(inputs, json!({ "args": ["-v", "/in/7"], "a/b": "/in/7" }));
    }

    #[test]
    fn a_malformed_file_says_where_and_what() {
        let place = |inputs| find(&inputs).unwrap_err().to_string();
        assert!(place(json!({ "a": { "$file": 7 } })).starts_with("/a/$file: `$file` must be"));
        assert!(place(json!({ "a": { "$file": "j_0" } })).starts_with("/a/$file: "));
        let beside = json!({ "$file": FileId(7).to_string(), "name": "x" });
        assert!(place(json!([beside])).starts_with("/0: nothing may stand beside"));
    }

    #[test]
    fn a_file_that_is_gone_is_named() {
        let id = FileId(7).to_string();
        let mut inputs = json!({ "a": { "$file": id } });
        let fault = resolve(&mut inputs, &|_| None).unwrap_err();
        assert_eq!(fault.to_string(), format!("/a: there is no file `{id}`"));
    }

    #[test]
    fn a_name_is_one_step_of_a_path() {
        for name in ["a", "report 1.csv", "…", ".hidden", "...", &"a".repeat(255)] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in ["", ".", "..", "a/b", "a\\b", "/", "a\0", "a\nb", &"a".repeat(256)] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
