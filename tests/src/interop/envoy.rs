//! Envoy, told what Istio tells its sidecars where they meet a peer: protocols (ALPN), server names
//! (SNI), identities (SPIFFE) and the filter chains that are chosen by them. It has no access log, no
//! metrics of Istio and no filters but the router.

use std::path::Path;

use lateen_wire::ports;
use serde_json::{Value, json};

use super::{HTTP_PORT, HTTP2_PORT, SERVER, Side, TCP_PORT, identity};
use crate::bed::manifest::merge;

/// What Istio's sidecars offer, by what the connection carries.
const HTTP1_OFFERS: [&str; 3] = ["istio-http/1.1", "istio", "http/1.1"];
const HTTP2_OFFERS: [&str; 3] = ["istio-h2", "istio", "h2"];
const TCP_OFFERS: [&str; 2] = ["istio-peer-exchange", "istio"];
/// By which offers an Istio sidecar knows a peer that speaks HTTP, and one that does not.
const HTTP_MATCHES: [&str; 3] = ["istio-http/1.0", "istio-http/1.1", "istio-h2"];
const TCP_MATCHES: [&str; 2] = ["istio", "istio-peer-exchange"];
/// What an Istio sidecar chooses from, in either case.
const HTTP_ACCEPTS: [&str; 2] = ["h2", "http/1.1"];
const TCP_ACCEPTS: [&str; 3] = ["istio-peer-exchange", "h2", "http/1.1"];

/// The configuration of a sidecar whose certificates are in `folder`.
pub(super) fn configuration(folder: &Path, side: Side) -> Value {
    match side {
        Side::Client => client(folder),
        Side::Server => server(folder),
    }
}

/// One filter chain and one cluster for each port, by which the application calls.
fn client(folder: &Path) -> Value {
    let chain = |port: u16, filter: Value| json!({ "filter_chain_match": { "destination_port": port }, "filters": [filter] });
    let cluster = |name: &str, port: u16, offers: &[&str], protocol: Value| {
        let tls = json!({
            "common_tls_context": common(folder, Side::Client, offers, Side::Server),
            "sni": format!("outbound_.{port}_._.server.bench.svc.cluster.local"),
        });
        // As Istio does it: what to speak is chosen by the endpoint's metadata.
        let sockets = json!([
            { "name": "tlsMode-istio", "match": { "tlsMode": "istio" },
                "transport_socket": extension("tls", "transport_sockets.tls.v3.UpstreamTlsContext", &tls) },
            { "name": "tlsMode-disabled", "match": {},
                "transport_socket": extension("raw", "transport_sockets.raw_buffer.v3.RawBuffer", &json!({})) },
        ]);
        let address =
            json!({ "socket_address": { "address": SERVER.to_string(), "port_value": port } });
        let metadata = json!({ "envoy.transport_socket_match": { "tlsMode": "istio" } });
        let endpoint = json!({ "endpoint": { "address": address },
            "metadata": { "filter_metadata": metadata } });
        json!({ "name": name, "type": "STATIC", "connect_timeout": "5s",
            "transport_socket_matches": sockets,
            "typed_extension_protocol_options": protocol,
            "load_assignment": { "cluster_name": name, "endpoints": [{ "lb_endpoints": [endpoint] }] } })
    };
    resources(
        ports::OUTBOUND,
        &[extension(
            "original_dst",
            "filters.listener.original_dst.v3.OriginalDst",
            &json!({}),
        )],
        &[
            chain(HTTP_PORT, http("http1", json!({}))),
            chain(HTTP2_PORT, http("http2", json!({}))),
            chain(TCP_PORT, tcp("tcp")),
        ],
        &[
            cluster(
                "http1",
                HTTP_PORT,
                &HTTP1_OFFERS,
                speaks("http_protocol_options"),
            ),
            // The server has HTTP/2 at the same port as HTTP/1.1.
            cluster(
                "http2",
                HTTP_PORT,
                &HTTP2_OFFERS,
                speaks("http2_protocol_options"),
            ),
            cluster("tcp", TCP_PORT, &TCP_OFFERS, json!({})),
        ],
    )
}

