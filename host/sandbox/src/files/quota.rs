//! What the files of one attempt may hold, and what they do hold: arithmetic alone.
//!
//! It counts the sizes of files as the guest sees them, so a hole in a file counts in full. Writing
//! over what is there is no growth. What is removed or cut off is given back; a file that is removed
//! while it is open counts until it is closed.

use std::collections::HashMap;

use apflow_model::limit::Breach;

/// A folder that a guest may write to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// What is kept as the task's files.
    Out,
    /// What is gone when the attempt ends.
    Scratch,
}

/// The same for two descriptors of one file, and else different.
pub(super) type Identity = (u64, u64);

/// The books of one attempt.
#[derive(Debug)]
pub(super) struct Quota {
    out: Account,
    scratch: Account,
    open: HashMap<Identity, Open>,
    bytes_peak: u64,
    breach: Option<Breach>,
}

#[derive(Debug)]
struct Account {
    bytes: u64,
    bytes_max: u64,
    /// Files and folders.
    entries: u64,
    entries_max: u64,
}

/// A file that is open.
#[derive(Debug, Default)]
struct Open {
    holders: u32,
    is_removed: bool,
}

impl Quota {
    pub(super) fn new(out_bytes_max: u64, scratch_bytes_max: u64, entries_max: u64) -> Self {
        let account = |bytes_max| Account { bytes: 0, bytes_max, entries: 0, entries_max };
        Self {
            out: account(out_bytes_max),
            scratch: account(scratch_bytes_max),
            open: HashMap::new(),
            bytes_peak: 0,
            breach: None,
        }
    }

    /// The most bytes that there were at once, in both places together.
    pub(super) fn bytes_peak(&self) -> u64 {
        self.bytes_peak
    }

    /// What was refused first.
    pub(super) fn breach(&self) -> Option<&Breach> {
        self.breach.as_ref()
    }

    /// Makes room for more bytes, before they are written.
    pub(super) fn grow(&mut self, place: Place, bytes: u64) -> Result<(), Breach> {
        let account = self.account(place);
        let total = account.bytes.saturating_add(bytes);
        if total > account.bytes_max {
            let most = account.bytes_max;
            return Err(self.refuse(match place {
                Place::Out => Breach::OutBytes(most),
                Place::Scratch => Breach::ScratchBytes(most),
            }));
        }
        account.bytes = total;
        self.bytes_peak = self.bytes_peak.max(self.out.bytes.saturating_add(self.scratch.bytes));
        Ok(())
    }

    /// Gives bytes back that are no more, or were not written after all.
    pub(super) fn shrink(&mut self, place: Place, bytes: u64) {
        let account = self.account(place);
        account.bytes = account.bytes.saturating_sub(bytes);
    }

    /// Makes room for one more file or folder, before it is made.
    pub(super) fn add_entry(&mut self, place: Place) -> Result<(), Breach> {
        let account = self.account(place);
        if account.entries >= account.entries_max {
            let most = account.entries_max;
            return Err(self.refuse(Breach::Files(most)));
        }
        account.entries += 1;
        Ok(())
    }

    /// Gives the room of a file or folder back that is no more, or was not made after all.
    pub(super) fn drop_entry(&mut self, place: Place) {
        let account = self.account(place);
        account.entries = account.entries.saturating_sub(1);
    }

    /// Takes note that a file was opened once more.
    pub(super) fn open(&mut self, file: Identity) {
        self.open.entry(file).or_default().holders += 1;
    }

    /// Takes note that a file was closed. True when it was removed before, and nobody holds it any
    /// more: its bytes are free now.
    pub(super) fn close(&mut self, file: Identity) -> bool {
        let Some(open) = self.open.get_mut(&file) else { return false };
        open.holders -= 1;
        if open.holders > 0 {
            return false;
        }
        self.open.remove(&file).is_some_and(|open| open.is_removed)
    }

    /// Takes note that a file of this size has no name any more.
    pub(super) fn remove_file(&mut self, place: Place, file: Identity, bytes: u64) {
        self.drop_entry(place);
        match self.open.get_mut(&file) {
            Some(open) => open.is_removed = true,
            None => self.shrink(place, bytes),
        }
    }

    fn account(&mut self, place: Place) -> &mut Account {
        match place {
            Place::Out => &mut self.out,
            Place::Scratch => &mut self.scratch,
        }
    }

    fn refuse(&mut self, breach: Breach) -> Breach {
        self.breach.get_or_insert_with(|| breach.clone());
        breach
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: Identity = (1, 2);

    fn quota() -> Quota {
        Quota::new(100, 50, 2)
    }

    #[test]
    fn each_place_has_its_own_room_and_the_first_refusal_is_kept() {
        let mut quota = quota();
        quota.grow(Place::Out, 100).unwrap();
        assert_eq!(quota.grow(Place::Out, 1), Err(Breach::OutBytes(100)));
        quota.grow(Place::Scratch, 50).unwrap();
        assert_eq!(quota.grow(Place::Scratch, u64::MAX), Err(Breach::ScratchBytes(50)));
        assert_eq!(quota.breach(), Some(&Breach::OutBytes(100)));
    }

    #[test]
    fn what_is_given_back_can_be_used_again_and_the_peak_stays() {
        let mut quota = quota();
        quota.grow(Place::Out, 90).unwrap();
        quota.grow(Place::Scratch, 40).unwrap();
        quota.shrink(Place::Out, 80);
        quota.grow(Place::Out, 90).unwrap();
        assert_eq!(quota.bytes_peak(), 140);
        quota.shrink(Place::Out, 70);
        assert_eq!(quota.bytes_peak(), 140);
    }

    #[test]
    fn files_and_folders_are_counted_together() {
        let mut quota = quota();
        quota.add_entry(Place::Out).unwrap();
        quota.add_entry(Place::Out).unwrap();
        assert_eq!(quota.add_entry(Place::Out), Err(Breach::Files(2)));
        quota.add_entry(Place::Scratch).unwrap();
        quota.drop_entry(Place::Out);
        quota.add_entry(Place::Out).unwrap();
    }

    #[test]
    fn a_removed_file_counts_until_its_last_holder_closes_it() {
        let mut quota = quota();
        quota.add_entry(Place::Scratch).unwrap();
        quota.grow(Place::Scratch, 50).unwrap();
        quota.open(FILE);
        quota.open(FILE);
        quota.remove_file(Place::Scratch, FILE, 50);
        assert!(quota.grow(Place::Scratch, 1).is_err());
        assert!(!quota.close(FILE));
        assert!(quota.close(FILE), "whoever closes it last gives its bytes back");
        quota.shrink(Place::Scratch, 50);
        assert!(quota.grow(Place::Scratch, 50).is_ok());
    }

    #[test]
    fn a_removed_file_that_nobody_holds_is_free_at_once() {
        let mut quota = quota();
        quota.add_entry(Place::Out).unwrap();
        quota.grow(Place::Out, 100).unwrap();
        quota.open(FILE);
        assert!(!quota.close(FILE));
        quota.remove_file(Place::Out, FILE, 100);
        assert!(quota.grow(Place::Out, 100).is_ok());
    }
}
