//! The I/O companion of a shard: a tokio current-thread runtime on the same CPU, for everything that speaks tokio.

use std::future::Future;

use crate::executor::panic_message;

/// A running companion.
pub struct Companion<T>(std::thread::JoinHandle<Option<T>>);

impl<T> Companion<T> {
    /// Waits until its future has ended.
    ///
    /// # Errors
    /// It panicked: the message.
    pub fn join(self) -> Result<T, String> {
        let value = self.0.join().map_err(|panic| panic_message(panic.as_ref()))?;
        Ok(value.expect("a companion that was given out had a runtime"))
    }

    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}

/// Starts a thread, puts it on `cpu` where one is given, and runs the future that `make` gives on a current-thread runtime
/// with a `LocalSet`, so that futures need not be `Send`.
///
/// # Errors
/// The thread or its runtime cannot be started, or the CPU cannot be had.
pub fn spawn_companion<M, F, T>(name: &str, cpu: Option<usize>, make: M) -> Result<Companion<T>, String>
where
    M: FnOnce() -> F + Send + 'static,
    F: Future<Output = T> + 'static,
    T: Send + 'static,
{
    let (ready, is_ready) = std::sync::mpsc::channel();
    let run = move || {
        let built = cpu
            .map_or(Ok(()), crate::pin_thread)
            .and_then(|()| tokio::runtime::Builder::new_current_thread().enable_all().build());
        match built {
            Ok(runtime) => {
                let _ = ready.send(Ok(()));
                Some(tokio::task::LocalSet::new().block_on(&runtime, make()))
            }
            Err(error) => {
                let _ = ready.send(Err(error.to_string()));
                None
            }
        }
    };
    let thread = std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .map_err(|error| format!("cannot start the thread {name}: {error}"))?;
    match is_ready.recv() {
        Ok(Ok(())) => Ok(Companion(thread)),
        Ok(Err(reason)) => Err(format!("cannot start the thread {name}: {reason}")),
        Err(_) => Err(format!("the thread {name} ended at its start")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_runs_futures_that_stay_on_their_thread() {
        let cpu = crate::usable_cpus()[0];
        let companion = spawn_companion("test", Some(cpu), || async {
            let shared = std::rc::Rc::new(41);
            let task = tokio::task::spawn_local(async move { *shared + 1 });
            task.await.unwrap()
        });
        assert_eq!(companion.unwrap().join(), Ok(42));
        assert!(spawn_companion("test", Some(usize::MAX), || async {}).is_err());
    }
}
