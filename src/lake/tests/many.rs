//! Many independent cases on all processors.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Judges the cases `0..count`, each on one thread with a runtime of its own. Error: that of a case that fails; no further
/// case is begun then.
pub fn judge<T: Send>(count: usize, case: impl AsyncFn(usize) -> Result<T, String> + Sync) -> Result<Vec<T>, String> {
    let next = AtomicUsize::new(0);
    let work = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let mut judged = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return Ok(judged);
            }
            match runtime.block_on(case(number)) {
                Ok(one) => judged.push(one),
                Err(error) => {
                    next.store(count, Ordering::Relaxed);
                    return Err(error);
                }
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let ended: Vec<Result<Vec<T>, String>> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        running.into_iter().map(|one| one.join().unwrap_or_else(|_| Err("a case panicked, see above".into()))).collect()
    });
    ended.into_iter().collect::<Result<Vec<_>, _>>().map(|all| all.into_iter().flatten().collect())
}
