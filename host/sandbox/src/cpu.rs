//! How long a processor works for a future.

use std::pin::pin;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::ticker::TICK;

/// Waits for a future, and adds up how long the threads that drive it work for it.
///
/// Asking the system costs as much as a small guest. So it is not asked in the first turn, which
/// lasts no longer than a time slice: there the time that goes by counts, at most one slice.
pub(crate) async fn metered<T>(future: impl Future<Output = T>, worked: &mut Duration) -> T {
    let mut future = pin!(future);
    let mut is_first = true;
    std::future::poll_fn(|context| {
        if std::mem::take(&mut is_first) {
            let before = Instant::now();
            let polled = future.as_mut().poll(context);
            *worked += before.elapsed().min(TICK);
            return polled;
        }
        let before = of_this_thread();
        let polled = future.as_mut().poll(context);
        *worked += of_this_thread().saturating_sub(before);
        polled
    })
    .await
}

/// How long a processor has worked for this thread.
fn of_this_thread() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_counts_and_waiting_does_not() {
        let mut worked = Duration::ZERO;
        let (waiting, work) = (Duration::from_millis(200), Duration::from_millis(5));
        let started = Instant::now();
        let working = async {
            tokio::time::sleep(waiting).await;
            let until = of_this_thread() + work;
            while of_this_thread() < until {
                std::hint::spin_loop();
            }
        };
        metered(working, &mut worked).await;
        assert!(worked >= work, "{worked:?}");
        assert!(worked + waiting / 2 < started.elapsed(), "{worked:?}");
    }

    #[tokio::test]
    async fn the_first_turn_counts_at_most_one_slice() {
        let mut worked = Duration::ZERO;
        metered(async { std::thread::sleep(TICK * 5) }, &mut worked).await;
        assert_eq!(worked, TICK);
    }
}
