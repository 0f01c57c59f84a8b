//! The audit: who did what and when, and what was decided of it, as a chain of lines.
//!
//! A line is sealed to the one before, so that none can be changed, taken out, put in or moved
//! without all after it being sealed anew. It is no secret how: whoever can write the database can
//! seal a whole chain anew, which only a seal that was written down elsewhere tells.

mod export;

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::clock::Timestamp;
use crate::plugin::Digest;
use crate::retention::Kept;

pub use export::{ExportFault, ExportReader, end_line, first_line};

/// The longest text of a line, in characters. What is longer is cut.
pub const TEXT_CHARACTERS_MAX: usize = 1_000;

/// What is written into the audit, and how long it is kept: `audit` in `config.yaml`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuditRules {
    /// How long a line is kept. 90 days if not set.
    pub days: Kept,
    /// Whether calls that only read have lines when they were allowed. Refused and failed ones have
    /// in any case. True if not set.
    pub reads: bool,
}

impl Default for AuditRules {
    fn default() -> Self {
        Self { days: Kept::Days(90), reads: true }
    }
}

/// What was decided of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// It was done.
    Allowed,
    /// The caller may not do it, or not now: nothing was done.
    Refused,
    /// The caller may do it, and it could not be done.
    Failed,
}

impl Decision {
    /// The word on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

impl FromStr for Decision {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::Allowed, Self::Refused, Self::Failed];
        let wrong = || format!("`{text}` is none of `allowed`, `refused` and `failed`");
        all.into_iter().find(|decision| decision.name() == text).ok_or_else(wrong)
    }
}

/// What a line tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Record {
    /// When it was decided.
    pub at: Timestamp,
    /// Who called. None for a caller that did not say who it is, or lied.
    pub principal: Option<String>,
    /// The role that it acted in.
    pub role: Option<String>,
    /// The verb, for example `jobs.submit`.
    pub verb: String,
    /// What the verb is about: an id or a name.
    pub target: Option<String>,
    /// What was decided.
    pub decision: Decision,
    /// The code of the error that the caller got.
    pub code: Option<String>,
    /// Why the caller wanted it, if they told.
    pub reason: Option<String>,
    /// The id of the request. None for what came by no request.
    pub request: Option<String>,
    /// The address that the request came from.
    pub peer: Option<String>,
}

impl Record {
    /// The same with texts that every database and terminal takes as they are: of at most
    /// [`TEXT_CHARACTERS_MAX`] characters, with `U+FFFD` in the place of control characters.
    #[must_use]
    fn bounded(self) -> Self {
        let replaced = |character: char| match character {
            '\n' | '\t' => character,
            _ if character.is_control() => '\u{fffd}',
            _ => character,
        };
        let bound =
            |text: String| text.chars().take(TEXT_CHARACTERS_MAX).map(replaced).collect::<String>();
        Self {
            at: self.at,
            principal: self.principal.map(bound),
            role: self.role.map(bound),
            verb: bound(self.verb),
            target: self.target.map(bound),
            decision: self.decision,
            code: self.code.map(bound),
            reason: self.reason.map(bound),
            request: self.request.map(bound),
            peer: self.peer.map(bound),
        }
    }
}

/// A line of the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Line {
    /// Its number: 1, 2, 3 … without gaps.
    pub n: u64,
    /// What it tells.
    #[serde(flatten)]
    pub record: Record,
    /// Its [`seal`].
    pub hash: Digest,
}

/// Seals a line to the one before.
///
/// The seal is the SHA-256 of the 32 bytes of the seal before, followed by the line in UTF-8 as a
/// JSON array without white space, as in RFC 8785: `[n, at, principal, role, verb, target, decision,
/// code, reason, request, peer]`. `at` is in milliseconds since 1970-01-01T00:00:00Z, and what is
/// not there is `null`.
pub fn seal(before: &Digest, n: u64, record: &Record) -> Digest {
    let Record { at, principal, role, verb, target, decision, code, reason, request, peer } =
        record;
    let at = at.unix_ms();
    let decision = decision.name();
    let line = json!([n, at, principal, role, verb, target, decision, code, reason, request, peer]);
    Digest(Sha256::new().chain_update(before.0).chain_update(line.to_string()).finalize().into())
}

