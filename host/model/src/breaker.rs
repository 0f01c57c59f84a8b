//! Circuit breakers: what keeps failing is left alone for a while, then tried carefully.
//!
//! A breaker is closed as long as all is well. So many failures in a row open it: nothing goes
//! through until a moment. From that moment on it is half-open: a few probes go through, and the
//! first that ends decides. A success closes the breaker; a failure opens it again, for twice as
//! long, up to a maximum. Only failures and successes move it: see [`Outcome`].
//!
//! It neither stores nor waits: moments are passed in.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::clock::Timestamp;
use crate::fault::{Fault, FaultCode};

/// When a breaker opens, for how long, and how it is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Written")]
pub struct BreakerRule {
    /// How many failures in a row open it. From 1 to 1000; 5 if not set.
    pub failures: u32,
    /// How long it is open at first, in seconds. From 1 to 86,400; 60 if not set.
    pub open_seconds: u32,
    /// How long it is open at most, in seconds. From `open_seconds` to 86,400; 600 if not set, or
    /// `open_seconds` when that is longer.
    pub open_seconds_max: u32,
    /// How many probes go through at once while it is half-open. From 1 to 10; 1 if not set.
    pub probes: u32,
}

/// A rule as it is written.
#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Written {
    failures: u32,
    open_seconds: u32,
    open_seconds_max: Option<u32>,
    probes: u32,
}

impl Default for Written {
    fn default() -> Self {
        Self { failures: 5, open_seconds: 60, open_seconds_max: None, probes: 1 }
    }
}

impl TryFrom<Written> for BreakerRule {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let Written { failures, open_seconds, open_seconds_max, probes } = written;
        let open_seconds_max = open_seconds_max.unwrap_or(open_seconds.max(600));
        for (name, number, least, most) in [
            ("failures", failures, 1, Self::FAILURES_MAX),
            ("open_seconds", open_seconds, 1, Self::SECONDS_MAX),
            ("open_seconds_max", open_seconds_max, open_seconds, Self::SECONDS_MAX),
            ("probes", probes, 1, 10),
        ] {
            if !(least..=most).contains(&number) {
                return Err(format!("`{name}` is {number}: expected {least} to {most}"));
            }
        }
        Ok(Self { failures, open_seconds, open_seconds_max, probes })
    }
}

impl Default for BreakerRule {
    fn default() -> Self {
        Self { failures: 5, open_seconds: 60, open_seconds_max: 600, probes: 1 }
    }
}

impl BreakerRule {
    /// The most failures in a row that a rule may wait for.
    pub const FAILURES_MAX: u32 = 1_000;
    /// The longest that a breaker may be open, in seconds: a day.
    pub const SECONDS_MAX: u32 = 86_400;

    /// How long the breaker stays open when it opens for the `times`-th time in a row, from 1.
    fn open_for(&self, times: u32) -> Duration {
        let doublings = times.saturating_sub(1).min(31);
        let seconds = u64::from(self.open_seconds) << doublings;
        Duration::from_secs(seconds.min(self.open_seconds_max.into()))
    }
}

/// The rules of all breakers. None: there are no breakers of that kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BreakerRules {
    /// Of those that guard executors.
    #[serde(deserialize_with = "rule_or_off")]
    pub executors: Option<BreakerRule>,
    /// Of those that guard destinations.
    #[serde(deserialize_with = "rule_or_off")]
    pub destinations: Option<BreakerRule>,
}

impl Default for BreakerRules {
    fn default() -> Self {
        let rule = Some(BreakerRule::default());
        Self { executors: rule, destinations: rule }
    }
}

/// Reads a rule, or the word `off`.
fn rule_or_off<'de, D: Deserializer<'de>>(from: D) -> Result<Option<BreakerRule>, D::Error> {
    struct RuleOrOff;

    impl<'de> Visitor<'de> for RuleOrOff {
        type Value = Option<BreakerRule>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("`off`, or `failures`, `open_seconds` and so on")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
            let is_off = text == "off";
            is_off
                .then_some(None)
                .ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
        }

        // What older readers of YAML make of `off`.
        fn visit_bool<E: serde::de::Error>(self, is_on: bool) -> Result<Self::Value, E> {
            Ok(is_on.then(BreakerRule::default))
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
            BreakerRule::deserialize(MapAccessDeserializer::new(map)).map(Some)
        }
    }

    from.deserialize_any(RuleOrOff)
}

