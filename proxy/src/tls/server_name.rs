//! The SNI that a mesh client sends, which tells an observer or a gateway of another cluster where
//! the connection goes. The identity of the peer is checked apart from it.

use std::net::IpAddr;

use rustls_pki_types::{DnsName, ServerName};

/// `outbound_.PORT_._.HOST`, as Istio sends for a service without subsets.
#[must_use]
pub fn of_service(host: &str, port: u16) -> ServerName<'static> {
    name(format!("outbound_.{port}_._.{host}"))
}

/// `outbound_.PORT_._.ADDRESS.NAMESPACE.pod.cluster.local`: Kubernetes' DNS name of a pod in the
/// place of the service's. Istio has no form for calls to a pod's address.
#[must_use]
pub fn of_workload(address: IpAddr, port: u16, namespace: &str) -> ServerName<'static> {
    let address = match address {
        IpAddr::V4(address) => address.to_string().replace('.', "-"),
        // In full: a label must not begin with the dash that `::` would become.
        IpAddr::V6(address) => address.segments().map(|part| format!("{part:x}")).join("-"),
    };
    name(format!(
        "outbound_.{port}_._.{address}.{namespace}.pod.cluster.local"
    ))
}

/// A name too long or odd for DNS is not sent: the address in its place makes rustls leave it out.
fn name(text: String) -> ServerName<'static> {
    match DnsName::try_from(text) {
        Ok(name) => ServerName::DnsName(name),
        Err(_) => ServerName::IpAddress(IpAddr::from([0, 0, 0, 0]).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_istios_and_valid() {
        assert_eq!(
            of_service("reviews.default.svc.cluster.local", 9080).to_str(),
            "outbound_.9080_._.reviews.default.svc.cluster.local"
        );
        assert_eq!(
            of_workload("10.0.0.5".parse().unwrap(), 80, "default").to_str(),
            "outbound_.80_._.10-0-0-5.default.pod.cluster.local"
        );
        assert_eq!(
            of_workload("fd00::5".parse().unwrap(), 80, "default").to_str(),
            "outbound_.80_._.fd00-0-0-0-0-0-0-5.default.pod.cluster.local"
        );
        assert!(matches!(
            of_service(&"a".repeat(300), 1),
            ServerName::IpAddress(_)
        ));
    }
}
