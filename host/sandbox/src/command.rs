//! Runs a command component: arguments and standard input in, standard output, standard error and
//! an exit code out.

use std::sync::Arc;

use apflow_model::event::Stream;
use apflow_model::fault::{Fault, FaultCode};
use apflow_model::manifest::Manifest;
use apflow_model::plugin::Descriptor;
use serde::Deserialize;
use serde_json::json;
use wasmtime::Store;
use wasmtime_wasi::I32Exit;
use wasmtime_wasi::p2::bindings::CommandPre;
use wasmtime_wasi::p2::pipe::MemoryInputPipe;

use crate::call::{Call, Called, Output, Returned};
use crate::capture::Capture;
use crate::state::State;
use crate::{trap, wasi};

/// The input of a command.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Input {
    args: Vec<String>,
    stdin: String,
}

/// Describes a command by its manifest: it has no `describe` of its own.
pub(crate) fn descriptor(manifest: &Manifest) -> Descriptor {
    Descriptor {
        id: manifest.name.clone(),
        name: manifest.name.clone(),
        description: manifest.description.clone(),
        version: manifest.version.to_string(),
        input_schema: json!({
            "type": "object",
            "additionalProperties": false,
            "properties": {
                "args": {
                    "type": "array",
                    "items": { "type": "string" },
                    "description": "The arguments, without the name of the program.",
                },
                "stdin": { "type": "string", "description": "What it reads from standard input." },
            },
        }),
        output_schema: json!({
            "type": "object",
            "required": ["stdout", "stderr", "exit_code"],
            "properties": {
                "stdout": { "type": "string" },
                "stderr": { "type": "string" },
                "exit_code": { "type": "integer" },
            },
        }),
        tags: vec!["command".to_owned()],
    }
}

pub(crate) async fn run(
    pre: &CommandPre<State>,
    store: &mut Store<State>,
    call: &Call<'_>,
) -> Called {
    let input = match Input::deserialize(call.input) {
        Ok(input) => input,
        Err(error) => return Ok(Err(Fault::new(FaultCode::InvalidInput, error.to_string()))),
    };
    let state = store.data_mut();
    let (plan, scope, secrets) =
        (Arc::clone(&state.plan), state.scope.clone(), state.secrets.clone());
    let capture = |stream, bytes_max| Capture::all(stream, bytes_max, Arc::clone(&state.port));
    let stdout = capture(Stream::Stdout, plan.limits.stdout_bytes);
    let stderr = capture(Stream::Stderr, plan.limits.stderr_bytes);
    let mut builder = wasi::base(&plan, &scope, &secrets, &state.egress, stderr.clone());
    builder.arg(&*plan.name).args(&input.args);
    builder.stdin(MemoryInputPipe::new(input.stdin)).stdout(stdout.clone());
    state.stderr = stderr.clone();
    if let Err(fault) = state.set_wasi(builder, &call.mounts) {
        return Ok(Err(fault));
    }
    let command = pre.instantiate_async(&mut *store).await?;
    store.data().enters();
    let exit_code = match command.wasi_cli_run().call_run(&mut *store).await {
        Ok(Ok(())) => 0,
        Ok(Err(())) => 1,
        Err(error) => match error.downcast_ref::<I32Exit>() {
            Some(I32Exit(code)) => *code,
            None => return Err(error),
        },
    };
    Ok(ended(exit_code, stdout.take(), &secrets.redact_bytes(stderr.take(), false)))
}

fn ended(exit_code: i32, stdout: Vec<u8>, stderr: &[u8]) -> Result<Returned, Fault> {
    if exit_code != 0 {
        let words = trap::last_words(stderr);
        let wrote = if words.is_empty() { String::new() } else { format!(": {words}") };
        let message = format!("the command ended with exit code {exit_code}{wrote}");
        let fault = Fault::new(FaultCode::Permanent, message);
        return Err(Fault { exit_code: Some(exit_code), ..fault });
    }
    let bytes = (stdout.len() + stderr.len()) as u64;
    let stdout = String::from_utf8(stdout).map_err(|_| {
        Fault::new(FaultCode::Permanent, "the command wrote something to stdout that is not UTF-8")
    })?;
    let stderr = String::from_utf8_lossy(stderr);
    let value = json!({ "stdout": stdout, "stderr": stderr, "exit_code": exit_code });
    Ok(Returned { output: Output::Value { value, bytes }, tokens: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_counts_the_bytes_it_wrote_and_not_those_of_the_json() {
        let returned = ended(0, b"\n\n\n".to_vec(), b"\"\xff").ok().unwrap();
        let Output::Value { value, bytes } = returned.output else { panic!("it is text") };
        assert_eq!(bytes, 5);
        assert_eq!(value["stdout"], "\n\n\n");
    }
}
