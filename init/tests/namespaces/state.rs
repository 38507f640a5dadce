//! What is in the kernel decides what is done: nothing if it is right, one whole change if it is
//! not, and other people's rules stay as they are.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::thread;

use lateen_init::family::Family;
use lateen_init::iptables::State;
use lateen_init::options::{Invocation, Options};
use lateen_init::pod::Container;
use lateen_init::rules;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::harness::world::{address, program};
use super::harness::{APPLICATION, DEFAULT, Flow, MEANS, Namespace, Place, VARIANTS, World};

/// Rules of somebody else: in our built-in chains, in chains of their own, in other tables.
const FOREIGN: &str = "*filter
:THEIRS - [0:0]
-A INPUT -p tcp -m tcp --dport 9 -j DROP
-A THEIRS -j ACCEPT
COMMIT
*nat
:THEIRS - [0:0]
-A PREROUTING -p tcp -m tcp --dport 7 -j REDIRECT --to-ports 8
-A OUTPUT -p udp -m udp --dport 7 -m comment --comment \"jumps -j ISTIO_OUTPUT\" -j THEIRS
-A OUTPUT -p tcp -m tcp --dport 7 -j RETURN
-A POSTROUTING -o eth9 -j MASQUERADE
COMMIT
";

fn flags<'a>(base: &[&'a str], variant: &'a str) -> Vec<&'a str> {
    [base, &["--force-iptables-binary", variant]].concat()
}

/// Runs the program, which must succeed, and answers with what it said.
fn run(namespace: &Namespace, flags: &[&str]) -> String {
    let output = namespace.output(program().args(flags));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.success(),
        "{flags:?}: {}: {said}",
        output.status
    );
    said
}

/// The lines of saved rules that are not ours, in order, without those of empty tables.
fn foreign(saved: &str) -> Vec<&str> {
    let foreign =
        |line: &&str| line.contains("THEIRS") || line.contains("-A") && !line.contains("ISTIO_");
    saved.lines().filter(foreign).collect()
}

#[test]
fn applied_twice_the_second_time_changes_nothing() {
    for variant in VARIANTS {
        let namespace = Namespace::new();
        run(&namespace, &flags(DEFAULT, variant));
        // Packets make the counters of rules move, so that one sees if they are made anew.
        let refused = namespace.enter(|| std::net::TcpStream::connect("127.0.0.1:15090"));
        assert!(refused.is_err());
        let before = namespace.saved(variant);
        assert!(
            before
                .lines()
                .any(|line| line.contains("ISTIO_OUTPUT") && !line.contains("[0:0]"))
        );
        let said = run(&namespace, &flags(DEFAULT, variant));
        assert_eq!(namespace.saved(variant), before, "{variant}");
        assert!(
            said.contains("IPv4 packet rules are in place already"),
            "{said}"
        );
        assert!(
            said.contains("IPv6 packet rules are in place already"),
            "{said}"
        );
        run(
            &namespace,
            &flags(&[DEFAULT, &["--force-apply"]].concat(), variant),
        );
        assert_ne!(namespace.saved(variant), before, "forced, {variant}");
    }
}

#[test]
fn other_peoples_rules_stay_as_they_are() {
    for variant in VARIANTS {
        let namespace = Namespace::new();
        for family in ["iptables", "ip6tables"] {
            namespace.restore(family, variant, FOREIGN);
        }
        let before = namespace.saved(variant);
        run(&namespace, &flags(DEFAULT, variant));
        let with_ours = namespace.saved(variant);
        assert_eq!(foreign(&with_ours), foreign(&before), "{variant}");
        run(
            &namespace,
            &flags(
                &["-u", "1338", "-i", "10.0.0.0/8", "--drop-invalid"],
                variant,
            ),
        );
        assert_eq!(
            foreign(&namespace.saved(variant)),
            foreign(&before),
            "{variant}"
        );
        run(&namespace, &["--cleanup-only"]);
        let after = namespace.saved(variant);
        assert_eq!(foreign(&after), foreign(&before), "{variant}");
        assert!(
            !after.lines().any(|line| line.starts_with(":ISTIO")),
            "{after}"
        );
    }
}

