//! Asks an executor what it is.

use std::sync::Arc;
use std::time::Duration;

use apflow_model::manifest::Manifest;
use apflow_model::plugin::Descriptor;
use serde_json::Value;

use crate::attempt;
use crate::bindings::ExecutorPre;
use crate::bindings::apflow::plugin::types;
use crate::egress::Outside;
use crate::error::SandboxError;
use crate::link::Linked;
use crate::port::NoTask;
use crate::state::State;
use crate::stop::Stop;
use crate::trap;

/// The longest that `describe` may take.
const DESCRIBE_MAX: Duration = Duration::from_secs(5);

// What a description may hold. Every list of executors repeats it.
const NAME_BYTES_MAX: usize = 200;
const DESCRIPTION_BYTES_MAX: usize = 8 << 10;
const TAGS_MAX: usize = 32;
const TAG_BYTES_MAX: usize = 64;
const SCHEMA_BYTES_MAX: usize = 256 << 10;

pub(crate) async fn executor(
    plugin: &Linked,
    pre: &ExecutorPre<State>,
    outside: &Arc<Outside>,
    manifest: &Manifest,
) -> Result<Descriptor, SandboxError> {
    let (scope, port) = (plugin.plan.scope(Arc::default(), None), Arc::new(NoTask));
    let stop = Stop::new();
    let mut store = attempt::new_store(plugin, outside, scope, port, &stop, DESCRIBE_MAX)
        .map_err(|fault| SandboxError::Undescribed(fault.message))?;
    let deadline = store.data().deadline;
    let calling = async {
        let executor = pre.instantiate_async(&mut store).await?;
        executor.apflow_plugin_run().call_describe(&mut store).await
    };
    let described = attempt::until_stopped(calling, &stop, deadline).await;
    let described = described.map_err(|error| {
        if stop.reason().is_some() {
            let text = format!("did not return within {} s", DESCRIBE_MAX.as_secs());
            return SandboxError::Undescribed(text);
        }
        let state = store.data();
        let breach = state.limiter.breach.as_ref();
        let fault = trap::fault(&error, breach, &state.plan.limits, &state.stderr.take());
        SandboxError::Undescribed(format!("failed: {}", fault.message))
    })?;
    check(described, manifest)
}

/// Refuses a description that is too long, contradicts the manifest or holds no schemas.
fn check(described: types::Descriptor, manifest: &Manifest) -> Result<Descriptor, SandboxError> {
    check_sizes(&described)?;
    let contradiction = |what: &str, own: &str, said: &str| {
        SandboxError::Undescribed(format!(
            "says that the {what} is `{own}`, but its manifest says `{said}`"
        ))
    };
    if described.id != manifest.name {
        return Err(contradiction("name", &described.id, &manifest.name));
    }
    let version = manifest.version.to_string();
    if described.version != version {
        return Err(contradiction("version", &described.version, &version));
    }
    Ok(Descriptor {
        input_schema: schema("input-schema", &described.input_schema)?,
        output_schema: schema("output-schema", &described.output_schema)?,
        id: described.id,
        name: described.name,
        description: described.description,
        version: described.version,
        tags: described.tags,
    })
}

fn check_sizes(described: &types::Descriptor) -> Result<(), SandboxError> {
    let texts = [
        ("id", &described.id, NAME_BYTES_MAX),
        ("name", &described.name, NAME_BYTES_MAX),
        ("description", &described.description, DESCRIPTION_BYTES_MAX),
        ("version", &described.version, NAME_BYTES_MAX),
        ("input-schema", &described.input_schema, SCHEMA_BYTES_MAX),
        ("output-schema", &described.output_schema, SCHEMA_BYTES_MAX),
    ];
    let tags = described.tags.iter().map(|tag| ("tag", tag, TAG_BYTES_MAX));
    for (field, text, bytes_max) in texts.into_iter().chain(tags) {
        let bytes = text.len();
        if bytes > bytes_max {
            return Err(SandboxError::Undescribed(format!(
                "returned a `{field}` of {bytes} bytes, but it may have at most {bytes_max}"
            )));
        }
    }
    let count = described.tags.len();
    if count > TAGS_MAX {
        return Err(SandboxError::Undescribed(format!(
            "returned {count} `tags`, but it may have at most {TAGS_MAX}"
        )));
    }
    Ok(())
}

fn schema(field: &str, text: &str) -> Result<Value, SandboxError> {
    serde_json::from_str(text).map_err(|error| {
        SandboxError::Undescribed(format!("returned a `{field}` that is not JSON: {error}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    fn described() -> types::Descriptor {
        types::Descriptor {
            id: "own".to_owned(),
            name: "n".repeat(NAME_BYTES_MAX),
            description: "d".repeat(DESCRIPTION_BYTES_MAX),
            version: "0.1.0".to_owned(),
            input_schema: "true".to_owned() + &" ".repeat(SCHEMA_BYTES_MAX - 4),
            output_schema: "true".to_owned(),
            tags: vec!["t".repeat(TAG_BYTES_MAX); TAGS_MAX],
        }
    }

    #[test]
    fn a_description_within_its_limits_is_taken() {
        let descriptor = check(described(), &fixture::manifest("")).unwrap();
        assert_eq!(descriptor.tags.len(), TAGS_MAX);
    }

    #[test]
    fn a_description_over_a_limit_is_refused_with_the_limit() {
        type Change = fn(&mut types::Descriptor);
        let changes: [(Change, &str); 7] = [
            (|own| own.id = "i".repeat(1 << 20), "`id` of 1048576 bytes"),
            (|own| own.version = "1".repeat(1 << 20), "`version` of 1048576 bytes"),
            (|own| own.name.push('n'), "`name` of 201 bytes, but it may have at most 200"),
            (|own| own.description.push('d'), "`description` of 8193 bytes"),
            (|own| own.tags[0].push('t'), "`tag` of 65 bytes"),
            (|own| own.tags.push(String::new()), "33 `tags`, but it may have at most 32"),
            (|own| own.input_schema.push(' '), "`input-schema` of 262145 bytes"),
        ];
        for (change, expected) in changes {
            let mut described = described();
            change(&mut described);
            let text = check(described, &fixture::manifest("")).unwrap_err().to_string();
            assert!(text.contains(expected), "{text}");
        }
    }
}
