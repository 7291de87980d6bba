//! Work that may block, on a thread of its own: whoever waits may be on any runtime, or on none.

use tokio::sync::oneshot;
use unexpired_core::StoreError;

/// Runs `work`, which can ask whether anybody still waits for it.
pub(crate) async fn off_thread<T: Send + 'static>(
    work: impl FnOnce(&dyn Fn() -> bool) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let (done, wait) = oneshot::channel();
    let run = move || {
        let result = work(&|| done.is_closed());
        // Nobody waits any more: what was made (a held lock) is dropped here.
        drop(done.send(result));
    };
    if let Err(error) = std::thread::Builder::new().name("unexpired-store".into()).spawn(run) {
        return Err(StoreError::new(format!("cannot start a thread for the store: {error}")));
    }
    wait.await.unwrap_or_else(|_| Err(StoreError::new("the store's thread ended without an answer; this is a defect")))
}
