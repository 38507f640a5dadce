//! Secret `istio-ca-secret`: the root that we made is renewed before it ends. One that people plugged
//! in is theirs to renew.

use std::time::Duration;

use tokio::time::sleep;
use tracing::{error, info};

use super::Publisher;
use crate::ca::root::{Source, renew};

/// How often its age is looked at, as Istio does.
const CHECK: Duration = Duration::from_secs(60 * 60);

/// Keeps our root from ending, for ever.
pub(super) async fn keep_root(publisher: &Publisher) {
    loop {
        if publisher.source == Source::SelfSigned && publisher.authority.load().is_ageing() {
            match renew(&publisher.client, &publisher.config.pod_namespace).await {
                Ok(true) => info!("The root certificate is renewed, with the same key."),
                Ok(false) => {}
                Err(error) => {
                    error!(%error, "The root certificate could not be renewed; it is retried.")
                }
            }
        }
        sleep(CHECK).await;
    }
}
