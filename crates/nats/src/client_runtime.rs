//! Where async-nats runs: on a runtime of its own for each connection, which ends with it.
//!
//! By itself async-nats runs as long as anybody holds its client, a pending request included, and reads all that a
//! server sends meanwhile. Here, a server that sends without end uses up one thread, not those that all others share.

use std::io;
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;

/// Ends all that runs on it when it is dropped, without waiting for it.
#[derive(Debug)]
pub(crate) struct ClientRuntime {
    handle: Handle,
    /// The thread of the runtime waits until this is dropped.
    _held: oneshot::Sender<()>,
}

impl ClientRuntime {
    pub(crate) fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread()
            // Checks after each step of its tasks whether to end: such a step may read megabytes.
            .event_interval(1)
            .enable_all()
            .build()?;
        let handle = runtime.handle().clone();
        let (held, dropped) = oneshot::channel();
        let name = "nats-client".to_owned();
        thread::Builder::new()
            .name(name)
            .spawn(move || runtime.block_on(dropped))?;
        Ok(Self { handle, _held: held })
    }

    /// Spawns a task there; it ends with the returned handle too.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> AbortOnDropHandle<T> {
        AbortOnDropHandle::new(self.handle.spawn(work))
    }
}
