//! nf_tables over netlink: what is in the kernel decides what is done, and the tool of nf_tables sees
//! what was meant.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::harness::world::program;
use super::harness::{DEFAULT, Namespace, VARIANTS};
use super::state::arguments;

const NATIVE: &[&str] = &["--backend", "nftables"];

/// Options that make every kind of rule.
const EVERYTHING: &[&[&str]] = &[
    DEFAULT,
    &[
        "-u",
        "1337,7",
        "-g",
        "1338",
        "-m",
        "TPROXY",
        "-b",
        "8080,9090",
        "-c",
        "eth1,tun+",
    ],
    &[
        "-m",
        "TPROXY",
        "-b",
        "*",
        "-i",
        "10.0.0.0/8,172.16.0.0/12,10.1.2.3,fd00::/7,fd00::/64",
    ],
    &[
        "-i",
        "*",
        "-x",
        "0.0.0.0/1,10.96.0.0/16",
        "--redirect-dns",
        "--capture-all-dns",
    ],
    &[
        "-k",
        "net1,net2",
        "-i",
        "10.0.0.0/9",
        "-q",
        "5000",
        "-o",
        "25",
        "--drop-invalid",
    ],
];

fn run(namespace: &Namespace, flags: &[&str]) -> String {
    let output = namespace.output(program().args(flags));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{flags:?}: {said}");
    said
}

/// What `nft` sees.
fn ruleset(namespace: &Namespace, flags: &[&str]) -> String {
    namespace.succeed(Command::new("nft").args(flags).args(["list", "ruleset"]))
}

/// Has `nft` run a script.
fn nft(namespace: &Namespace, script: &str) {
    namespace.succeed(Command::new("nft").arg(script));
}

#[test]
fn no_program_is_needed() {
    let namespace = Namespace::new();
    let nothing = tempfile::tempdir().unwrap();
    for flags in [NATIVE, &["--native-nftables"], &[]] {
        let mut command = program();
        command
            .args(DEFAULT)
            .args(flags)
            .env("PATH", nothing.path());
        namespace.succeed(&mut command);
        assert!(ruleset(&namespace, &[]).contains("redirect to :15001"));
        run(&namespace, &["--cleanup-only"]);
        assert_eq!(ruleset(&namespace, &[]).matches("istio").count(), 0);
    }
}

#[test]
fn applied_twice_the_second_time_changes_nothing() {
    for flags in EVERYTHING {
        let namespace = Namespace::new();
        let flags = [*flags, NATIVE].concat();
        assert!(run(&namespace, &flags).contains("in place now"));
        let refused = namespace.enter(|| std::net::TcpStream::connect("127.0.0.1:15090"));
        assert!(refused.is_err());
        let before = ruleset(&namespace, &["-a"]);
        assert!(run(&namespace, &flags).contains("in place already"));
        assert_eq!(ruleset(&namespace, &["-a"]), before);
        run(&namespace, &[&flags[..], &["--force-apply"]].concat());
        assert_ne!(ruleset(&namespace, &["-a"]), before, "forced");
    }
}

/// `nft` makes of the dry run's text exactly the expressions that we make.
#[test]
fn a_dry_run_is_what_is_applied() {
    for flags in EVERYTHING {
        let namespace = Namespace::new();
        let flags = [*flags, NATIVE].concat();
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut command = program();
        command
            .args(&flags)
            .arg("--dry-run")
            .env("DRY_RUN_FILE_PATH", file.path());
        let printed = namespace.succeed(&mut command);
        assert_eq!(std::fs::read_to_string(file.path()).unwrap(), printed);
        assert_eq!(ruleset(&namespace, &[]), "");
        namespace.succeed(Command::new("nft").arg("-f").arg(file.path()));
        let said = run(&namespace, &flags);
        assert!(said.contains("in place already"), "{said}\n{printed}");
    }
}