/// It would be a rule without end if its chain went, and it is not ours to remove.
#[test]
fn a_chain_that_other_people_jump_to_stays_with_their_rule() {
    let theirs = "*nat\n:THEIRS - [0:0]\n-A THEIRS -j ISTIO_REDIRECT\nCOMMIT\n";
    for variant in VARIANTS {
        for flags in [&["--cleanup-only"][..], &["--backend", "nftables"]] {
            let namespace = Namespace::new();
            run(&namespace, &self::flags(DEFAULT, variant));
            namespace.restore("iptables", variant, theirs);
            let before = namespace.saved(variant);
            let output = namespace.output(program().args(flags));
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(
                output.status.code(),
                Some(1),
                "{variant}, {flags:?}: {said}"
            );
            let cause = "A rule of somebody else jumps to this chain of ours";
            assert!(said.contains(cause), "{said}");
            assert!(said.contains("ISTIO_REDIRECT"), "{said}");
            assert_eq!(namespace.saved(variant), before, "{variant}, {flags:?}");
        }
    }
}

#[test]
fn state_that_was_tampered_with_is_repaired() {
    let tamperings = [
        (
            "two rules in the other order",
            "-D ISTIO_OUTPUT 1\n-A ISTIO_OUTPUT -s LOOPBACK -o lo -j RETURN",
        ),
        (
            "a rule too few",
            "-D ISTIO_INBOUND -p tcp -m tcp --dport 15090 -j RETURN",
        ),
        (
            "a rule too many",
            "-I ISTIO_OUTPUT 1 -p tcp -m tcp --dport 80 -j RETURN",
        ),
        (
            "a rule that is not understood",
            "-A ISTIO_REDIRECT -m comment --comment \"x y\" -j RETURN",
        ),
        ("an empty chain", ":ISTIO_OUTPUT - [0:0]"),
        ("no jump", "-D OUTPUT -j ISTIO_OUTPUT"),
        ("a jump twice", "-A PREROUTING -p tcp -j ISTIO_INBOUND"),
        (
            "another jump",
            "-A PREROUTING -p udp -m udp --dport 9 -j ISTIO_INBOUND",
        ),
        (
            "a chain of an older version",
            ":ISTIO_OLD - [0:0]\n-A ISTIO_OLD -j ISTIO_REDIRECT\n-A OUTPUT -j ISTIO_OLD\n-A ISTIO_OUTPUT -j ISTIO_OLD",
        ),
        (
            "a chain too few",
            "-D PREROUTING -p tcp -j ISTIO_INBOUND\n:ISTIO_INBOUND - [0:0]\n-X ISTIO_INBOUND",
        ),
    ];
    for variant in VARIANTS {
        let namespace = Namespace::new();
        for family in ["iptables", "ip6tables"] {
            namespace.restore(family, variant, FOREIGN);
        }
        run(&namespace, &flags(DEFAULT, variant));
        let sound = namespace.saved(variant);
        for (name, tampering) in tamperings {
            for (family, loopback) in [("iptables", "127.0.0.6/32"), ("ip6tables", "::6/128")] {
                let tampering = tampering.replace("LOOPBACK", loopback);
                namespace.restore(family, variant, &format!("*nat\n{tampering}\nCOMMIT\n"));
                assert_ne!(
                    namespace.saved(variant),
                    sound,
                    "{variant}, {family}: {name}"
                );
                let said = run(&namespace, DEFAULT);
                assert_eq!(
                    sorted(&namespace.saved(variant)),
                    sorted(&sound),
                    "{variant}, {family}: {name}"
                );
                assert_eq!(
                    said.matches("already").count(),
                    1,
                    "only {family} changes: {said}"
                );
            }
        }
    }
}

/// Saved rules as they are within each of our chains; built-in chains without regard to order.
fn sorted(saved: &str) -> (BTreeSet<&str>, Vec<&str>) {
    let built_in = |line: &&str| !line.contains("-A ISTIO_");
    let (outer, ours): (Vec<_>, Vec<_>) = saved.lines().partition(built_in);
    (outer.into_iter().collect(), ours)
}

#[test]
fn rules_in_the_other_kind_of_iptables_are_removed() {
    let namespace = Namespace::new();
    for (used, left) in [("legacy", "nft"), ("nft", "legacy"), ("legacy", "nft")] {
        run(&namespace, &flags(DEFAULT, used));
        assert!(namespace.saved(used).contains("-j ISTIO_OUTPUT"));
        assert!(
            !namespace.saved(left).contains("ISTIO_"),
            "{left} still has rules"
        );
    }
    // Legacy is what holds rules now, and so it is found without being told.
    let said = run(&namespace, DEFAULT);
    assert!(
        said.contains("legacy") && said.contains("already"),
        "{said}"
    );
}

