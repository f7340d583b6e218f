//! Where async-nats runs: on a runtime of its own for each connection, which ends with it.
//!
//! By itself it goes on for as long as anybody holds its client, a request that waits for an answer too, and reads all that a
//! server sends meanwhile; and what a server sends without end takes the time of one thread, not of those that all others
//! share.

use std::io;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::task::AbortOnDropHandle;

/// Ends all that runs on it when it is dropped, without waiting for it.
#[derive(Debug)]
pub(crate) struct ClientRuntime {
    handle: Handle,
    runtime: Option<Runtime>,
}

impl ClientRuntime {
    pub(crate) fn start() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            // For names of hosts.
            .max_blocking_threads(1)
            .thread_name("nats-client")
            .enable_all()
            .build()?;
        Ok(Self {
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
        })
    }

    /// Does work there; it ends with the returned handle too.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> AbortOnDropHandle<T> {
        AbortOnDropHandle::new(self.handle.spawn(work))
    }
}

impl Drop for ClientRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
