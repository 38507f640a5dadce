//! Every sender to every destination and port, under every option, by everything that can program
//! the kernel: who accepts each connection, and which destination is remembered.

use std::collections::HashMap;
use std::net::SocketAddr;

use lateen_init::options::{Invocation, Options};
use lateen_init::pod::Container;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::harness::world::{address, host};
use super::harness::{APPLICATION, Flow, MEANS, PROXY, World};
use super::oracle::expected;

/// Name, flags, environment.
type Scenario = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
);

const GROUPS: &str = "ISTIO_OUTBOUND_OWNER_GROUPS";
const GROUPS_EXCLUDE: &str = "ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE";

const SCENARIOS: &[Scenario] = &[
    (
        "default",
        "-u 1337 -m REDIRECT -i * -b * -d 15090,15021,15020",
        &[],
    ),
    ("nothing", "-u 1337", &[]),
    ("inbound ports", "-u 1337 -b 8080,53 --drop-invalid", &[]),
    (
        "networks",
        "-u 1337 -i 198.51.100.0/24,2001:db8::/48 -x 198.51.100.8,2001:db8::8 -q 9090 -b *",
        &[],
    ),
    (
        "excluded ports",
        "-u 1337 -i * -o 9090,15008 -b * -d 8080",
        &[],
    ),
    ("interfaces", "-u 1337 -i * -b * -c eth1", &[]),
    ("virtual machines", "-u 1337 -i * -b * -k eth1", &[]),
    ("tunnel", "-u 1337 -i * -b * -e 9090", &[]),
    ("owners", "-u 1337,7 -g 202 -i * -b *", &[]),
    ("groups", "-u 1337 -i * -b *", &[(GROUPS, "202,1000")]),
    (
        "groups excluded",
        "-u 1337 -i * -b *",
        &[(GROUPS_EXCLUDE, "202,7")],
    ),
    (
        "tproxy",
        "-u 1337 -m TPROXY -i * -b * -d 15090,15021,15020 --drop-invalid",
        &[],
    ),
    (
        "tproxy ports",
        "-u 1337 -m TPROXY -t 0x77 -r 99 -i * -b 8080 -c eth1",
        &[],
    ),
    (
        "tproxy virtual machines",
        "-u 1337 -m TPROXY -i * -b * -k eth1",
        &[],
    ),
    (
        "dns",
        "-u 1337 -i * -b * --redirect-dns --capture-all-dns",
        &[],
    ),
    (
        "dns, tproxy and groups",
        "-u 1337 -m TPROXY -b * -i 198.51.100.7 --redirect-dns --capture-all-dns",
        &[(GROUPS_EXCLUDE, "202"), ("INVALID_DROP", "true")],
    ),
];

