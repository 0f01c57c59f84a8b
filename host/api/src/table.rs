//! The table of verbs that can be called from afar: one line each.

use std::pin::Pin;

use apflow_model::access::Permission;
use serde_json::Value;

use crate::api::Api;
use crate::approvals::{ApproveTask, DenyTask, ListApprovals};
use crate::audit::{ExportAudit, ListAudit, VerifyAudit};
use crate::breakers::{ListBreakers, ResetBreaker, ResetBreakers};
use crate::budgets::{ListBudgets, RemoveBudget, SetBudget};
use crate::cache::{ClearCache, ListCache};
#[cfg(test)]
use crate::call::Call;
use crate::caller::Caller;
use crate::code::Code;
use crate::doctor::ExamineHost;
use crate::error::ApiError;
use crate::files::ListFiles;
use crate::jobs::{
    CancelAllJobs, CancelJob, DeleteJob, FindJob, ListEvents, ListJobs, PurgeJobs, RetryJob,
    SubmitJob,
};
use crate::plugins::{
    GrantPlugin, ListPlugins, ReleasePlugin, RemovePlugin, ShowPlugin, VerifyPlugin,
};
use crate::policies::{ListPolicies, PutPolicy, RemovePolicy, ShowPolicy};
use crate::remote::{Headers, Input, Method, Remote};
use crate::run::{RunParallel, RunTask};
use crate::schedules::{
    ListSchedules, PauseSchedule, PutSchedule, RemoveSchedule, ResumeSchedule, ShowSchedule,
    TriggerSchedule,
};
use crate::schema::Shape;
use crate::tasks::{CancelTask, FindTask, ListCheckpoints, ListTasks, RetryTask};
use crate::tokens::{CreateToken, ListTokens, RevokeJwt, RevokeToken, ShowToken};
use crate::tools::{CheckTool, ListTools, RunTool, ShowTool};
use crate::uploads::{DeleteUpload, ListUploads};
use crate::usage::ReportUsage;

/// A verb without its type, for doors that treat all alike.
#[derive(Clone, Copy)]
pub struct Entry {
    /// Its name in the audit and in messages, for example `jobs.submit`.
    pub name: &'static str,
    /// What a caller must be allowed.
    pub permission: Permission,
    /// The method.
    pub method: Method,
    /// The path, with fields in braces.
    pub path: &'static str,
    /// What it takes and answers.
    pub shape: Shape,
    /// Does it.
    pub invoke: fn(Api, Caller, Input) -> Answering,
    /// Reads its input alone, and writes it as a request again.
    #[cfg(test)]
    read: fn(&mut Input) -> Result<Call, ApiError>,
    /// Reads its answer, and writes it again.
    #[cfg(test)]
    reread: fn(Value) -> serde_json::Result<Value>,
}

/// The answer to come.
pub type Answering = Pin<Box<dyn Future<Output = Result<Answer, ApiError>> + Send>>;

/// What a verb answers, for doors that treat all alike.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// What its headers say.
    pub headers: Headers,
    /// The JSON of its body.
    pub body: Value,
}

/// Every verb that can be called from afar with JSON. [`UploadFile`](crate::UploadFile),
/// [`OpenUpload`](crate::OpenUpload) and [`OpenFile`](crate::OpenFile) carry bytes, and have a door of
/// their own.
pub const TABLE: &[Entry] = &[
    entry::<SubmitJob>(),
    entry::<RunTask>(),
    entry::<RunParallel>(),
    entry::<ListJobs>(),
    entry::<FindJob>(),
    entry::<ListEvents>(),
    entry::<CancelJob>(),
    entry::<CancelAllJobs>(),
    entry::<DeleteJob>(),
    entry::<RetryJob>(),
    entry::<PurgeJobs>(),
    entry::<ListTasks>(),
    entry::<FindTask>(),
    entry::<ListCheckpoints>(),
    entry::<CancelTask>(),
    entry::<RetryTask>(),
    entry::<ListApprovals>(),
    entry::<ApproveTask>(),
    entry::<DenyTask>(),
    entry::<ListFiles>(),
    entry::<CheckTool>(),
    entry::<ListCache>(),
    entry::<ClearCache>(),
    entry::<ListBreakers>(),
    entry::<ResetBreaker>(),
    entry::<ResetBreakers>(),
    entry::<ListPlugins>(),
    entry::<ShowPlugin>(),
    entry::<RemovePlugin>(),
    entry::<GrantPlugin>(),
    entry::<ReleasePlugin>(),
    entry::<VerifyPlugin>(),
    entry::<ListTools>(),
    entry::<ShowTool>(),
    entry::<RunTool>(),
    entry::<ListSchedules>(),
    entry::<PutSchedule>(),
    entry::<ShowSchedule>(),
    entry::<RemoveSchedule>(),
    entry::<PauseSchedule>(),
    entry::<ResumeSchedule>(),
    entry::<TriggerSchedule>(),
    entry::<CreateToken>(),
    entry::<ListTokens>(),
    entry::<ShowToken>(),
    entry::<RevokeToken>(),
    entry::<RevokeJwt>(),
    entry::<ExamineHost>(),
    entry::<ListAudit>(),
    entry::<VerifyAudit>(),
    entry::<ExportAudit>(),
    entry::<ListUploads>(),
    entry::<DeleteUpload>(),
    entry::<ReportUsage>(),
    entry::<ListBudgets>(),
    entry::<SetBudget>(),
    entry::<RemoveBudget>(),
    entry::<ListPolicies>(),
    entry::<ShowPolicy>(),
    entry::<PutPolicy>(),
    entry::<RemovePolicy>(),
];

