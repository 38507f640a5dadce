//! The proxy as the pod's name server: names of the mesh, name servers that misbehave, and clients
//! that do.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RecordType;
use lateen_proxy::config::NameServers;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpStream, UdpSocket};

use crate::support::mesh::{Mesh, Proxy};
use crate::support::name_server::{
    NameServer, Over, Reply, addresses, answer, ask, ask_raw, extended, question, read_raw, write,
};
use crate::support::{soon, until};

/// Name servers that are given little time.
fn asking(servers: &[SocketAddr]) -> NameServers {
    NameServers {
        addresses: servers.to_vec(),
        timeout: Duration::from_millis(500),
        attempts: 2,
        rotate: false,
    }
}

/// A proxy whose name server is told what to do.
async fn behind(upstream: &NameServer) -> (Mesh, Proxy, SocketAddr) {
    let mesh = Mesh::start().await;
    let (proxy, at) = mesh
        .name_server("client", asking(&[upstream.address]))
        .await;
    (mesh, proxy, at[0])
}

async fn ask_for(server: SocketAddr, name: &str) -> String {
    addresses(&ask(server, Over::Udp, &question(name, RecordType::A)).await)
}

/// An address where nobody listens.
async fn nobody() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.local_addr().unwrap()
}

#[tokio::test]
async fn hosts_of_the_mesh_are_answered_without_a_name_server() {
    let upstream = NameServer::honest().await;
    let mesh = Mesh::start().await;
    let host = "web.shop.svc.cluster.local";
    mesh.set_addresses(host, &["10.96.0.7", "fd00:96::7"]);
    mesh.set_addresses("web", &["10.96.0.8"]);
    let (client, at) = mesh
        .name_server("client", asking(&[upstream.address]))
        .await;
    for server in at {
        for over in [Over::Udp, Over::Tcp] {
            for (name, kind, expected) in [
                ("Web.Shop.SVC.cluster.local.", RecordType::A, "10.96.0.7"),
                (
                    "web.shop.svc.cluster.local.",
                    RecordType::AAAA,
                    "fd00:96::7",
                ),
                ("web.", RecordType::A, "10.96.0.8"),
                // It exists, and has none of the family.
                ("web.", RecordType::AAAA, ""),
            ] {
                let answer = ask(server, over, &question(name, kind)).await;
                assert_eq!(addresses(&answer), expected, "{name} {kind} {over:?}");
                assert!(answer.answers.iter().all(|record| record.ttl == 30));
                assert_eq!(answer.queries[0].name.to_ascii(), name);
            }
        }
    }
    assert_eq!(upstream.asked().len(), 0);
    let asked = mesh.control.log(|log| log.subscribed.clone());
    assert_eq!(asked.iter().filter(|name| *name == host).count(), 1);
    let mesh_answers = client.sum("lateen_proxy_dns_mesh_answers_total", &[]);
    assert_eq!(
        mesh_answers,
        client.sum("istio_agent_dns_requests_total", &[])
    );

    // What control says is kept current.
    mesh.set_addresses("web", &["10.96.0.9"]);
    until("the new address is known", || {
        let entry = client.shared.discovery.addresses("web").unwrap();
        entry.answer().is_some_and(|answer| {
            let addresses = answer.as_deref();
            addresses.is_some_and(|addresses| addresses[0].to_string() == "10.96.0.9")
        })
    })
    .await;
}