/// A place in the chain: after which line, and how that is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Head {
    /// The number of the last line; 0 before the first.
    pub n: u64,
    /// Its seal; 32 zero bytes before the first.
    pub hash: Digest,
}

impl Head {
    /// Before the first line.
    pub const START: Self = Self { n: 0, hash: Digest([0; 32]) };

    /// The line that comes next.
    pub fn line(self, record: Record) -> Line {
        let (n, record) = (self.n + 1, record.bounded());
        Line { n, hash: seal(&self.hash, n, &record), record }
    }

    /// Goes on by a line, if it is the one that comes next, as it was written.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and where.
    pub fn follow(self, line: &Line) -> Result<Self, Flaw> {
        let expected = self.n + 1;
        if line.n > expected {
            return Err(Flaw::Missing { n: expected });
        }
        if line.n < expected {
            return Err(Flaw::Misplaced { n: line.n, after: self.n });
        }
        if seal(&self.hash, line.n, &line.record) != line.hash {
            return Err(Flaw::Changed { n: line.n });
        }
        Ok(Self { n: line.n, hash: line.hash })
    }
}

/// What is wrong with a chain, at its first line with which anything is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error,
)]
#[serde(tag = "flaw", rename_all = "kebab-case")]
pub enum Flaw {
    /// A line is not there.
    #[error("line {n} is missing")]
    Missing {
        /// Its number.
        n: u64,
    },
    /// A line stands where it does not belong: it was put in, or moved.
    #[error("line {n} stands after line {after}: it was put in or moved")]
    Misplaced {
        /// Its number.
        n: u64,
        /// The number of the one before.
        after: u64,
    },
    /// A line, or the seal of the one before, is not as it was written.
    #[error("line {n} is not as it was written")]
    Changed {
        /// Its number.
        n: u64,
    },
    /// The chain ends too early or too late.
    #[error("the chain ends with line {n}, and not with line {last} as the host keeps it")]
    Cut {
        /// The number of its last line.
        n: u64,
        /// What that should be.
        last: u64,
    },
    /// No line has the seal that was written down elsewhere.
    #[error(
        "no line is sealed with {wanted}: lines were taken off the end, or all was sealed anew"
    )]
    Unsealed {
        /// The seal that was looked for.
        wanted: Digest,
    },
}

/// Follows a chain from one place to its end.
#[derive(Debug, Clone, Copy)]
pub struct Verifier {
    start: Head,
    head: Head,
    /// A seal that the chain must have.
    wanted: Option<Digest>,
}

/// What was found of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Verification {
    /// Whether every line is there, and as it was written.
    pub intact: bool,
    /// How many lines were found right.
    pub lines: u64,
    /// Where they begin: after what was removed since it was kept long enough.
    pub after: Head,
    /// The last of them. Whoever writes its seal down elsewhere can tell later that none was taken
    /// off the end.
    pub head: Head,
    /// What is wrong.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub flaw: Option<Flaw>,
}

impl Verifier {
    /// Begins after `start`. The chain must have a line that is sealed with `wanted`, if that is
    /// given.
    pub fn new(start: Head, wanted: Option<Digest>) -> Self {
        let wanted = wanted.filter(|wanted| *wanted != start.hash);
        Self { start, head: start, wanted }
    }

    /// How far it has come.
    pub fn head(&self) -> Head {
        self.head
    }

