//! Killed at any point: at each message to the kernel, each program that is started, each wait for one.
//! What is left is whole or nothing, and the next run, whatever it is asked for, does the rest.

use std::collections::BTreeMap;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, Stdio};

use nix::sys::prctl::set_child_subreaper;
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use super::harness::world::program;
use super::harness::{MEANS, Namespace};
use super::tproxy::routing;

/// Rules in every table, routes, and an address.
const FLAGS: &[&str] = &[
    "-u",
    "1337",
    "-m",
    "TPROXY",
    "-i",
    "*",
    "-b",
    "*",
    "--redirect-dns",
    "--capture-all-dns",
];

/// Every system call by which the program changes something, or has another program change it, as strace
/// names them.
const CALLS: [&str; 4] = ["sendto", "write", "/clone|fork", "/wait"];

#[test]
fn what_is_left_is_whole_or_nothing_and_the_next_run_does_the_rest() {
    // The children of killed programs become ours, so that one can wait for them.
    set_child_subreaper(true).unwrap();
    for means in MEANS {
        let namespace = Namespace::new();
        let run = |flags: &[&str]| {
            namespace.succeed(program().args([flags, means].concat()));
        };
        run(FLAGS);
        let whole = (tables(&namespace, means), surroundings(&namespace));
        run(&["--cleanup-only"]);
        let nothing = (BTreeMap::new(), (String::new(), false));
        let kill_and_go_on = |point: &Point| {
            let mut killed = false;
            for (next, outcome) in [(&["--cleanup-only"][..], &nothing), (FLAGS, &whole)] {
                killed = kill(&namespace, &[FLAGS, means].concat(), point);
                for (table, rules) in tables(&namespace, means) {
                    assert_eq!(rules, whole.0[&table], "{means:?}, {point:?}");
                }
                run(next);
                let left = (tables(&namespace, means), surroundings(&namespace));
                assert_eq!(left, *outcome, "{means:?}, {point:?}");
            }
            run(&["--cleanup-only"]);
            killed
        };
        // iptables takes its time; it need not be at every point in every test.
        let stride = if means.contains(&"nftables") { 1 } else { 3 };
        let mut killed = 0;
        for call in CALLS {
            let points = (1..).step_by(stride).map(|count| Point { call, count });
            killed += points.take_while(kill_and_go_on).count();
        }
        assert!(killed >= 9, "{means:?}: {killed} times killed is not often");
    }
}

/// The begin of a system call.
#[derive(Debug)]
struct Point {
    call: &'static str,
    /// How often it has begun then, this time included.
    count: usize,
}

/// Runs the program and kills it at this point. False if it does not get there.
fn kill(namespace: &Namespace, flags: &[&str], Point { call, count }: &Point) -> bool {
    let mut command = Command::new("strace");
    command.args(["-qqq", "-o", "/dev/null", "-e", &format!("trace={call}")]);
    command.args(["-e", &format!("inject={call}:signal=KILL:when={count}")]);
    command.arg(env!("CARGO_BIN_EXE_lateen-init"));
    command.args(flags).stderr(Stdio::null()).process_group(0);
    let mut child = namespace.enter(|| command.spawn().unwrap());
    let group = i32::try_from(child.id()).unwrap();
    let status = child.wait().unwrap();
    // What it had started lives on for a moment, and finishes what it was given.
    while waitpid(Pid::from_raw(-group), None).is_ok() {}
    assert!(status.success() || status.signal() == Some(9), "{status}");
    !status.success()
}

/// Our rules by family and table, or all of them where they come in one transaction.
fn tables(namespace: &Namespace, means: &[&str]) -> BTreeMap<String, String> {
    let mut tables = BTreeMap::new();
    if means.contains(&"nftables") {
        let rules = namespace.succeed(Command::new("nft").args(["-s", "list", "ruleset"]));
        tables.insert("all".to_owned(), rules);
    }
    for family in ["iptables", "ip6tables"] {
        let save = match means {
            ["--force-iptables-binary", variant] => format!("{family}-{variant}-save"),
            _ => break,
        };
        let mut name = String::new();
        for line in namespace.succeed(&mut Command::new(save)).lines() {
            if let Some(table) = line.strip_prefix('*') {
                name = format!("{family} {table}");
            } else if line.contains("ISTIO_") {
                let rules = tables.entry(name.clone()).or_insert_with(String::new);
                rules.extend([line, "\n"]);
            }
        }
    }
    tables.retain(|_, rules| !rules.is_empty());
    tables
}

/// The routes of marked packets, and whether there is the proxy's address.
fn surroundings(namespace: &Namespace) -> (String, bool) {
    let has_address = namespace.enter(|| std::net::TcpListener::bind("[::6]:0").is_ok());
    (routing(namespace, "133"), has_address)
}