/// What a breaker guards. Written `executor:NAME` or `destination:SCHEME://HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
#[schemars(try_from = "String", into = "String", extend("pattern" = "^(executor|destination):", "examples" = ["destination:https://api.example.com:443"]))]
pub enum BreakerKey {
    /// The tasks of one executor, by its name.
    Executor(String),
    /// The connections to one destination: `https://api.example.com:443`, `tcp://10.0.0.5:5432`.
    Destination(String),
}

impl BreakerKey {
    /// What the key of every executor begins with.
    pub const EXECUTOR: &'static str = "executor:";
    /// What the key of every destination begins with.
    pub const DESTINATION: &'static str = "destination:";
}

impl fmt::Display for BreakerKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Executor(name) => write!(formatter, "{}{name}", Self::EXECUTOR),
            Self::Destination(name) => write!(formatter, "{}{name}", Self::DESTINATION),
        }
    }
}

impl FromStr for BreakerKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(name) = text.strip_prefix(Self::EXECUTOR) {
            return Ok(Self::Executor(name.to_owned()));
        }
        if let Some(name) = text.strip_prefix(Self::DESTINATION) {
            return Ok(Self::Destination(name.to_owned()));
        }
        Err(format!(
            "`{text}` is no breaker: expected `executor:NAME` or \
             `destination:SCHEME://HOST:PORT`, as `apflow-host breakers list` shows them"
        ))
    }
}

impl Serialize for BreakerKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BreakerKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What the end of an attempt, or of a request, says about what it went to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It works.
    Success,
    /// It is in trouble.
    Failure,
    /// Nothing at all.
    Neither,
}

impl Outcome {
    /// What an attempt says about its executor. `fault` is why it did not end well, `timed_out`
    /// whether that is because its time was up, and `is_outside` whether a destination failed it,
    /// which has a breaker of its own.
    ///
    /// A `permanent` fault is an answer: the executor works. Whatever the caller, the operator or
    /// the host did says nothing about it.
    pub fn of_attempt(fault: Option<&Fault>, timed_out: bool, is_outside: bool) -> Self {
        let Some(fault) = fault else { return Self::Success };
        match fault.code {
            FaultCode::Permanent => Self::Success,
            FaultCode::Trapped => Self::Failure,
            FaultCode::Retryable if !is_outside => Self::Failure,
            FaultCode::LimitExceeded if timed_out && !is_outside => Self::Failure,
            FaultCode::Retryable
            | FaultCode::LimitExceeded
            | FaultCode::InvalidInput
            | FaultCode::Cancelled
            | FaultCode::BudgetExhausted
            | FaultCode::CapabilityDenied
            | FaultCode::ReferenceUnresolved
            | FaultCode::DependencyLost
            | FaultCode::BreakerOpen
            | FaultCode::DeadlineExceeded
            | FaultCode::HostLost
            | FaultCode::PluginUnavailable
            | FaultCode::PluginQuarantined
            | FaultCode::Denied => Self::Neither,
        }
    }
}

/// Where a breaker stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Breaker {
    /// Everything goes through.
    Closed {
        /// How many failures there were since the last success.
        failures: u32,
    },
    /// Nothing goes through before `until`, and only probes from then on.
    Open {
        /// How many failures there were since the last success.
        failures: u32,
        /// How many times it opened since the last success, from 1.
        times: u32,
        /// When it becomes half-open.
        until: Timestamp,
        /// The moments at which the places of the probes under way lapse: a probe that nobody hears
        /// of again must not hold its place for ever.
        probes: Vec<Timestamp>,
    },
}

/// A breaker at a moment, as it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BreakerState {
    /// Everything goes through.
    Closed,
    /// Nothing goes through.
    Open,
    /// Only probes go through.
    HalfOpen,
}

impl BreakerState {
    /// The word on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        }
    }
}

/// Whether something may go through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It may.
    Free,
    /// It may, as a probe whose place lapses at this moment.
    Probe(Timestamp),
    /// Not for so long.
    Wait(Duration),
    /// Not before one of the probes under way has ended.
    Full,
}

