//! Which protocol a Service declares for a port: `appProtocol` before the port's name, in which
//! the part before the first hyphen counts (Istio "Protocol Selection").

use lateen_wire::lateen::Protocol;

/// The declared protocol of a Service's port.
pub(super) fn declared(transport: &str, app_protocol: Option<&str>, port_name: &str) -> Protocol {
    if !matches!(transport, "" | "TCP") {
        return Protocol::Udp;
    }
    match app_protocol {
        Some("kubernetes.io/h2c") => Protocol::Http2,
        Some("kubernetes.io/ws") => Protocol::Http,
        Some("kubernetes.io/wss") => Protocol::Tls,
        Some(name) => named(name),
        None => named(port_name),
    }
}

fn named(name: &str) -> Protocol {
    let name = name.to_ascii_lowercase();
    if name.starts_with("grpc-web") {
        return Protocol::Grpc;
    }
    match name.split('-').next().unwrap_or_default() {
        "http" => Protocol::Http,
        "http2" => Protocol::Http2,
        "grpc" => Protocol::Grpc,
        "https" | "tls" => Protocol::Tls,
        "tcp" | "mongo" | "mysql" | "redis" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        _ => Protocol::Undeclared,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn app_protocol_wins_over_the_name_and_the_name_is_read_up_to_the_hyphen() {
        for (transport, app_protocol, name, expected) in [
            ("TCP", None, "http", Protocol::Http),
            ("", None, "HTTP-metrics", Protocol::Http),
            ("TCP", None, "http2-x", Protocol::Http2),
            ("TCP", None, "grpc-web-x", Protocol::Grpc),
            ("TCP", None, "https", Protocol::Tls),
            ("TCP", None, "mysql", Protocol::Tcp),
            ("TCP", None, "httpbin", Protocol::Undeclared),
            ("TCP", None, "", Protocol::Undeclared),
            ("TCP", Some("tcp"), "http", Protocol::Tcp),
            ("TCP", Some("kubernetes.io/h2c"), "", Protocol::Http2),
            ("TCP", Some("kubernetes.io/wss"), "", Protocol::Tls),
            ("TCP", Some("example.com/own"), "http", Protocol::Undeclared),
            ("UDP", Some("http"), "http", Protocol::Udp),
            ("SCTP", None, "tcp", Protocol::Udp),
        ] {
            assert_eq!(
                declared(transport, app_protocol, name),
                expected,
                "{app_protocol:?} {name}"
            );
        }
    }
}
