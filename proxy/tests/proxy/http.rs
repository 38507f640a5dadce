//! HTTP from an application to another, over mesh mTLS.

use std::collections::HashMap;
use std::net::SocketAddr;

use bytes::Bytes;
use http::Request;
use lateen_wire::lateen::Protocol;
use lateen_wire::resource;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::app::App;
use crate::support::client::{Http1, exchange, full, http2};
use crate::support::mesh::{Endpoint, Mesh, Service, identity, workload};
use crate::support::pair::Pair;
use crate::support::{soon, until};

async fn pair(protocol: Protocol) -> Pair {
    Pair::start("reviews", protocol, App::http("reviews").await).await
}

#[tokio::test]
async fn a_request_goes_over_mutual_tls_and_both_sides_count_it() {
    let pair = pair(Protocol::Http).await;
    let mut http = pair.http().await;
    let answer = http.get("reviews", "/headers").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("server"), Some("envoy"));
    assert!(answer.header("x-envoy-upstream-service-time").is_some());
    for part in [
        "x-forwarded-proto: http",
        "x-envoy-attempt-count: 1",
        "x-request-id: ",
        &format!("URI={}", identity("client")),
        &format!("By={}", identity("server")),
    ] {
        assert!(answer.body.contains(part), "{part} in {}", answer.body);
    }
    let source = [
        "reporter=\"source\"",
        "response_code=\"200\"",
        "destination_workload=\"server\"",
    ];
    until("the source counts", || {
        pair.client.sum("istio_requests_total", &source) == 1.0
    })
    .await;
    let destination = [
        "reporter=\"destination\"",
        "source_workload=\"client\"",
        "connection_security_policy=\"mutual_tls\"",
    ];
    until("the destination counts", || {
        pair.server.sum("istio_requests_total", &destination) == 1.0
    })
    .await;
}

#[tokio::test]
async fn a_caller_is_named_as_soon_as_control_knows_it() {
    let pair = pair(Protocol::Http).await;
    let name_caller = |name| {
        let known = workload(name, true);
        pair.mesh
            .control
            .set(resource::WORKLOAD, "127.0.0.1", &known);
    };
    // Whoever had the address before.
    name_caller("gone");
    let mut http = pair.http().await;
    assert_eq!(http.get("reviews", "/").await.status, 200);
    let counted = |name: &str| {
        let parts = [
            "reporter=\"destination\"",
            &format!("source_workload=\"{name}\""),
        ];
        pair.server.sum("istio_requests_total", &parts)
    };
    until("a stranger is counted", || counted("unknown") == 1.0).await;
    name_caller("client");
    let named = async {
        while counted("client") == 0.0 {
            assert_eq!(http.get("reviews", "/").await.status, 200);
        }
    };
    soon("the caller is named", named).await;
    assert_eq!(pair.app.connections(), 1);
}

#[tokio::test]
async fn one_connection_of_the_client_is_one_to_the_application() {
    let pair = pair(Protocol::Undeclared).await;
    let mut http = pair.http().await;
    for _ in 0..20 {
        assert_eq!(http.get("reviews", "/").await.body, "reviews");
    }
    assert_eq!((pair.app.requests(), pair.app.connections()), (20, 1));
}

