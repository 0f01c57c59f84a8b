//! What a client is told of a job while it runs: how far it is, and the lines that it logs.
#![expect(deprecated, reason = "the newest revision of MCP takes log lines away in a later one")]

use apflow_model::event::{CostDecided, Event, Happening, Level};
use rmcp::RoleServer;
use rmcp::model::{
    LoggingLevel, LoggingMessageNotificationParam, ProgressNotificationParam, ProgressToken,
};
use rmcp::service::{Peer, RequestContext};
use serde_json::{Map, Value, json};

/// Tells the client of a call what happens meanwhile, if it asked to be told.
pub(super) struct Teller {
    peer: Peer<RoleServer>,
    /// The client's name for its call, if it wants to know how far it is.
    token: Option<ProgressToken>,
    /// How far the client knows that it is: it may only become more.
    fraction: Option<f64>,
    /// From which level on the client wants log lines. None when it wants none.
    level: Option<Level>,
}

impl Teller {
    /// Tells of a call. `level` is what the client said of log lines before, if it did: a call may say
    /// it again, and one that is told of its progress gets them from `info` on.
    pub(super) fn new(context: &RequestContext<RoleServer>, level: Option<Level>) -> Self {
        let token = context.meta.get_progress_token();
        let usual = token.is_some().then_some(Level::Info);
        let asked = context.meta.log_level().map(level_of);
        let level = asked.or(level).or(usual);
        Self { peer: context.peer.clone(), token, fraction: None, level }
    }

    /// Tells of an event.
    pub(super) async fn tell(&mut self, event: &Event) {
        let sent = if let Happening::Progress { fraction, message } = &event.what {
            let Some(token) = self.token.clone() else { return };
            if self.fraction.is_some_and(|told| told >= *fraction) {
                return;
            }
            self.fraction = Some(*fraction);
            let progress = ProgressNotificationParam::new(token, *fraction).with_total(1.0);
            self.peer.notify_progress(progress.with_message(message.clone())).await
        } else {
            let Some((level, logger, data)) = line(&event.what) else { return };
            if self.level.is_none_or(|least| level < least) {
                return;
            }
            let line = LoggingMessageNotificationParam::new(name_of(level), data);
            self.peer.notify_logging_message(line.with_logger(logger)).await
        };
        if let Err(error) = sent {
            // Its call is cancelled when it is gone.
            tracing::debug!(%error, "a client could not be told of its job");
        }
    }
}

/// From which level on a client that names this one wants lines.
pub(super) fn level_of(level: LoggingLevel) -> Level {
    match level {
        LoggingLevel::Debug => Level::Trace,
        LoggingLevel::Info => Level::Info,
        LoggingLevel::Notice | LoggingLevel::Warning => Level::Warn,
        LoggingLevel::Error
        | LoggingLevel::Critical
        | LoggingLevel::Alert
        | LoggingLevel::Emergency => Level::Error,
    }
}

fn name_of(level: Level) -> LoggingLevel {
    match level {
        Level::Trace | Level::Debug => LoggingLevel::Debug,
        Level::Info => LoggingLevel::Info,
        Level::Warn => LoggingLevel::Warning,
        Level::Error => LoggingLevel::Error,
    }
}

/// An event as a line of a log: how much it matters, who says it, and what. None for one that is of no
/// use to a client that waits.
fn line(what: &Happening) -> Option<(Level, &'static str, Value)> {
    let host = |level, text: String| Some((level, "host", text.into()));
    match what {
        Happening::Log(line) if line.fields.is_empty() => {
            Some((line.level, "executor", line.message.clone().into()))
        }
        Happening::Log(line) => {
            let fields =
                line.fields.iter().map(|(name, value)| (name.clone(), value.as_str().into()));
            let fields: Map<String, Value> = fields.collect();
            Some((line.level, "executor", json!({ "message": line.message, "fields": fields })))
        }
        Happening::Stdout { text } => Some((Level::Info, "stdout", text.clone().into())),
        Happening::Stderr { text } => Some((Level::Info, "stderr", text.clone().into())),
        Happening::Denied { message } => host(Level::Warn, message.clone()),
        Happening::Held { destination, wait_ms } => {
            host(Level::Warn, format!("{destination} is left alone for {wait_ms} ms more"))
        }
        Happening::ApprovalAsked { tool } => host(
            Level::Warn,
            format!("`{tool}` waits for approval: `apflow-host approvals list` shows the task"),
        ),
        Happening::CostDecided(CostDecided { policy, action, reason, .. }) => {
            host(Level::Warn, format!("{action} by the cost policy `{policy}`: {reason}"))
        }
        Happening::Fallback { from, to } => {
            host(Level::Warn, format!("`{from}` failed: `{to}` is tried"))
        }
        Happening::State { fault: Some(fault), state } if !state.is_end() => {
            host(Level::Warn, format!("an attempt failed: {fault}"))
        }
        Happening::State { .. }
        | Happening::Fired(_)
        | Happening::ApprovalDecided(_)
        | Happening::CacheHit { .. }
        | Happening::CacheMiss
        | Happening::Cancelling
        | Happening::CancelTooLate
        | Happening::Progress { .. }
        | Happening::Checkpoint { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use apflow_model::event::LogLine;

    use super::*;

    #[test]
    fn a_line_has_the_level_that_its_executor_gave_it() {
        let log = |fields| LogLine { level: Level::Warn, message: "slow".to_owned(), fields };
        let plain = line(&Happening::Log(log(Vec::new())));
        assert_eq!(plain, Some((Level::Warn, "executor", json!("slow"))));
        let fields = vec![("ms".to_owned(), "7".to_owned())];
        let (_, _, data) = line(&Happening::Log(log(fields))).unwrap();
        assert_eq!(data, json!({ "message": "slow", "fields": { "ms": "7" } }));
        assert_eq!(line(&Happening::CacheMiss), None);
    }

    #[test]
    fn a_level_that_is_asked_for_lets_itself_through() {
        for level in [Level::Trace, Level::Debug, Level::Info, Level::Warn, Level::Error] {
            assert!(level_of(name_of(level)) <= level, "{level:?}");
        }
        assert!(level_of(LoggingLevel::Warning) > Level::Info);
    }
}
