//! Whether a caller is the pod it says it is: a token or certificate tells the service account,
//! this tells the pod.

use std::net::IpAddr;
use std::time::Duration;

use lateen_wire::Identity;

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
    /// The identity is of another mesh.
    #[error("trust domain '{0}' is not of this mesh")]
    OtherTrustDomain(String),
    /// Nobody has the address for itself.
    #[error("address {0} is not of a pod with an address of its own")]
    NobodyThere(IpAddr),
    /// The pod at the address is of another namespace.
    #[error("pod {pod} is not of namespace {namespace}")]
    OtherNamespace {
        /// Namespace and name.
        pod: String,
        /// The namespace that the caller proved to be of.
        namespace: String,
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
            | Self::NobodyThere(_)
            | Self::OtherAddress { .. } => true,
            Self::OtherServiceAccount { .. }
            | Self::OtherNamespace { .. }
            | Self::OtherTrustDomain(_) => false,
        }
    }
}

impl Claim {
    /// Checks the claim, giving the watches a moment to catch up.
    ///
    /// # Errors
    /// What is not true about it.
    pub async fn verify(&self, store: &Store) -> Result<(), Denied> {
        patiently(store, |snapshot| self.check(snapshot)).await
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

/// Checks that a pod with this identity has this address for itself: for callers who prove who they
/// are and name no pod. Gives the watches a moment to catch up.
///
/// # Errors
/// Who is there instead.
pub async fn verify_address(
    identity: &Identity,
    address: IpAddr,
    store: &Store,
) -> Result<(), Denied> {
    patiently(store, |snapshot| {
        check_trust_domain(identity, snapshot)?;
        let pod = snapshot
            .pod_at(address)
            .ok_or(Denied::NobodyThere(address))?;
        let name = || format!("{}/{}", pod.namespace, pod.name);
        if *pod.namespace != *identity.namespace() {
            return Err(Denied::OtherNamespace {
                pod: name(),
                namespace: identity.namespace().to_owned(),
            });
        }
        if *pod.service_account != *identity.service_account() {
            return Err(Denied::OtherServiceAccount {
                pod: name(),
                service_account: identity.service_account().to_owned(),
            });
        }
        Ok(())
    })
    .await
}

/// Checks that an identity is of this mesh, under its present name or another (`trustDomainAliases`).
///
/// # Errors
/// When it is not.
pub fn check_trust_domain(identity: &Identity, snapshot: &Snapshot) -> Result<(), Denied> {
    let (mesh, domain) = (snapshot.mesh(), identity.trust_domain());
    if mesh.trust_domain == domain || mesh.trust_domain_aliases.iter().any(|a| a == domain) {
        return Ok(());
    }
    Err(Denied::OtherTrustDomain(domain.to_owned()))
}

/// What a check says, once it says it for good or the watches have had their time.
async fn patiently(
    store: &Store,
    check: impl Fn(&Snapshot) -> Result<(), Denied>,
) -> Result<(), Denied> {
    let passing = |snapshot: &Snapshot| match check(snapshot) {
        Err(denied) if denied.may_pass() => Err(denied),
        verdict => Ok(verdict),
    };
    store.wait_for(PATIENCE, passing).await?
}