/// There is never a moment without rules, or with two sets of them that get in each other's way.
#[test]
fn connections_made_while_one_means_follows_another_all_go_to_the_proxy() {
    let world = World::new();
    let others: &[&str] = &["-u", "1337", "-i", "*", "-b", "*", "-m", "TPROXY"];
    world.program(DEFAULT);
    let [outward, inward] = [("198.51.100.7:8080", false), ("10.77.0.2:8080", true)];
    let flow = |(to, from_outside)| Flow {
        from_outside,
        uid: APPLICATION,
        gid: APPLICATION,
        source: None,
        to: address(to),
    };
    let connections = thread::scope(|scope| {
        let changes = scope.spawn(|| {
            // Each follows each.
            for means in [0, 1, 2, 0, 2, 1, 0].map(|index| MEANS[index]) {
                world.program(&[DEFAULT, means].concat());
                world.program(&[others, means].concat());
            }
        });
        let mut connections = 0;
        while !changes.is_finished() {
            for (flow, place) in [
                (flow(outward), Place::OutboundProxy),
                (flow(inward), Place::InboundProxy),
            ] {
                let arrival = world.arrival(&flow).unwrap();
                assert_eq!(
                    (arrival.place, arrival.original),
                    (place, flow.to),
                    "{flow:?}"
                );
                connections += 1;
            }
        }
        connections
    });
    assert!(connections > 20, "{connections} connections tell nothing");
}

#[test]
fn another_pod_can_be_programmed_from_outside_of_it() {
    for means in MEANS {
        let (pod, node) = (Namespace::new(), Namespace::new());
        let from_node = |path: &str| {
            let mut command = program();
            command.args([DEFAULT, means].concat());
            node.output(command.args(["--cni-mode", "--network-namespace", path]))
        };
        assert!(from_node(&pod.path()).status.success());
        let said = run(&pod, &[DEFAULT, means].concat());
        assert!(
            said.contains("in place already") && !said.contains("now"),
            "{said}"
        );
        assert!(pod.enter(|| std::net::TcpListener::bind("[::6]:0").is_ok()));
        assert!(!node.enter(|| std::net::TcpListener::bind("[::6]:0").is_ok()));
        assert!(!node.saved("nft").contains("ISTIO_"));
        let output = from_node("/nowhere");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(
            said.contains("Cannot work in the network namespace /nowhere"),
            "{said}"
        );
    }
}

#[test]
fn the_address_of_the_proxy_comes_and_goes_with_the_rules() {
    let namespace = Namespace::new();
    let has_address = || namespace.enter(|| std::net::TcpListener::bind("[::6]:0").is_ok());
    assert!(!has_address());
    run(&namespace, DEFAULT);
    assert!(has_address());
    run(&namespace, &["--cleanup-only"]);
    assert!(!has_address());
    run(&namespace, &["--cleanup-only"]);
}

#[test]
fn a_dry_run_changes_nothing_and_prints_what_would_be_applied() {
    let namespace = Namespace::new();
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut command = program();
    command
        .args(DEFAULT)
        .arg("--dry-run")
        .env("DRY_RUN_FILE_PATH", file.path());
    let printed = namespace.succeed(&mut command);
    assert!(!namespace.saved("nft").contains("ISTIO_"));
    assert_eq!(std::fs::read_to_string(file.path()).unwrap(), printed);
    let (v4, v6) = printed.split_once("# IPv6\n").unwrap();
    namespace.restore("iptables", "nft", v4);
    namespace.restore("ip6tables", "nft", v6);
    let said = run(&namespace, DEFAULT);
    assert_eq!(said.matches("already").count(), 2, "{said}");
}

#[test]
fn runs_at_the_same_moment_take_turns() {
    for variant in VARIANTS {
        let reference = Namespace::new();
        run(&reference, &flags(DEFAULT, variant));
        let whole = our_rules(&reference, variant);
        let namespace = Namespace::new();
        let same = flags(DEFAULT, variant);
        let others: [&[&str]; 3] = [&["--cleanup-only"], &DEFAULT[..2], &[]];
        let others = others.map(|other| flags(other, variant));
        // Runs that want the same, and then some that want something else.
        for all in [vec![&same; 10], others.iter().cycle().take(9).collect()] {
            let started: Vec<_> = all
                .iter()
                .map(|flags| {
                    let mut command = program();
                    command.args(*flags).stderr(Stdio::piped());
                    namespace.enter(|| command.spawn().unwrap())
                })
                .collect();
            for child in started {
                let output = child.wait_with_output().unwrap();
                let said = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "{variant}: {said}");
            }
            run(&namespace, &same);
            assert_eq!(our_rules(&namespace, variant), whole, "{variant}");
        }
    }
}

/// Our rules of each family, without counters.
fn our_rules(namespace: &Namespace, variant: &str) -> [String; 2] {
    ["iptables", "ip6tables"].map(|family| {
        let mut command = std::process::Command::new(format!("{family}-{variant}-save"));
        let saved = namespace.succeed(&mut command);
        let ours = saved.lines().filter(|line| line.contains("ISTIO_"));
        ours.map(|line| format!("{line}\n")).collect()
    })
}

