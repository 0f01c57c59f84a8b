//! An audit that was exported: lines of JSON that can be verified wherever they are.
//!
//! The first says after which line of the chain they begin, and the last where the chain ended then:
//! `{"after":{"n":0,"hash":"00…"}}` and `{"head":{"n":7,"hash":"5d…"}}`. Between them is a line each.

use serde::{Deserialize, Serialize};

use super::{Flaw, Head, Line, Verification, Verifier};
use crate::plugin::Digest;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct First {
    after: Head,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Last {
    head: Head,
}

/// The first line of an export.
pub fn first_line(after: Head) -> impl Serialize {
    First { after }
}

/// The last line of an export.
pub fn end_line(head: Head) -> impl Serialize {
    Last { head }
}

/// Why a text is no export of an audit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ExportFault {
    /// It does not begin as one.
    #[error("it is no export of an audit: its first line does not say what it comes after")]
    NoBeginning,
    /// It does not end as one.
    #[error("the export is cut short: its last line does not say where the audit ended")]
    NoEnd,
    /// It goes on after its last line.
    #[error("the export goes on after its last line")]
    AfterEnd,
}

/// Reads an export, line by line, and verifies it.
#[derive(Debug, Default)]
pub struct ExportReader {
    /// None before the first line.
    verifier: Option<Verifier>,
    flaw: Option<Flaw>,
    /// None before the last line.
    last: Option<Head>,
    wanted: Option<Digest>,
}

impl ExportReader {
    /// Begins. The chain must have a line that is sealed with `wanted`, if that is given.
    pub fn new(wanted: Option<Digest>) -> Self {
        Self { wanted, ..Self::default() }
    }

    /// Reads the next line.
    ///
    /// # Errors
    ///
    /// [`ExportFault::NoBeginning`] and [`ExportFault::AfterEnd`].
    pub fn read(&mut self, text: &str) -> Result<(), ExportFault> {
        if self.last.is_some() {
            return Err(ExportFault::AfterEnd);
        }
        let Some(verifier) = &mut self.verifier else {
            let first: First = serde_json::from_str(text).map_err(|_| ExportFault::NoBeginning)?;
            self.verifier = Some(Verifier::new(first.after, self.wanted));
            return Ok(());
        };
        if let Ok(last) = serde_json::from_str::<Last>(text) {
            self.last = Some(last.head);
        } else if self.flaw.is_none() {
            let unreadable = Flaw::Changed { n: verifier.head().n + 1 };
            // Written again, it must be the same: what is sealed is what the text says, and no more.
            let line = serde_json::from_str::<Line>(text).ok();
            let line = line.filter(|line| serde_json::to_string(line).is_ok_and(|own| own == text));
            let followed = line.map_or(Err(unreadable), |line| verifier.follow(&line));
            self.flaw = followed.err();
        }
        Ok(())
    }

    /// What was found, once there is no line left.
    ///
    /// # Errors
    ///
    /// [`ExportFault::NoBeginning`] and [`ExportFault::NoEnd`].
    pub fn end(self) -> Result<Verification, ExportFault> {
        let verifier = self.verifier.ok_or(ExportFault::NoBeginning)?;
        let last = self.last.ok_or(ExportFault::NoEnd)?;
        Ok(verifier.end(self.flaw, Some(last)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::audit::tests::chain;

    /// An export of the lines after the second of seven.
    fn export() -> Vec<String> {
        let lines = chain(7);
        let head = |line: &Line| Head { n: line.n, hash: line.hash };
        let first = serde_json::to_string(&first_line(head(&lines[1]))).unwrap();
        let last = serde_json::to_string(&end_line(head(&lines[6]))).unwrap();
        let own = lines[2..].iter().map(|line| serde_json::to_string(line).unwrap());
        std::iter::once(first).chain(own).chain([last]).collect()
    }

    fn read(lines: &[String]) -> Result<Verification, ExportFault> {
        let mut reader = ExportReader::new(None);
        lines.iter().try_for_each(|line| reader.read(line))?;
        reader.end()
    }

    #[test]
    fn a_whole_export_is_intact() {
        let whole = read(&export()).unwrap();
        assert_eq!((whole.intact, whole.lines, whole.after.n, whole.head.n), (true, 5, 2, 7));
    }

    #[test]
    fn an_export_that_is_cut_short_is_told_from_a_whole_one() {
        let mut lines = export();
        assert_eq!(read(&lines[1..]), Err(ExportFault::NoBeginning));
        assert_eq!(read(&[]), Err(ExportFault::NoBeginning));
        let end = lines.pop().unwrap();
        assert_eq!(read(&lines), Err(ExportFault::NoEnd));
        lines.pop();
        lines.push(end.clone());
        assert_eq!(read(&lines).unwrap().flaw, Some(Flaw::Cut { n: 6, last: 7 }));
        lines.push(end);
        assert_eq!(read(&lines), Err(ExportFault::AfterEnd));
    }

    proptest! {
        #[test]
        fn any_byte_of_any_line_that_is_changed_is_found(of in 1_usize..6, place in 0_usize..10_000) {
            let mut lines = export();
            let place = place % lines[of].len();
            let mut bytes = lines[of].clone().into_bytes();
            bytes[place] = if bytes[place] == b'0' { b'1' } else { b'0' };
            lines[of] = String::from_utf8(bytes).unwrap();
            let found = read(&lines).unwrap();
            prop_assert!(!found.intact);
            prop_assert_eq!(found.lines, of as u64 - 1, "{:?}", found.flaw);
        }
    }
}
