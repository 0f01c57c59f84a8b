//! Wakes futures from `wasi:io/poll`. There is one thread, so one list of waiting futures.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use wasip2::clocks::monotonic_clock;
use wasip2::io::poll::{Pollable, poll};

thread_local! {
    static WAITING: RefCell<Vec<Waiting>> = const { RefCell::new(Vec::new()) };
    static NEXT_ID: Cell<u64> = const { Cell::new(0) };
}

struct Waiting {
    id: u64,
    pollable: Rc<Pollable>,
    waker: Waker,
}

/// Ends when its pollable is ready.
///
/// A pollable must go before the stream it came from, so dropping this also takes it off the list.
pub(super) struct Ready {
    id: u64,
    pollable: Rc<Pollable>,
}

/// Waits until `pollable` is ready.
pub(super) fn ready(pollable: Pollable) -> Ready {
    let id = NEXT_ID.get();
    NEXT_ID.set(id.wrapping_add(1));
    Ready { id, pollable: Rc::new(pollable) }
}

impl Future for Ready {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.pollable.ready() {
            forget(self.id);
            return Poll::Ready(());
        }
        WAITING.with_borrow_mut(|waiting| {
            match waiting.iter_mut().find(|entry| entry.id == self.id) {
                Some(entry) => entry.waker.clone_from(context.waker()),
                None => waiting.push(Waiting {
                    id: self.id,
                    pollable: Rc::clone(&self.pollable),
                    waker: context.waker().clone(),
                }),
            }
        });
        Poll::Pending
    }
}

impl Drop for Ready {
    fn drop(&mut self) {
        forget(self.id);
    }
}

fn forget(id: u64) {
    WAITING.with_borrow_mut(|waiting| waiting.retain(|entry| entry.id != id));
}

/// Blocks until at least one waiting future is ready, and wakes it.
///
/// A woken future leaves the list: it comes back when it is polled and finds that it must. Else one
/// that cannot be polled now, because it stands outside a nested `block_on`, would be woken forever.
pub(crate) fn sleep_until_something_is_ready() {
    let woken: Vec<Waiting> = WAITING.with_borrow_mut(|waiting| {
        // In a component nothing else could wake the executor any more.
        assert!(!waiting.is_empty(), "the executor waits for something that cannot happen");
        let pollables: Vec<&Pollable> = waiting.iter().map(|entry| &*entry.pollable).collect();
        let ready = poll(&pollables);
        let mut index = 0;
        let is_ready = |_: &mut Waiting| {
            index += 1;
            ready.contains(&(index - 1))
        };
        waiting.extract_if(.., is_ready).collect()
    });
    for entry in woken {
        entry.waker.wake();
    }
}

/// Waits for `wait` to pass.
pub(crate) async fn sleep(wait: Duration) {
    let nanoseconds = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
    ready(monotonic_clock::subscribe_duration(nanoseconds)).await;
}
