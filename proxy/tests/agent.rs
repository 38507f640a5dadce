//! The agent's ports over real sockets: probes in every form, merged metrics, drain and quit.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lateen_proxy::agent::{Agent, Context, Probes, Proxy, Targets};
use lateen_proxy::config::AgentPorts;
use lateen_proxy::drain::Callers;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

#[derive(Default)]
struct Recorder {
    drains: AtomicUsize,
    quits: AtomicUsize,
    ready: AtomicUsize,
}

impl Proxy for Recorder {
    fn pending(&self) -> Vec<String> {
        match self.ready.load(Ordering::SeqCst) {
            0 => vec!["certificate".to_owned()],
            _ => Vec::new(),
        }
    }

    fn write_metrics(&self, text: &mut String) {
        text.push_str("istio_build{component=\"proxy\"} 1\n");
    }

    fn drain(&self) {
        self.drains.fetch_add(1, Ordering::SeqCst);
    }

    fn callers_leave(&self) -> Pin<Box<dyn Future<Output = Callers> + Send>> {
        Box::pin(std::future::ready(Callers::Left))
    }

    fn quit(&self) {
        self.quits.fetch_add(1, Ordering::SeqCst);
    }

    fn certificates(&self) -> serde_json::Value {
        serde_json::json!({ "identity": "spiffe://cluster.local/ns/a/sa/b" })
    }

    fn discovered(&self) -> serde_json::Value {
        serde_json::json!({})
    }

    fn configuration(&self) -> serde_json::Value {
        serde_json::json!({})
    }
}

struct Bed {
    proxy: Arc<Recorder>,
    addresses: lateen_proxy::agent::Addresses,
}

async fn agent(probes: &str, targets: &str) -> Bed {
    let proxy = Arc::new(Recorder::default());
    let ports = AgentPorts {
        status: 0,
        health: 0,
        metrics: 0,
        admin: 0,
    };
    let agent = Agent::bind(ports).unwrap();
    let addresses = agent.addresses().unwrap();
    tokio::spawn(agent.run(Context {
        pod_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        probes: Probes::parse(probes).unwrap(),
        targets: Targets::parse(targets).unwrap(),
        proxy: Arc::clone(&proxy) as Arc<dyn Proxy>,
    }));
    Bed { proxy, addresses }
}

/// One request; the status and the whole answer.
async fn ask(port: u16, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
        .await
        .unwrap();
    let request =
        format!("{request} HTTP/1.1\r\nHost: pod\r\nConnection: close\r\nX-Kubelet: yes\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    (answer[9..12].parse().unwrap(), answer)
}

/// An application that answers every connection with `answer` and reports what it was asked.
async fn application(answer: &'static str) -> (u16, tokio::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, receiver) = tokio::sync::mpsc::channel(16);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            let _ = sender
                .send(String::from_utf8_lossy(&request[..length]).into_owned())
                .await;
        }
    });
    (port, receiver)
}

fn http_probe(port: u16) -> String {
    format!(
        r#"{{"/app-health/a/readyz":{{"httpGet":{{"path":"/health?x=1","port":{port},
           "httpHeaders":[{{"name":"X-Probe","value":"1"}}]}},"timeoutSeconds":1}}}}"#
    )
}

#[tokio::test]
async fn readiness_follows_the_proxy() {
    let bed = agent("{}", "{}").await;
    for port in [bed.addresses.health.port(), bed.addresses.status.port()] {
        let (status, answer) = ask(port, "GET /healthz/ready").await;
        assert_eq!(status, 503);
        assert!(answer.contains("certificate"), "{answer}");
    }
    bed.proxy.ready.store(1, Ordering::SeqCst);
    assert_eq!(
        ask(bed.addresses.health.port(), "GET /healthz/ready")
            .await
            .0,
        200
    );
}

#[tokio::test]
async fn an_http_probe_reaches_the_application_with_its_headers() {
    let (port, mut asked) =
        application("HTTP/1.1 418 Teapot\r\nContent-Length: 5\r\nConnection: close\r\n\r\nshort")
            .await;
    let bed = agent(&http_probe(port), "{}").await;
    let (status, answer) = ask(bed.addresses.status.port(), "GET /app-health/a/readyz").await;
    assert_eq!(status, 418);
    assert!(answer.ends_with("short"), "{answer}");
    let request = asked.recv().await.unwrap().to_lowercase();
    assert!(request.starts_with("get /health?x=1 http/1.1"), "{request}");
    assert!(
        request.contains("x-probe: 1") && request.contains("x-kubelet: yes"),
        "{request}"
    );
    assert!(
        request.contains(&format!("host: 127.0.0.1:{port}")),
        "{request}"
    );
}

#[tokio::test]
async fn a_redirect_elsewhere_is_healthy_and_a_redirect_here_is_followed() {
    let (port, _asked) = application(
        "HTTP/1.1 302 Found\r\nLocation: http://elsewhere.example/\r\nContent-Length: 0\r\n\r\n",
    )
    .await;
    let bed = agent(&http_probe(port), "{}").await;
    assert_eq!(
        ask(bed.addresses.status.port(), "GET /app-health/a/readyz")
            .await
            .0,
        200
    );

    let (port, mut asked) =
        application("HTTP/1.1 302 Found\r\nLocation: /next\r\nContent-Length: 0\r\n\r\n").await;
    let bed = agent(&http_probe(port), "{}").await;
    assert_eq!(
        ask(bed.addresses.status.port(), "GET /app-health/a/readyz")
            .await
            .0,
        200
    );
    asked.recv().await.unwrap();
    assert!(asked.recv().await.unwrap().starts_with("GET /next "));
}

