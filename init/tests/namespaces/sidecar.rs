//! The rules and the proxy together: whom the application sees.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use lateen_proxy::config::{Arguments, Config};
use lateen_proxy::runtime;
use lateen_proxy::shared::Shared;
use nix::unistd::{Gid, setfsgid};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::harness::world::{address, host};
use super::harness::{MEANS, PROXY, World};

/// How long anything may take that must happen.
const PATIENCE: Option<Duration> = Some(Duration::from_secs(20));
/// Connections that one client has open at a time.
const MANY: usize = 300;
/// The application, by both families of addresses of its pod.
const APPLICATION: [&str; 2] = ["10.77.0.2:7070", "[fd77::2]:7070"];

#[test]
fn with_tproxy_the_application_sees_the_client() {
    for means in MEANS {
        let world = with_rules(&["-m", "TPROXY"], means);
        with_sidecar(&world, "TPROXY", || {
            for to in APPLICATION.map(address) {
                let client = world.outside.enter(|| TcpStream::connect(to).unwrap());
                let from = client.local_addr().unwrap();
                let seen = peer_seen_over(&client);
                assert_eq!(seen.ip(), from.ip(), "{means:?}");
                assert_ne!(seen.port(), from.port(), "two of one name, {means:?}");
            }
        });
    }
}

#[test]
fn with_redirect_the_application_sees_the_proxy() {
    for means in MEANS {
        let world = with_rules(&["-m", "REDIRECT"], means);
        with_sidecar(&world, "REDIRECT", || {
            for (to, from) in APPLICATION
                .map(address)
                .into_iter()
                .zip(["127.0.0.6", "::6"])
            {
                let client = world.outside.enter(|| TcpStream::connect(to).unwrap());
                assert_eq!(peer_seen_over(&client).ip(), host(from), "{means:?}");
            }
        });
    }
}

/// Connections in a client's name have ports of their own, and none of them is one of the client's.
#[test]
fn with_tproxy_one_client_has_many_connections() {
    let world = with_rules(&["-m", "TPROXY"], MEANS[0]);
    with_sidecar(&world, "TPROXY", || {
        let to = address(APPLICATION[0]);
        let clients: Vec<TcpStream> = world
            .outside
            .enter(|| (0..MANY).map(|_| TcpStream::connect(to).unwrap()).collect());
        let ports = |of: fn(&TcpStream) -> SocketAddr| {
            let mut ports: Vec<u16> = clients.iter().map(|client| of(client).port()).collect();
            ports.sort_unstable();
            ports.dedup();
            ports
        };
        let own = ports(|client| client.local_addr().unwrap());
        let seen = ports(peer_seen_over);
        assert_eq!((own.len(), seen.len()), (MANY, MANY));
        assert!(seen.iter().all(|port| !own.contains(port)), "{seen:?}");
    });
}

/// A pod and what is outside, without anybody on the proxy's standard ports.
fn with_rules(mode: &[&str], means: &[&str]) -> World {
    let world = World::with_captures(16001, 16006);
    let rest = ["-u", "1337", "-i", "*", "-b", "*", "-d", "15090,15021"];
    world.program(&[&rest, mode, means].concat());
    world
}

/// Does something while the proxy and the application run in the pod.
fn with_sidecar(world: &World, mode: &str, work: impl FnOnce()) {
    let (stop, stopped) = oneshot::channel::<()>();
    let (started, starting) = std::sync::mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(|| {
            world.pod.enter(move || {
                setfsgid(Gid::from_raw(PROXY));
                carry(&config(mode), || started.send(()).unwrap(), stopped);
            });
        });
        starting.recv_timeout(PATIENCE.unwrap()).unwrap();
        let application = world.pod.enter(|| TcpListener::bind("[::]:7070").unwrap());
        thread::spawn(move || tell_peers(&application));
        work();
        drop(stop);
    });
}

/// What injection tells the proxy.
fn config(mode: &str) -> Config {
    let lookup = |name: &str| match name {
        "POD_NAME" | "POD_NAMESPACE" => Some("pod".to_owned()),
        "INSTANCE_IP" => Some("10.77.0.2,fd77::2".to_owned()),
        "ISTIO_META_INTERCEPTION_MODE" => Some(mode.to_owned()),
        _ => None,
    };
    Config::read(&Arguments::default(), lookup).unwrap()
}

/// A worker of the proxy, until it is stopped.
fn carry(config: &Config, started: impl FnOnce(), stopped: oneshot::Receiver<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut tasks = JoinSet::new();
        let shared = Shared::new(config.clone());
        runtime::start_worker(&mut tasks, Arc::clone(&shared)).unwrap();
        started();
        // An error says that the other end is gone, as is meant.
        let _ = stopped.await;
    });
}

/// Tells every peer the address it has, and then what it says itself.
fn tell_peers(application: &TcpListener) {
    for accepted in application.incoming() {
        let mut stream = accepted.unwrap();
        let peer = stream.peer_addr().unwrap();
        thread::spawn(move || {
            let _ = writeln!(stream, "{peer}");
            let _ = std::io::copy(&mut stream.try_clone().unwrap(), &mut stream);
        });
    }
}

/// The address that the application has for the client of a connection, which works both ways.
fn peer_seen_over(mut client: &TcpStream) -> SocketAddr {
    client.set_read_timeout(PATIENCE).unwrap();
    let mut line = Vec::new();
    let mut byte = [0];
    while byte != *b"\n" {
        client.read_exact(&mut byte).unwrap();
        line.extend(byte);
    }
    client.write_all(b"heard").unwrap();
    let mut heard = [0; 5];
    client.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"heard");
    let seen: SocketAddr = String::from_utf8(line).unwrap().trim().parse().unwrap();
    SocketAddr::new(IpAddr::to_canonical(&seen.ip()), seen.port())
}
