//! Who programs a pod's redirection: a pod chooses by itself where the installation leaves it to
//! `auto`, so pods of both back ends live side by side.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::Bed;

/// What programs redirection in a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// The programs of iptables, one transaction for each family.
    Iptables,
    /// Netlink, one transaction for both families.
    Nftables,
}

impl Backend {
    /// Its name, as `BACKEND` has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Iptables => "iptables",
            Self::Nftables => "nftables",
        }
    }

    /// The change of a pod template that has its pods redirected by it; with further variables of the
    /// proxy's configuration.
    #[must_use]
    pub fn change(self, variables: &[(&str, &str)]) -> Value {
        let chosen = [("BACKEND", self.name())];
        let variables = chosen.iter().chain(variables);
        let metadata: Value = variables
            .map(|(name, value)| ((*name).to_owned(), Value::from(*value)))
            .collect();
        let config = json!({ "proxyMetadata": metadata }).to_string();
        json!({ "metadata": { "annotations": { "proxy.istio.io/config": config } } })
    }

    /// What `istio-init` says of the rules once they are in place, each in a line.
    const fn told(self) -> &'static [&'static str] {
        match self {
            Self::Iptables => &[
                "IPv4 packet rules are in place now (",
                "IPv6 packet rules are in place now (",
                "iptables",
            ],
            Self::Nftables => &["All packet rules are in place now (nf_tables)"],
        }
    }
}

impl Bed {
    /// That this back end, and no other, programmed a pod that has started.
    ///
    /// # Errors
    /// What `istio-init` says, when it was another.
    pub async fn redirected_by(&self, pod: &str, backend: Backend) -> Result<()> {
        let said = self.kubectl(&["logs", pod, "-c", "istio-init"]).await?;
        let told = backend.told().iter().all(|line| said.contains(line));
        let by_netlink = said.contains("(nf_tables)");
        ensure!(
            told && by_netlink == (backend == Backend::Nftables),
            "{pod} is not redirected by {}: {said}",
            backend.name()
        );
        Ok(())
    }
}
