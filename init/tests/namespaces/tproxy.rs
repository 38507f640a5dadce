//! TPROXY mode as the proxy lives in it: it gets connections with the addresses of both ends, and
//! hands them on from the client's address.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use nix::unistd::{Gid, setfsgid};
use socket2::{Domain, Socket, Type};

use super::harness::world::{address, program};
use super::harness::{Flow, MEANS, Namespace, PROXY, World};

const TPROXY: &[&str] = &[
    "-u",
    "1337",
    "-m",
    "TPROXY",
    "-i",
    "*",
    "-b",
    "*",
    "-d",
    "15090,15021",
];
const PATIENCE: Option<Duration> = Some(Duration::from_secs(5));

#[test]
fn the_application_sees_the_address_of_the_client() {
    for means in MEANS {
        for to in ["10.77.0.2:7070", "[fd77::2]:7070"] {
            let to = address(to);
            // Nobody of the world's listens for the proxy's inbound port: that is us.
            let world = World::with_captures(15001, 16006);
            world.program(&[TPROXY, means, &["--drop-invalid"]].concat());
            let proxy = world.pod.enter(|| listen_for_all(to));
            let application = world.pod.enter(|| TcpListener::bind(to).unwrap());

            let client = world.outside.enter(|| TcpStream::connect(to).unwrap());
            let (from_client, peer) = proxy.accept().unwrap();
            assert_eq!(peer, client.local_addr().unwrap(), "{means:?}");
            assert_eq!(from_client.local_addr().unwrap(), to, "{means:?}");
            let to_application = world.pod.enter(|| hand_on(peer, to));
            let (from_proxy, peer) = application.accept().unwrap();
            assert_eq!(peer.ip(), client.local_addr().unwrap().ip(), "{means:?}");

            for (one, other) in [(&client, &from_client), (&to_application, &from_proxy)] {
                exchange(one, other);
                exchange(other, one);
            }
        }
    }
}

/// Listens as the proxy does: for connections to any address.
fn listen_for_all(to: SocketAddr) -> TcpListener {
    let any = if to.is_ipv4() {
        "0.0.0.0:15006"
    } else {
        "[::]:15006"
    };
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).unwrap();
    setsockopt(&socket, sockopt::IpTransparent, &true).unwrap();
    socket.bind(&address(any).into()).unwrap();
    socket.listen(8).unwrap();
    socket.into()
}

/// Connects to the application as the proxy does: as root of the proxy's group, from the address of
/// somebody else, with the mark.
fn hand_on(from: SocketAddr, to: SocketAddr) -> TcpStream {
    setfsgid(Gid::from_raw(PROXY));
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).unwrap();
    setsockopt(&socket, sockopt::IpTransparent, &true).unwrap();
    socket.set_mark(1337).unwrap();
    // The client's own port would make one connection of two for conntrack.
    socket.bind(&SocketAddr::new(from.ip(), 0).into()).unwrap();
    socket
        .connect_timeout(&to.into(), Duration::from_secs(5))
        .unwrap();
    socket.into()
}

fn exchange(mut from: &TcpStream, mut to: &TcpStream) {
    to.set_read_timeout(PATIENCE).unwrap();
    let sent = vec![7; 100_000];
    let mut heard = vec![0; sent.len()];
    std::thread::scope(|scope| {
        scope.spawn(|| from.write_all(&sent).unwrap());
        to.read_exact(&mut heard).unwrap();
    });
    assert_eq!(heard, sent);
}

#[test]
fn what_the_proxy_does_not_take_is_not_for_the_application() {
    for means in MEANS {
        let world = World::with_captures(15001, 16006);
        // Nobody listens on 15006.
        world.program(&[TPROXY, means].concat());
        for to in ["10.77.0.2:8080", "[fd77::2]:8080"] {
            let to = address(to);
            let flow = Flow {
                from_outside: true,
                uid: 0,
                gid: 0,
                source: None,
                to,
            };
            assert_eq!(world.arrival(&flow), None, "{means:?}");
        }
    }
}

/// Rules and routes of both families, for marked packets.
pub(crate) fn routing(namespace: &Namespace, table: &str) -> String {
    let said = ["-4", "-6"].map(|family| {
        let rules = namespace.succeed(Command::new("ip").args([family, "rule"]));
        let mut command = Command::new("ip");
        let routes = namespace.output(command.args([family, "route", "show", "table", table]));
        let marked = rules.lines().filter(|line| line.contains("fwmark"));
        let marked: String = marked.map(|line| format!("{line}\n")).collect();
        marked + &String::from_utf8_lossy(&routes.stdout)
    });
    said.concat()
}