/// Something that went through and has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passage {
    /// When it began.
    pub began: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// The moment at which its place lapses, if it is a probe that took one.
    pub probe: Option<Timestamp>,
    /// What it says.
    pub outcome: Outcome,
}

impl Default for Breaker {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

impl Breaker {
    /// Whether nothing is known against what it guards.
    pub fn is_well(&self) -> bool {
        *self == Self::default()
    }

    /// How many failures there were since the last success.
    pub const fn failures(&self) -> u32 {
        match self {
            Self::Closed { failures } | Self::Open { failures, .. } => *failures,
        }
    }

    /// Until when nothing goes through, perhaps a moment in the past. None for a closed one.
    pub const fn until(&self) -> Option<Timestamp> {
        match self {
            Self::Closed { .. } => None,
            Self::Open { until, .. } => Some(*until),
        }
    }

    /// Where it stands at this moment.
    pub fn state(&self, now: Timestamp) -> BreakerState {
        match self {
            Self::Closed { .. } => BreakerState::Closed,
            Self::Open { until, .. } if now < *until => BreakerState::Open,
            Self::Open { .. } => BreakerState::HalfOpen,
        }
    }

    /// Whether something may go through now, without letting it. `probes_max` is how many probes may
    /// be under way; one that is admitted has its place until `lapses`.
    pub fn admission(&self, probes_max: u32, now: Timestamp, lapses: Timestamp) -> Admission {
        let Self::Open { until, probes, .. } = self else { return Admission::Free };
        if now < *until {
            return Admission::Wait(until.since(now));
        }
        let under_way = probes.iter().filter(|lapses| **lapses > now).count();
        if u32::try_from(under_way).is_ok_and(|under_way| under_way < probes_max) {
            Admission::Probe(lapses)
        } else {
            Admission::Full
        }
    }

    /// Lets something through, if it may, and keeps its place if it is a probe.
    pub fn admit(&mut self, probes_max: u32, now: Timestamp, lapses: Timestamp) -> Admission {
        let admission = self.admission(probes_max, now, lapses);
        if let (Self::Open { probes, .. }, Admission::Probe(lapses)) = (self, admission) {
            probes.retain(|lapses| *lapses > now);
            probes.push(lapses);
        }
        admission
    }

