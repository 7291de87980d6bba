//! Connections that became something else, such as WebSockets: bytes both ways, until either side ends.

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;

/// All tunnels of a proxy.
#[derive(Default)]
pub(crate) struct Tunnels(Mutex<JoinSet<()>>);

impl Tunnels {
    /// Joins the client's side and the upstream's.
    pub(crate) fn join(&self, client: OnUpgrade, upstream: OnUpgrade) {
        let mut tunnels = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while tunnels.try_join_next().is_some() {}
        tunnels.spawn(async move {
            let (Ok(client), Ok(upstream)) = tokio::join!(client, upstream) else { return };
            let (mut client, mut upstream) = (TokioIo::new(client), TokioIo::new(upstream));
            // Whichever side ends, and however: both are closed, and there is nobody to tell.
            let _ = tokio::io::copy_bidirectional(&mut client, &mut upstream).await;
        });
    }

    /// Waits for their ends, but no longer than `limit`.
    pub(crate) async fn end(&self, limit: Duration) {
        let mut tunnels = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let all = async { while tunnels.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(limit, all).await;
        tunnels.abort_all();
    }
}
