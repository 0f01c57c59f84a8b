//! Grants as they stand in a request: each written `KIND=VALUE`.

use std::borrow::Cow;

use apflow_model::capability::{Grant, InvalidGrant};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serializer;
use serde_json::Value;

use crate::error::ApiError;
use crate::remote::Input;

/// How grants stand in a query.
const LINES: &str =
    r"^((http|tcp|sockets|net|env|secret|secret-value|fs\.in(?==/))=[^\x00\n]+(\n|$))*$";

/// What the schemas of verbs say of grants in a query.
pub(crate) enum GrantLines {}

impl JsonSchema for GrantLines {
    fn schema_name() -> Cow<'static, str> {
        "GrantLines".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": LINES, "examples": ["http=https://api.example.com"] })
    }
}

/// Takes out `grants`: one a line.
pub(crate) fn take(input: &mut Input) -> Result<Vec<Grant>, ApiError> {
    let text = input.take::<String>("grants")?.unwrap_or_default();
    text.lines().map(|line| one("grants", line)).collect()
}

/// Refuses a body with a list of grants of which one is none. Of what else is wrong with it, its
/// reader says more.
pub(crate) fn check(input: &Input) -> Result<(), ApiError> {
    let said = input.body.as_ref().and_then(|body| body["grants"].as_array());
    let mut texts = said.into_iter().flatten().filter_map(Value::as_str);
    texts.try_for_each(|text| one("grants", text).map(drop))
}

/// Reads a grant.
pub(crate) fn one(field: &str, text: &str) -> Result<Grant, ApiError> {
    let grant = text.parse().map_err(|error: InvalidGrant| invalid(field, &error.to_string()))?;
    check_folder(field, &grant)?;
    Ok(grant)
}

/// Refuses a folder that is none of the host's machine: its path must be whole.
pub(crate) fn check_folder(field: &str, grant: &Grant) -> Result<(), ApiError> {
    if let Grant::FsIn(path) = grant
        && !path.starts_with('/')
    {
        return Err(invalid(field, &format!("`{path}` is no whole path of the host's machine")));
    }
    Ok(())
}

fn invalid(field: &str, reason: &str) -> ApiError {
    ApiError::InvalidGrant(format!("the field `{field}`: {reason}"))
}

/// Writes them one a line, and nothing when there are none.
pub(crate) fn lines<S: Serializer>(grants: &[Grant], serializer: S) -> Result<S::Ok, S::Error> {
    if grants.is_empty() {
        return serializer.serialize_none();
    }
    let lines: Vec<String> = grants.iter().map(Grant::to_string).collect();
    serializer.serialize_str(&lines.join("\n"))
}