#[tokio::test]
async fn header_names_keep_their_case() {
    let pair = pair(Protocol::Http).await;
    let app = App::tcp(|mut stream| async move {
        let mut bytes = vec![0; 4096];
        let length = stream.read(&mut bytes).await.unwrap();
        let head = String::from_utf8_lossy(&bytes[..length]);
        let kept = head.contains("\r\nX-CamelCase: 1\r\n");
        let answer = format!("HTTP/1.1 200 OK\r\nX-BackCase: {kept}\r\nContent-Length: 0\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.unwrap();
    })
    .await;
    let back = pair.mesh.stand_in(2);
    let server = pair
        .mesh
        .proxy("case", HashMap::from([(back, app.address)]))
        .await;
    pair.mesh
        .set_endpoints(&pair.service, &[Endpoint::mesh(&server, back)]);
    let mut http = pair.http().await;
    let answer = http
        .send("GET / HTTP/1.1\r\nHost: reviews\r\nX-CamelCase: 1\r\n\r\n")
        .await;
    assert!(
        answer.head.contains("\r\nX-BackCase: true\r\n"),
        "{}",
        answer.head
    );
}

#[tokio::test]
async fn hop_by_hop_headers_end_at_the_proxy() {
    let pair = pair(Protocol::Http).await;
    let mut http = pair.http().await;
    let answer = http
        .send(
            "GET /headers HTTP/1.1\r\nHost: reviews\r\nConnection: keep-alive, X-Hop\r\n\
             X-Hop: 1\r\nKeep-Alive: timeout=5\r\nX-Forwarded-Client-Cert: URI=spiffe://liar\r\n\
             x-envoy-peer-metadata: abc\r\nX-End: 2\r\n\r\n",
        )
        .await;
    for gone in ["x-hop", "keep-alive", "liar", "peer-metadata"] {
        assert!(!answer.body.contains(gone), "{gone} in {}", answer.body);
    }
    assert!(answer.body.contains("x-end: 2"));
}

#[tokio::test]
async fn bodies_pass_whole_with_either_framing() {
    let pair = pair(Protocol::Http).await;
    let mut http = pair.http().await;
    let large = "0123456789abcdef".repeat(64 * 1024);
    assert_eq!(http.post("reviews", "/echo", &large).await.body, large);
    let answer = http
        .send(
            "POST /echo HTTP/1.1\r\nHost: reviews\r\nTransfer-Encoding: chunked\r\n\r\n\
             5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
        )
        .await;
    assert_eq!(answer.body, "hello world");
    let answer = http.get("reviews", "/").await;
    assert_eq!(answer.body, "reviews");
}

#[tokio::test]
async fn head_no_content_expectations_and_http_1_0() {
    let pair = pair(Protocol::Http).await;
    let mut http = pair.http().await;
    let answer = http.send("HEAD / HTTP/1.1\r\nHost: reviews\r\n\r\n").await;
    assert_eq!(
        (answer.status, answer.header("content-length")),
        (200, Some("7"))
    );
    assert_eq!(http.get("reviews", "/status/204").await.status, 204);
    assert_eq!(http.get("reviews", "/status/304").await.status, 304);
    let expecting =
        "POST /echo HTTP/1.1\r\nHost: reviews\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
    assert_eq!(http.send(expecting).await.status, 100);
    assert_eq!(http.send("ok").await.body, "ok");
    let answer = http.send("GET / HTTP/1.0\r\nHost: reviews\r\n\r\n").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "reviews"));
    http.closed().await;
}

#[tokio::test]
async fn a_large_header_passes_and_a_larger_one_is_named() {
    let pair = pair(Protocol::Http).await;
    let value = "v".repeat(50 * 1024);
    let request = format!("GET /headers HTTP/1.1\r\nHost: reviews\r\nX-Large: {value}\r\n\r\n");
    let answer = pair.http().await.send(&request).await;
    assert!(answer.status == 200 && answer.body.contains(&value));
    let value = "v".repeat(80 * 1024);
    let request = format!("GET /headers HTTP/1.1\r\nHost: reviews\r\nX-Large: {value}\r\n\r\n");
    assert_eq!(pair.http().await.send(&request).await.status, 431);
}

#[tokio::test]
async fn websocket_becomes_bytes_and_is_recorded() {
    let pair = pair(Protocol::Http).await;
    let mut http = pair.http().await;
    let answer = http
        .send(
            "GET /websocket HTTP/1.1\r\nHost: reviews\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\n\r\n",
        )
        .await;
    assert_eq!(
        (answer.status, answer.header("upgrade")),
        (101, Some("websocket"))
    );
    for text in ["ping", "pong"] {
        http.stream.write_all(text.as_bytes()).await.unwrap();
        let mut back = [0; 4];
        http.stream.read_exact(&mut back).await.unwrap();
        assert_eq!(back, text.as_bytes());
    }
    drop(http);
    let parts = ["response_code=\"101\""];
    until("it is recorded", || {
        pair.client.sum("istio_requests_total", &parts) == 1.0
    })
    .await;
}

#[tokio::test]
async fn connect_becomes_a_tunnel() {
    let app = App::tcp(|mut stream| async move {
        let mut bytes = vec![0; 1024];
        let length = stream.read(&mut bytes).await.unwrap();
        assert!(bytes[..length].starts_with(b"CONNECT www.example.com:443 HTTP/1.1\r\n"));
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        let (mut reader, mut writer) = stream.split();
        let _ = tokio::io::copy(&mut reader, &mut writer).await;
    })
    .await;
    let mesh = Mesh::start().await;
    let door = mesh.stand_in(1);
    let client = mesh
        .proxy("client", HashMap::from([(door, app.address)]))
        .await;
    let mut http = Http1::new(client.dial(door).await);
    let request = "CONNECT www.example.com:443 HTTP/1.1\r\nHost: www.example.com:443\r\n\r\n";
    http.stream.write_all(request.as_bytes()).await.unwrap();
    assert_eq!(http.read(false).await.status, 200);
    http.stream.write_all(b"tunnel").await.unwrap();
    let mut bytes = [0; 6];
    http.stream.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"tunnel");
}

