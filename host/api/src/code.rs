//! Every code that a caller can meet, with its page.
//!
//! A code without a page in `docs/errors/` does not compile.

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal $status:literal;)*) => {
        /// The stable name of an error. Never renamed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The word on the wire, kebab-case.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
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
    /// There is no such job.
    UnknownJob = "unknown-job" 404;
    /// There is no such plugin.
    UnknownPlugin = "unknown-plugin" 404;
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
    /// A grant allows something that nobody asks for.
    GrantNotAsked = "grant-not-asked" 422;
    /// A grant cannot be read.
    InvalidGrant = "invalid-grant" 422;
    /// Another process works on the data directory.
    HostLocked = "host-locked" 409;
    /// The data directory cannot be used.
    DataDirUnusable = "data-dir-unusable" 500;
    /// The caller did not say who it is.
    Unauthorized = "unauthorized" 401;
    /// The caller may not do this.
    Forbidden = "forbidden" 403;
    /// The request cannot be read.
    InvalidRequest = "invalid-request" 400;
    /// There is no such path, or not with this method.
    UnknownRoute = "unknown-route" 404;
    /// The request is too large.
    PayloadTooLarge = "payload-too-large" 413;
    /// The host failed.
    Internal = "internal" 500;
    /// A task's executor met something that another try may mend.
    Retryable = "retryable" 500;
    /// A task's executor says that it will never work.
    Permanent = "permanent" 500;
    /// A task was cancelled.
    Cancelled = "cancelled" 500;
    /// A task's budget is used up.
    BudgetExhausted = "budget-exhausted" 500;
    /// A task was refused something that it was not granted.
    CapabilityDenied = "capability-denied" 500;
    /// A task went over one of its limits.
    LimitExceeded = "limit-exceeded" 500;
    /// A task's executor crashed.
    Trapped = "trapped" 500;
    /// A `$from` pointer found nothing.
    ReferenceUnresolved = "reference-unresolved" 500;
    /// The host ended while a task was running.
    HostLost = "host-lost" 500;
    /// A task's plugin cannot be used.
    PluginUnavailable = "plugin-unavailable" 500;
    /// A manifest is not YAML.
    InvalidYaml = "invalid-yaml" 422;
    /// A manifest has a field that is not known.
    UnknownField = "unknown-field" 422;
    /// A manifest lacks a field.
    MissingField = "missing-field" 422;
    /// A manifest has a value of another type.
    WrongType = "wrong-type" 422;
    /// A manifest has a value that is not accepted.
    InvalidValue = "invalid-value" 422;
    /// A manifest asks for something that this version does not enforce.
    NotEnforced = "not-enforced" 422;
}

impl Code {
    /// The code of this name.
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use apflow_model::fault::FaultCode;

    use super::*;

    #[test]
    fn every_page_is_headed_by_its_code() {
        for code in Code::ALL {
            let heading = format!("# {}\n", code.name());
            assert!(code.page().starts_with(&heading), "{}", code.name());
        }
    }

    #[test]
    fn every_fault_of_a_task_has_a_page() {
        for fault in [
            FaultCode::InvalidInput,
            FaultCode::Retryable,
            FaultCode::Permanent,
            FaultCode::Cancelled,
            FaultCode::BudgetExhausted,
            FaultCode::CapabilityDenied,
            FaultCode::LimitExceeded,
            FaultCode::Trapped,
            FaultCode::ReferenceUnresolved,
            FaultCode::HostLost,
            FaultCode::PluginUnavailable,
        ] {
            assert!(Code::find(fault.name()).is_some(), "{fault}");
        }
    }
}
