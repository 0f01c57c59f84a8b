//! Waiting for several things at once, on the one thread a component has.
//!
//! An `async` executor is run by [`block_on`]; its own work is what it awaits here. There is no
//! spawning: nothing goes on after the executor has returned.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use crate::backend;

/// Runs `future` to its end; the component sleeps while nothing is ready.
///
/// # Panics
///
/// When the future waits for something that is neither from this crate nor woken by a future that
/// is: in a component nothing else could ever wake it.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let alarm = Arc::new(Alarm(AtomicBool::new(false)));
    let waker = Waker::from(Arc::clone(&alarm));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        while !alarm.0.swap(false, Ordering::Relaxed) {
            backend::sleep_until_something_is_ready();
        }
    }
}

/// Waits until both are done.
///
/// # Cancel safety
///
/// Dropping the future drops both parts, and the output of one that was done.
pub async fn join<A: Future, B: Future>(a: A, b: B) -> (A::Output, B::Output) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut first, mut second) = (None, None);
    poll_fn(|context| {
        if first.is_none() {
            first = output(a.as_mut().poll(context));
        }
        if second.is_none() {
            second = output(b.as_mut().poll(context));
        }
        match (first.take(), second.take()) {
            (Some(first), Some(second)) => Poll::Ready((first, second)),
            (a, b) => {
                (first, second) = (a, b);
                Poll::Pending
            }
        }
    })
    .await
}

/// Which of two came first, with its output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First<A, B> {
    /// The first of the two.
    A(A),
    /// The second.
    B(B),
}

/// Waits until one of them is done, and drops the other. When both are, `a` came first.
///
/// # Cancel safety
///
/// Dropping the future drops both parts.
pub async fn race<A: Future, B: Future>(a: A, b: B) -> First<A::Output, B::Output> {
    let (mut a, mut b) = (pin!(a), pin!(b));
    poll_fn(|context| match a.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(First::A(output)),
        Poll::Pending => b.as_mut().poll(context).map(First::B),
    })
    .await
}

/// Waits until all are done; the outputs are in the order of `futures`.
///
/// # Cancel safety
///
/// Dropping the future drops all parts, and the outputs of those that were done.
///
/// # Examples
///
/// ```
/// use apflow_sdk::{http::Request, testing::{Answer, Host}, wait};
///
/// let host = Host::new()
///     .expect("GET", "https://example.com/a", Answer::text(200, "a"))
///     .expect("GET", "https://example.com/b", Answer::text(200, "b"));
/// let urls = ["https://example.com/a", "https://example.com/b"];
/// let requests = urls.map(|url| Request::get(url).send_async());
/// let answers = host.within(|| wait::block_on(wait::join_all(requests)));
/// assert_eq!(answers.len(), 2);
/// ```
pub async fn join_all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut running: Vec<Pin<Box<F>>> = futures.into_iter().map(Box::pin).collect();
    let mut outputs: Vec<Option<F::Output>> = running.iter().map(|_| None).collect();
    poll_fn(|context| {
        let mut all_done = true;
        for (future, slot) in running.iter_mut().zip(&mut outputs) {
            if slot.is_none() {
                *slot = output(future.as_mut().poll(context));
                all_done &= slot.is_some();
            }
        }
        if all_done { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    outputs.into_iter().flatten().collect()
}

/// Waits for `wait` to pass. The component then needs the capability `clocks`.
///
/// # Cancel safety
///
/// Dropping the future ends the wait.
pub async fn sleep(wait: Duration) {
    backend::sleep(wait).await;
}

fn output<T>(poll: Poll<T>) -> Option<T> {
    match poll {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// Remembers that a future was woken.
struct Alarm(AtomicBool);

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}
