//! What a host can mean to a client: Kubernetes' DNS names of services, and of the endpoints of
//! headless services.

/// A service that a host can mean.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Candidate<'a> {
    pub(super) namespace: &'a str,
    pub(super) service: &'a str,
    /// The host names one endpoint of the service, such as `pod-0.web`: only headless services
    /// have such names.
    pub(super) endpoint_of: bool,
}

/// All meanings of a lower-case host, the likeliest first: an exact name before a name of an
/// endpoint.
pub(super) fn candidates<'a>(
    host: &'a str,
    client_namespace: &'a str,
    domain: &str,
) -> Vec<Candidate<'a>> {
    let in_domain = host
        .strip_suffix(domain)
        .and_then(|rest| rest.strip_suffix('.'));
    let service = |namespace, service| Candidate {
        namespace,
        service,
        endpoint_of: false,
    };
    let endpoint = |namespace, service| Candidate {
        namespace,
        service,
        endpoint_of: true,
    };

    let labels: Vec<&str> = in_domain.unwrap_or(host).split('.').collect();
    match (labels.as_slice(), in_domain) {
        ([name, namespace, "svc"], _) => vec![service(namespace, name)],
        ([_, name, namespace, "svc"], _) => vec![endpoint(namespace, name)],
        (_, Some(_)) => Vec::new(),
        ([name], None) => vec![service(client_namespace, name)],
        ([name, namespace], None) => {
            vec![
                service(namespace, name),
                endpoint(client_namespace, namespace),
            ]
        }
        ([_, name, namespace], None) => vec![endpoint(namespace, name)],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_name_means_what_dns_says() {
        for (host, expected) in [
            ("reviews", "home/reviews"),
            ("reviews.shop", "shop/reviews home/*.shop"),
            ("reviews.shop.svc", "shop/reviews"),
            ("reviews.shop.svc.cluster.local", "shop/reviews"),
            ("web-0.web", "web/web-0 home/*.web"),
            ("web-0.web.shop", "shop/*.web"),
            ("web-0.web.shop.svc", "shop/*.web"),
            ("web-0.web.shop.svc.cluster.local", "shop/*.web"),
            ("reviews.shop.cluster.local", ""),
            ("cluster.local", "local/cluster home/*.local"),
            ("www.example.com", "com/*.example"),
            ("a.b.c.d.example.com", ""),
            ("a.b.shop.svc.cluster.local.", ""),
        ] {
            let found: Vec<String> = candidates(host, "home", "cluster.local")
                .into_iter()
                .map(|candidate| {
                    let star = if candidate.endpoint_of { "*." } else { "" };
                    format!("{}/{star}{}", candidate.namespace, candidate.service)
                })
                .collect();
            assert_eq!(found.join(" "), expected, "{host}");
        }
    }
}