#[tokio::test]
async fn an_upgrade_nobody_can_make_is_a_request_like_any_other() {
    let pair = pair(Protocol::Http).await;
    let request = "GET /headers HTTP/1.1\r\nHost: reviews\r\nConnection: Upgrade, HTTP2-Settings\r\n\
                   Upgrade: h2c\r\nHTTP2-Settings: AAA\r\n\r\n";
    let answer = pair.http().await.send(request).await;
    assert_eq!(answer.status, 200);
    assert!(!answer.body.contains("upgrade"), "{}", answer.body);
}

#[tokio::test]
async fn http2_and_grpc_pass_with_trailers_and_messages_are_counted() {
    let pair = pair(Protocol::Grpc).await;
    let mut sender = http2(pair.dial().await).await;
    let message = Bytes::from_static(b"\0\0\0\0\x03abc");
    let request = Request::post("http://reviews/grpc")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(full(message.clone()))
        .unwrap();
    let (response, body, trailers) = exchange(&mut sender, request).await;
    assert_eq!(response.status(), 200);
    assert_eq!(body, message);
    assert_eq!(trailers.unwrap()["grpc-status"], "0");
    let parts = ["request_protocol=\"grpc\"", "grpc_response_status=\"0\""];
    until("messages are counted", || {
        pair.client.sum("istio_request_messages_total", &parts) == 1.0
            && pair.client.sum("istio_response_messages_total", &parts) == 1.0
    })
    .await;
}

#[tokio::test]
async fn many_streams_share_one_connection() {
    let pair = pair(Protocol::Http2).await;
    let sender = http2(pair.dial().await).await;
    let requests = (0..50).map(|_| {
        let mut sender = sender.clone();
        async move {
            let request = Request::get("http://reviews/").body(full("")).unwrap();
            exchange(&mut sender, request).await.1
        }
    });
    for body in futures::future::join_all(requests).await {
        assert_eq!(body, "reviews");
    }
    assert_eq!((pair.app.requests(), pair.app.connections()), (50, 1));
}

#[tokio::test]
async fn an_http1_client_reaches_a_service_that_declares_http2() {
    let pair = pair(Protocol::Http2).await;
    let answer = pair.http().await.get("reviews", "/").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "reviews"));
}

#[tokio::test]
async fn requests_of_one_connection_spread_over_endpoints() {
    let pair = pair(Protocol::Http).await;
    let other = App::http("other").await;
    let back = pair.mesh.stand_in(2);
    let proxy = pair
        .mesh
        .proxy("server2", HashMap::from([(back, other.address)]))
        .await;
    let mixed = Service {
        name: "mixed",
        address: "10.96.0.11:80".parse().unwrap(),
        ..pair.service
    };
    let door = pair.mesh.stand_in(1);
    let first = pair.mesh.stand_in(2);
    let server = pair
        .mesh
        .proxy("server3", HashMap::from([(first, pair.app.address)]))
        .await;
    let client = pair
        .mesh
        .proxy("client", HashMap::from([(door, mixed.address)]))
        .await;
    // Two names of one service: the slices hold one port each.
    pair.mesh.serve_two(
        &mixed,
        &Endpoint::mesh(&server, first),
        &Endpoint::mesh(&proxy, back),
    );
    let mut http = Http1::new(client.dial(door).await);
    for _ in 0..60 {
        assert_eq!(http.get("mixed", "/").await.status, 200);
    }
    assert!(pair.app.requests() > 10 && other.requests() > 10);
}

