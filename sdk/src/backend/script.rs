//! Answers from the script of the test that is running: each module has the functions of the
//! contract's interface of that name. The clock is virtual and moves only while an executor waits.

pub(crate) mod budget;
pub(crate) mod checkpoint;
pub(crate) mod control;
pub(crate) mod dial;
pub(crate) mod log;
pub(crate) mod secret;

mod answer;
mod http;
mod state;
mod time;

use std::cell::{RefCell, RefMut};
use std::rc::Rc;

pub use self::answer::{Answer, Sent};
pub use self::dial::Peer;
pub(crate) use self::http::{Body, open};
pub(crate) use self::state::{Expected, State, Written};
pub(crate) use self::time::{sleep, sleep_until_something_is_ready};

thread_local! {
    static INSTALLED: RefCell<Vec<Script>> = const { RefCell::new(Vec::new()) };
}

/// What answers and remembers. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script(Rc<RefCell<State>>);

impl Script {
    /// What is scripted and what happened so far.
    pub(crate) fn state(&self) -> RefMut<'_, State> {
        self.0.borrow_mut()
    }

    /// Puts this script in place, on this thread, over the one that is.
    pub(crate) fn install(&self) {
        INSTALLED.with_borrow_mut(|scripts| scripts.push(self.clone()));
    }

    /// Takes the script that is in place away.
    pub(crate) fn uninstall() {
        INSTALLED.with_borrow_mut(|scripts| drop(scripts.pop()));
    }
}

fn find() -> Option<Script> {
    INSTALLED.with_borrow(|scripts| scripts.last().cloned())
}

#[expect(clippy::panic, reason = "natively there is nobody else to ask")]
fn installed() -> Script {
    match find() {
        Some(script) => script,
        None => panic!(
            "no host is installed on this thread: run the code in \
             `apflow_sdk::testing::Host::new().within(…)` or by `.run(…)`"
        ),
    }
}
