//! Secret `istio-ca-secret`: the root that we made is renewed before it ends. An authority that
//! people plugged in is theirs to renew; they are told in time.

use std::time::Duration;

use tokio::time::sleep;
use tracing::{error, info, warn};

use super::Publisher;
use crate::ca::root::{Source, renew};

/// How often its age is looked at, as Istio does.
const CHECK: Duration = Duration::from_secs(60 * 60);

/// Keeps our root from ending, for ever.
pub(super) async fn keep_root(publisher: &Publisher) {
    loop {
        let authority = publisher.authority.load();
        if authority.is_ageing() {
            match publisher.source {
                Source::SelfSigned => renew_root(publisher).await,
                Source::PluggedIn => warn!(
                    secret = publisher.source.secret(),
                    not_after = %authority.not_after(),
                    "The certificate authority ends before long; put another into its Secret."
                ),
            }
        }
        sleep(CHECK).await;
    }
}

async fn renew_root(publisher: &Publisher) {
    match renew(&publisher.client, &publisher.config.pod_namespace).await {
        Ok(true) => info!("The root certificate is renewed, with the same key."),
        Ok(false) => {}
        Err(error) => error!(%error, "The root certificate could not be renewed; it is retried."),
    }
}
