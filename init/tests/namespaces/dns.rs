//! DNS capture: who gets questions over UDP, and that the answer comes from whom was asked.

use std::io::{ErrorKind, Write as _};
use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::unistd::{Gid, Uid, setfsgid, setfsuid};
use socket2::{Domain, Socket, Type};

use super::harness::world::{address, program};
use super::harness::{APPLICATION, MEANS, Namespace, PROXY, Place, World};

const FLAGS: &[&str] = &[
    "-u",
    "1337",
    "-i",
    "*",
    "-b",
    "*",
    "--redirect-dns",
    "--drop-invalid",
];
const PATIENCE: Duration = Duration::from_secs(5);

/// Everybody who answers questions over UDP. The proxy's sockets are of its group, by which rules know
/// its answers.
struct Servers(Vec<(Place, UdpSocket)>);

impl Servers {
    fn of(world: &World) -> Self {
        let listen = |namespace: &Namespace, place, uid, at: &str| {
            let socket = namespace.enter(|| {
                setfsgid(Gid::from_raw(uid));
                let at = address(at);
                let socket = Socket::new(Domain::for_address(at), Type::DGRAM, None).unwrap();
                bind(&socket, at);
                UdpSocket::from(socket)
            });
            socket.set_nonblocking(true).unwrap();
            (place, socket)
        };
        let proxy = ["127.0.0.1:15053", "[::1]:15053"];
        let real = [
            "198.51.100.7:53",
            "198.51.100.8:53",
            "[2001:db8::7]:53",
            "[2001:db8::8]:53",
        ];
        let local = ["127.0.0.1:53", "[::1]:53"];
        let (pod, outside) = (&world.pod, &world.outside);
        let proxy = proxy.map(|at| listen(pod, Place::DnsProxy, PROXY, at));
        let real = real.map(|at| listen(outside, Place::Outside, 0, at));
        let local = local.map(|at| listen(pod, Place::Application, 0, at));
        Self(proxy.into_iter().chain(real).chain(local).collect())
    }