#[tokio::test]
async fn an_application_that_hangs_or_is_gone_is_not_healthy() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let bed = agent(&http_probe(port), "{}").await;
    let (status, answer) = ask(bed.addresses.status.port(), "GET /app-health/a/readyz").await;
    assert_eq!(status, 500);
    assert!(answer.contains("no answer within 1s"), "{answer}");

    let probes = format!(r#"{{"/app-health/a/livez":{{"tcpSocket":{{"port":{port}}}}}}}"#);
    let bed = agent(&probes, "{}").await;
    assert_eq!(
        ask(bed.addresses.status.port(), "GET /app-health/a/livez")
            .await
            .0,
        200
    );
    drop(listener);
    assert_eq!(
        ask(bed.addresses.status.port(), "GET /app-health/a/livez")
            .await
            .0,
        500
    );
}

#[tokio::test]
async fn an_unknown_probe_is_a_bad_request() {
    let bed = agent("{}", "{}").await;
    for path in [
        "/app-health/a/readyz",
        "/app-health/../x",
        "/app-lifecycle/a/prestopz",
    ] {
        assert_eq!(
            ask(bed.addresses.status.port(), &format!("GET {path}"))
                .await
                .0,
            400,
            "{path}"
        );
    }
    assert_eq!(ask(bed.addresses.status.port(), "GET /other").await.0, 404);
}

#[tokio::test]
async fn metrics_of_proxy_and_application_come_in_one_answer() {
    let (port, mut asked) =
        application("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\napp_total 7\n# EOF\n").await;
    let targets = format!(r#"{{"scrape":"true","port":"{port}","path":"/m"}}"#);
    let bed = agent("{}", &targets).await;
    let (status, answer) = ask(bed.addresses.status.port(), "GET /stats/prometheus").await;
    assert_eq!(status, 200);
    assert!(
        answer.contains("istio_build{component=\"proxy\"} 1\napp_total 7\n"),
        "{answer}"
    );
    assert!(!answer.contains("# EOF"), "{answer}");
    assert!(asked.recv().await.unwrap().starts_with("GET /m "));
    let (_, own) = ask(bed.addresses.metrics.port(), "GET /stats/prometheus").await;
    assert!(
        own.contains("istio_build") && !own.contains("app_total"),
        "{own}"
    );
}

#[tokio::test]
async fn a_dead_application_does_not_hide_the_proxy_metrics() {
    let unused = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = unused.local_addr().unwrap().port();
    drop(unused);
    let bed = agent("{}", &format!(r#"{{"targets":"{port}:/m"}}"#)).await;
    let (status, answer) = ask(bed.addresses.status.port(), "GET /stats/prometheus").await;
    assert_eq!(status, 200);
    assert!(answer.contains("istio_build"), "{answer}");
}

#[tokio::test]
async fn drain_and_quit_are_posts_from_within_the_pod() {
    let bed = agent("{}", "{}").await;
    let port = bed.addresses.status.port();
    assert_eq!(ask(port, "GET /drain").await.0, 405);
    assert_eq!(ask(port, "POST /drain").await.0, 200);
    assert_eq!(ask(port, "POST /quitquitquit").await.0, 200);
    assert_eq!(bed.proxy.drains.load(Ordering::SeqCst), 1);
    assert_eq!(bed.proxy.quits.load(Ordering::SeqCst), 1);
    assert!(bed.addresses.admin.ip().is_loopback());
}

#[tokio::test]
async fn the_hook_of_the_application_is_answered_when_callers_have_left() {
    let bed = agent("{}", "{}").await;
    let port = bed.addresses.status.port();
    let (status, text) = ask(port, "GET /callers-left").await;
    assert_eq!(status, 200);
    assert!(text.ends_with("\r\n\r\nCallers have left.\n"), "{text}");
}

#[tokio::test]
async fn garbage_ends_the_connection_and_nothing_else() {
    let bed = agent("{}", "{}").await;
    for address in [
        bed.addresses.status,
        bed.addresses.health,
        bed.addresses.metrics,
        bed.addresses.admin,
    ] {
        let local = SocketAddr::from((Ipv4Addr::LOCALHOST, address.port()));
        let mut stream = TcpStream::connect(local).await.unwrap();
        stream
            .write_all(b"\x16\x03\x01\x02\x00garbage\r\n\r\n")
            .await
            .unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        assert_ne!(ask(address.port(), "GET /healthz/ready").await.0, 0);
    }
}

/// The address that this machine has besides loopback; nothing is sent to learn it.
fn own_address() -> IpAddr {
    let socket = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    socket.connect("192.0.2.1:9").unwrap();
    socket.local_addr().unwrap().ip()
}

#[tokio::test]
async fn no_peer_can_keep_the_others_out() {
    let bed = agent("{}", "{}").await;
    let port = bed.addresses.health.port();
    let mut held = Vec::new();
    for _ in 0..200 {
        held.push(TcpStream::connect((own_address(), port)).await.unwrap());
    }
    assert_eq!(ask(port, "GET /healthz/ready").await.0, 503);
}
