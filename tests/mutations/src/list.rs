//! The faults, as changes of the source.

/// A fault: what it breaks, and how.
pub(crate) struct Mutation {
    /// What is no longer true.
    pub(crate) name: &'static str,
    /// The file, below `host/store/src`.
    pub(crate) file: &'static str,
    /// What stands there, once, and what stands there instead.
    pub(crate) changes: &'static [(&'static str, &'static str)],
}

/// Every fault that must be caught.
pub(crate) const MUTATIONS: &[Mutation] = &[
    Mutation {
        name: "the fence of an end is dropped",
        file: "settle.rs",
        changes: &[(
            "AND task.attempt = CAST(ending.value->>1 AS BIGINT) AND task.state + 0 = 3",
            "AND task.state + 0 = 3",
        )],
    },
    Mutation {
        name: "an end that came is followed by another",
        file: "settle.rs",
        changes: &[(
            "AND task.attempt = CAST(ending.value->>1 AS BIGINT) AND task.state + 0 = 3",
            "AND task.attempt = CAST(ending.value->>1 AS BIGINT)",
        )],
    },
    Mutation {
        name: "a checkpoint is answered before the commit",
        file: "write.rs",
        changes: &[
            (
                "reply: oneshot::Sender<Written<W::Output>>,\n}",
                "reply: Option<oneshot::Sender<Written<W::Output>>>,\n}",
            ),
            (
                "Self { write: Some(write), outcome: None, record, reply }",
                "Self { write: Some(write), outcome: None, record, reply: Some(reply) }",
            ),
            (
                "waiting.outcome = Some(answer);",
                // A claim that stands is told apart by what was made of it, and would wait for ever.
                "if W::TURN != Turn::Checkpoint { \
                 waiting.outcome = Some(answer); continue; } \
                 if let Some(reply) = waiting.reply.take() { \
                 drop(reply.send(Written { outcome: answer, is_recorded: false })); } \
                 waiting.outcome = Some(Err(StoreError::Closed));",
            ),
            (
                "if self.reply.send(Written { outcome, is_recorded }).is_err()",
                "let told = Written { outcome, is_recorded };\n        \
                 if self.reply.is_some_and(|reply| reply.send(told).is_err())",
            ),
        ],
    },
    Mutation {
        name: "a dependency is resolved twice",
        file: "dependents.rs",
        changes: &[("AND dependency.outcome IS NULL ", "")],
    },
    Mutation {
        name: "a task starts before its last dependency has ended",
        file: "dependents.rs",
        changes: &[(
            "WHEN waiting_count > CAST(resolved.value->>1 AS BIGINT) THEN 0",
            "WHEN waiting_count > CAST(resolved.value->>1 AS BIGINT) + 1 THEN 0",
        )],
    },
    Mutation {
        name: "an optional dependency skips as a required one",
        file: "dependents.rs",
        changes: &[("dependency.required AND dependency.outcome <> 8", "dependency.outcome <> 8")],
    },
    Mutation {
        name: "a scheduled task does not wait for its time",
        file: "claim.rs",
        changes: &[
            ("WHERE state = 1 AND run_at <= $1", "WHERE state = 1 AND $1 > 0"),
            ("run_at.is_some_and(|run_at| run_at <= now)", "run_at.is_some()"),
        ],
    },
    Mutation {
        name: "a start does not use up an attempt",
        file: "take.rs",
        changes: &[(
            "SET state = 3, attempt = attempt + 1,",
            "SET state = 3, attempt = max(attempt, 1),",
        )],
    },
    Mutation {
        name: "a host loss is not counted",
        file: "recovery.rs",
        changes: &[("host_losses = host_losses + 1", "host_losses = host_losses + 0")],
    },
    Mutation {
        name: "a job whose tasks have ended stays open",
        file: "settle.rs",
        changes: &[(
            "        if open > 0 {\n            continue;",
            "        if open >= 0 {\n            continue;",
        )],
    },
    Mutation {
        name: "the checkpoints of a failed task are dropped",
        file: "settle.rs",
        changes: &[(
            "        if let End::Completed { output, files } = &ending.end {",
            "        checkpointed.extend(has_checkpoints.then_some(ending.task.0));\n        \
             if let End::Completed { output, files } = &ending.end {",
        )],
    },
    Mutation {
        name: "a live lease is rescued",
        file: "recovery.rs",
        changes: &[("AND lease_until < $2 AND id <> $1", "AND $2 > 0 AND id <> $1")],
    },
    Mutation {
        name: "a session whose lease has ended claims",
        file: "claim.rs",
        changes: &[("if !look.is_held {", "if free > u32::MAX - 1 && !look.is_held {")],
    },
    Mutation {
        name: "a session that was lost stores a running job",
        file: "submission.rs",
        changes: &[(
            "rows.session.is_some_and(|(session, _)| !held.contains(&session))",
            "rows.session.is_some_and(|(session, _)| held.contains(&session) && session.0 < 0)",
        )],
    },
    Mutation {
        name: "a tick fires twice",
        file: "schedules.rs",
        changes: &[("AND revision = $2 AND next_at = $3", "AND revision = $2 AND $3 > 0")],
    },
    Mutation {
        name: "a job that began before it was stored forgets its key",
        file: "eager.rs",
        changes: &[("eager.once.clone().map(", "eager.once.clone().filter(|_| job.id.0 < 0).map(")],
    },
    Mutation {
        name: "a job that began before it was stored is stored beside the one of its key",
        file: "eager.rs",
        changes: &[(
            "stored.earlier.map_or(Submitted::New(job), Submitted::Replayed)",
            "stored.earlier.filter(|id| id.0 < 0).map_or(Submitted::New(job), Submitted::Replayed)",
        )],
    },
    Mutation {
        name: "a line of the audit is added after one that is the last no more",
        file: "chain.rs",
        changes: &[(
            "CASE WHEN last_hash = $3 THEN CAST($1 AS BIGINT) END",
            "CASE WHEN length($3) > 0 THEN CAST($1 AS BIGINT) END",
        )],
    },
];
