//! Every code that a caller can meet, with its page.
//!
//! A code without a page in `docs/errors/` does not compile.

use apflow_model::audit::Decision;
use serde::{Serialize, Serializer};

macro_rules! codes {
    ($(#[doc = $about:literal] $name:ident = $text:literal $status:literal;)*) => {
        /// The stable name of an error. Never renamed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $(#[doc = $about] $name,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The word on the wire, kebab-case.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// What happened, as a sentence after a space.
            pub const fn about(self) -> &'static str {
                match self { $(Self::$name => $about,)* }
            }

            /// The HTTP status.
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            /// The page that explains it, as Markdown.
            pub const fn page(self) -> &'static str {
                match self {
                    $(Self::$name => include_str!(
                        concat!("../../../docs/errors/", $text, ".md")
                    ),)*
                }
            }
        }
    };
}

codes! {
    /// The submission is wrong.
    InvalidJob = "invalid-job" 422;
    /// A task's inputs do not match its executor's schema.
    InvalidInput = "invalid-input" 422;
    /// A task names an executor that is not installed.
    UnknownExecutor = "unknown-executor" 422;
    /// An idempotency key was used for another submission.
    IdempotencyConflict = "idempotency-conflict" 409;
    /// The job came through this host before, or through too many.
    JobLoop = "job-loop" 422;
    /// The host is starting or ending.
    NotReady = "not-ready" 503;
    /// More is being submitted than can be taken in.
    Busy = "busy" 429;
    /// There is no such job.
    UnknownJob = "unknown-job" 404;
    /// There is no such task.
    UnknownTask = "unknown-task" 404;
    /// Nothing is known against what the breaker guards.
    UnknownBreaker = "unknown-breaker" 404;
    /// The task waits for no approval.
    ApprovalNotPending = "approval-not-pending" 409;
    /// The job has not ended.
    JobNotEnded = "job-not-ended" 409;
    /// There is no such file.
    UnknownFile = "unknown-file" 404;
    /// A job that has not ended needs the file.
    FileInUse = "file-in-use" 409;
    /// The caller's uploads would have more files or bytes than they may.
    FileQuotaExceeded = "file-quota-exceeded" 413;
    /// An uploaded file has other bytes than its caller said.
    DigestMismatch = "digest-mismatch" 400;
    /// The file is not the one that the request is about.
    PreconditionFailed = "precondition-failed" 412;
    /// The file has no such part.
    RangeNotSatisfiable = "range-not-satisfiable" 416;
    /// No more can be written to the disk of the data directory.
    DiskFull = "disk-full" 507;
    /// The schedule is wrong.
    InvalidSchedule = "invalid-schedule" 422;
    /// There is no such schedule.
    UnknownSchedule = "unknown-schedule" 404;
    /// The name is that of another's schedule.
    ScheduleTaken = "schedule-taken" 409;
    /// The principal has no such budget.
    UnknownBudget = "unknown-budget" 404;
    /// There is no such cost policy.
    UnknownPolicy = "unknown-policy" 404;
    /// The cost policy is one of `policies.yaml`.
    PolicyInFile = "policy-in-file" 409;
    /// The cost policy is wrong.
    InvalidPolicy = "invalid-policy" 422;
    /// There is no such token.
    UnknownToken = "unknown-token" 404;
    /// A token is asked for in a role that there is not.
    UnknownRole = "unknown-role" 422;
    /// As many tokens are kept as may be.
    TooManyTokens = "too-many-tokens" 409;
    /// There is no such plugin.
    UnknownPlugin = "unknown-plugin" 404;
    /// There is no such tool.
    UnknownTool = "unknown-tool" 404;
    /// The plugin came with the host.
    BuiltinPlugin = "builtin-plugin" 409;
    /// The manifest has faults.
    InvalidManifest = "invalid-manifest" 422;
    /// The component was refused.
    ComponentRefused = "component-refused" 422;
    /// A component came without a manifest.
    MissingManifest = "missing-manifest" 422;
    /// A schema of a plugin is no JSON Schema.
    InvalidSchema = "invalid-schema" 422;
    /// A text is no grant.
    InvalidGrant = "invalid-grant" 422;
    /// A grant allows something that nobody asks for.
    GrantNotAsked = "grant-not-asked" 403;
    /// A plugin needs the operator's consent.
    ConsentNeeded = "consent-needed" 409;
    /// A lock of grants has faults.
    InvalidLock = "invalid-lock" 422;
    /// Too many tasks have not ended.
    TooManyTasks = "too-many-tasks" 429;
    /// There were too many calls within a minute.
    RateLimited = "rate-limited" 429;
    /// Another process works on the data directory.
    HostLocked = "host-locked" 409;
    /// As many watch jobs as may.
    TooManyWatchers = "too-many-watchers" 429;
    /// The host is about to end, and takes no more jobs in.
    Draining = "draining" 503;
    /// The database cannot be reached, opened or written.
    DatabaseUnavailable = "database-unavailable" 503;
    /// The data directory cannot be used.
    DataDirUnusable = "data-dir-unusable" 500;
    /// The caller did not say who it is.
    Unauthorized = "unauthorized" 401;
    /// The provider of identities does not answer the host.
    ProviderUnavailable = "provider-unavailable" 503;
    /// The caller may not do this.
    Forbidden = "forbidden" 403;
    /// The role of the caller may not run the tool.
    ToolBlocked = "tool-blocked" 403;
    /// The request cannot be read.
    InvalidRequest = "invalid-request" 400;
    /// There is no such path.
    UnknownRoute = "unknown-route" 404;
    /// The path has no such method.
    MethodNotAllowed = "method-not-allowed" 405;
    /// The request calls the host by a name that is not its own.
    UnknownHost = "unknown-host" 421;
    /// A web page asks that may not use the API.
    ForeignOrigin = "foreign-origin" 403;
    /// The body of the request comes too slowly.
    TooSlow = "too-slow" 408;
    /// The request is too large.
    PayloadTooLarge = "payload-too-large" 413;
    /// The host failed.
    Internal = "internal" 500;
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl Code {
    /// What any verb may be refused with.
    pub const OF_ALL: [Self; 12] = [
        Self::Draining,
        Self::UnknownHost,
        Self::ForeignOrigin,
        Self::Unauthorized,
        Self::Forbidden,
        Self::InvalidRequest,
        Self::RateLimited,
        Self::ProviderUnavailable,
        Self::DatabaseUnavailable,
        Self::DataDirUnusable,
        Self::DiskFull,
        Self::Internal,
    ];

    /// What the audit says of a call that got it: callers who may not do it, or not now, are refused.
    pub(crate) const fn decision(self) -> Decision {
        match self.status() {
            401 | 403 | 429 => Decision::Refused,
            _ => Decision::Failed,
        }
    }
}

macro_rules! pages {
    ($($name:literal)*) => {
        &[$(($name, include_str!(concat!("../../../docs/errors/", $name, ".md"))),)*]
    };
}

/// The pages of what no request is refused with: faults of tasks, what keeps the command line from a
/// server and from an image in a registry, then faults in manifests.
const MORE_PAGES: &[(&str, &str)] = pages![
    "retryable" "permanent" "cancelled" "budget-exhausted" "capability-denied" "limit-exceeded"
    "trapped" "reference-unresolved" "dependency-lost" "breaker-open" "host-lost" "plugin-unavailable" "deadline-exceeded" "plugin-quarantined" "denied"
    "cannot-connect" "timed-out" "untrusted-server" "foreign-server"
    "unknown-image" "invalid-image" "image-altered" "registry-refused" "foreign-registry"
    "invalid-yaml" "unknown-field" "missing-field" "wrong-type" "invalid-value"
];

/// Every code that has a page, with it.
pub fn pages() -> impl Iterator<Item = (&'static str, &'static str)> {
    Code::ALL.iter().map(|code| (code.name(), code.page())).chain(MORE_PAGES.iter().copied())
}

#[cfg(test)]
mod tests {
    use apflow_model::fault::FaultCode;

    use super::*;

    #[test]
    fn every_page_is_headed_by_its_code() {
        for (name, page) in pages() {
            assert!(page.starts_with(&format!("# {name}\n")), "{name}");
        }
    }

    #[test]
    fn every_fault_of_a_task_has_a_page() {
        for fault in FaultCode::ALL {
            assert!(pages().any(|(name, _)| name == fault.name()), "{fault}");
        }
    }
}