/// Filter chains by what the client offers, and one cluster, which is where it wanted to go.
fn server(folder: &Path) -> Value {
    let chain = |matches: &[&str], accepts: &[&str], filter: Value| {
        let tls = json!({
            "require_client_certificate": true,
            "common_tls_context": common(folder, Side::Server, accepts, Side::Client),
        });
        json!({
            "filter_chain_match": { "transport_protocol": "tls", "application_protocols": matches },
            "filters": [filter],
            "transport_socket": extension("tls", "transport_sockets.tls.v3.DownstreamTlsContext", &tls),
        })
    };
    let forwarded = json!({
        "forward_client_cert_details": "APPEND_FORWARD",
        "set_current_client_cert_details": { "subject": true, "dns": true, "uri": true },
    });
    let application = json!({ "name": "inbound", "type": "ORIGINAL_DST", "connect_timeout": "5s",
        "lb_policy": "CLUSTER_PROVIDED",
        "typed_extension_protocol_options": protocol_options(&json!({ "use_downstream_protocol_config": {
            "http_protocol_options": {}, "http2_protocol_options": {} } })),
        // Redirection lets connections from there through to the application.
        "upstream_bind_config": { "source_address": { "address": "127.0.0.6", "port_value": 0 } } });
    resources(
        ports::INBOUND,
        &[
            extension(
                "original_dst",
                "filters.listener.original_dst.v3.OriginalDst",
                &json!({}),
            ),
            extension(
                "tls_inspector",
                "filters.listener.tls_inspector.v3.TlsInspector",
                &json!({}),
            ),
        ],
        &[
            chain(&HTTP_MATCHES, &HTTP_ACCEPTS, http("inbound", forwarded)),
            chain(&TCP_MATCHES, &TCP_ACCEPTS, tcp("inbound")),
        ],
        &[application],
    )
}

/// Certificates of one side, which accepts the identity of the other alone.
fn common(folder: &Path, own: Side, protocols: &[&str], peer: Side) -> Value {
    let file = |name: &str| json!({ "filename": folder.join(name) });
    let name = own.name();
    let identity = json!({ "san_type": "URI", "matcher": { "exact": identity(peer) } });
    json!({
        "alpn_protocols": protocols,
        "tls_params": {
            "tls_minimum_protocol_version": "TLSv1_2",
            "tls_maximum_protocol_version": "TLSv1_3",
        },
        "tls_certificates": [{
            "certificate_chain": file(&format!("{name}.pem")),
            "private_key": file(&format!("{name}.key")),
        }],
        "validation_context": {
            "trusted_ca": file("root-cert.pem"),
            "match_typed_subject_alt_names": [identity],
        },
    })
}

/// The filter of HTTP, which sends everything to one cluster.
fn http(cluster: &str, more: Value) -> Value {
    let router = extension("router", "filters.http.router.v3.Router", &json!({}));
    let mut fields = json!({
        "stat_prefix": cluster,
        "codec_type": "AUTO",
        "route_config": { "virtual_hosts": [{ "name": "all", "domains": ["*"],
            "routes": [{ "match": { "prefix": "/" }, "route": { "cluster": cluster } }] }] },
        "http_filters": [router],
    });
    merge(&mut fields, more);
    let kind = "filters.network.http_connection_manager.v3.HttpConnectionManager";
    extension("http", kind, &fields)
}

fn tcp(cluster: &str) -> Value {
    let fields = json!({ "stat_prefix": cluster, "cluster": cluster });
    extension("tcp", "filters.network.tcp_proxy.v3.TcpProxy", &fields)
}

/// Options of a cluster that speaks one version of HTTP.
fn speaks(version: &str) -> Value {
    protocol_options(&json!({ "explicit_http_config": { version: {} } }))
}

fn protocol_options(fields: &Value) -> Value {
    let options = typed("upstreams.http.v3.HttpProtocolOptions", fields);
    json!({ "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options })
}

fn extension(name: &str, kind: &str, fields: &Value) -> Value {
    json!({ "name": name, "typed_config": typed(kind, fields) })
}

/// The configuration of an extension, which says its own type.
fn typed(kind: &str, fields: &Value) -> Value {
    let mut config = json!({ "@type": format!("type.googleapis.com/envoy.extensions.{kind}") });
    merge(&mut config, fields.clone());
    config
}

fn resources(port: u16, filters: &[Value], chains: &[Value], clusters: &[Value]) -> Value {
    json!({ "static_resources": {
        "listeners": [{ "name": "captured",
            "address": { "socket_address": { "address": "0.0.0.0", "port_value": port } },
            "listener_filters": filters, "filter_chains": chains }],
        "clusters": clusters,
    } })
}
