//! Whether a caller is the pod it says it is: a token or certificate tells the service account,
//! this tells the pod.

use std::net::IpAddr;
use std::time::Duration;

use crate::snapshot::Snapshot;
use crate::snapshot::store::Store;

/// How long a caller may be ahead of our watches: the kubelet reports a pod's address after the
/// pod's first container has started, and the address of a sandbox that it made anew later still.
const PATIENCE: Duration = Duration::from_secs(5);

/// Who a caller says it is, and where it calls from.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub pod: String,
    /// The pod's uid, if the caller's credentials say it.
    pub uid: Option<String>,
    /// The service account that the caller has proved.
    pub service_account: String,
    /// The other end of the TCP connection.
    pub address: IpAddr,
}

/// Why a claim is not true.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// There is no such pod.
    #[error("pod {0} does not exist or has ended")]
    NoSuchPod(String),
    /// The credentials are of an earlier pod of the same name.
    #[error("pod {0} is not the one these credentials were made for")]
    OtherUid(String),
    /// The pod runs as somebody else.
    #[error("pod {pod} does not run as service account {service_account}")]
    OtherServiceAccount {
        /// Namespace and name.
        pod: String,
        /// Whom the caller proved to be.
        service_account: String,
    },
    /// The pod has no address, so far as we know.
    #[error("pod {0} has no address yet")]
    NoAddress(String),
    /// The call does not come from the pod.
    #[error("address {address} is not an address of pod {pod}")]
    OtherAddress {
        /// Namespace and name.
        pod: String,
        /// Where the call comes from.
        address: IpAddr,
    },
}

impl Denied {
    /// Whether the watches may only be late.
    const fn may_pass(&self) -> bool {
        match self {
            Self::NoSuchPod(_)
            | Self::OtherUid(_)
            | Self::NoAddress(_)
            | Self::OtherAddress { .. } => true,
            Self::OtherServiceAccount { .. } => false,
        }
    }
}

impl Claim {
    /// Checks the claim, giving the watches a moment to catch up.
    ///
    /// # Errors
    /// What is not true about it.
    pub async fn verify(&self, store: &Store) -> Result<(), Denied> {
        let check = |snapshot: &Snapshot| match self.check(snapshot) {
            Err(denied) if denied.may_pass() => Err(denied),
            verdict => Ok(verdict),
        };
        store.wait_for(PATIENCE, check).await?
    }

    fn check(&self, snapshot: &Snapshot) -> Result<(), Denied> {
        let name = || format!("{}/{}", self.namespace, self.pod);
        let pod = snapshot
            .pod(&self.namespace, &self.pod)
            .ok_or_else(|| Denied::NoSuchPod(name()))?;
        if self
            .uid
            .as_deref()
            .is_some_and(|uid| uid != pod.uid.as_ref())
        {
            return Err(Denied::OtherUid(name()));
        }
        if *pod.service_account != *self.service_account {
            let service_account = self.service_account.clone();
            return Err(Denied::OtherServiceAccount {
                pod: name(),
                service_account,
            });
        }
        if pod.addresses.contains(&self.address) {
            return Ok(());
        }
        if pod.addresses.is_empty() {
            return Err(Denied::NoAddress(name()));
        }
        Err(Denied::OtherAddress {
            pod: name(),
            address: self.address,
        })
    }
}
