//! What the daemon keeps ready by itself: room for its journal.

use crate::store::Store;
use std::{sync::Arc, time::Duration};

/// How often it is looked at.
const EVERY: Duration = Duration::from_secs(5);

/// Keeps house for ever.
pub(crate) async fn keep(store: Arc<Store>) {
    loop {
        let store = store.clone();
        match safelight_drivers::blocking::blocking(move || store.keep_reserve()).await {
            Ok(Ok(_)) => {}
            Ok(Err(e)) => tracing::warn!("no room could be kept back for the journal: {e}"),
            Err(e) => tracing::error!("keeping house failed: {e}"),
        }
        tokio::time::sleep(EVERY).await;
    }
}