#[tokio::test]
async fn other_names_and_other_types_are_forwarded_as_they_are() {
    let upstream = NameServer::honest().await;
    let (mesh, client, server) = behind(&upstream).await;
    mesh.set_addresses("web.shop.svc.cluster.local", &["10.96.0.7"]);
    for name in [
        "www.example.com.",
        "gone.shop.svc.cluster.local.",
        "a.b.pod.cluster.local.",
    ] {
        assert_eq!(ask_for(server, name).await, "192.0.2.1", "{name}");
    }
    for kind in [
        RecordType::SRV,
        RecordType::HTTPS,
        RecordType::Unknown(65_280),
    ] {
        let asked = extended("Web.shop.svc.cluster.local.", kind, 1_400);
        let answer = ask(server, Over::Udp, &asked).await;
        assert_eq!(addresses(&answer), "192.0.2.1");
        let (_, forwarded) = upstream.asked().pop().unwrap();
        assert_eq!(forwarded.queries, asked.queries);
        assert_eq!(forwarded.edns, asked.edns);
        assert_eq!(
            answer.queries[0].name.to_ascii(),
            "Web.shop.svc.cluster.local."
        );
    }
    // Names of the wide world are nothing that control is told of.
    let asked = mesh.control.log(|log| log.subscribed.clone());
    assert!(asked.contains(&"gone.shop.svc.cluster.local".to_owned()));
    assert!(
        !asked
            .iter()
            .any(|name| name.contains("example") || name.contains("pod"))
    );
    assert_eq!(
        client.sum("istio_agent_dns_upstream_requests_total", &[]),
        6.0
    );
    assert_eq!(
        client.sum(
            "istio_agent_dns_upstream_request_duration_seconds_count",
            &[]
        ),
        6.0
    );
}

#[tokio::test]
async fn answers_are_kept_for_their_time() {
    let upstream = NameServer::honest().await;
    let (_mesh, client, server) = behind(&upstream).await;
    for name in ["www.example.com.", "WWW.example.com.", "www.example.com."] {
        let answer = ask(server, Over::Udp, &question(name, RecordType::A)).await;
        assert_eq!(addresses(&answer), "192.0.2.1");
        assert_eq!(answer.queries[0].name.to_ascii(), name);
    }
    assert_eq!(upstream.asked().len(), 1);
    assert_eq!(client.sum("lateen_proxy_dns_cache_answers_total", &[]), 2.0);
}

/// A client with three name servers may ask all of them at once, and all are the proxy.
#[tokio::test]
async fn equal_questions_at_the_same_time_are_sent_once() {
    let held = Arc::new(AtomicBool::new(true));
    let upstream = NameServer::start({
        let held = Arc::clone(&held);
        move |_, question| match held.load(Ordering::Relaxed) {
            true => Vec::new(),
            false => vec![Reply::Honest(answer(&question, 1))],
        }
    })
    .await;
    let mesh = Mesh::start().await;
    let mut servers = asking(&[upstream.address]);
    (servers.timeout, servers.attempts) = (Duration::from_secs(1), 5);
    let (client, at) = mesh.name_server("client", servers).await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(at[0]).await.unwrap();
    let asked = [
        RecordType::A,
        RecordType::A,
        RecordType::AAAA,
        RecordType::A,
    ]
    .map(|kind| {
        let asked = question("www.example.com.", kind);
        (asked.metadata.id, asked.to_vec().unwrap())
    });
    for (_, question) in &asked {
        socket.send(question).await.unwrap();
    }
    until("all are read", || {
        client.sum("istio_agent_dns_requests_total", &[]) == 4.0
    })
    .await;
    // What is not answered is sent a second time.
    until("they are under way", || upstream.asked().len() >= 2).await;
    held.store(false, Ordering::Relaxed);
    let mut ids = Vec::new();
    let mut buffer = vec![0; 1_500];
    for _ in &asked {
        let length = soon("an answer", socket.recv(&mut buffer)).await.unwrap();
        let found = Message::from_vec(&buffer[..length]).unwrap();
        assert_eq!(addresses(&found), "192.0.2.1");
        ids.push(found.metadata.id);
    }
    assert!(asked.iter().all(|(id, _)| ids.contains(id)));
    let sent = "istio_agent_dns_upstream_requests_total";
    assert_eq!(client.sum(sent, &[]), 2.0);
}

#[tokio::test]
async fn nothing_waits_for_a_control_that_says_nothing_or_is_gone() {
    let upstream = NameServer::honest().await;
    let (mesh, client, server) = behind(&upstream).await;
    mesh.set_addresses("web", &["10.96.0.8"]);
    assert_eq!(ask_for(server, "web.").await, "10.96.0.8");
    // The first is waited for a moment, the others not.
    let start = Instant::now();
    for number in 0..20 {
        let name = format!("silent-{number}.shop.svc.cluster.local.");
        assert_eq!(ask_for(server, &name).await, "192.0.2.1");
    }
    assert!(
        start.elapsed() < Duration::from_secs(4),
        "{:?}",
        start.elapsed()
    );
    mesh.control.stop();
    until("the link is down", || {
        client.shared.discovery.link() == lateen_proxy::discover::Link::Down
    })
    .await;
    assert_eq!(ask_for(server, "web.").await, "10.96.0.8");
    assert_eq!(ask_for(server, "never.shop.").await, "192.0.2.1");
}

