//! What the status of an answer means for the task.

use std::time::Duration;

use crate::redirect::is_redirect;
use crate::success::Statuses;

/// The longest wait that is kept. A server that asks for more is not coming back for this task.
const WAIT_MAX: Duration = Duration::from_hours(24);

/// What becomes of the task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The answer is the output.
    Fine,
    /// Another try may be answered better, after this wait if the server named one.
    Retry(Option<Duration>),
    /// Another try may be answered better, but only in more than a day.
    TooLate,
    /// It will be answered so again.
    Fail,
}

/// Judges an answer by its status and the wait that it names.
///
/// What is in `success` is fine. Of the rest 408, 425, 429 and every 5xx may be better another time.
/// Other 4xx, and a redirect that was not followed, fail, and so does everything when `success` was
/// said.
pub fn judge(success: Option<&Statuses>, status: u16, retry_after: Option<Duration>) -> Verdict {
    match status {
        _ if success.is_some_and(|success| success.contains(status)) => Verdict::Fine,
        408 | 425 | 429 | 500..=599 => match retry_after {
            Some(wait) if wait > WAIT_MAX => Verdict::TooLate,
            wait => Verdict::Retry(wait),
        },
        400..=499 => Verdict::Fail,
        _ if is_redirect(status) || success.is_some() => Verdict::Fail,
        _ => Verdict::Fine,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_tried_again() {
        for status in [408, 425, 429, 500, 502, 503, 504, 599] {
            assert_eq!(judge(None, status, None), Verdict::Retry(None), "{status}");
        }
    }

    #[test]
    fn what_will_not_change_fails() {
        for status in [400, 401, 404, 409, 422, 451, 301, 302, 307, 308] {
            assert_eq!(
                judge(None, status, Some(Duration::from_secs(1))),
                Verdict::Fail,
                "{status}"
            );
        }
    }

    #[test]
    fn other_answers_are_outputs() {
        for status in [200, 201, 204, 206, 300, 304] {
            assert_eq!(judge(None, status, None), Verdict::Fine, "{status}");
        }
    }

    #[test]
    fn a_success_is_what_the_caller_says() {
        let success: Statuses = serde_json::from_value(serde_json::json!(["2xx", 404])).unwrap();
        let judged = |status| judge(Some(&success), status, None);
        assert_eq!((judged(204), judged(404)), (Verdict::Fine, Verdict::Fine));
        assert_eq!((judged(304), judged(400)), (Verdict::Fail, Verdict::Fail));
        assert_eq!(judged(503), Verdict::Retry(None));
    }

    #[test]
    fn the_wait_that_the_server_names_is_kept() {
        let wait = Duration::from_mins(2);
        assert_eq!(judge(None, 429, Some(wait)), Verdict::Retry(Some(wait)));
    }

    #[test]
    fn a_wait_of_more_than_a_day_is_too_long() {
        assert_eq!(judge(None, 429, Some(WAIT_MAX)), Verdict::Retry(Some(WAIT_MAX)));
        let longer = WAIT_MAX + Duration::from_secs(1);
        assert_eq!(judge(None, 429, Some(longer)), Verdict::TooLate);
    }
}
