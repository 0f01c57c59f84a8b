//! Which results of tools are given again, and to whom.
//!
//! It stores none: the end of an attempt does, in the transaction that settles it.

use std::time::Duration;

use apflow_model::cache::{KeptResults, ResultCursor};
use apflow_model::capability::Grant;
use apflow_model::clock::Timestamp;
use apflow_model::plugin::{Digest, Plugin};
use apflow_sandbox::Ended;
use apflow_store::{CachedResult, Claimed, NewResult, RunSource, ToolRun};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::engine::Engine;
use crate::error::{EngineError, chain};

impl Engine {
    /// Lists the results that are kept, the newest first: of one tool, or of all, after `after`.
    /// `limit` is brought into 1 to 1000.
    ///
    /// # Errors
    ///
    /// [`EngineError::UnknownTool`], and [`EngineError::Store`] when the database fails.
    pub async fn list_results(
        &self,
        tool: Option<&str>,
        after: Option<&ResultCursor>,
        limit: u32,
    ) -> Result<KeptResults, EngineError> {
        if let Some(tool) = tool {
            self.find_tool(tool).await?;
        }
        Ok(self.store.list_results(tool, after, limit).await?)
    }

    /// Forgets the results that are kept: of one tool, or of all. Returns how many.
    ///
    /// # Errors
    ///
    /// [`EngineError::UnknownTool`], and [`EngineError::Store`] when the database fails.
    pub async fn clear_results(&self, tool: Option<&str>) -> Result<u64, EngineError> {
        if let Some(tool) = tool {
            self.find_tool(tool).await?;
        }
        Ok(self.store.clear_results(tool.map(str::to_owned)).await?)
    }

    /// Forgets results that have expired.
    pub(crate) async fn forget_results(&self) -> Result<u64, EngineError> {
        let mut count = 0;
        loop {
            match self.store.forget_results(self.now()).await? {
                0 => return Ok(count),
                forgotten => count += forgotten,
            }
        }
    }
}

/// What a look for a kept result came to.
pub(crate) enum Look {
    /// The tool keeps no results, or this task has nothing to do with them.
    Unused,
    /// None is kept. That of this attempt may be.
    Miss(Miss),
    /// One is given again.
    Hit(CachedResult),
}

/// How the result of an attempt is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Miss {
    key: Digest,
    ttl: Duration,
}

/// What the end of an attempt that called its guest says of the tool. None for an executor.
pub(crate) fn run(
    plugin: &Plugin,
    ended: &Ended,
    miss: Option<Miss>,
    now: Timestamp,
) -> Option<ToolRun> {
    let name = &plugin.tool.as_ref()?.name;
    let took = Duration::from_micros(ended.usage.wall_us);
    let keep = miss.map(|Miss { key, ttl }| NewResult { key, expires_at: now.after(ttl) });
    Some(ToolRun { tool: name.clone(), source: RunSource::Run { took, keep } })
}

/// What tells the results of runs apart.
pub(crate) struct Given<'a> {
    /// Its inputs, complete and with the outputs of other tasks in them.
    pub(crate) inputs: &'a Value,
    /// What it is granted.
    pub(crate) granted: &'a [Grant],
    /// Whether other tasks left it files: their names say nothing of what is in them.
    pub(crate) has_left_files: bool,
}

/// Looks for a result that a task may be given instead of running its tool.
pub(crate) async fn look(
    engine: &Engine,
    claimed: &Claimed,
    plugin: &Plugin,
    given: Given<'_>,
) -> Look {
    let ttl = plugin.tool.as_ref().and_then(|tool| tool.cache_ttl);
    let Some(ttl) = ttl.filter(|_| claimed.uses_cache && !given.has_left_files) else {
        return Look::Unused;
    };
    let Some(key) = key(plugin.bound_to, &given, claimed.allow.as_deref()) else {
        return Look::Unused;
    };
    match engine.store.find_result(&key, engine.now()).await {
        Ok(Some(found)) => Look::Hit(found),
        Ok(None) => Look::Miss(Miss { key, ttl }),
        Err(error) => {
            // The tool can run without.
            let error = chain(&error);
            tracing::warn!(task = %claimed.task, error, "no kept result could be looked for");
            Look::Miss(Miss { key, ttl })
        }
    }
}

/// The sha256 of all that a result depends on: the component with its `tool.yaml`, the inputs, and
/// what the run may do, so that nobody is given what they could not have got themselves.
fn key(tool: Digest, given: &Given<'_>, allow: Option<&[Grant]>) -> Option<Digest> {
    let words = |grants: &[Grant]| {
        let mut words: Vec<String> = grants.iter().map(ToString::to_string).collect();
        words.sort_unstable();
        words.dedup();
        words
    };
    let all = (tool, given.inputs, words(given.granted), allow.map(words));
    // The keys of objects are sorted in it.
    let text = serde_json::to_vec(&all).ok()?;
    Some(Digest(Sha256::digest(&text).into()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TOOL: Digest = Digest([1; 32]);

    fn of(inputs: &str, granted: &[&str], allow: Option<&[&str]>) -> Digest {
        let grants = |texts: &[&str]| -> Vec<Grant> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        let inputs = serde_json::from_str(inputs).unwrap();
        let (granted, allow) = (grants(granted), allow.map(grants));
        let given = Given { inputs: &inputs, granted: &granted, has_left_files: false };
        key(TOOL, &given, allow.as_deref()).unwrap()
    }

    #[test]
    fn the_order_of_keys_and_grants_does_not_tell_results_apart() {
        let one = of(r#"{"a": 1, "b": [2]}"#, &["env=TZ", "env=LANG"], None);
        assert_eq!(one, of(r#"{"b":[2],"a":1}"#, &["env=LANG", "env=TZ", "env=TZ"], None));
    }

    #[test]
    fn inputs_grants_and_tools_tell_results_apart() {
        let one = of("{}", &["env=TZ"], None);
        let inputs = json!({});
        let given = Given { inputs: &inputs, granted: &[], has_left_files: false };
        for other in [
            of(r#"{"a": 1}"#, &["env=TZ"], None),
            of("{}", &[], None),
            of("{}", &["env=TZ"], Some(&[])),
            key(Digest([2; 32]), &given, None).unwrap(),
        ] {
            assert_ne!(one, other);
        }
        assert_ne!(of("{}", &[], None), of("{}", &[], Some(&[])), "nothing is kept of nothing");
    }
}