#[tokio::test]
async fn a_dead_endpoint_costs_nothing_but_a_retry_posts_included() {
    let pair = pair(Protocol::Http).await;
    let back = pair.mesh.stand_in(2);
    // A proxy whose application is gone: nothing listens there.
    let gone = App::http("gone").await;
    let dead = pair
        .mesh
        .proxy("server2", HashMap::from([(back, gone.address)]))
        .await;
    gone.stop().await;
    let door = pair.mesh.stand_in(1);
    let mixed = Service {
        name: "mixed",
        address: "10.96.0.11:80".parse().unwrap(),
        ..pair.service
    };
    let client = pair
        .mesh
        .proxy("client", HashMap::from([(door, mixed.address)]))
        .await;
    let live = pair.mesh.stand_in(2);
    let server = pair
        .mesh
        .proxy("server3", HashMap::from([(live, pair.app.address)]))
        .await;
    pair.mesh.serve_two(
        &mixed,
        &Endpoint::mesh(&server, live),
        &Endpoint::mesh(&dead, back),
    );
    let mut http = Http1::new(client.dial(door).await);
    for number in 0..40 {
        let body = format!("order {number}");
        let answer = http.post("mixed", "/echo", &body).await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (200, body.as_str()),
            "{answer:?}"
        );
        assert!(answer.header("x-lateen-not-executed").is_none());
    }
    assert!(client.sum("lateen_proxy_retries_total", &[]) > 0.0);
    assert_eq!(pair.app.requests(), 40);
}

#[tokio::test]
async fn an_endpoint_that_left_gets_no_new_request_and_open_streams_live_on() {
    let pair = pair(Protocol::Http).await;
    let mut websocket = pair.http().await;
    let upgrade = "GET /websocket HTTP/1.1\r\nHost: reviews\r\nConnection: Upgrade\r\n\
                   Upgrade: websocket\r\n\r\n";
    assert_eq!(websocket.send(upgrade).await.status, 101);
    let mut http = pair.http().await;
    assert_eq!(http.get("reviews", "/").await.status, 200);
    let before = pair.app.requests();
    let other = App::http("other").await;
    let back = pair.mesh.stand_in(2);
    let server = pair
        .mesh
        .proxy("server2", HashMap::from([(back, other.address)]))
        .await;
    pair.mesh
        .set_endpoints(&pair.service, &[Endpoint::mesh(&server, back)]);
    until("the new endpoint is known", || {
        let snapshot = pair.client.shared.discovery.snapshot();
        snapshot
            .destinations
            .iter()
            .flat_map(|one| &one.endpoints)
            .all(|one| one.address.ip() == back)
    })
    .await;
    for _ in 0..10 {
        assert_eq!(http.get("reviews", "/").await.body, "other");
    }
    assert_eq!(pair.app.requests(), before);
    websocket.stream.write_all(b"still").await.unwrap();
    let mut bytes = [0; 5];
    websocket.stream.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"still");
}

#[tokio::test]
async fn a_service_without_endpoints_says_so_to_http_and_to_grpc() {
    let pair = pair(Protocol::Undeclared).await;
    pair.mesh.set_endpoints(&pair.service, &[]);
    let answer = pair.http().await.get("reviews", "/").await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (503, "no healthy upstream")
    );
    let mut sender = http2(pair.dial().await).await;
    let request = Request::post("http://reviews/a.B/C")
        .header("content-type", "application/grpc")
        .body(full(""))
        .unwrap();
    let (response, ..) = exchange(&mut sender, request).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["grpc-status"], "14");
    assert_eq!(response.headers()["grpc-message"], "no healthy upstream");
    let parts = ["response_flags=\"UH\""];
    until("both are counted", || {
        pair.client.sum("istio_requests_total", &parts) == 2.0
    })
    .await;
}

#[tokio::test]
async fn a_pod_calls_itself_by_its_service() {
    let app = App::http("itself").await;
    let mesh = Mesh::start().await;
    let service = Service::new("itself", Protocol::Http);
    let (door, back) = (mesh.stand_in(1), mesh.stand_in(2));
    let destinations = HashMap::from([(door, service.address), (back, app.address)]);
    let proxy = mesh.proxy("itself", destinations).await;
    mesh.serve(&service, &[Endpoint::mesh(&proxy, back)]);
    let answer = Http1::new(proxy.dial(door).await).get("itself", "/").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "itself"));
}

#[tokio::test]
async fn a_host_outside_the_mesh_is_called_at_its_address() {
    let outside = App::http("outside").await;
    let mesh = Mesh::start().await;
    let door = mesh.stand_in(1);
    let client = mesh
        .proxy("client", HashMap::from([(door, outside.address)]))
        .await;
    let answer = Http1::new(client.dial(door).await)
        .get("www.example.com", "/")
        .await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "outside"));
    let parts = [
        "destination_service=\"www.example.com\"",
        "destination_service_name=\"PassthroughCluster\"",
    ];
    until("it is counted", || {
        client.sum("istio_requests_total", &parts) == 1.0
    })
    .await;
}