    /// Looks at the next line.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn follow(&mut self, line: &Line) -> Result<(), Flaw> {
        self.head = self.head.follow(line)?;
        self.wanted = self.wanted.filter(|wanted| *wanted != line.hash);
        Ok(())
    }

    /// Ends where no line is left, or at the first `flaw`. `last` is where the chain should end, if
    /// that is known.
    pub fn end(self, flaw: Option<Flaw>, last: Option<Head>) -> Verification {
        let cut = last.filter(|last| *last != self.head);
        let cut = cut.map(|last| Flaw::Cut { n: self.head.n, last: last.n });
        let unsealed = self.wanted.map(|wanted| Flaw::Unsealed { wanted });
        let flaw = flaw.or(cut).or(unsealed);
        let lines = self.head.n - self.start.n;
        Verification { intact: flaw.is_none(), lines, after: self.start, head: self.head, flaw }
    }
}

impl fmt::Display for Verification {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lines, after, head, flaw, .. } = self;
        match flaw {
            Some(flaw) => write!(formatter, "{flaw}; the {lines} lines before are as written"),
            None => write!(
                formatter,
                "{lines} lines after line {}, each as it was written\nhead {} {}",
                after.n, head.n, head.hash
            ),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(verb: &str, at: i64) -> Record {
        Record {
            at: Timestamp::from_unix_ms(at),
            principal: Some("ada".to_owned()),
            role: Some("user".to_owned()),
            verb: verb.to_owned(),
            target: Some("j_0000000000001".to_owned()),
            decision: Decision::Allowed,
            code: None,
            reason: None,
            request: Some("1-1".to_owned()),
            peer: Some("127.0.0.1:50000".to_owned()),
        }
    }

    pub(crate) fn chain(count: u64) -> Vec<Line> {
        let mut head = Head::START;
        let verb = |n| if n % 2 == 0 { "jobs.find" } else { "jobs.submit" };
        let next = |n: u64| {
            let line = head.line(record(verb(n), 1_800_000_000_000 + i64::try_from(n).unwrap()));
            head = Head { n: line.n, hash: line.hash };
            line
        };
        (1..=count).map(next).collect()
    }

    fn verify(lines: &[Line]) -> Verification {
        let mut verifier = Verifier::new(Head::START, None);
        let flaw = lines.iter().find_map(|line| verifier.follow(line).err());
        verifier.end(flaw, None)
    }

    /// As anybody computes it: `(printf '\0%.0s' {1..32}; printf '%s' "$line") | sha256sum`.
    #[test]
    fn the_form_of_a_line_never_changes() {
        let mut odd = record("tasks.deny", 1_800_000_000_000);
        odd.reason = Some("\"é\"\n\u{1}\u{7f}".to_owned());
        odd.code = Some("forbidden".to_owned());
        odd.decision = Decision::Refused;
        (odd.role, odd.peer) = (None, None);
        assert_eq!(
            seal(&Head::START.hash, 1, &odd).to_string(),
            "e684405ea3801dfaed2875bc8bf55310fab9ff3e103d363dddc610676a7364ce"
        );
    }

    #[test]
    fn a_whole_chain_is_intact_from_any_of_its_lines() {
        let lines = chain(9);
        let whole = verify(&lines);
        assert_eq!((whole.intact, whole.lines, whole.head.n), (true, 9, 9));
        let anchor = Head { n: 4, hash: lines[3].hash };
        let mut verifier = Verifier::new(anchor, Some(lines[5].hash));
        assert!(lines[4..].iter().all(|line| verifier.follow(line).is_ok()));
        let rest = verifier.end(None, Some(whole.head));
        assert_eq!((rest.intact, rest.lines, rest.after), (true, 5, anchor));
    }

    #[test]
    fn what_is_missing_put_in_or_moved_is_named() {
        let mut missing = chain(5);
        missing.remove(2);
        assert_eq!(verify(&missing).flaw, Some(Flaw::Missing { n: 3 }));
        let mut twice = chain(5);
        twice.insert(3, twice[2].clone());
        assert_eq!(verify(&twice).flaw, Some(Flaw::Misplaced { n: 3, after: 3 }));
        let mut moved = chain(5);
        moved.swap(1, 3);
        assert_eq!(verify(&moved).flaw, Some(Flaw::Missing { n: 2 }));
        let mut put_in = chain(5);
        let forged = Head { n: 2, hash: put_in[1].hash }.line(record("jobs.cancel", 1));
        put_in.splice(2..3, [forged, put_in[2].clone()]);
        assert_eq!(verify(&put_in).flaw, Some(Flaw::Misplaced { n: 3, after: 3 }));
    }

    #[test]
    fn an_end_that_was_cut_off_is_found_by_a_seal_from_elsewhere() {
        let lines = chain(5);
        let mut verifier = Verifier::new(Head::START, Some(lines[4].hash));
        assert!(lines[..4].iter().all(|line| verifier.follow(line).is_ok()));
        let cut = verifier.end(None, None);
        assert_eq!(cut.flaw, Some(Flaw::Unsealed { wanted: lines[4].hash }));
        let kept = Head { n: 5, hash: lines[4].hash };
        assert_eq!(verifier.end(None, Some(kept)).flaw, Some(Flaw::Cut { n: 4, last: 5 }));
    }

    #[test]
    fn no_text_is_too_long_or_cannot_be_kept() {
        let long = "é".repeat(TEXT_CHARACTERS_MAX + 1);
        let line = Head::START.line(Record { target: Some(long), ..record("a\0b\u{9b}\n", 1) });
        assert_eq!(line.record.target.unwrap().chars().count(), TEXT_CHARACTERS_MAX);
        assert_eq!(line.record.verb, "a\u{fffd}b\u{fffd}\n");
    }

    #[test]
    fn a_line_is_written_and_read_back() {
        let line = chain(1).remove(0);
        let text = serde_json::to_string(&line).unwrap();
        assert_eq!(serde_json::from_str::<Line>(&text).unwrap(), line);
    }

    #[test]
    fn what_is_not_said_of_the_audit_is_as_usual() {
        let read = |text: &str| serde_saphyr::from_str::<AuditRules>(text);
        assert_eq!(read("{}").unwrap(), AuditRules::default());
        let said = read("{ days: never, reads: false }").unwrap();
        assert_eq!(said, AuditRules { days: Kept::Forever, reads: false });
        assert!(read("{ days: 0 }").is_err() && read("{ hours: 1 }").is_err());
    }

    /// The fields of a line in JSON, with a value that each may be changed to.
    const CHANGES: [(&str, &str); 11] = [
        ("n", "99"),
        ("at", "\"2000-01-01T00:00:00.000Z\""),
        ("principal", "null"),
        ("role", "\"admin\""),
        ("verb", "\"jobs.list\""),
        ("target", "\"\""),
        ("decision", "\"failed\""),
        ("code", "\"internal\""),
        ("reason", "\"\""),
        ("request", "null"),
        ("peer", "\"127.0.0.1:5000\""),
    ];

    proptest! {
        #[test]
        fn any_change_of_any_field_of_any_line_is_found(
            of in 0_usize..20,
            change in 0..CHANGES.len(),
        ) {
            let mut lines = chain(20);
            let (field, value) = CHANGES[change];
            let mut json = serde_json::to_value(&lines[of]).unwrap();
            json[field] = serde_json::from_str(value).unwrap();
            lines[of] = serde_json::from_value(json).unwrap();
            let found = verify(&lines);
            prop_assert!(!found.intact);
            prop_assert_eq!(found.lines, of as u64, "{:?}", found.flaw);
        }

        #[test]
        fn any_bit_of_any_seal_that_is_changed_is_found(of in 0_usize..20, bit in 0_usize..256) {
            let mut lines = chain(20);
            lines[of].hash.0[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(verify(&lines).flaw, Some(Flaw::Changed { n: of as u64 + 1 }));
        }

        #[test]
        fn no_text_moves_from_one_field_into_the_next(left in ".{0,6}", right in ".{0,6}") {
            let with = |target: &str, code: &str| {
                let (target, code) = (Some(target.to_owned()), Some(code.to_owned()));
                Head::START.line(Record { target, code, ..record("jobs.find", 1) }).hash
            };
            let moved = format!("{left}{right}");
            prop_assume!(!right.is_empty());
            prop_assert_ne!(with(&left, &right), with(&moved, ""));
        }
    }
}
