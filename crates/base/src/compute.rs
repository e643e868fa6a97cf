//! Work that keeps a processor busy, on as many threads as there are processors.
//!
//! Owns: those threads. The ones that a runtime has for blocking work are many and take turns: whatever one of them has
//! used last is cold when the next one goes on, and each keeps memory of its own. Does not own: what waits for disks and
//! networks; that belongs on the threads for blocking work.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll};

use rayon::{ThreadPool, ThreadPoolBuilder};
use tokio::sync::oneshot;

/// None where threads cannot be had; work is done by the threads for blocking work then.
static POOL: LazyLock<Option<ThreadPool>> = LazyLock::new(|| {
    let named = |number: usize| format!("compute-{number}");
    ThreadPoolBuilder::new().thread_name(named).build().ok()
});

/// Starts work, and comes with its result. What is asked for first is begun first. Dropped, the work goes on and its
/// result is lost. Asked for within a runtime of tokio.
pub fn compute<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Computing<T> {
    let (done, result) = oneshot::channel();
    let work = move || {
        // Whoever waits hears of a panic; where nobody does, nobody is there to be told.
        let _ = done.send(catch_unwind(AssertUnwindSafe(work)).map_err(|_| Panicked));
    };
    match &*POOL {
        Some(pool) => pool.spawn_fifo(work),
        // Never here: work may wait for other work, and whoever asks must not.
        None => drop(tokio::task::spawn_blocking(work)),
    }
    Computing(result)
}

/// Does two things at the same time where another thread has time for the second one, and else one after the other. Only
/// within [`compute`]; elsewhere always one after the other.
pub fn join<A: Send, B: Send>(one: impl FnOnce() -> A + Send, other: impl FnOnce() -> B + Send) -> (A, B) {
    match rayon::current_thread_index() {
        Some(_) => rayon::join(one, other),
        None => (one(), other()),
    }
}

/// Work that was started by [`compute`].
#[derive(Debug)]
pub struct Computing<T>(oneshot::Receiver<Result<T, Panicked>>);

/// Work broke down half-way; the panic was told where it happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Panicked;

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("work broke down half-way: a panic, which is told in the log")
    }
}

impl std::error::Error for Panicked {}

impl<T> Future for Computing<T> {
    type Output = Result<T, Panicked>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|received| received.unwrap_or(Err(Panicked)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn results_come_and_panics_are_told() {
        let many: Vec<_> = (0..100u64).map(|number| compute(move || number * 2)).collect();
        let mut sum = 0;
        for one in many {
            sum += one.await.unwrap_or(0);
        }
        assert_eq!(sum, 9_900);
        let broken: Computing<u8> = compute(|| panic!("as it should"));
        assert_eq!(broken.await, Err(Panicked));
        assert_eq!(compute(|| join(|| 1, || 2)).await, Ok((1, 2)), "after a panic the threads go on");
        assert_eq!(join(|| 1, || 2), (1, 2));
    }
}
