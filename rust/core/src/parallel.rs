//! Scoped threads with a task counter.
//!
//! Not a global pool: a pool's threads do not survive `fork`, and a forked child that waits for them hangs for ever.
//! Threads here live for one call. Results are handed back in an order that does not depend on timing, and everything
//! summed over threads is an integer, so the number of threads never changes a result.

use crate::error::Error;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Below this many rows a call runs in the calling thread: starting a thread costs as much as counting 50,000 values.
pub const INLINE_ROWS: usize = 1 << 18;

/// Variables that say "a worker of Ray, or of Spark": such an engine runs one worker per core, each with its own part of
/// the data, and threads of ours would only take cores from the others. Ray sets the first in the workers that its raylet
/// starts (and in what they start); Spark the others in its Python workers, not in the driver, one or another by version.
const WORKER_VARIABLES: [&str; 4] = [
    "RAY_RAYLET_PID",
    "PYTHON_WORKER_FACTORY_SECRET",
    "PYTHON_WORKER_FACTORY_SOCK_DIR",
    "PYTHON_WORKER_FACTORY_SOCK_PATH",
];

/// Threads to use for `rows` rows: as [`available`], but one for few rows.
pub fn threads_for(requested: Option<usize>, rows: usize) -> usize {
    if rows < INLINE_ROWS {
        return 1;
    }
    available(requested)
}

/// The variable that says how many threads a call may use.
const THREADS_VARIABLE: &str = "TIDEWHEEL_THREADS";

/// Read how many threads the environment asks for; `None` without the variable.
///
/// # Errors
/// [`Error::Input`] when it holds anything but a whole number of at least 1. Functions of this crate take it as not set then:
/// who calls them with a user's environment asks here first.
pub fn from_environment() -> Result<Option<usize>, Error> {
    let Some(text) = std::env::var_os(THREADS_VARIABLE) else {
        return Ok(None);
    };
    let text = text.to_string_lossy();
    match text.trim().parse() {
        Ok(threads) if threads > 0 => Ok(Some(threads)),
        _ => Err(Error::Input(format!(
            "the environment variable {THREADS_VARIABLE} must be a whole number of at least 1, or not set; got {text:?}"
        ))),
    }
}

/// Threads to use for work that is large for sure: those asked for, else `TIDEWHEEL_THREADS`, else one inside a worker of
/// Ray or Spark, else one per core.
pub fn available(requested: Option<usize>) -> usize {
    let threads = requested
        .or_else(|| from_environment().ok().flatten())
        .filter(|&threads| threads > 0);
    threads.unwrap_or_else(by_default).min(256)
}

fn by_default() -> usize {
    let is_worker = WORKER_VARIABLES
        .iter()
        .any(|name| std::env::var_os(name).is_some());
    if is_worker {
        return 1;
    }
    thread::available_parallelism().map_or(1, usize::from)
}

/// Run `work` on the tasks `0..tasks`, each thread folding its share into a state of its own; return the states.
///
/// Which task meets which state depends on timing: the states must be combined by an operation that does not mind.
pub fn fold<S: Send>(
    tasks: usize,
    threads: usize,
    start: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, usize) + Sync,
) -> Vec<S> {
    let next = AtomicUsize::new(0);
    let run = || {
        let mut state = start();
        loop {
            let task = next.fetch_add(1, Ordering::Relaxed);
            if task >= tasks {
                return state;
            }
            work(&mut state, task);
        }
    };
    let helpers = threads.min(tasks).saturating_sub(1);
    if helpers == 0 {
        return vec![run()];
    }
    thread::scope(|scope| {
        // A thread that cannot be started is done without: the others take its tasks.
        let spawn = |_| thread::Builder::new().spawn_scoped(scope, run).ok();
        let started: Vec<_> = (0..helpers).filter_map(spawn).collect();
        let mut states = vec![run()];
        for handle in started {
            match handle.join() {
                Ok(state) => states.push(state),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        states
    })
}

/// Run `work` on the tasks `0..tasks` and return the results in the order of the tasks.
///
/// ```
/// use tidewheel_core::parallel::map;
/// assert_eq!(map(4, 2, |task| task * task), [0, 1, 4, 9]);
/// ```
pub fn map<R: Send>(tasks: usize, threads: usize, work: impl Fn(usize) -> R + Sync) -> Vec<R> {
    let states = fold(
        tasks,
        threads,
        Vec::new,
        |done: &mut Vec<(usize, R)>, task| done.push((task, work(task))),
    );
    let mut results: Vec<(usize, R)> = states.into_iter().flatten().collect();
    results.sort_unstable_by_key(|(task, _)| *task);
    results.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_task_order_whatever_the_threads() {
        for threads in [1, 2, 3, 8] {
            assert_eq!(
                map(100, threads, |task| task * task),
                (0..100).map(|i| i * i).collect::<Vec<_>>()
            );
        }
    }

    #[test]
    fn few_rows_run_inline() {
        assert_eq!(threads_for(Some(8), 1000), 1);
        assert_eq!(threads_for(Some(8), INLINE_ROWS), 8);
    }
}
