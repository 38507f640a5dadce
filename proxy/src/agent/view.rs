//! What the agent shows of a running proxy.

use std::pin::Pin;

use nix::sys::signal::{Signal, raise};
use serde_json::{Value, json};

use super::Proxy;
use crate::drain::{Callers, Direction, Phase};
use crate::shared::Shared;

impl Proxy for Shared {
    fn pending(&self) -> Vec<String> {
        let mut pending: Vec<String> = self
            .readiness
            .pending()
            .iter()
            .map(ToString::to_string)
            .collect();
        if self.drain.phase() != Phase::Serving {
            pending.push("draining".to_owned());
        }
        pending
    }

    fn write_metrics(&self, text: &mut String) {
        self.metrics.render(text);
    }

    fn drain(&self) {
        self.drain.begin();
    }

    fn callers_leave(&self) -> Pin<Box<dyn Future<Output = Callers> + Send>> {
        let drain = self.drain.clone();
        Box::pin(async move { drain.callers_leave().await })
    }

    fn quit(&self) {
        // The way out is the one that the kubelet asks for.
        if let Err(error) = raise(Signal::SIGTERM) {
            tracing::error!(%error, "The proxy cannot end itself.");
        }
    }

    fn certificates(&self) -> Value {
        json!({ "certificates": self.certificates.snapshot().as_slice() })
    }

    fn discovered(&self) -> Value {
        json!(self.discovery.snapshot())
    }

    fn configuration(&self) -> Value {
        json!({
            "settings": format!("{:?}", self.config),
            "phase": format!("{:?}", self.drain.phase()),
            "inbound_connections": self.drain.active(Direction::Inbound),
            "outbound_connections": self.drain.active(Direction::Outbound),
        })
    }
}