#[tokio::test]
async fn answers_that_are_not_to_the_question_do_not_count() {
    let upstream = NameServer::start(|_, question| {
        let truth = answer(&question, 1);
        let lie = |change: fn(&mut Message)| {
            let mut lie = Message::from_vec(&answer(&question, 66)).unwrap();
            change(&mut lie);
            Reply::Honest(lie.to_vec().unwrap())
        };
        vec![
            Reply::Forged(answer(&question, 66)),
            lie(|lie| lie.metadata.id ^= 1),
            lie(|lie| lie.queries[0].query_type = RecordType::AAAA),
            Reply::Honest(question.to_vec().unwrap()),
            Reply::Honest(vec![0; 5]),
            Reply::Honest(truth),
        ]
    })
    .await;
    let (_mesh, client, server) = behind(&upstream).await;
    assert_eq!(ask_for(server, "www.example.com.").await, "192.0.2.1");
    assert_eq!(
        client.sum("istio_agent_dns_upstream_failures_total", &[]),
        0.0
    );
}

#[tokio::test]
async fn servers_that_hang_are_gone_or_refuse_give_way_to_the_next() {
    let silent = NameServer::start(|_, _| Vec::new()).await;
    let broken = NameServer::start(|_, question| {
        let mut broken = answer(&question, 9);
        broken.truncate(40);
        vec![Reply::Honest(broken)]
    })
    .await;
    let refusing = NameServer::start(|_, question| {
        let mut refusal = Message::from_vec(&answer(&question, 0)).unwrap();
        refusal.metadata.response_code = ResponseCode::Refused;
        vec![Reply::Honest(refusal.to_vec().unwrap())]
    })
    .await;
    let good = NameServer::honest().await;
    let gone = nobody().await;
    let mesh = Mesh::start().await;
    let servers = [
        gone,
        silent.address,
        broken.address,
        refusing.address,
        good.address,
    ];
    let (_client, at) = mesh.name_server("client", asking(&servers)).await;
    for over in [Over::Udp, Over::Tcp] {
        let name = format!("www.{over:?}.example.com.");
        let found = ask(at[0], over, &question(&name, RecordType::A)).await;
        assert_eq!(addresses(&found), "192.0.2.1", "{over:?}");
    }
    for server in [&broken, &refusing, &good] {
        assert_eq!(server.asked().len(), 2);
    }
    // Whoever is silent is not waited for a second time.
    assert!(silent.asked().iter().all(|(over, _)| *over == Over::Udp));

    // With nobody who knows: what the last one says, or else a failure.
    let servers = asking(&[silent.address, refusing.address]);
    let (_unlucky, at) = mesh.name_server("unlucky", servers).await;
    assert_eq!(ask_for(at[0], "www.example.com.").await, "Refused");
    let (alone, at) = mesh
        .name_server("alone", asking(&[silent.address, gone]))
        .await;
    assert_eq!(ask_for(at[0], "www.example.com.").await, "ServFail");
    assert_eq!(
        alone.sum("istio_agent_dns_upstream_failures_total", &[]),
        1.0
    );
    let (_without, at) = mesh.name_server("without", asking(&[])).await;
    assert_eq!(ask_for(at[0], "www.example.com.").await, "ServFail");
}