#[tokio::test]
async fn a_workload_is_called_by_its_address_over_mutual_tls() {
    let app = App::http("pod").await;
    let mesh = Mesh::start().await;
    let (door, back) = (mesh.stand_in(1), mesh.stand_in(2));
    let server = mesh
        .proxy("server", HashMap::from([(back, app.address)]))
        .await;
    let address = Endpoint::mesh(&server, back).address;
    let answer = lateen_wire::lateen::destination::Answer::Workload(workload("server", true));
    mesh.control.set_destination(&address.to_string(), answer);
    let client = mesh.proxy("client", HashMap::from([(door, address)])).await;
    let answer = Http1::new(client.dial(door).await)
        .get(&address.to_string(), "/headers")
        .await;
    assert_eq!(answer.status, 200);
    assert!(answer.body.contains(&identity("client")), "{}", answer.body);
}

#[tokio::test]
async fn a_headless_service_sends_nobody_elsewhere_than_where_dns_did() {
    let (listed, unlisted) = (App::http("listed").await, App::http("unlisted").await);
    let mesh = Mesh::start().await;
    let (front, behind) = (mesh.stand_in(2), mesh.stand_in(2));
    let destinations = HashMap::from([(front, listed.address), (behind, unlisted.address)]);
    let server = mesh.proxy("server", destinations).await;
    let (one, other) = (
        Endpoint::mesh(&server, front),
        Endpoint::mesh(&server, behind),
    );
    let service = Service {
        address: SocketAddr::new([10, 96, 0, 10].into(), one.address.port()),
        headless: true,
        ..Service::new("web", Protocol::Http)
    };
    mesh.serve(&service, std::slice::from_ref(&one));
    let answer = lateen_wire::lateen::destination::Answer::Workload(workload("server", true));
    mesh.control
        .set_destination(&other.address.to_string(), answer);
    let doors = [mesh.stand_in(1), mesh.stand_in(1)];
    let destinations = HashMap::from([(doors[0], one.address), (doors[1], other.address)]);
    let client = mesh.proxy("client", destinations).await;
    for (door, name) in doors.into_iter().zip(["listed", "unlisted"]) {
        let mut http = Http1::new(client.dial(door).await);
        for _ in 0..5 {
            let answer = http.get("web", "/").await;
            assert_eq!((answer.status, answer.body.as_str()), (200, name));
        }
    }
}

#[tokio::test]
async fn an_endpoint_with_another_identity_is_refused() {
    let pair = pair(Protocol::Http).await;
    let back = pair.mesh.stand_in(2);
    let imposter = pair
        .mesh
        .proxy("imposter", HashMap::from([(back, pair.app.address)]))
        .await;
    let mut endpoint = Endpoint::mesh(&imposter, back);
    endpoint.workload = workload("server", true);
    pair.mesh.set_endpoints(&pair.service, &[endpoint]);
    until("the endpoint is known", || pair.app.requests() == 0).await;
    let answer = pair.http().await.get("reviews", "/").await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(
        answer.body.contains("expected spiffe://"),
        "{}",
        answer.body
    );
    assert_eq!(pair.app.requests(), 0);
}

#[tokio::test]
async fn the_word_of_a_plain_endpoint_that_nothing_was_executed_is_nothing() {
    let mesh = Mesh::start().await;
    let app = App::tcp(|mut stream| async move {
        let mut bytes = [0; 1024];
        while let Ok(1..) = stream.read(&mut bytes).await {
            let answer = b"HTTP/1.1 503 No\r\nx-lateen-not-executed: connect-failure\r\n\
                           content-length: 0\r\n\r\n";
            stream.write_all(answer).await.unwrap();
        }
    })
    .await;
    let service = Service::new("plain", Protocol::Http);
    let door = mesh.stand_in(1);
    mesh.serve(&service, &[Endpoint::plain(app.address)]);
    let client = mesh
        .proxy("client", HashMap::from([(door, service.address)]))
        .await;
    let answer = Http1::new(client.dial(door).await)
        .post("plain", "/", "once")
        .await;
    assert_eq!(answer.status, 503);
    assert!(answer.header("x-lateen-not-executed").is_none());
    assert!(client.sum("lateen_proxy_retries_total", &[]) == 0.0);
}