    /// Answers one question, and says who was asked.
    fn answer(&self) -> Option<Place> {
        let deadline = Instant::now() + PATIENCE;
        let mut question = [0; 16];
        while Instant::now() < deadline {
            for (place, socket) in &self.0 {
                match socket.recv_from(&mut question) {
                    Ok((length, from)) => {
                        socket.send_to(&question[..length], from).unwrap();
                        return Some(*place);
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(error) => panic!("{error}"),
                }
            }
            std::thread::yield_now();
        }
        None
    }
}

struct Asker {
    uid: u32,
    gid: u32,
    /// The port to ask from; 0 for any.
    port: u16,
}

/// Asks, and says who answered. The answer must come from whom was asked.
fn ask(world: &World, servers: &Servers, asker: &Asker, server: SocketAddr) -> Option<Place> {
    let socket = world.pod.enter(|| {
        setfsgid(Gid::from_raw(asker.gid));
        setfsuid(Uid::from_raw(asker.uid));
        let socket = Socket::new(Domain::for_address(server), Type::DGRAM, None).unwrap();
        let any = if server.is_ipv4() { "0.0.0.0" } else { "::" };
        let from = SocketAddr::new(any.parse().unwrap(), asker.port);
        bind(&socket, from);
        socket.connect(&server.into()).unwrap();
        UdpSocket::from(socket)
    });
    socket.send(b"who?").unwrap();
    let place = servers.answer()?;
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut heard = [0; 16];
    let length = socket.recv(&mut heard).unwrap_or_else(|error| {
        panic!("{server} was asked, {place:?} answered, but nothing came: {error}")
    });
    assert_eq!(&heard[..length], b"who?");
    Some(place)
}

/// A program that another test starts at this moment may still hold a socket of ours with the same port.
fn bind(socket: &Socket, from: SocketAddr) {
    let deadline = Instant::now() + PATIENCE;
    while let Err(error) = socket.bind(&from.into()) {
        assert!(Instant::now() < deadline, "{from}: {error}");
        std::thread::yield_now();
    }
}

fn asker(uid: u32, gid: u32) -> Asker {
    Asker { uid, gid, port: 0 }
}

/// Runs the program in the pod with a resolv.conf that names these servers.
fn program_with_servers(world: &World, flags: &[&str], servers: &[&str]) {
    let mut resolv_conf = tempfile::NamedTempFile::new().unwrap();
    for server in servers {
        writeln!(resolv_conf, "nameserver {server}").unwrap();
    }
    let script = "mount --bind \"$RESOLV_CONF\" /etc/resolv.conf && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script, "sh"]);
    command.arg(program().get_program()).args(flags);
    command.env("RESOLV_CONF", resolv_conf.path());
    world.pod.succeed(&mut command);
}

#[test]
fn questions_of_the_application_go_to_the_proxy() {
    for means in MEANS {
        for all in [false, true] {
            let world = World::new();
            let servers = Servers::of(&world);
            let more: &[&str] = if all { &["--capture-all-dns"] } else { &[] };
            let named = ["198.51.100.7", "2001:db8::7"];
            program_with_servers(&world, &[FLAGS, means, more].concat(), &named);
            let mut cells = Vec::new();
            for server in ["198.51.100.7:53", "[2001:db8::7]:53"] {
                cells.push((APPLICATION, APPLICATION, server, Place::DnsProxy));
                cells.push((0, 0, server, Place::DnsProxy));
            }
            let other = if all { Place::DnsProxy } else { Place::Outside };
            let local = if all {
                Place::DnsProxy
            } else {
                Place::Application
            };
            for (server, place) in [
                ("198.51.100.8:53", other),
                ("[2001:db8::8]:53", other),
                ("127.0.0.1:53", local),
                ("[::1]:53", local),
            ] {
                cells.push((APPLICATION, APPLICATION, server, place));
            }
            for (uid, gid) in [(PROXY, PROXY), (PROXY, 0), (0, PROXY)] {
                cells.push((uid, gid, "198.51.100.7:53", Place::Outside));
                cells.push((uid, gid, "[2001:db8::7]:53", Place::Outside));
                cells.push((uid, gid, "198.51.100.8:53", Place::Outside));
                cells.push((uid, gid, "127.0.0.1:53", Place::Application));
                cells.push((uid, gid, "[::1]:53", Place::Application));
            }
            for (uid, gid, server, place) in cells {
                let got = ask(&world, &servers, &asker(uid, gid), address(server));
                assert_eq!(
                    got,
                    Some(place),
                    "{means:?} all={all} {uid}:{gid} to {server}"
                );
            }
        }
    }
}

/// conntrack must not take the second for the first.
#[test]
fn a_question_and_the_proxys_own_from_the_same_port_are_told_apart() {
    for means in MEANS {
        for server in ["198.51.100.7:53", "[2001:db8::7]:53"] {
            let world = World::new();
            let servers = Servers::of(&world);
            world.program(&[FLAGS, means, &["--capture-all-dns"]].concat());
            let from = |uid| Asker {
                uid,
                gid: uid,
                port: 40_053,
            };
            for _ in 0..2 {
                let got = ask(&world, &servers, &from(APPLICATION), address(server));
                assert_eq!(got, Some(Place::DnsProxy), "{means:?} {server}");
                let got = ask(&world, &servers, &from(PROXY), address(server));
                assert_eq!(got, Some(Place::Outside), "{means:?} {server}");
            }
        }
    }
}

#[test]
fn groups_and_ports_that_are_excluded_ask_directly() {
    for means in MEANS {
        let world = World::new();
        let servers = Servers::of(&world);
        let flags = [FLAGS, means, &["--capture-all-dns"]].concat();
        world.program_with(&flags, &[("ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE", "202")]);
        let got = ask(
            &world,
            &servers,
            &asker(APPLICATION, 202),
            address("198.51.100.7:53"),
        );
        assert_eq!(got, Some(Place::Outside), "{means:?}");
        world.program(&[&flags[..], &["-o", "53"]].concat());
        let got = ask(
            &world,
            &servers,
            &asker(APPLICATION, APPLICATION),
            address("198.51.100.7:53"),
        );
        assert_eq!(got, Some(Place::Outside), "{means:?}");
    }
}

#[test]
fn without_name_servers_nothing_is_captured_and_that_is_said() {
    let world = World::new();
    let mut command = Command::new("unshare");
    let script = "mount --bind /dev/null /etc/resolv.conf && exec \"$@\"";
    command.args(["--mount", "sh", "-c", script, "sh"]);
    command.arg(program().get_program()).args(FLAGS);
    let output = world.pod.output(&mut command);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("warn: DNS is not captured"), "{said}");
    assert!(!world.pod.saved("nft").contains("15053"));
}