#[test]
fn every_connection_goes_where_the_options_say() {
    let mut cells = 0;
    let mut wrong = Vec::new();
    for means in MEANS {
        // One pod for all, so that every scenario also replaces the rules of another.
        let world = World::new();
        for (name, flags, environment) in SCENARIOS {
            let flags: Vec<_> = flags.split(' ').collect();
            world.program_with(&[&flags, means].concat(), environment);
            let options = options(&flags, environment);
            for flow in flows(&options, SENDERS, &[8080, 9090, 53, 15008]) {
                cells += 1;
                wrong.extend(complaint(
                    &world,
                    &options,
                    &flow,
                    &format!("{means:?} {name}"),
                ));
            }
        }
    }
    assert!(cells > 10_000, "{cells} cells are not the whole matrix");
    assert!(
        wrong.is_empty(),
        "{} of {cells} are wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn whatever_the_options_every_means_sends_packets_to_the_same_places() {
    let worlds = MEANS.map(|means| (means, World::new()));
    let mut runner = TestRunner::new(Config {
        cases: 24,
        failure_persistence: None,
        ..Config::default()
    });
    let outcome = runner.run(&scenarios(), |(flags, groups)| {
        let flags: Vec<_> = flags.iter().map(String::as_str).collect();
        let environment: Vec<_> = groups
            .iter()
            .map(|(name, value)| (*name, &**value))
            .collect();
        let options = options(&flags, &environment);
        for (means, world) in &worlds {
            world.program_with(&[&flags, *means].concat(), &environment);
            for flow in flows(&options, &SENDERS[..4], &[8080, 53]) {
                let complaint = complaint(world, &options, &flow, &format!("{means:?}"));
                prop_assert_eq!(complaint, None);
            }
        }
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}

/// What is wrong with where a connection goes.
fn complaint(world: &World, options: &Options, flow: &Flow, context: &str) -> Option<String> {
    let place = expected(options, flow);
    let arrival = world.arrival(flow);
    let is_right = arrival.is_some_and(|it| it.place == place && it.original == flow.to);
    (!is_right).then(|| format!("{context}: {flow:?}: expected {place:?}, got {arrival:?}"))
}

/// User and group.
const SENDERS: &[(u32, u32)] = &[
    (APPLICATION, APPLICATION),
    (PROXY, APPLICATION),
    (APPLICATION, PROXY),
    (APPLICATION, 202),
    (7, 7),
    (0, 0),
];

/// Connections from these senders to everywhere, from the proxy's inbound side, and from outside.
fn flows(options: &Options, senders: &[(u32, u32)], ports: &[u16]) -> Vec<Flow> {
    let mut flows = Vec::new();
    let within_pod = |family: usize| {
        [
            ["127.0.0.1", "10.77.0.2", "10.78.0.2"],
            ["::1", "fd77::2", "fd78::2"],
        ][family]
    };
    for (family, (outside, source)) in [
        (["198.51.100.7", "198.51.100.8", "10.78.0.1"], "127.0.0.6"),
        (["2001:db8::7", "2001:db8::8", "fd78::1"], "::6"),
    ]
    .into_iter()
    .enumerate()
    {
        let within_pod = within_pod(family);
        for to in outside.into_iter().chain(within_pod) {
            for port in ports {
                flows.extend(senders.iter().map(|sender| flow(*sender, to, *port)));
            }
        }
        for to in within_pod {
            let source = Some(SocketAddr::new(host(source), 0));
            flows.push(Flow {
                source,
                ..flow((PROXY, PROXY), to, 8080)
            });
        }
        for port in ports.iter().chain(&[15020]) {
            let to_pod = within_pod[1..].iter().map(|to| flow((0, 0), to, *port));
            flows.extend(to_pod.map(|flow| Flow {
                from_outside: true,
                ..flow
            }));
        }
    }
    if !options.virtual_interfaces.is_empty() {
        for to in ["203.0.113.9:8080", "[2001:db8:1::9]:8080"] {
            let to = address(to);
            flows.push(Flow {
                from_outside: true,
                to,
                ..flow((0, 0), "::", 1)
            });
        }
    }
    flows
}

fn flow((uid, gid): (u32, u32), to: &str, port: u16) -> Flow {
    Flow {
        from_outside: false,
        uid,
        gid,
        source: None,
        to: SocketAddr::new(host(to), port),
    }
}

fn options(flags: &[&str], environment: &[(&str, &str)]) -> Options {
    let environment: HashMap<_, _> = environment.iter().copied().collect();
    let lookup = |name: &str| environment.get(name).map(|value| (*value).to_owned());
    let arguments = flags.iter().map(std::ffi::OsString::from);
    match Invocation::parse(arguments, lookup, &Container::default()) {
        Ok(Invocation::Run(options)) => *options,
        other => panic!("{flags:?}: {other:?}"),
    }
}

/// Flags, and variables that are set.
type Random = (Vec<String>, Vec<(&'static str, String)>);

/// Any options that the connections of the matrix can tell apart.
fn scenarios() -> impl Strategy<Value = Random> {
    let some = |of: &'static [&'static str], most: usize| {
        let items = prop::sample::subsequence(of.to_vec(), 0..=most);
        items.prop_map(|items| items.join(","))
    };
    let ports = move || some(&["8080", "9090", "53"], 2);
    let networks = move || {
        let networks = [
            "198.51.100.8/31",
            "2001:db8::/125",
            "10.0.0.0/8",
            "fd78::/20",
        ];
        prop::sample::subsequence(networks.to_vec(), 0..=3).prop_map(|items| items.join(","))
    };
    let or_all = |list: BoxedStrategy<String>| prop_oneof![Just("*".to_owned()), list];
    let one_of = |of: &'static [&'static str]| prop::sample::select(of.to_vec());
    let inbound = (
        or_all(ports().boxed()),
        ports(),
        one_of(&["REDIRECT", "TPROXY"]),
    );
    let outbound = (or_all(networks().boxed()), networks(), ports(), ports());
    let interfaces = (
        some(&["eth1"], 1),
        one_of(&["1337", "1337,7"]),
        one_of(&["1337", "202"]),
    );
    let switches = (any::<bool>(), any::<bool>());
    let groups = (one_of(&["*", "1000", "202,1000"]), some(&["202", "7"], 2));
    (inbound, outbound, interfaces, switches, groups).prop_map(
        |((b, d, m), (i, x, q, o), (c, u, g), (drop, dns), (only, except))| {
            let values = [
                ("-b", &*b),
                ("-d", &d),
                ("-m", m),
                ("-i", &i),
                ("-x", &x),
                ("-q", &q),
                ("-o", &o),
                ("-c", &c),
                ("-u", u),
                ("-g", g),
            ];
            let values = values.into_iter().flat_map(|(flag, value)| [flag, value]);
            let mut flags: Vec<_> = values.map(str::to_owned).collect();
            flags.push(format!("--drop-invalid={drop}"));
            flags.extend([
                format!("--redirect-dns={dns}"),
                "--capture-all-dns".to_owned(),
            ]);
            let environment = vec![(GROUPS, only.to_owned()), (GROUPS_EXCLUDE, except)];
            (flags, environment)
        },
    )
}