/// Many clients give up after as long as a server is waited for.
#[tokio::test]
async fn a_silent_server_comes_last_until_it_answers_again() {
    let is_back = Arc::new(AtomicBool::new(false));
    let dead = NameServer::start({
        let is_back = Arc::clone(&is_back);
        move |_, question| match is_back.load(Ordering::Relaxed) {
            true => vec![Reply::Honest(answer(&question, 1))],
            false => Vec::new(),
        }
    })
    .await;
    let good = NameServer::honest().await;
    let mesh = Mesh::start().await;
    let mut servers = asking(&[dead.address, good.address]);
    servers.timeout = Duration::from_secs(2);
    let (_client, at) = mesh.name_server("client", servers).await;
    assert_eq!(ask_for(at[0], "first.www.example.com.").await, "192.0.2.1");
    let start = Instant::now();
    for number in 0..20 {
        let name = format!("{number}.www.example.com.");
        assert_eq!(ask_for(at[0], &name).await, "192.0.2.1");
    }
    assert!(
        start.elapsed() < Duration::from_secs(2),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(good.asked().len(), 21);

    is_back.store(true, Ordering::Relaxed);
    let start = Instant::now();
    for number in 0.. {
        assert!(start.elapsed() < Duration::from_secs(20), "it is not asked");
        let name = format!("{number}.back.example.com.");
        let asked_before = good.asked().len();
        assert_eq!(ask_for(at[0], &name).await, "192.0.2.1");
        if good.asked().len() == asked_before {
            break;
        }
    }
}

#[tokio::test]
async fn servers_take_turns_if_they_shall() {
    let [one, other] = [NameServer::honest().await, NameServer::honest().await];
    let mesh = Mesh::start().await;
    let mut servers = asking(&[one.address, other.address]);
    servers.rotate = true;
    let (_client, at) = mesh.name_server("client", servers).await;
    for number in 0..6 {
        let name = format!("{number}.www.example.com.");
        assert_eq!(ask_for(at[0], &name).await, "192.0.2.1");
    }
    assert_eq!((one.asked().len(), other.asked().len()), (3, 3));
}

#[tokio::test]
async fn long_answers_come_over_tcp_and_are_cut_to_what_the_client_takes() {
    const COUNT: u16 = 150;
    let upstream = NameServer::start(|over, question| {
        let whole = answer(&question, COUNT);
        let truncated = Message::from_vec(&whole).unwrap().truncate();
        vec![Reply::Honest(match over {
            Over::Udp => truncated.to_vec().unwrap(),
            Over::Tcp => whole,
        })]
    })
    .await;
    let (_mesh, _client, server) = behind(&upstream).await;
    let ask_raw = async |over, message: &Message| {
        let bytes = ask_raw(server, over, &message.to_vec().unwrap()).await;
        (bytes.len(), Message::from_vec(&bytes).unwrap())
    };
    let name = "many.example.com.";
    let (length, cut) = ask_raw(Over::Udp, &question(name, RecordType::A)).await;
    assert!(length <= 512 && cut.metadata.truncation && cut.answers.len() > 20);
    let (length, cut) = ask_raw(Over::Udp, &extended(name, RecordType::A, 1_400)).await;
    assert!(length <= 1_400 && cut.metadata.truncation && cut.answers.len() > 50);
    assert!(cut.edns.is_some());
    let (_, whole) = ask_raw(Over::Udp, &extended(name, RecordType::A, 4_096)).await;
    assert!(!whole.metadata.truncation && whole.answers.len() == usize::from(COUNT));
    let (_, whole) = ask_raw(Over::Tcp, &question(name, RecordType::A)).await;
    assert!(!whole.metadata.truncation && whole.answers.len() == usize::from(COUNT));
    let over: Vec<Over> = upstream.asked().iter().map(|(over, _)| *over).collect();
    // Each of the three first was asked twice; the last is the first again.
    assert_eq!(over, [Over::Udp, Over::Tcp].repeat(3));
}

#[tokio::test]
async fn a_headless_service_is_cut_and_whole_as_well() {
    let upstream = NameServer::honest().await;
    let (mesh, _client, server) = behind(&upstream).await;
    let texts: Vec<String> = (0..100).map(|number| format!("10.1.0.{number}")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    mesh.set_addresses("db", &texts);
    let asked = question("db.", RecordType::A);
    let cut = ask(server, Over::Udp, &asked).await;
    assert!(cut.metadata.truncation && cut.answers.len() > 20);
    let whole = ask(server, Over::Tcp, &asked).await;
    assert!(!whole.metadata.truncation && whole.answers.len() == 100);
    let again = ask(server, Over::Tcp, &asked).await;
    assert_ne!(
        again.answers, whole.answers,
        "everybody would take the same"
    );
}

#[tokio::test]
async fn questions_beyond_the_limit_fail_at_once_and_the_others_are_served() {
    let silent = NameServer::start(|_, _| Vec::new()).await;
    let mesh = Mesh::start().await;
    mesh.set_addresses("web", &["10.96.0.8"]);
    let mut servers = asking(&[silent.address]);
    servers.timeout = Duration::from_secs(6);
    servers.attempts = 1;
    let (client, at) = mesh.name_server("client", servers).await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(at[0]).await.unwrap();
    let mut buffer = vec![0; 1_500];
    for number in 1..=512 {
        let asked = question(&format!("{number}.www.example.com."), RecordType::A);
        socket.send(&asked.to_vec().unwrap()).await.unwrap();
        if number % 64 == 0 {
            // So that there is room for the next.
            until("they wait", || {
                client.sum("istio_agent_dns_upstream_requests_total", &[]) == f64::from(number)
            })
            .await;
        }
    }
    let asked = question("one.too.many.example.com.", RecordType::A);
    socket.send(&asked.to_vec().unwrap()).await.unwrap();
    let length = soon("the refusal", socket.recv(&mut buffer)).await.unwrap();
    let refusal = Message::from_vec(&buffer[..length]).unwrap();
    assert_eq!(refusal.metadata.id, asked.metadata.id);
    assert_eq!(refusal.metadata.response_code, ResponseCode::ServFail);
    assert_eq!(client.sum("lateen_proxy_dns_over_limit_total", &[]), 1.0);
    // They are not in the way of what needs no name server.
    assert_eq!(ask_for(at[0], "web.").await, "10.96.0.8");
    until("they were given up", || {
        client.sum("istio_agent_dns_upstream_failures_total", &[]) == 512.0
    })
    .await;
}

#[tokio::test]
async fn clients_that_talk_nonsense_or_hold_connections_harm_no_other() {
    let upstream = NameServer::honest().await;
    let (_mesh, client, server) = behind(&upstream).await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for nonsense in [vec![], vec![0; 11], vec![0xff; 300], vec![0; 9_000]] {
        socket.send_to(&nonsense, server).await.unwrap();
    }
    // Longer than any question: closed at once.
    let mut greedy = TcpStream::connect(server).await.unwrap();
    write(&mut greedy, &vec![0; 60_000]).await;
    let mut rest = Vec::new();
    // The connection ends with a FIN or a reset.
    let _ = soon("the end", greedy.read_to_end(&mut rest)).await;
    assert!(rest.is_empty());

    let mut held = Vec::new();
    for _ in 0..64 {
        held.push(TcpStream::connect(server).await.unwrap());
    }
    let asked = question("www.example.com.", RecordType::A);
    // Whoever has a connection can ask again and again.
    for stream in [63, 63, 0] {
        write(&mut held[stream], &asked.to_vec().unwrap()).await;
        let found = soon("an answer", read_raw(&mut held[stream]))
            .await
            .unwrap();
        assert_eq!(addresses(&Message::from_vec(&found).unwrap()), "192.0.2.1");
    }
    let mut beyond = TcpStream::connect(server).await.unwrap();
    let end = soon("the end", beyond.read(&mut [0; 1])).await;
    assert!(matches!(end, Ok(0) | Err(_)));
    assert_eq!(client.sum("lateen_proxy_dns_over_limit_total", &[]), 1.0);
    assert_eq!(ask_for(server, "www.example.com.").await, "192.0.2.1");
    assert_eq!(upstream.names(), ["www.example.com."]);
}

#[tokio::test]
async fn without_capture_nothing_listens_and_nothing_is_counted() {
    let mesh = Mesh::start().await;
    let client = mesh.proxy("client", std::collections::HashMap::new()).await;
    let mut tasks = tokio::task::JoinSet::new();
    let listening = lateen_proxy::dns::start(&mut tasks, &client.shared).unwrap();
    assert!(listening.is_empty() && tasks.is_empty());
    assert!(!client.metrics().contains("dns"));
}