#[test]
fn whatever_the_options_nft_makes_the_same_of_them() {
    let mut runner = TestRunner::new(Config {
        cases: 48,
        failure_persistence: None,
        ..Config::default()
    });
    let outcome = runner.run(&arguments(), |arguments| {
        let namespace = Namespace::new();
        let flags: Vec<_> = arguments
            .iter()
            .map(String::as_str)
            .chain(NATIVE.iter().copied())
            .collect();
        let printed = namespace.succeed(program().args(&flags).arg("--dry-run"));
        nft(&namespace, &printed);
        let said = run(&namespace, &flags);
        prop_assert!(said.contains("in place already"), "{said}\n{printed}");
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn other_peoples_tables_stay_as_they_are() {
    let namespace = Namespace::new();
    nft(
        &namespace,
        "table inet theirs { set s { type ipv4_addr; elements = { 10.0.0.1 }; }; chain c { type filter hook input priority 0; ip saddr @s limit rate 5/second counter drop; }; }",
    );
    nft(
        &namespace,
        "table ip nat { chain OUTPUT { type nat hook output priority -100; tcp dport 7 redirect to :8; }; chain THEIRS { }; }",
    );
    nft(
        &namespace,
        "table inet istio-proxy-nat { chain istio-output { }; }",
    );
    let before = ruleset(&namespace, &["-a"]);
    for flags in EVERYTHING {
        run(&namespace, &[*flags, NATIVE].concat());
        let now = ruleset(&namespace, &["-a"]);
        assert!(now.starts_with(before.trim_end()), "{now}");
    }
    run(&namespace, &["--cleanup-only"]);
    assert_eq!(ruleset(&namespace, &["-a"]), before);
}

#[test]
fn state_that_was_tampered_with_is_repaired() {
    let namespace = Namespace::new();
    let flags = [DEFAULT, NATIVE].concat();
    run(&namespace, &flags);
    let sound = ruleset(&namespace, &[]);
    for family in ["ip", "ip6"] {
        let table = format!("{family} istio-proxy-nat");
        for tampering in [
            format!("insert rule {table} istio-output tcp dport 80 counter return"),
            format!("add rule {table} istio-redirect limit rate 5/second counter drop"),
            format!("flush chain {table} istio-inbound"),
            format!("flush chain {table} output"),
            format!("add rule {table} output counter jump istio-output"),
            format!("add chain {table} istio-old"),
            format!("add chain {table} late {{ type nat hook postrouting priority 0; }}"),
            format!("add chain {table} output {{ policy drop; }}"),
            format!("add table {table} {{ flags dormant; }}"),
            format!("delete table {table}"),
            format!("flush ruleset; add table {table}"),
        ] {
            nft(&namespace, &tampering);
            assert_ne!(ruleset(&namespace, &[]), sound, "{tampering}");
            let said = run(&namespace, &flags);
            assert!(said.contains("in place now"), "{tampering}: {said}");
            let now = ruleset(&namespace, &["-s"]);
            assert_eq!(now, ruleset_without_counters(&sound), "{tampering}");
        }
    }
}

fn ruleset_without_counters(ruleset: &str) -> String {
    ruleset.replace(" packets 0 bytes 0", "")
}

#[test]
fn rules_of_other_means_go_when_new_ones_come() {
    for variant in VARIANTS {
        let namespace = Namespace::new();
        let iptables = [DEFAULT, &["--force-iptables-binary", variant]].concat();
        let everything = [EVERYTHING[3], &["--force-iptables-binary", variant]].concat();
        let theirs = "*nat\n:THEIRS - [0:0]\n-A OUTPUT -p tcp -m tcp --dport 7 -j THEIRS\nCOMMIT\n";
        namespace.restore("iptables", variant, theirs);
        for flags in [&iptables, &everything] {
            run(&namespace, flags);
            assert!(namespace.saved(variant).contains("ISTIO_OUTPUT"));
            run(&namespace, &[DEFAULT, NATIVE].concat());
            let saved = namespace.saved(variant);
            assert!(!saved.contains("ISTIO_"), "{variant}:\n{saved}");
            assert!(saved.contains("--dport 7 -j THEIRS"), "{variant}:\n{saved}");
            assert_eq!(
                ruleset(&namespace, &[])
                    .matches("table ip6 istio-proxy")
                    .count(),
                1
            );
            run(&namespace, flags);
            assert_eq!(ruleset(&namespace, &[]).matches("istio-").count(), 0);
            let saved = namespace.saved(variant);
            assert_eq!(
                saved.matches("-j ISTIO_OUTPUT\n").count(),
                2,
                "{variant}:\n{saved}"
            );
        }
    }
}

#[test]
fn changes_of_others_at_the_same_moment_are_not_lost() {
    let namespace = Namespace::new();
    let flags = [DEFAULT, NATIVE].concat();
    thread::scope(|scope| {
        scope.spawn(|| {
            for index in 0..40 {
                nft(&namespace, &format!("add table inet theirs{index}"));
            }
        });
        for _ in 0..10 {
            run(&namespace, &flags);
            run(&namespace, &["--cleanup-only", "--backend", "nftables"]);
        }
    });
    assert_eq!(
        ruleset(&namespace, &[])
            .matches("table inet theirs")
            .count(),
        40
    );
}

/// The kernel is told what the transaction follows, and refuses it if that is not so any more.
#[test]
fn what_changes_between_reading_and_writing_is_read_again() {
    let traced = |namespace: &Namespace, log: &Path, more: &[&str]| {
        let mut command = Command::new("strace");
        command.args(["-qqq", "-e", "trace=sendto", "-o"]).arg(log);
        command.args(more).arg(program().get_program());
        command.args(DEFAULT).args(NATIVE).stderr(Stdio::piped());
        namespace.enter(|| command.spawn().unwrap())
    };
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut first = traced(&Namespace::new(), log.path(), &[]);
    assert!(first.wait().unwrap().success());
    let sent = std::fs::read_to_string(log.path()).unwrap();
    let mut messages = sent.lines();
    let reads = messages.position(|line| line.contains("BATCH_BEGIN"));
    let reads = reads.expect("strace shows the begin of a transaction");

    let namespace = Namespace::new();
    let log = tempfile::NamedTempFile::new().unwrap();
    let delay = format!("inject=sendto:delay_enter=1500000:when={}", reads + 1);
    let second = traced(&namespace, log.path(), &["-e", &delay]);
    let deadline = Instant::now() + Duration::from_secs(5);
    while std::fs::read_to_string(log.path()).unwrap().lines().count() < reads {
        assert!(Instant::now() < deadline, "the rules are not read");
        thread::yield_now();
    }
    nft(&namespace, "add table ip istio-proxy-nat");
    let output = second.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let sent = std::fs::read_to_string(log.path()).unwrap();
    assert_eq!(sent.matches("BATCH_BEGIN").count(), 2, "{said}");
    assert!(run(&namespace, &[DEFAULT, NATIVE].concat()).contains("in place already"));
}

#[test]
fn without_the_capability_it_says_so() {
    // A user namespace has all capabilities, but not over a network namespace that it does not own.
    let namespace = Namespace::new();
    let mut command = Command::new("unshare");
    command.args([
        "--user",
        "--map-root-user",
        env!("CARGO_BIN_EXE_lateen-init"),
    ]);
    let output = namespace.output(command.args(DEFAULT).args(NATIVE));
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("error: Cannot read the packet rules in nf_tables"),
        "{said}"
    );
    assert!(said.contains("NET_ADMIN"), "{said}");
    assert_eq!(ruleset(&namespace, &[]), "");
}

/// A table with an owner can be changed by nobody else: the kernel refuses one part of the transaction.
#[test]
fn a_refused_change_changes_nothing() {
    let namespace = Namespace::new();
    let mut owner = Command::new("nft");
    owner.arg("-i").stdin(Stdio::piped()).stdout(Stdio::null());
    let mut owner = namespace.enter(|| owner.spawn().unwrap());
    let mut input = owner.stdin.take().unwrap();
    writeln!(input, "add table ip6 istio-proxy-nat {{ flags owner; }}").unwrap();
    let deadline = Instant::now() + Duration::from_secs(5);
    while ruleset(&namespace, &[]).is_empty() {
        assert!(Instant::now() < deadline, "nft made no table");
    }
    let before = ruleset(&namespace, &[]);
    let output = namespace.output(program().args(DEFAULT).args(NATIVE));
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("refused IPv6 table istio-proxy-nat"),
        "{said}"
    );
    assert!(said.contains("keeps our table for itself"), "{said}");
    assert_eq!(ruleset(&namespace, &[]), before);
    drop(input);
    owner.wait().unwrap();
    run(&namespace, &[DEFAULT, NATIVE].concat());
}

#[test]
fn many_networks_are_no_obstacle() {
    let namespace = Namespace::new();
    let networks: Vec<_> = (0..2000)
        .map(|it| format!("10.{}.{}.0/24", it / 256, it % 256))
        .collect();
    let networks = networks.join(",");
    let flags = ["-u", "1337", "-i", &networks, NATIVE[0], NATIVE[1]];
    assert!(run(&namespace, &flags).contains("in place now"));
    assert!(run(&namespace, &flags).contains("in place already"));
}

#[test]
fn the_whole_run_is_quick() {
    // The budget is 3 ms; ten times that leaves room for a busy machine and a debug build.
    let fastest = (0..5).map(|_| {
        let namespace = Namespace::new();
        let begin = Instant::now();
        run(&namespace, &[DEFAULT, NATIVE].concat());
        begin.elapsed()
    });
    let fastest = fastest.min().unwrap();
    assert!(fastest < Duration::from_millis(30), "{fastest:?}");
}
