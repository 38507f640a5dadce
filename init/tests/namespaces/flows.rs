//! Where connections go, under the rules of one set of options after the other.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use super::harness::flow::Place::{Application, InboundProxy, OutboundProxy, Outside};
use super::harness::world::{address, host};
use super::harness::{APPLICATION, DEFAULT, Flow, MEANS, PROXY, Place, World};

/// Starts a flow of a user and group of the pod.
fn by(id: u32) -> Cell {
    Cell {
        uid: id,
        gid: id,
        source: None,
        from_outside: false,
    }
}

/// Starts a flow that comes from outside.
fn from_outside() -> Cell {
    Cell {
        from_outside: true,
        ..by(0)
    }
}

/// Who sends, and from where.
#[derive(Clone, Copy)]
struct Cell {
    uid: u32,
    gid: u32,
    source: Option<&'static str>,
    from_outside: bool,
}

impl Cell {
    fn group(mut self, gid: u32) -> Self {
        self.gid = gid;
        self
    }

    fn sending_from(mut self, source: &'static str) -> Self {
        self.source = Some(source);
        self
    }

    fn flow(self, to: &str) -> Flow {
        let source = self.source.map(|source| SocketAddr::new(host(source), 0));
        let Self {
            uid,
            gid,
            from_outside,
            ..
        } = self;
        Flow {
            from_outside,
            uid,
            gid,
            source,
            to: address(to),
        }
    }
}