#[test]
fn marked_packets_have_a_route_as_long_as_there_is_tproxy() {
    for means in MEANS {
        let namespace = Namespace::new();
        let run = |flags: &[&str]| {
            let mut command = program();
            namespace.succeed(command.args([flags, means].concat()));
        };
        // A rule of somebody else for the same table, which is to stay.
        namespace.ip("rule add fwmark 0x99 lookup 133");
        let before = routing(&namespace, "133");
        run(TPROXY);
        let with_ours = routing(&namespace, "133");
        assert_eq!(
            with_ours.matches("fwmark 0x539 lookup 133").count(),
            2,
            "{with_ours}"
        );
        assert_eq!(
            with_ours.matches("local default dev lo").count(),
            2,
            "{with_ours}"
        );
        run(TPROXY);
        assert_eq!(
            routing(&namespace, "133"),
            with_ours,
            "applied twice, {means:?}"
        );
        namespace.ip("-6 rule delete fwmark 0x539 lookup 133");
        run(TPROXY);
        assert_eq!(routing(&namespace, "133"), with_ours, "repaired, {means:?}");
        run(&[TPROXY, &["-t", "7", "-r", "99"]].concat());
        let moved = routing(&namespace, "99");
        assert_eq!(moved.matches("fwmark 0x7 lookup 99").count(), 2, "{moved}");
        assert_eq!(moved.matches("local default dev lo").count(), 2, "{moved}");
        assert!(!moved.contains("0x539"), "{moved}");
        run(&["-u", "1337", "-i", "*"]);
        assert_eq!(routing(&namespace, "133"), before, "no TPROXY, {means:?}");
        run(TPROXY);
        run(&["--cleanup-only"]);
        assert_eq!(routing(&namespace, "133"), before, "cleaned up, {means:?}");
    }
}

#[test]
fn the_same_routing_rule_of_somebody_else_stays() {
    let namespace = Namespace::new();
    namespace.succeed(program().args(TPROXY));
    // It comes first, and nothing but the protocol tells ours from it.
    for family in ["-4", "-6"] {
        namespace.ip(&format!(
            "{family} rule add fwmark 1337 lookup 133 priority 50"
        ));
    }
    namespace.succeed(program().arg("--cleanup-only"));
    let left = "50:\tfrom all fwmark 0x539 lookup 133\n";
    assert_eq!(routing(&namespace, "133"), left.repeat(2));
}

#[test]
fn a_way_that_leads_elsewhere_is_an_error() {
    for (elsewhere, family) in [
        ("route add default via 10.77.0.1 table 133", "IPv4"),
        ("-6 route add default via fd77::1 table 133", "IPv6"),
        ("-6 route add prohibit default table 133", "IPv6"),
    ] {
        for means in MEANS {
            let world = World::new();
            world.pod.ip(elsewhere);
            let before = routing(&world.pod, "133");
            let output = world.run(&[TPROXY, means].concat());
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{elsewhere}: {said}");
            let message = format!("The {family} packets of TPROXY mode do not come to this pod");
            assert!(said.contains(&message), "{elsewhere}: {said}");
            assert_eq!(routing(&world.pod, "133"), before, "{elsewhere}, {means:?}");
        }
    }
    // A rule that comes later may come before ours.
    let world = World::new();
    world.program(TPROXY);
    world.pod.ip("route add blackhole default table 7");
    world.pod.ip("rule add fwmark 1337 lookup 7 priority 9");
    assert_eq!(world.run(TPROXY).status.code(), Some(1));
}

#[test]
fn routes_are_taken_back_when_rules_fail() {
    let namespace = Namespace::new();
    let folder = tempfile::tempdir().unwrap();
    let mut command = program();
    command
        .args(TPROXY)
        .args(["--backend", "iptables"])
        .env("PATH", folder.path());
    assert!(!namespace.output(&mut command).status.success());
    assert_eq!(routing(&namespace, "133"), "");
    // Reading goes well, changing does not.
    for name in ["iptables-nft-save", "ip6tables-nft-save"] {
        std::os::unix::fs::symlink("/bin/true", folder.path().join(name)).unwrap();
    }
    for name in ["iptables-nft-restore", "ip6tables-nft-restore"] {
        std::os::unix::fs::symlink("/bin/false", folder.path().join(name)).unwrap();
    }
    let output = namespace.output(&mut command);
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("Cannot change the IPv4 packet rules"),
        "{said}"
    );
    assert_eq!(routing(&namespace, "133"), "");
}
