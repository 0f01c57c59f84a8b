//! How long a processor works for a future.

use std::pin::pin;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Waits for a future, and adds up how long the threads that drive it work for it.
pub(crate) async fn metered<T>(future: impl Future<Output = T>, worked: &mut Duration) -> T {
    let mut future = pin!(future);
    std::future::poll_fn(|context| {
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
    use std::time::Instant;

    use super::*;

    #[tokio::test]
    async fn work_counts_and_waiting_does_not() {
        let mut worked = Duration::ZERO;
        let (waiting, started) = (Duration::from_millis(200), Instant::now());
        let work = async {
            tokio::time::sleep(waiting).await;
            while of_this_thread() < Duration::from_millis(5) {
                std::hint::spin_loop();
            }
        };
        metered(work, &mut worked).await;
        assert!(worked > Duration::ZERO);
        assert!(worked + waiting / 2 < started.elapsed(), "{worked:?}");
    }
}
