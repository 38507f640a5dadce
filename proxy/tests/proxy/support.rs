//! What the tests stand on.

pub(crate) mod app;
pub(crate) mod authority;
pub(crate) mod client;
pub(crate) mod control;
pub(crate) mod envoy;
pub(crate) mod mesh;
pub(crate) mod name_server;
pub(crate) mod pair;

use std::future::Future;
use std::time::Duration;

/// The longest anything in these tests may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until a condition holds.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !condition() {
        assert!(
            tokio::time::Instant::now() < deadline,
            "timed out waiting until {what}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits for a future that must end soon.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("timed out: {what}"),
    }
}
