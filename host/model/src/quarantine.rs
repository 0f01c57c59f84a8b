//! When a component is not run any more because hosts end while it runs.
//!
//! It does not say who counts: the store does, when it takes up the work of a host that ended.

use std::time::Duration;

use serde::Deserialize;

/// When a component is quarantined: enough hosts ended while it ran, and it was often enough part
/// of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub struct QuarantineRule {
    /// In how many sessions that were lost it must have been running. 0 turns the rule off.
    sessions_lost: u32,
    /// Within how many minutes, from 1 to 1440.
    within_minutes: u32,
}

/// The rule as an operator writes it.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Written {
    sessions_lost: u32,
    within_minutes: u32,
}

impl QuarantineRule {
    /// A component that lost fewer than one in this many of its attempts is healthy: it ran beside
    /// what took the hosts down.
    pub const ATTEMPTS_PER_LOSS_MAX: i64 = 10;

    /// Makes a rule. None when `within_minutes` is not from 1 to 1440.
    pub fn new(sessions_lost: u32, within_minutes: u32) -> Option<Self> {
        let is_right = (1..=1_440).contains(&within_minutes);
        is_right.then_some(Self { sessions_lost, within_minutes })
    }

    /// How far it looks back.
    pub const fn within(self) -> Duration {
        Duration::from_secs(self.within_minutes as u64 * 60)
    }

    /// Whether a component meets it: by the sessions that were lost while it ran, the attempts that
    /// it lost with them, and those that it started in the same time.
    pub fn is_met(self, sessions: i64, lost: i64, started: i64) -> bool {
        let is_on = self.sessions_lost > 0;
        let is_often = lost.saturating_mul(Self::ATTEMPTS_PER_LOSS_MAX) >= started;
        is_on && sessions >= i64::from(self.sessions_lost) && is_often
    }
}

impl Default for QuarantineRule {
    fn default() -> Self {
        Self { sessions_lost: 5, within_minutes: 60 }
    }
}

impl Default for Written {
    fn default() -> Self {
        let QuarantineRule { sessions_lost, within_minutes } = QuarantineRule::default();
        Self { sessions_lost, within_minutes }
    }
}

impl TryFrom<Written> for QuarantineRule {
    type Error = String;

    fn try_from(Written { sessions_lost, within_minutes }: Written) -> Result<Self, String> {
        let made = Self::new(sessions_lost, within_minutes);
        made.ok_or(format!("`within_minutes` is {within_minutes}, which is not from 1 to 1440"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_is_quarantined_by_enough_sessions_and_enough_of_its_attempts() {
        let rule = QuarantineRule::default();
        assert!(rule.is_met(5, 5, 50));
        assert!(!rule.is_met(4, 40, 50), "too few sessions");
        assert!(!rule.is_met(5, 5, 51), "it mostly ends well");
    }

    #[test]
    fn a_rule_of_no_sessions_is_off() {
        let rule = QuarantineRule::new(0, 60).unwrap();
        assert!(!rule.is_met(100, 100, 100));
    }

    #[test]
    fn what_an_operator_writes_is_checked() {
        let read = |text| serde_json::from_str::<QuarantineRule>(text);
        assert_eq!(read("{}").unwrap(), QuarantineRule::default());
        assert_eq!(read(r#"{"sessions_lost": 0}"#).unwrap().sessions_lost, 0);
        let refused = read(r#"{"within_minutes": 0}"#).unwrap_err();
        assert!(refused.to_string().contains("1 to 1440"), "{refused}");
        assert!(read(r#"{"within_hours": 1}"#).is_err());
    }
}