/// A flow, and who should get it; `None` for nobody.
type Expected = (Cell, &'static str, Option<Place>);

/// Checks that each flow goes where it should, and that whoever gets it learns where it was meant to go.
fn check(world: &World, context: &str, cells: &[Expected]) {
    let mut wrong = Vec::new();
    for (cell, to, expected) in cells {
        let flow = cell.flow(to);
        let arrival = world.arrival(&flow);
        let original_is_kept = arrival.is_none_or(|arrival| arrival.original == flow.to);
        if arrival.map(|arrival| arrival.place) != *expected || !original_is_kept {
            wrong.push(format!("{flow:?}: expected {expected:?}, got {arrival:?}"));
        }
    }
    assert!(wrong.is_empty(), "{context}:\n{}", wrong.join("\n"));
}

/// Checks the cells under these flags, with each kind of iptables.
fn check_flags(flags: &[&str], cells: &[Expected]) {
    for means in MEANS {
        let world = World::new();
        world.program(&[flags, means].concat());
        check(&world, &format!("{means:?} {flags:?}"), cells);
    }
}

const WITHOUT_RULES: [Expected; 4] = [
    (
        Cell {
            uid: 0,
            gid: 0,
            source: None,
            from_outside: false,
        },
        "198.51.100.7:8080",
        Some(Outside),
    ),
    (
        Cell {
            uid: 0,
            gid: 0,
            source: None,
            from_outside: false,
        },
        "[2001:db8::7]:8080",
        Some(Outside),
    ),
    (
        Cell {
            uid: 0,
            gid: 0,
            source: None,
            from_outside: true,
        },
        "10.77.0.2:8080",
        Some(Application),
    ),
    (
        Cell {
            uid: 0,
            gid: 0,
            source: None,
            from_outside: true,
        },
        "[fd77::2]:8080",
        Some(Application),
    ),
];

#[test]
fn without_rules_nothing_is_redirected() {
    check(&World::new(), "no rules", &WITHOUT_RULES);
}

#[test]
fn after_cleaning_up_nothing_is_redirected() {
    for means in MEANS {
        let world = World::new();
        world.program(&[DEFAULT, means].concat());
        world.program(&["--cleanup-only"]);
        check(&world, &format!("{means:?}"), &WITHOUT_RULES);
    }
}

#[test]
fn outbound_connections_go_to_the_proxy() {
    check_flags(
        DEFAULT,
        &[
            (by(APPLICATION), "198.51.100.7:8080", Some(OutboundProxy)),
            (by(APPLICATION), "[2001:db8::7]:8080", Some(OutboundProxy)),
            (by(0), "198.51.100.7:8080", Some(OutboundProxy)),
            (by(0), "[2001:db8::7]:8080", Some(OutboundProxy)),
            // Addresses of Services, where nobody listens, and neighbours on the link.
            (by(APPLICATION), "10.96.0.10:443", Some(OutboundProxy)),
            (by(APPLICATION), "[fd96::10]:443", Some(OutboundProxy)),
            (by(APPLICATION), "10.77.0.1:9090", Some(OutboundProxy)),
            (by(APPLICATION), "[fd77::1]:9090", Some(OutboundProxy)),
            // Ports that are special inbound are not outbound.
            (by(APPLICATION), "198.51.100.7:15008", Some(OutboundProxy)),
            (by(APPLICATION), "198.51.100.7:15090", Some(OutboundProxy)),
            (by(APPLICATION), "[2001:db8::7]:15021", Some(OutboundProxy)),
            (by(APPLICATION), "198.51.100.7:53", Some(OutboundProxy)),
        ],
    );
}

/// The kernel must find the second connection another port on the way, or they would be one.
#[test]
fn connections_from_the_same_port_are_told_apart() {
    for means in MEANS {
        let world = World::new();
        world.program(&[DEFAULT, means].concat());
        for (source, destinations) in [
            (
                "10.77.0.2:40000",
                ["198.51.100.7:8080", "198.51.100.8:8080"],
            ),
            (
                "[fd77::2]:40000",
                ["[2001:db8::7]:8080", "[2001:db8::8]:8080"],
            ),
        ] {
            for to in destinations {
                let flow = Flow {
                    source: Some(address(source)),
                    ..by(APPLICATION).flow(to)
                };
                let arrival = world.arrival(&flow).expect("The proxy takes it.");
                assert_eq!(arrival.place, OutboundProxy, "{flow:?}");
                assert_eq!(arrival.original, flow.to, "{flow:?}");
            }
        }
    }
}

#[test]
fn the_proxy_itself_is_left_alone() {
    check_flags(
        DEFAULT,
        &[
            (by(PROXY), "198.51.100.7:8080", Some(Outside)),
            (by(PROXY), "[2001:db8::7]:8080", Some(Outside)),
            (
                by(APPLICATION).group(PROXY),
                "198.51.100.7:8080",
                Some(Outside),
            ),
            (
                by(APPLICATION).group(PROXY),
                "[2001:db8::7]:8080",
                Some(Outside),
            ),
            (
                by(PROXY).group(APPLICATION),
                "198.51.100.7:9090",
                Some(Outside),
            ),
            (
                by(PROXY).group(APPLICATION),
                "[2001:db8::7]:9090",
                Some(Outside),
            ),
        ],
    );
}

#[test]
fn within_the_pod_only_the_proxy_meets_the_proxy() {
    check_flags(
        DEFAULT,
        &[
            (by(APPLICATION), "127.0.0.1:8080", Some(Application)),
            (by(APPLICATION), "127.0.0.5:8080", Some(Application)),
            (by(APPLICATION), "10.77.0.2:8080", Some(Application)),
            (by(APPLICATION), "[::1]:8080", Some(Application)),
            (by(APPLICATION), "[fd77::2]:8080", Some(Application)),
            (by(PROXY), "127.0.0.1:8080", Some(Application)),
            (by(PROXY), "[::1]:8080", Some(Application)),
            // The proxy picked its own pod as an endpoint of a Service.
            (by(PROXY), "10.77.0.2:8080", Some(InboundProxy)),
            (by(PROXY), "[fd77::2]:8080", Some(InboundProxy)),
            (by(PROXY), "10.78.0.2:9090", Some(InboundProxy)),
            // Except by the tunnel, and when it is the inbound side that connects.
            (by(PROXY), "10.77.0.2:15008", Some(Application)),
            (by(PROXY), "[fd77::2]:15008", Some(Application)),
            (
                by(PROXY).sending_from("127.0.0.6"),
                "10.77.0.2:8080",
                Some(Application),
            ),
            (
                by(PROXY).sending_from("::6"),
                "[fd77::2]:8080",
                Some(Application),
            ),
            (
                by(PROXY).sending_from("127.0.0.6"),
                "127.0.0.1:8080",
                Some(Application),
            ),
            (
                by(PROXY).sending_from("::6"),
                "[::1]:8080",
                Some(Application),
            ),
        ],
    );
}

#[test]
fn inbound_connections_go_to_the_proxy_except_to_its_own_ports() {
    check_flags(
        DEFAULT,
        &[
            (from_outside(), "10.77.0.2:8080", Some(InboundProxy)),
            (from_outside(), "[fd77::2]:8080", Some(InboundProxy)),
            (from_outside(), "10.78.0.2:9090", Some(InboundProxy)),
            (from_outside(), "[fd78::2]:9090", Some(InboundProxy)),
            (from_outside(), "10.77.0.2:4242", Some(InboundProxy)),
            (from_outside(), "10.77.0.2:15090", Some(Application)),
            (from_outside(), "10.77.0.2:15021", Some(Application)),
            (from_outside(), "10.77.0.2:15020", Some(Application)),
            (from_outside(), "10.77.0.2:15008", Some(Application)),
            (from_outside(), "[fd77::2]:15090", Some(Application)),
            (from_outside(), "[fd77::2]:15021", Some(Application)),
            (from_outside(), "[fd77::2]:15020", Some(Application)),
            (from_outside(), "[fd77::2]:15008", Some(Application)),
        ],
    );
}

#[test]
fn excluded_outbound_ports_and_networks_escape() {
    check_flags(
        &[
            "-u",
            "1337",
            "-i",
            "*",
            "-x",
            "198.51.100.8/32,2001:db8::8/128",
            "-o",
            "9090",
        ],
        &[
            (by(APPLICATION), "198.51.100.8:8080", Some(Outside)),
            (by(APPLICATION), "[2001:db8::8]:8080", Some(Outside)),
            (by(APPLICATION), "198.51.100.7:9090", Some(Outside)),
            (by(APPLICATION), "[2001:db8::7]:9090", Some(Outside)),
            (by(APPLICATION), "198.51.100.7:8080", Some(OutboundProxy)),
            (by(APPLICATION), "[2001:db8::7]:8080", Some(OutboundProxy)),
            // An excluded port is excluded even where the proxy calls its own pod.
            (by(PROXY), "10.77.0.2:9090", Some(Application)),
            // Inbound is not asked for.
            (from_outside(), "10.77.0.2:8080", Some(Application)),
        ],
    );
}

#[test]
fn only_included_networks_and_ports_are_captured() {
    check_flags(
        &[
            "-u",
            "1337",
            "-i",
            "198.51.100.7/32,2001:db8::7/128",
            "-q",
            "9090",
            "-x",
            "10.77.0.1",
        ],
        &[
            (by(APPLICATION), "198.51.100.7:8080", Some(OutboundProxy)),
            (by(APPLICATION), "[2001:db8::7]:8080", Some(OutboundProxy)),
            (by(APPLICATION), "198.51.100.8:8080", Some(Outside)),
            (by(APPLICATION), "[2001:db8::8]:8080", Some(Outside)),
            (by(APPLICATION), "198.51.100.8:9090", Some(OutboundProxy)),
            (by(APPLICATION), "[2001:db8::8]:9090", Some(OutboundProxy)),
            // An excluded network wins over an included port.
            (by(APPLICATION), "10.77.0.1:9090", Some(Outside)),
            (by(APPLICATION), "[fd77::1]:9090", Some(OutboundProxy)),
        ],
    );
}

#[test]
fn an_included_loopback_address_is_captured() {
    check_flags(
        &["-u", "1337", "-i", "127.0.0.9/32"],
        &[
            (by(APPLICATION), "127.0.0.9:8080", Some(OutboundProxy)),
            (by(APPLICATION), "127.0.0.1:8080", Some(Application)),
            (by(PROXY), "127.0.0.1:8080", Some(Application)),
            (by(APPLICATION), "[::1]:8080", Some(Application)),
        ],
    );
}

#[test]
fn only_included_inbound_ports_are_captured() {
    check_flags(
        &["-u", "1337", "-b", "8080,15090"],
        &[
            (from_outside(), "10.77.0.2:8080", Some(InboundProxy)),
            (from_outside(), "[fd77::2]:8080", Some(InboundProxy)),
            (from_outside(), "10.77.0.2:15090", Some(InboundProxy)),
            (from_outside(), "10.77.0.2:9090", Some(Application)),
            (from_outside(), "[fd77::2]:9090", Some(Application)),
            (by(APPLICATION), "198.51.100.7:8080", Some(Outside)),
        ],
    );
}

#[test]
fn excluded_interfaces_are_left_alone() {
    let flags = [DEFAULT, &["-c", "eth1"]].concat();
    check_flags(
        &flags,
        &[
            (by(APPLICATION), "10.78.0.1:8080", Some(Outside)),
            (by(APPLICATION), "[fd78::1]:8080", Some(Outside)),
            (by(APPLICATION), "10.77.0.1:8080", Some(OutboundProxy)),
            (from_outside(), "10.78.0.2:8080", Some(Application)),
            (from_outside(), "[fd78::2]:8080", Some(Application)),
            (from_outside(), "10.77.0.2:8080", Some(InboundProxy)),
        ],
    );
}

#[test]
fn what_virtual_machines_send_is_outbound() {
    let machine = from_outside();
    let flags = [DEFAULT, &["-k", "eth1"]].concat();
    check_flags(
        &flags,
        &[
            (machine, "203.0.113.9:8080", Some(OutboundProxy)),
            (machine, "[2001:db8:1::9]:8080", Some(OutboundProxy)),
            (machine, "10.78.0.2:15020", Some(OutboundProxy)),
            (from_outside(), "10.77.0.2:8080", Some(InboundProxy)),
        ],
    );
    check_flags(
        &[
            "-u",
            "1337",
            "-i",
            "203.0.113.0/24",
            "-b",
            "*",
            "-k",
            "eth1",
        ],
        &[
            (machine, "203.0.113.9:8080", Some(OutboundProxy)),
            (machine, "10.78.0.2:8080", Some(Application)),
            (from_outside(), "[fd78::2]:8080", Some(Application)),
            (from_outside(), "[fd77::2]:8080", Some(InboundProxy)),
        ],
    );
}

#[test]
fn several_users_and_groups_may_be_the_proxys() {
    check_flags(
        &["-u", "1337,7", "-g", "1338", "-i", "*"],
        &[
            (by(7), "198.51.100.7:8080", Some(Outside)),
            (by(7), "[2001:db8::7]:8080", Some(Outside)),
            (by(PROXY).group(0), "198.51.100.7:8080", Some(Outside)),
            (
                by(APPLICATION).group(1338),
                "198.51.100.7:8080",
                Some(Outside),
            ),
            (
                by(APPLICATION).group(PROXY),
                "198.51.100.7:8080",
                Some(OutboundProxy),
            ),
            (by(PROXY), "10.77.0.2:8080", Some(InboundProxy)),
        ],
    );
}

#[test]
fn the_proxy_may_listen_elsewhere() {
    for means in MEANS {
        let world = World::with_captures(16001, 16006);
        let flags = [
            "-p", "16001", "-z", "16006", "-e", "9090", "-u", "1337", "-i", "*", "-b", "*",
        ];
        world.program(&[&flags[..], means, &["--drop-invalid"]].concat());
        let cells = [
            (by(APPLICATION), "198.51.100.7:8080", Some(OutboundProxy)),
            (by(APPLICATION), "[2001:db8::7]:8080", Some(OutboundProxy)),
            (from_outside(), "10.77.0.2:15008", Some(InboundProxy)),
            (from_outside(), "10.77.0.2:9090", Some(Application)),
            (by(PROXY), "[fd77::2]:9090", Some(Application)),
        ];
        check(&world, &format!("{means:?}"), &cells);
    }
}

#[test]
fn loopback_of_applications_may_be_wider() {
    let world = World::new();
    let mut command = super::harness::world::program();
    command
        .args(DEFAULT)
        .env("ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR", "127.0.0.0/8");
    world.pod.succeed(&mut command);
    let cells = [
        (by(PROXY), "127.0.0.9:8080", Some(Application)),
        (by(PROXY), "10.77.0.2:8080", Some(InboundProxy)),
    ];
    check(&world, "127.0.0.0/8", &cells);
    let narrow = World::new();
    narrow.program(DEFAULT);
    check(
        &narrow,
        "127.0.0.1/32",
        &[(by(PROXY), "127.0.0.9:8080", Some(InboundProxy))],
    );
}

#[test]
fn datagrams_are_left_alone() {
    let world = World::new();
    world.program(&[DEFAULT, &["-q", "5353"]].concat());
    for (server, client, to) in [
        ("198.51.100.7:5353", "10.77.0.2:0", "198.51.100.7:5353"),
        ("[2001:db8::7]:5353", "[fd77::2]:0", "[2001:db8::7]:5353"),
    ] {
        let server = world.outside.enter(|| UdpSocket::bind(server).unwrap());
        let client = world.pod.enter(|| UdpSocket::bind(client).unwrap());
        client.send_to(b"ping", to).unwrap();
        server
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        let mut heard = [0; 4];
        let (_, peer) = server.recv_from(&mut heard).unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
        server.send_to(b"pong", peer).unwrap();
        client
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        assert_eq!(client.recv_from(&mut heard).unwrap().1, address(to));
    }
}

#[test]
fn connections_that_are_open_live_on_when_rules_are_replaced() {
    for means in MEANS {
        let world = World::new();
        let flags = |more: &[&'static str]| [more, means].concat();
        world.program(&flags(DEFAULT));
        let server = world
            .outside
            .enter(|| TcpListener::bind("198.51.100.7:4545").unwrap());
        // The application's connection goes to a proxy of our own, which lives on another port.
        let proxy = world
            .pod
            .enter(|| TcpListener::bind("127.0.0.1:16001").unwrap());
        world.program(&flags(&["-p", "16001", "-u", "1337", "-i", "*"]));
        let client = world
            .pod
            .enter(|| TcpStream::connect("198.51.100.7:4545").unwrap());
        let captured = proxy.accept().unwrap().0;
        exchange(&client, &captured);
        world.program(&flags(DEFAULT));
        exchange(&client, &captured);
        world.program(&["--cleanup-only"]);
        let direct = world
            .pod
            .enter(|| TcpStream::connect("198.51.100.7:4545").unwrap());
        exchange(&direct, &server.accept().unwrap().0);
    }
}

/// Sends something and sees it arrive.
fn exchange(mut client: &TcpStream, mut server: &TcpStream) {
    server
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    client.write_all(b"ping").unwrap();
    let mut heard = [0; 4];
    server.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"ping");
}
