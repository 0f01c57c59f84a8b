//! Callers of a host beside its operator, and the policies that say what their roles may do.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::host::TestHost;
use crate::serving::{Answer, Serving};

/// Somebody with a token.
pub(crate) struct Caller<'serving> {
    serving: &'serving Serving<'serving>,
    pub(crate) token: String,
}

impl<'serving> Caller<'serving> {
    /// A principal of this name, in this role.
    pub(crate) fn new(serving: &'serving Serving<'serving>, name: &str, role: &str) -> Self {
        let token = make_token(serving, name, role)["token"].as_str().unwrap().to_owned();
        Self { serving, token }
    }

    /// Asks with its token. `what` is a method and a path below `/api/v1`.
    pub(crate) fn ask(&self, what: &str, body: &Value) -> Answer {
        let (method, path) = what.split_once(' ').unwrap();
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let what = format!("{method} /api/v1{path}");
        self.serving.ask(&what, Some(&self.token), body.as_bytes())
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path}"), &Value::Null)
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask(&format!("POST {path}"), body)
    }
}

/// What the operator is told of a token that is made for this principal.
pub(crate) fn make_token(serving: &Serving, principal: &str, role: &str) -> Value {
    let spec =
        json!({ "name": format!("{principal} as {role}"), "principal": principal, "role": role });
    let made =
        serving.ask("POST /api/v1/tokens", Some(serving.token()), spec.to_string().as_bytes());
    made.is(201).json()
}

impl TestHost {
    /// Where its `policies.yaml` is.
    pub(crate) fn policies_file(&self) -> PathBuf {
        self.config_file().with_file_name("policies.yaml")
    }

    /// The same host with this `policies.yaml`.
    pub(crate) fn with_policies(self, text: &str) -> Self {
        self.write_policies(text);
        self
    }

    /// Writes another `policies.yaml` in the place of the one before.
    pub(crate) fn write_policies(&self, text: &str) {
        let file = self.policies_file();
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file.with_extension("new"), text).unwrap();
        fs::rename(file.with_extension("new"), file).unwrap();
    }
}
