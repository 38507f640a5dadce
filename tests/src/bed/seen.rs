//! What a server saw of a request, as the echo server answers it: sooner and surer than metrics.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::Bed;

/// The answer of the echo server.
#[derive(Clone, Debug, Deserialize)]
pub struct Seen {
    /// The pod that answered.
    pub pod: String,
    peer: SocketAddr,
    headers: BTreeMap<String, Vec<String>>,
}

impl Seen {
    /// Reads what `client get` printed.
    ///
    /// # Errors
    /// When it is not the answer of an echo server.
    pub fn parse(printed: &str) -> Result<Self> {
        let answer = || format!("'{}' is not an answer of the echo server", printed.trim());
        serde_json::from_str(printed.trim()).with_context(answer)
    }

    /// Who connected to the server.
    #[must_use]
    pub fn peer(&self) -> IpAddr {
        self.peer.ip().to_canonical()
    }

    /// Whether the server's sidecar connected to it: an address of loopback that no server has.
    #[must_use]
    pub fn came_by_sidecar(&self) -> bool {
        let sidecars: [IpAddr; 2] = [[127, 0, 0, 6].into(), [0, 0, 0, 0, 0, 0, 0, 6].into()];
        sidecars.contains(&self.peer())
    }

    /// The ServiceAccount of the client, if its sidecar showed a certificate to the server's.
    #[must_use]
    pub fn client(&self) -> Option<&str> {
        let certificate = self.headers.get("x-forwarded-client-cert")?.first()?;
        let (_, account) = certificate.rsplit_once("/sa/")?;
        account.split([';', ',', '"']).next()
    }
}

impl Bed {
    /// Sends a request from a pod whose container `app` has the sample client, and reads what the echo
    /// server behind it saw.
    ///
    /// # Errors
    /// When it is not answered by one, or not well.
    pub async fn seen(&self, pod: &str, url: &str) -> Result<Seen> {
        let command = ["/usr/local/bin/lateen-samples", "client", "get", url];
        let printed = self.run(pod, "app", &command).await?.stdout();
        let asked = || format!("{pod} asks {url}");
        Seen::parse(&printed.with_context(asked)?).with_context(asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_how_a_request_came() {
        let seen = Seen::parse(
            r#"{"pod":"web","peer":"[::ffff:127.0.0.6]:4000","headers":{"x-forwarded-client-cert":
                ["By=spiffe://cluster.local/ns/a/sa/web;Hash=0;URI=spiffe://cluster.local/ns/a/sa/client"]}}"#,
        );
        let seen = seen.unwrap();
        assert_eq!(seen.client(), Some("client"));
        assert!(seen.came_by_sidecar());
        let seen = Seen::parse(r#"{"pod":"web","peer":"10.0.0.1:4000","headers":{}}"#).unwrap();
        assert_eq!(seen.client(), None);
        assert!(!seen.came_by_sidecar());
        assert!(Seen::parse("no").is_err());
    }
}
