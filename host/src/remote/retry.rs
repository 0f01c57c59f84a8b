//! Whether and when a request is sent again.

use std::time::Duration;

/// The wait before the first repetition. Each further one is twice as long.
const WAIT_BASE: Duration = Duration::from_secs(1);
/// The longest that a server may have a client wait. Who is told to wait longer is told so.
const WAIT_MAX: Duration = Duration::from_mins(1);

/// What came of a try, as far as another is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tried {
    /// The server never got the request.
    Unsent,
    /// The server did nothing, and will later: after so long, if it said.
    Deferred(Option<Duration>),
    /// The server may have done it: its answer did not come, or not whole.
    Unknown,
    /// The same would come of it again.
    Final,
}

/// How long to wait before the request is sent again. None when it is not.
///
/// `tries` were made before this one, and `retries_max` may follow the first. What the server may
/// have done is asked for again only if `is_repeatable`: when that does no harm.
pub(super) fn wait(
    came: Tried,
    is_repeatable: bool,
    tries: u32,
    retries_max: u32,
) -> Option<Duration> {
    if tries >= retries_max {
        return None;
    }
    let usual = WAIT_BASE.saturating_mul(1 << tries.min(16));
    match came {
        Tried::Unsent | Tried::Deferred(None) => Some(usual),
        Tried::Unknown => is_repeatable.then_some(usual),
        Tried::Deferred(Some(wait)) => (wait <= WAIT_MAX).then(|| wait.max(usual)),
        Tried::Final => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(tried: Tried, is_repeatable: bool) -> Vec<Option<u64>> {
        (0..4).map(|tries| Some(wait(tried, is_repeatable, tries, 3)?.as_secs())).collect()
    }

    #[test]
    fn a_request_is_repeated_after_one_two_and_four_seconds() {
        let all = [Some(1), Some(2), Some(4), None];
        assert_eq!(seconds(Tried::Unsent, false), all);
        assert_eq!(seconds(Tried::Deferred(None), false), all);
        assert_eq!(seconds(Tried::Unknown, true), all);
    }

    #[test]
    fn what_may_have_been_done_is_not_done_twice() {
        assert_eq!(seconds(Tried::Unknown, false), [None; 4]);
        assert_eq!(seconds(Tried::Final, true), [None; 4]);
    }

    #[test]
    fn a_server_says_how_long_to_wait() {
        let told = |seconds| Tried::Deferred(Some(Duration::from_secs(seconds)));
        assert_eq!(seconds(told(3), false), [Some(3), Some(3), Some(4), None]);
        assert_eq!(seconds(told(61), false), [None; 4]);
    }
}