    /// Where it stands after something has ended.
    ///
    /// What began before the breaker became half-open is no probe and does not move an open one: it
    /// says how things were.
    #[must_use]
    pub fn after(mut self, rule: &BreakerRule, passage: Passage) -> Self {
        if let (Self::Open { probes, .. }, Some(place)) = (&mut self, passage.probe)
            && let Some(place) = probes.iter().position(|lapses| *lapses == place)
        {
            probes.swap_remove(place);
        }
        let (failures, times) = match &self {
            Self::Open { until, .. } if passage.began < *until => return self,
            Self::Open { failures, times, .. } => (*failures, *times),
            Self::Closed { failures } => (*failures, 0),
        };
        match passage.outcome {
            Outcome::Neither => self,
            Outcome::Success => Self::default(),
            Outcome::Failure => {
                let (failures, times) = (failures.saturating_add(1), times.saturating_add(1));
                if times == 1 && failures < rule.failures {
                    return Self::Closed { failures };
                }
                let until = passage.ended.after(rule.open_for(times));
                Self::Open { failures, times, until, probes: Vec::new() }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Strategy, prop_assert, prop_assert_eq, prop_oneof, proptest};

    use super::*;

    const RULE: BreakerRule =
        BreakerRule { failures: 3, open_seconds: 10, open_seconds_max: 35, probes: 2 };

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_unix_ms(0).after(Duration::from_secs(seconds))
    }

    fn end(breaker: Breaker, began: u64, ended: u64, outcome: Outcome) -> Breaker {
        let passage = Passage { began: at(began), ended: at(ended), probe: None, outcome };
        breaker.after(&RULE, passage)
    }

    fn opened() -> Breaker {
        (1..=3).fold(Breaker::default(), |breaker, second| {
            end(breaker, second, second, Outcome::Failure)
        })
    }

    #[test]
    fn failures_in_a_row_open_it_and_a_success_between_does_not_let_them() {
        let mut breaker = Breaker::default();
        for outcome in [Outcome::Failure, Outcome::Failure, Outcome::Neither, Outcome::Success] {
            breaker = end(breaker, 1, 1, outcome);
            assert_eq!(breaker.state(at(1)), BreakerState::Closed);
        }
        assert!(breaker.is_well());
        let opened = opened();
        assert_eq!((opened.failures(), opened.until()), (3, Some(at(13))));
        assert_eq!(opened.state(at(12)), BreakerState::Open);
        assert_eq!(opened.state(at(13)), BreakerState::HalfOpen);
    }

    #[test]
    fn each_failed_probe_opens_it_for_twice_as_long_up_to_the_maximum() {
        let mut breaker = opened();
        for wait in [20, 35, 35] {
            let now = breaker.until().unwrap();
            let passage =
                Passage { began: now, ended: now, probe: None, outcome: Outcome::Failure };
            breaker = breaker.after(&RULE, passage);
            assert_eq!(breaker.until().unwrap().since(now), Duration::from_secs(wait));
        }
        assert!(end(breaker, 500, 501, Outcome::Success).is_well());
    }

    #[test]
    fn what_began_before_it_was_half_open_does_not_move_it() {
        for outcome in [Outcome::Success, Outcome::Failure, Outcome::Neither] {
            assert_eq!(end(opened(), 12, 20, outcome), opened());
        }
    }

    #[test]
    fn a_probe_that_says_nothing_gives_its_place_back() {
        let mut breaker = opened();
        let place = breaker.admit(1, at(13), at(99));
        assert_eq!(place, Admission::Probe(at(99)));
        assert_eq!(breaker.admit(1, at(14), at(99)), Admission::Full);
        let (probe, outcome) = (Some(at(99)), Outcome::Neither);
        let passage = Passage { began: at(13), ended: at(15), probe, outcome };
        assert_eq!(breaker.after(&RULE, passage), opened());
    }

    #[test]
    fn a_probe_that_nobody_hears_of_lapses() {
        let mut breaker = opened();
        breaker.admit(1, at(13), at(20));
        assert_eq!(breaker.admit(1, at(19), at(30)), Admission::Full);
        assert_eq!(breaker.admit(1, at(20), at(30)), Admission::Probe(at(30)));
    }

    #[test]
    fn only_what_says_that_the_executor_is_in_trouble_counts() {
        let of = |code| Outcome::of_attempt(Some(&Fault::new(code, "x")), false, false);
        let failures = FaultCode::ALL.into_iter().filter(|code| of(*code) == Outcome::Failure);
        assert!(failures.eq([FaultCode::Retryable, FaultCode::Trapped]));
        let slow = Fault::new(FaultCode::LimitExceeded, "too long");
        assert_eq!(Outcome::of_attempt(Some(&slow), true, false), Outcome::Failure);
        // That is held against the destination.
        assert_eq!(Outcome::of_attempt(Some(&slow), true, true), Outcome::Neither);
        assert_eq!(Outcome::of_attempt(None, false, true), Outcome::Success);
    }

    #[test]
    fn a_rule_is_written_in_parts_and_checked() {
        let rule = |text: &str| serde_json::from_str::<BreakerRule>(text);
        assert_eq!(rule("{}").unwrap(), BreakerRule::default());
        let long = rule(r#"{"open_seconds": 1000}"#).unwrap();
        assert_eq!(long.open_seconds_max, 1_000);
        for (text, says) in [
            (r#"{"failures": 0}"#, "`failures` is 0: expected 1 to 1000"),
            (r#"{"open_seconds": 90000}"#, "`open_seconds` is 90000: expected 1 to 86400"),
            (r#"{"open_seconds_max": 5}"#, "`open_seconds_max` is 5: expected 60 to 86400"),
            (r#"{"probes": 11}"#, "`probes` is 11: expected 1 to 10"),
            (r#"{"retries": 1}"#, "unknown field `retries`"),
        ] {
            let error = rule(text).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn each_kind_can_be_off() {
        let text = "executors: off\ndestinations: { failures: 2 }\n";
        let rules: BreakerRules = serde_saphyr::from_str(text).unwrap();
        assert_eq!(rules.executors, None);
        assert_eq!(rules.destinations.unwrap().failures, 2);
        let error = serde_saphyr::from_str::<BreakerRules>("executors: never").unwrap_err();
        assert!(error.to_string().contains("expected `off`"), "{error}");
    }

    #[test]
    fn a_key_is_written_and_read_back() {
        for text in ["executor:rest_executor", "destination:https://[::1]:443"] {
            assert_eq!(text.parse::<BreakerKey>().unwrap().to_string(), text);
        }
        assert!("rest_executor".parse::<BreakerKey>().is_err());
    }

    /// A second passes and something asks, or one of those under way ends.
    #[derive(Debug, Clone)]
    enum Step {
        Pass(u64),
        Ask,
        End(usize, Outcome),
    }

    fn step() -> impl Strategy<Value = Step> {
        let outcome = || {
            prop_oneof![
                proptest::strategy::Just(Outcome::Success),
                proptest::strategy::Just(Outcome::Failure),
                proptest::strategy::Just(Outcome::Neither),
            ]
        };
        prop_oneof![
            (0..20_u64).prop_map(Step::Pass),
            proptest::strategy::Just(Step::Ask),
            (0..8_usize, outcome()).prop_map(|(which, outcome)| Step::End(which, outcome)),
        ]
    }

    proptest! {
        #[test]
        fn no_order_of_ends_makes_an_illegal_move(
            steps in proptest::collection::vec(step(), 0..200)
        ) {
            let (mut breaker, mut now) = (Breaker::default(), 0);
            // When each began, and the place of a probe. None lapses within the test.
            let mut under_way: Vec<(u64, Option<Timestamp>)> = Vec::new();
            for step in steps {
                let before = breaker.clone();
                match step {
                    Step::Pass(seconds) => now += seconds,
                    Step::Ask => {
                        let lapses = at(100_000 + now);
                        let admission = breaker.admit(RULE.probes, at(now), lapses);
                        let expected = match before.state(at(now)) {
                            BreakerState::Closed => matches!(admission, Admission::Free),
                            BreakerState::Open => matches!(admission, Admission::Wait(_)),
                            BreakerState::HalfOpen => {
                                matches!(admission, Admission::Probe(_) | Admission::Full)
                            }
                        };
                        prop_assert!(expected, "{:?} {:?}", before, admission);
                        match admission {
                            Admission::Free => under_way.push((now, None)),
                            Admission::Probe(lapses) => under_way.push((now, Some(lapses))),
                            Admission::Wait(_) | Admission::Full => {}
                        }
                    }
                    Step::End(which, outcome) if !under_way.is_empty() => {
                        let (began, probe) = under_way.swap_remove(which % under_way.len());
                        let passage = Passage { began: at(began), ended: at(now), probe, outcome };
                        breaker = breaker.after(&RULE, passage);
                        let moved = (before.state(at(now)), breaker.state(at(now)));
                        match moved {
                            // Only by as many failures as the rule says.
                            (BreakerState::Closed, BreakerState::Open) => {
                                prop_assert_eq!(outcome, Outcome::Failure);
                                prop_assert!(breaker.failures() >= RULE.failures);
                            }
                            (BreakerState::HalfOpen, BreakerState::Open) => {
                                prop_assert_eq!(outcome, Outcome::Failure);
                            }
                            (BreakerState::HalfOpen, BreakerState::Closed) => {
                                prop_assert_eq!(outcome, Outcome::Success);
                                prop_assert!(breaker.is_well());
                            }
                            (from, to) => prop_assert_eq!(from, to),
                        }
                    }
                    Step::End(..) => {}
                }
                if let Breaker::Open { until, probes, .. } = &breaker {
                    prop_assert!(probes.len() <= 2);
                    prop_assert!(until.since(at(now)) <= Duration::from_secs(35));
                    // No probe under way is forgotten: those of this opening hold a place each.
                    let held = under_way.iter().filter(|(began, _)| at(*began) >= *until).count();
                    prop_assert_eq!(held, probes.len());
                }
            }
        }
    }
}