#[test]
fn whatever_the_options_the_kernel_takes_the_rules_and_gives_them_back() {
    for variant in VARIANTS {
        let namespace = Namespace::new();
        let before = std::cell::RefCell::new([State::default(), State::default()]);
        let mut runner = TestRunner::new(Config {
            cases: 48,
            ..Config::default()
        });
        let outcome = runner.run(&arguments(), |arguments| {
            let options = parse(&arguments);
            for (index, (family, programs)) in [(Family::V4, "iptables"), (Family::V6, "ip6tables")]
                .into_iter()
                .enumerate()
            {
                let wanted = State::from(&rules::build(&options, family));
                let change = before.borrow()[index].change_to(&wanted);
                let tested = namespace.try_restore(programs, variant, &["--test"], &change);
                let errors = String::from_utf8_lossy(&tested.stderr);
                prop_assert!(tested.status.success(), "{errors}\n{change}");
                namespace.restore(programs, variant, &change);
                let mut save = std::process::Command::new(format!("{programs}-{variant}-save"));
                let found = State::from_saved(&namespace.succeed(&mut save));
                prop_assert_eq!(wanted.first_difference(&found), None);
                before.borrow_mut()[index] = found;
            }
            Ok(())
        });
        outcome.unwrap_or_else(|error| panic!("{variant}: {error}"));
    }
}

fn parse(arguments: &[String]) -> Options {
    let given = arguments.iter().map(std::ffi::OsString::from);
    let container = Container::new("", "", "nameserver 10.96.0.10\nnameserver fd96::a\n");
    match Invocation::parse(given, |_| None, &container) {
        Ok(Invocation::Run(options)) => *options,
        other => panic!("{arguments:?}: {other:?}"),
    }
}

/// Any flags that decide about rules.
pub(crate) fn arguments() -> impl Strategy<Value = Vec<String>> {
    let port = || (1..=u16::MAX).prop_map(|port| port.to_string());
    let ports = || prop::collection::vec(port(), 0..4).prop_map(|ports| ports.join(","));
    let network = prop_oneof![
        (any::<[u8; 4]>(), 0..=32u8).prop_map(|(address, length)| format!(
            "{}/{length}",
            std::net::Ipv4Addr::from(address)
        )),
        (any::<[u8; 16]>(), 0..=128u8).prop_map(|(address, length)| format!(
            "{}/{length}",
            std::net::Ipv6Addr::from(address)
        )),
    ];
    let networks =
        || prop::collection::vec(network.clone(), 0..5).prop_map(|networks| networks.join(","));
    let or_star = |list: BoxedStrategy<String>| prop_oneof![Just("*".to_owned()), list];
    let interfaces =
        || prop::collection::vec("[a-z][a-z0-9_.-]{0,9}[+]?", 0..3).prop_map(|list| list.join(","));
    let owners = || {
        prop::collection::vec(0..u32::MAX, 0..3)
            .prop_map(|ids| ids.iter().map(u32::to_string).collect::<Vec<_>>().join(","))
    };
    let ports_of_the_proxy = (port(), port(), port(), owners(), owners());
    let inbound = (or_star(ports().boxed()), ports());
    let outbound = (or_star(networks().boxed()), networks(), ports(), ports());
    (
        ports_of_the_proxy,
        inbound,
        outbound,
        (interfaces(), interfaces()),
        (any::<bool>(), 1..u32::MAX),
        any::<[bool; 3]>(),
    )
        .prop_map(
            |((p, z, e, u, g), (b, d), (i, x, q, o), (c, k), (tproxy, mark), [drop, dns, all])| {
                let mode = if tproxy { "TPROXY" } else { "REDIRECT" };
                let values = [
                    ("-p", p),
                    ("-z", z),
                    ("-e", e),
                    ("-u", u),
                    ("-g", g),
                    ("-b", b),
                    ("-d", d),
                    ("-i", i),
                    ("-x", x),
                    ("-q", q),
                    ("-o", o),
                    ("-c", c),
                    ("-k", k),
                    ("-m", mode.to_owned()),
                    ("-t", mark.to_string()),
                ];
                let mut arguments: Vec<_> = values
                    .into_iter()
                    .flat_map(|(flag, value)| [flag.to_owned(), value])
                    .collect();
                arguments.push(format!("--drop-invalid={drop}"));
                arguments.push(format!("--redirect-dns={dns}"));
                arguments.push(format!("--capture-all-dns={all}"));
                arguments
            },
        )
}
