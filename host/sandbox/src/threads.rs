//! The threads that guests run on, apart from the host's own.
//!
//! A guest that computes holds its thread for a whole time slice. Here it makes only other guests
//! wait: the database, the dispatcher and the doors have threads of their own, which come first.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

/// How many threads there are for each core, and at the least. A guest that computes gives way only
/// at the end of its slice, so a few of them must not hold all threads.
const THREADS_PER_CORE: usize = 4;
const THREADS_MIN: usize = 8;
/// How far guests stand behind the host's own threads when both want a core, as a nice value.
#[cfg(target_os = "linux")]
const NICE: i32 = 5;

/// The threads for guests. Dropping it ends them, when their guests next give way.
pub(crate) struct GuestThreads {
    /// Taken out only when it is dropped.
    runtime: Option<Runtime>,
}

impl GuestThreads {
    pub(crate) fn start() -> io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS_MIN.max(THREADS_PER_CORE * cores))
            .thread_name("guest")
            .on_thread_start(stand_back)
            .enable_all()
            .build()?;
        Ok(Self { runtime: Some(runtime) })
    }

    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        guest: impl Future<Output = T> + Send + 'static,
    ) -> GuestTask<T> {
        GuestTask(self.runtime.as_ref().map(|runtime| runtime.spawn(guest)))
    }
}

impl Drop for GuestThreads {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Waiting for threads is not allowed where this may be dropped.
            runtime.shutdown_background();
        }
    }
}

/// Lets the host's own threads come first. Where the system does not allow that, all are equal.
fn stand_back() {
    #[cfg(target_os = "linux")]
    rustix::process::setpriority_process(None, NICE).ok();
}

/// Work on a thread for guests. It ends with what the work returns, or with none when the threads
/// end before it.
///
/// # Cancel safety
///
/// Dropping it ends the work, when its guest next gives way.
pub struct GuestTask<T>(Option<JoinHandle<T>>);

impl<T> Future for GuestTask<T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let Some(handle) = &mut self.0 else { return Poll::Ready(None) };
        Pin::new(handle).poll(context).map(|joined| match joined {
            Ok(done) => Some(done),
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => None,
        })
    }
}

impl<T> Drop for GuestTask<T> {
    fn drop(&mut self) {
        if let Some(handle) = &self.0 {
            handle.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn guests_have_threads_of_their_own() {
        let threads = GuestThreads::start().unwrap();
        let name = threads.spawn(async { std::thread::current().name().map(str::to_owned) }).await;
        assert_eq!(name.flatten().as_deref(), Some("guest"));
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn guests_stand_back_and_the_host_does_not() {
        let nice = || rustix::process::getpriority_process(None).unwrap();
        let own = nice();
        let threads = GuestThreads::start().unwrap();
        assert_eq!(threads.spawn(async move { nice() }).await, Some(NICE.max(own)));
        assert_eq!(nice(), own);
    }

    #[tokio::test]
    async fn work_that_is_dropped_ends() {
        let threads = GuestThreads::start().unwrap();
        let (alive, mut ended) = tokio::sync::mpsc::channel::<()>(1);
        let task = threads.spawn(async move {
            let _alive = alive;
            std::future::pending::<()>().await;
        });
        drop(task);
        assert_eq!(ended.recv().await, None);
    }
}
