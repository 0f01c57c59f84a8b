//! `examples.yaml` beside a manifest: what a plugin is given, and what must come of it.
//!
//! It is for `plugin test` alone: no host reads it.

use std::path::Path;

use apflow_model::capability::Grant;
use apflow_model::fault::FaultCode;
use serde::Deserialize;
use serde_json::Value;

use crate::cli::error::CliError;
use crate::cli::found;

/// Its name.
pub(super) const FILE: &str = "examples.yaml";
/// The most examples of one plugin.
const EXAMPLES_MAX: usize = 1_000;

/// An input, and what must come of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Example {
    /// What it shows, as a sentence.
    pub(super) name: String,
    /// The inputs of the task.
    #[serde(default)]
    pub(super) inputs: Value,
    /// What it is granted, for this one alone.
    #[serde(default)]
    pub(super) grants: Vec<Grant>,
    /// What it must answer. Left out, any answer will do.
    pub(super) output: Option<Value>,
    /// How it must fail. Left out, it must not.
    pub(super) fault: Option<FaultCode>,
}

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Examples {
    examples: Vec<Example>,
}

/// Reads the examples of the plugin in a folder. None where there is no such file.
///
/// # Errors
///
/// [`CliError::Usage`] with the line of what is wrong.
pub(super) fn read(folder: &Path) -> Result<Vec<Example>, CliError> {
    let path = folder.join(FILE);
    let text = match found::read_text(&path) {
        Err(error) if error.is_not_found() => return Ok(Vec::new()),
        text => text?,
    };
    parse(&text, folder)
        .map_err(|reason| CliError::Usage(format!("{} is not valid: {reason}", path.display())))
}

fn parse(text: &str, folder: &Path) -> Result<Vec<Example>, String> {
    let read = serde_saphyr::from_str::<Examples>(text);
    let Examples { mut examples } = read.map_err(|error| error.to_string())?;
    if examples.len() > EXAMPLES_MAX {
        return Err(format!("it has more than {EXAMPLES_MAX} examples"));
    }
    for example in &mut examples {
        let name = &example.name;
        if example.output.is_some() && example.fault.is_some() {
            return Err(format!("`{name}` has an output and a fault: only one can come of it"));
        }
        if example.inputs.is_null() {
            example.inputs = Value::Object(serde_json::Map::new());
        }
        for grant in &mut example.grants {
            // Wherever the test is run from.
            if let Grant::FsIn(path) = grant {
                let whole = std::path::absolute(folder.join(&*path)).ok();
                let whole = whole.and_then(|whole| whole.into_os_string().into_string().ok());
                *path = whole.ok_or_else(|| format!("`{name}`: its folder has no whole path"))?;
            }
        }
    }
    Ok(examples)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fault(text: &str) -> String {
        parse(text, Path::new("/p")).unwrap_err()
    }

    #[test]
    fn what_is_left_out_is_usual() {
        let text = "examples:\n  - name: greets\n    grants: [fs.in=texts, env=LANG]\n  \
                    - { name: refuses, inputs: { a: 1 }, fault: invalid-input }\n";
        let examples = parse(text, Path::new("/p")).unwrap();
        let [greets, refuses] = &examples[..] else { panic!("{examples:?}") };
        assert_eq!((&greets.inputs, &greets.output), (&json!({}), &None));
        assert_eq!(greets.grants[0], Grant::FsIn("/p/texts".to_owned()));
        assert_eq!(refuses.fault, Some(FaultCode::InvalidInput));
        assert_eq!(refuses.inputs, json!({ "a": 1 }));
    }

    #[test]
    fn a_fault_of_the_file_is_told_with_its_place() {
        assert!(fault("examples:\n  - { name: a, input: 1 }\n").contains("unknown field `input`"));
        assert!(fault("examples:\n  - { name: a, input: 1 }\n").contains("line 2"));
        assert!(fault("examples:\n  - { name: a, fault: none }\n").contains("unknown variant"));
        assert!(fault("examples:\n  - { name: a, grants: [all] }\n").contains("grant"));
        let both = "examples:\n  - { name: a, output: 1, fault: permanent }\n";
        assert!(fault(both).contains("only one can come of it"));
    }
}