const fn entry<R: Remote>() -> Entry {
    Entry {
        name: R::NAME,
        permission: R::PERMISSION,
        method: R::METHOD,
        path: R::PATH,
        shape: Shape::of::<R>(),
        invoke: invoke::<R>,
        #[cfg(test)]
        read: |input| R::read(input).and_then(|read| Call::of(&read)),
        #[cfg(test)]
        reread: |answer| {
            serde_json::from_value::<R::Output>(answer)
                .and_then(|output| serde_json::to_value(&output))
        },
    }
}

fn invoke<R: Remote>(api: Api, caller: Caller, mut input: Input) -> Answering {
    Box::pin(async move {
        let read = R::read(&mut input).and_then(|read| input.finish().map(|()| read));
        let operation = match read {
            Ok(operation) => operation,
            Err(error) => {
                api.refused(R::NAME, &caller, error.code()).await;
                return Err(error);
            }
        };
        let output = api.invoke(operation, caller).await.inspect_err(|error| {
            let code = error.code();
            let is_told = R::ERRORS.contains(&code) || Code::OF_ALL.contains(&code);
            if !is_told {
                let code = code.name();
                tracing::error!(
                    operation = R::NAME,
                    code,
                    "refused with a code that it does not list"
                );
            }
        })?;
        let body = serde_json::to_value(&output).map_err(ApiError::Unserializable)?;
        Ok(Answer { status: R::status(&output), headers: R::headers(&output), body })
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Map, json};

    use super::*;
    use crate::body::Body;
    use crate::example::{Extent, example};
    use crate::schema;

    /// The schema of a verb's input, and an example of every field.
    fn described(entry: &Entry) -> (Value, Map<String, Value>) {
        let schema = (entry.shape.input)().to_value();
        let fields = schema["properties"].as_object().cloned().unwrap_or_default();
        let example = |(name, field): (String, Value)| {
            let field = example(&field, &Map::new(), Extent::All);
            (name, field)
        };
        (schema, fields.into_iter().map(example).filter(|(_, value)| !value.is_null()).collect())
    }

    /// A request with these fields, each in its place.
    fn request(entry: &Entry, fields: &Map<String, Value>) -> Input {
        Input::of(entry.shape.body, fields.clone())
    }

    /// Reads a request as the table does.
    fn read(entry: &Entry, mut input: Input) -> Result<Call, ApiError> {
        let call = (entry.read)(&mut input)?;
        assert!(input.headers.is_empty(), "{} does not read {input:?}", entry.name);
        input.finish().map(|()| call)
    }

    /// What a door makes of a request.
    fn received(entry: &Entry, call: &Call) -> Input {
        assert_eq!(call.method, entry.method);
        let (path, query) = call.target.split_once('?').unwrap_or((&call.target, ""));
        let steps = entry.path.split('/').zip(path.split('/'));
        let of_path = steps.filter_map(|(step, text)| {
            let name = step.strip_prefix('{')?.strip_suffix('}')?;
            Some((name, text))
        });
        let of_query = query.split('&').filter_map(|pair| pair.split_once('='));
        let fields = of_path.chain(of_query);
        let fields = fields.map(|(name, text)| (name.to_owned(), unescaped(text)));
        let headers = call.headers.iter().cloned();
        Input { fields: fields.collect(), headers: headers.collect(), body: call.body.clone() }
    }

    fn unescaped(text: &str) -> String {
        let mut parts = text.split('%');
        let first = parts.next().unwrap_or_default().as_bytes().to_vec();
        let bytes = parts.fold(first, |mut bytes, part| {
            bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
            bytes.extend_from_slice(&part.as_bytes()[2..]);
            bytes
        });
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn what_a_client_asks_is_what_the_door_reads() {
        for entry in TABLE {
            let (_, fields) = described(entry);
            let call = read(entry, request(entry, &fields)).unwrap();
            let again = read(entry, received(entry, &call))
                .unwrap_or_else(|error| panic!("{} of {call:?}: {error}", entry.name));
            assert_eq!(again, call, "{}", entry.name);
            assert!(!call.target.contains('{'), "{}: {}", entry.name, call.target);
        }
    }

    #[test]
    fn a_client_reads_every_answer_as_it_was_written() {
        for entry in TABLE {
            let mut generator = schema::answers("/$defs");
            let output = (entry.shape.output)(&mut generator).to_value();
            let shared = generator.take_definitions(true);
            let answer = example(&output, &shared, Extent::All);
            let once = (entry.reread)(answer.clone())
                .unwrap_or_else(|error| panic!("{}: {error} in {answer:#}", entry.name));
            let twice = (entry.reread)(once.clone()).unwrap();
            assert_eq!(once, twice, "{}", entry.name);
            assert_eq!(without_nulls(once), without_nulls(answer), "{}", entry.name);
        }
    }

    /// The same without what is null or empty: it may be left out.
    fn without_nulls(value: Value) -> Value {
        match value {
            Value::Object(fields) => {
                let fields = fields.into_iter().map(|(name, value)| (name, without_nulls(value)));
                let is_empty =
                    |value: &Value| value.is_null() || value.as_array().is_some_and(Vec::is_empty);
                Value::Object(fields.filter(|(_, value)| !is_empty(value)).collect())
            }
            Value::Array(values) => values.into_iter().map(without_nulls).collect(),
            other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => other,
        }
    }

    #[test]
    fn every_field_that_is_described_is_read() {
        for entry in TABLE {
            let (_, fields) = described(entry);
            read(entry, request(entry, &fields))
                .unwrap_or_else(|error| panic!("{} of {fields:?}: {error}", entry.name));
        }
    }

    #[test]
    fn just_the_fields_that_are_needed_must_be_there() {
        for entry in TABLE {
            let (schema, fields) = described(entry);
            for name in fields.keys() {
                let mut others = fields.clone();
                others.remove(name);
                let needed = schema["required"].as_array().into_iter().flatten();
                let is_needed = needed.into_iter().any(|needed| needed == name);
                let is_read = read(entry, request(entry, &others)).is_ok();
                assert_eq!(is_read, !is_needed, "{} without {name}", entry.name);
            }
        }
    }

    #[test]
    fn a_field_that_is_not_described_is_refused() {
        for entry in TABLE {
            let (_, fields) = described(entry);
            let mut more = request(entry, &fields);
            more.fields.insert("no_such".to_owned(), "1".to_owned());
            assert!(read(entry, more).is_err(), "{} takes any field", entry.name);
            let mut more = request(entry, &fields);
            match (entry.shape.body, &mut more.body) {
                // What it holds is read further below.
                (Body::Whole(_), _) => continue,
                (_, Some(body)) => body["no_such"] = 1.into(),
                (_, body) => *body = Some(json!({ "no_such": 1 })),
            }
            assert!(read(entry, more).is_err(), "{} takes any field in its body", entry.name);
        }
    }

    #[test]
    fn the_fields_of_a_path_are_described() {
        for entry in TABLE {
            let (schema, _) = described(entry);
            for step in entry.path.split('/').filter_map(|step| step.strip_prefix('{')) {
                let name = step.trim_end_matches('}');
                let field = &schema["properties"][name];
                assert!(field["description"].is_string(), "{} has no `{name}`", entry.name);
            }
        }
    }

    #[test]
    fn every_verb_and_field_says_what_it_is_for() {
        for entry in TABLE {
            let (schema, _) = described(entry);
            assert!(schema["description"].is_string(), "{}", entry.name);
            for (name, field) in schema["properties"].as_object().into_iter().flatten() {
                assert!(field["description"].is_string(), "{} of {}", name, entry.name);
            }
        }
    }

    #[test]
    fn no_two_verbs_share_a_name_or_a_route() {
        let names: BTreeSet<_> = TABLE.iter().map(|entry| entry.name).collect();
        let routes: BTreeSet<_> =
            TABLE.iter().map(|entry| format!("{:?} {}", entry.method, entry.path)).collect();
        assert_eq!((names.len(), routes.len()), (TABLE.len(), TABLE.len()));
    }

    #[test]
    fn every_example_is_what_its_schema_describes() {
        for entry in TABLE {
            let (schema, _) = described(entry);
            let input = example(&schema, &Map::new(), Extent::Needed);
            assert!(jsonschema::is_valid(&schema, &input), "{}: {input}", entry.name);
            let mut generator = schema::answers("/$defs");
            let mut output = (entry.shape.output)(&mut generator).to_value();
            let shared = generator.take_definitions(true);
            output["$defs"] = shared.clone().into();
            let answer = example(&output, &shared, Extent::All);
            let fault = jsonschema::validate(&output, &answer);
            assert!(fault.is_ok(), "{}: {fault:?} in {answer:#}", entry.name);
        }
    }
}
