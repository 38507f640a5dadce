//! SPIFFE identities of workloads, in the form Istio gives them:
//! `spiffe://TRUST_DOMAIN/ns/NAMESPACE/sa/SERVICE_ACCOUNT`
//! (SPIFFE-ID specification, section 2; Istio "Security", identity).

use std::fmt;
use std::str::FromStr;

/// The identity of a workload. Equality is equality of the URI.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    trust_domain: String,
    namespace: String,
    service_account: String,
}

/// A text is not an identity of the mesh.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{text}' is not a workload identity: expected spiffe://TRUST_DOMAIN/ns/NAMESPACE/sa/SERVICE_ACCOUNT"
)]
pub struct InvalidIdentity {
    text: String,
}

impl Identity {
    /// Makes an identity from its parts.
    ///
    /// # Errors
    /// When a part is empty or holds a character outside `[A-Za-z0-9._-]`.
    pub fn new(
        trust_domain: &str,
        namespace: &str,
        service_account: &str,
    ) -> Result<Self, InvalidIdentity> {
        let parts = [trust_domain, namespace, service_account];
        if parts.iter().all(|part| is_segment(part)) {
            Ok(Self {
                trust_domain: trust_domain.to_owned(),
                namespace: namespace.to_owned(),
                service_account: service_account.to_owned(),
            })
        } else {
            Err(InvalidIdentity {
                text: uri(trust_domain, namespace, service_account),
            })
        }
    }

    /// The trust domain, such as `cluster.local`.
    #[must_use]
    pub fn trust_domain(&self) -> &str {
        &self.trust_domain
    }

    /// The Kubernetes namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The Kubernetes service account.
    #[must_use]
    pub fn service_account(&self) -> &str {
        &self.service_account
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&uri(
            &self.trust_domain,
            &self.namespace,
            &self.service_account,
        ))
    }
}

impl FromStr for Identity {
    type Err = InvalidIdentity;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidIdentity {
            text: text.to_owned(),
        };
        let path = text.strip_prefix("spiffe://").ok_or_else(invalid)?;
        let mut segments = path.split('/');
        let mut next = || segments.next().ok_or_else(invalid);
        let (trust_domain, ns, namespace, sa, service_account) =
            (next()?, next()?, next()?, next()?, next()?);
        if ns != "ns" || sa != "sa" || segments.next().is_some() {
            return Err(invalid());
        }
        Self::new(trust_domain, namespace, service_account)
    }
}

fn uri(trust_domain: &str, namespace: &str, service_account: &str) -> String {
    format!("spiffe://{trust_domain}/ns/{namespace}/sa/{service_account}")
}

fn is_segment(part: &str) -> bool {
    !part.is_empty()
        && part
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_istio_writes() {
        let identity: Identity = "spiffe://cluster.local/ns/default/sa/bookinfo-reviews"
            .parse()
            .unwrap();
        assert_eq!(identity.trust_domain(), "cluster.local");
        assert_eq!(identity.namespace(), "default");
        assert_eq!(identity.service_account(), "bookinfo-reviews");
    }

    #[test]
    fn refuses_other_uris() {
        for text in [
            "",
            "spiffe://",
            "spiffe://td/ns/a/sa/",
            "spiffe://td/ns/a/sa/b/c",
            "spiffe://td/sa/a/ns/b",
            "https://td/ns/a/sa/b",
            "spiffe://td/ns/a%2f/sa/b",
            "spiffe:///ns/a/sa/b",
        ] {
            assert!(text.parse::<Identity>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_parses_prints_the_same(text in "\\PC{0,60}|spiffe://[a-z./]{0,40}") {
            if let Ok(identity) = text.parse::<Identity>() {
                prop_assert_eq!(identity.to_string(), text);
            }
        }
    }
}
