//! What goes wrong outside of the program, and what it says about it: one line, and nothing half
//! made.

use std::fs::{self, File};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::harness::world::program;
use super::harness::{DEFAULT, MEANS, Namespace, PROXY, World};

/// A folder to be the whole PATH: programs as they are, and stand-ins.
struct Programs(TempDir);

impl Programs {
    /// With the real programs of these names.
    fn real(names: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            symlink(which(name), folder.path().join(name)).unwrap();
        }
        Self(folder)
    }

    /// Puts a shell script in the place of a program.
    fn stand_in(self, name: &str, script: &str) -> Self {
        let file = self.0.path().join(name);
        let _ = fs::remove_file(&file);
        fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        self
    }

    /// The program, which finds nothing but these.
    fn command(&self) -> Command {
        let mut command = program();
        command.env("PATH", self.0.path()).args(DEFAULT);
        command.args(["--backend", "iptables"]);
        command
    }
}

const NFT: [&str; 4] = [
    "iptables-nft-save",
    "iptables-nft-restore",
    "ip6tables-nft-save",
    "ip6tables-nft-restore",
];

fn which(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    let mut folders = std::env::split_paths(&path);
    folders
        .find_map(|folder| Some(folder.join(name)).filter(|file| file.is_file()))
        .unwrap_or_else(|| {
            panic!("the tests need {name} in PATH (packages iptables, iproute2, util-linux)")
        })
}

/// The one line that is an error, of a run that ended with this code.
fn error(output: &Output, code: i32) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    let errors: Vec<_> = said
        .lines()
        .filter_map(|line| line.strip_prefix("error: "))
        .collect();
    assert_eq!(errors.len(), 1, "{said}");
    errors[0].to_owned()
}

fn assert_says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in: {message}");
    }
}

/// A namespace whose IPv6 others can reach, so that it must be redirected.
fn dual_stack() -> Namespace {
    let namespace = Namespace::new();
    namespace.ip("link add eth0 type veth peer name eth1");
    namespace.ip("link set eth0 up");
    namespace.ip("address add fd77::2/64 dev eth0 nodad");
    namespace
}

fn assert_untouched(namespace: &Namespace) {
    for variant in super::harness::VARIANTS {
        let saved = namespace.saved(variant);
        assert!(!saved.contains("ISTIO_"), "{variant}:\n{saved}");
    }
    let has_address = namespace.enter(|| std::net::TcpListener::bind("[::6]:0").is_ok());
    assert!(!has_address, "the address ::6 is left on lo");
}

#[test]
fn without_the_capability_it_says_so() {
    let namespace = dual_stack();
    let mut command = Command::new(which("setpriv"));
    command.args(["--bounding-set=-net_admin", "--inh-caps=-net_admin"]);
    command.arg(env!("CARGO_BIN_EXE_lateen-init")).args(DEFAULT);
    let message = error(
        &namespace.output(command.args(["--backend", "nftables"])),
        1,
    );
    assert_says(&message, &["CAP_NET_ADMIN"]);
    let mut command = Command::new(which("setpriv"));
    command.args(["--bounding-set=-net_admin", "--inh-caps=-net_admin"]);
    command.arg(env!("CARGO_BIN_EXE_lateen-init")).args(DEFAULT);
    let message = error(&namespace.output(&mut command), 1);
    assert_says(
        &message,
        &["CAP_NET_ADMIN", "NET_RAW", "securityContext.capabilities"],
    );
    assert_untouched(&namespace);
}

#[test]
fn a_capability_that_the_kernel_does_not_honour_is_missed_too() {
    // A user namespace has all capabilities, but not over a network namespace that it does not own.
    let namespace = dual_stack();
    let mut command = Command::new(which("unshare"));
    command.args(["--user", "--map-root-user"]);
    command.arg(env!("CARGO_BIN_EXE_lateen-init")).args(DEFAULT);
    let message = error(&namespace.output(&mut command), 1);
    assert_says(
        &message,
        &["iptables-nft-save", "Permission denied", "NET_ADMIN"],
    );
    assert_untouched(&namespace);
}

/// As in a pod with `hostUsers: false`, whose network namespace belongs to its user namespace. Only one id
/// is known in it.
#[test]
fn a_pod_with_users_of_its_own_is_programmed_too() {
    let run = |flags: &[&str]| {
        let mut command = Command::new(which("unshare"));
        command.args(["--user", "--map-root-user", "--net"]);
        let script = "ip link set lo up && exec \"$@\"";
        command.args(["sh", "-c", script, "sh"]);
        command.arg(env!("CARGO_BIN_EXE_lateen-init"));
        command.args(["-i", "*", "-b", "*", "-m", "TPROXY"]);
        let output = command.args(flags).output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    for means in MEANS {
        let (code, said) = run(&[&["-u", "0"], means].concat());
        assert_eq!(code, Some(0), "{means:?}: {said}");
    }
    // A rule about a user that is not known there is no rule for iptables.
    let (code, said) = run(&["-u", "1337"]);
    assert_eq!(code, Some(0), "{said}");
    let rejected = "in table nat: -A ISTIO_OUTPUT ! -d 127.0.0.1/32 -o lo -p tcp -m tcp ! --dport 15008 -m owner --uid-owner 1337";
    assert_says(&said, &[rejected, "Trying nf_tables", "in place now"]);
    // Nobody there may send as much at once as one likes without asking.
    let networks: Vec<_> = (0..1200)
        .map(|it| format!("10.{}.{}.0/24", it / 256, it % 256))
        .collect();
    let (code, said) = run(&["-x", &networks.join(","), "--backend", "nftables"]);
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn without_programs_it_names_them() {
    let namespace = dual_stack();
    let message = error(&namespace.output(&mut Programs::real(&[]).command()), 1);
    assert_says(
        &message,
        &[
            "iptables-nft-save",
            "iptables-save",
            "iptables-legacy-save",
            "PATH",
        ],
    );
    let only_v4 = Programs::real(&NFT[..2]);
    let message = error(&namespace.output(&mut only_v4.command()), 1);
    assert_says(&message, &["IPv6", "ip6tables-nft-save"]);
    let mut legacy = Programs::real(&NFT).command();
    let message = error(
        &namespace.output(legacy.args(["--force-iptables-binary", "legacy"])),
        1,
    );
    assert_says(&message, &["there is no iptables-legacy-save in PATH"]);
    assert_untouched(&namespace);
}

#[test]
fn a_pod_without_ipv6_addresses_starts_without_ip6tables() {
    let namespace = Namespace::new();
    let output = namespace.output(&mut Programs::real(&NFT[..2]).command());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert_says(
        &said,
        &[
            "warn: Cannot read the IPv6 packet rules",
            "starts without IPv6 rules",
        ],
    );
    assert!(namespace.saved("nft").contains("127.0.0.6/32"));
}

#[test]
fn loopback_without_ipv6_is_an_error_where_the_pod_has_it() {
    let namespace = dual_stack();
    namespace.enter(|| fs::write("/proc/sys/net/ipv6/conf/lo/disable_ipv6", "1").unwrap());
    let message = error(&namespace.output(program().args(DEFAULT)), 1);
    assert_says(
        &message,
        &[
            "Cannot add address ::6 on interface lo",
            "net.ipv6.conf.lo.disable_ipv6",
        ],
    );
    assert_untouched(&namespace);
}

#[test]
fn loopback_without_ipv6_is_a_warning_where_nothing_can_leave_by_it() {
    for means in MEANS {
        let namespace = Namespace::new();
        namespace.ip("link add eth0 type veth peer name eth1");
        namespace.ip("link set eth1 up");
        namespace.ip("link set eth0 up");
        namespace.enter(|| fs::write("/proc/sys/net/ipv6/conf/lo/disable_ipv6", "1").unwrap());
        await_condition("a link has its own address", || {
            let addresses =
                namespace.enter(|| fs::read_to_string("/proc/thread-self/net/if_inet6"));
            addresses.unwrap().contains("eth0")
        });
        let output = namespace.output(program().args(DEFAULT).args(means));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{means:?}: {said}");
        let message = "warn: Cannot add address ::6 on interface lo";
        assert_says(
            &said,
            &[message, "starts without IPv6 rules", "in place now"],
        );
    }
}

#[test]
fn when_one_family_fails_the_other_is_taken_back() {
    let without_module = "cat >/dev/null; echo \"ip6tables-restore v1.8.9 (nf_tables): line 17: RULE_APPEND failed (No such file or directory): rule in chain ISTIO_OUTPUT\" >&2; exit 1";
    let namespace = dual_stack();
    let programs = Programs::real(&NFT).stand_in("ip6tables-nft-restore", without_module);
    let message = error(&namespace.output(&mut programs.command()), 1);
    assert_says(
        &message,
        &[
            "Cannot change the IPv6 packet rules",
            "RULE_APPEND failed",
            "xt_owner",
        ],
    );
    assert_untouched(&namespace);

    // What was there before comes back.
    let mut before = program();
    namespace.succeed(before.args(["-u", "7", "-i", "10.0.0.0/8"]));
    let rules = namespace.saved("nft");
    error(&namespace.output(&mut programs.command()), 1);
    assert_eq!(namespace.saved("nft"), rules);
}

#[test]
fn a_kernel_without_nf_tables_gets_legacy_rules() {
    let unsupported = "echo \"$0 v1.8.9 (nf_tables): Could not fetch rule set generation id: Invalid argument\" >&2; exit 1";
    let legacy = NFT.map(|name| name.replace("nft", "legacy"));
    let legacy = legacy.each_ref().map(String::as_str);
    let mut programs = Programs::real(&legacy);
    for name in NFT {
        programs = programs.stand_in(name, unsupported);
    }
    let namespace = dual_stack();
    namespace.succeed(&mut programs.command());
    assert!(namespace.saved("legacy").contains("-j ISTIO_OUTPUT"));

    let only_nft = NFT.into_iter().fold(Programs::real(&[]), |it, name| {
        it.stand_in(name, unsupported)
    });
    let message = error(&namespace.output(&mut only_nft.command()), 1);
    assert_says(
        &message,
        &[
            "Invalid argument",
            "nf_tables",
            "--force-iptables-binary=legacy",
        ],
    );
}

#[test]
fn a_kernel_without_what_nft_needs_gets_legacy_rules_whole() {
    let unsupported = "cat >/dev/null; echo 'Warning: Extension owner revision 0 not supported, missing kernel module?' >&2; exit 1";
    let all = [
        &NFT[..],
        &["iptables-legacy-save", "iptables-legacy-restore"],
    ]
    .concat();
    let programs = Programs::real(&all).stand_in("iptables-nft-restore", unsupported);
    let namespace = Namespace::new();
    namespace.succeed(&mut programs.command());
    assert!(namespace.saved("legacy").contains("-s 127.0.0.6/32"));
    assert!(!namespace.saved("nft").contains("127.0.0.6/32"));
}

/// Unless told otherwise, what iptables cannot do is done over netlink.
#[test]
fn a_kernel_without_what_iptables_needs_gets_rules_of_nf_tables() {
    let unsupported = "echo 'Warning: Extension owner revision 0 not supported, missing kernel module?' >&2; exit 1";
    let programs = NFT.iter().filter(|name| name.ends_with("restore"));
    let programs = programs.fold(Programs::real(&NFT), |it, name| {
        it.stand_in(name, unsupported)
    });
    let namespace = dual_stack();
    let mut command = programs.command();
    let output = namespace.output(command.args(["--backend", "auto"]));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert_says(
        &said,
        &[
            "missing kernel module",
            "Trying nf_tables",
            "in place now (nf_tables)",
        ],
    );
    let ruleset = namespace.succeed(Command::new("nft").args(["list", "ruleset"]));
    assert_eq!(
        ruleset.matches("redirect to :15001").count(),
        2,
        "{ruleset}"
    );

    // What is wrong otherwise is no reason to try anything else.
    let locked = "echo 'Another app is currently holding the xtables lock' >&2; exit 4";
    let programs = NFT.iter().filter(|name| name.ends_with("restore"));
    let programs = programs.fold(Programs::real(&NFT), |it, name| it.stand_in(name, locked));
    let namespace = dual_stack();
    let mut command = programs.command();
    let message = error(&namespace.output(command.args(["--backend", "auto"])), 1);
    assert_says(&message, &["xtables lock"]);
    assert_untouched(&namespace);
}

/// iptables shows nothing of a table in which there is something that it does not know, and changes it
/// all the same.
#[test]
fn a_table_that_iptables_cannot_show_is_left_alone() {
    let theirs = "add table ip nat { map m { type ipv4_addr : ipv4_addr; }; chain c { dnat to ip daddr map @m; }; }";
    let theirs_alone = |namespace: &Namespace| {
        let command = &mut Command::new("nft");
        namespace.succeed(command.args(["list", "table", "ip", "nat"]))
    };
    let namespace = dual_stack();
    namespace.succeed(Command::new("nft").arg(theirs));
    let before = theirs_alone(&namespace);
    let forced = ["--force-iptables-binary", "nft"];
    let message = error(&namespace.output(program().args(DEFAULT).args(forced)), 1);
    assert_says(
        &message,
        &[
            "Cannot read the IPv4",
            "Table `nat' is incompatible, use 'nft' tool. Another",
            "--backend=nftables",
        ],
    );
    assert_eq!(theirs_alone(&namespace), before);
    let mut command = Programs::real(&NFT).command();
    let output = namespace.output(command.args(["--backend", "auto"]));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert_says(&said, &["Trying nf_tables", "in place now (nf_tables)"]);
    assert_eq!(theirs_alone(&namespace), before);
}

#[test]
fn what_the_kernel_lacks_is_named() {
    let cases = [
        (
            "iptables-restore v1.8.9 (legacy): iptables-restore: unable to initialize table 'nat'\n\nError occurred at line: 1\nTry `iptables-restore -h'",
            "iptable_nat",
        ),
        (
            "Another app is currently holding the xtables lock; waited 30s",
            "lock",
        ),
        (
            "iptables-restore v1.8.9: Couldn't load match `owner':No such file or directory",
            "XTABLES_LIBDIR",
        ),
        ("", "exit status: 3 without a word"),
    ];
    let namespace = dual_stack();
    for (printed, advice) in cases {
        let script = "cat >/dev/null; printf '%s' \"$SAYS\" >&2; exit 3";
        let programs = Programs::real(&NFT).stand_in("iptables-nft-restore", script);
        let output = namespace.output(programs.command().env("SAYS", printed).env("PATH", {
            // The stand-in needs cat.
            let folders = [programs.0.path().to_owned(), PathBuf::from("/bin")];
            std::env::join_paths(folders).unwrap()
        }));
        let message = error(&output, 1);
        assert_says(&message, &["Cannot change the IPv4 packet rules", advice]);
        assert_says(&message, &[printed.lines().next().unwrap_or_default()]);
        assert_untouched(&namespace);
    }
}

#[test]
fn a_program_that_claims_success_is_not_believed() {
    let programs =
        Programs::real(&NFT).stand_in("iptables-nft-restore", "exec /bin/cat >/dev/null");
    let namespace = dual_stack();
    let message = error(&namespace.output(&mut programs.command()), 1);
    assert_says(
        &message,
        &[
            "Applied the IPv4 packet rules",
            "table nat, chain",
            "is wanted, nothing is there",
        ],
    );
    assert_untouched(&namespace);
}

#[test]
fn a_lock_that_is_held_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("xtables.lock");
    let lock = File::create(&path).unwrap();
    lock.lock().unwrap();
    let namespace = Namespace::new();
    let mut command = program();
    command
        .args(DEFAULT)
        .args(["--force-iptables-binary", "legacy"]);
    command
        .env("XTABLES_LOCKFILE", &path)
        .stderr(Stdio::piped());
    let mut child = namespace.enter(|| command.spawn().unwrap());
    let inode = format!(":{} ", lock.metadata().unwrap().ino());
    await_condition("somebody waits for the lock", || {
        let locks = fs::read_to_string("/proc/locks").unwrap();
        locks
            .lines()
            .any(|line| line.contains("->") && line.contains(&inode))
    });
    assert_eq!(child.try_wait().unwrap(), None, "it did not wait");
    assert!(
        !namespace.saved("legacy").contains("ISTIO_"),
        "it changed rules under the lock"
    );
    lock.unlock().unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(namespace.saved("legacy").contains("-j ISTIO_OUTPUT"));
}

#[test]
fn a_root_file_system_that_is_read_only_is_no_obstacle() {
    let namespace = Namespace::new();
    // In a mount namespace of its own, where nothing can be written to /run.
    let script = "mount -t tmpfs -o ro tmpfs /run && exec \"$@\"";
    let mut command = Command::new(which("unshare"));
    command.args([
        "--mount",
        "sh",
        "-c",
        script,
        "sh",
        env!("CARGO_BIN_EXE_lateen-init"),
    ]);
    command
        .args(DEFAULT)
        .args(["--force-iptables-binary", "legacy"]);
    namespace.succeed(&mut command);
    assert!(namespace.saved("legacy").contains("-j ISTIO_OUTPUT"));
}

#[test]
fn only_as_many_programs_run_as_are_needed() {
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut programs = Programs::real(&[]);
    for name in NFT {
        let script = format!(
            "echo \"${{0##*/}} $*\" >>{}; exec {} \"$@\"",
            log.path().display(),
            which(name).display()
        );
        programs = programs.stand_in(name, &script);
    }
    let namespace = dual_stack();
    namespace.succeed(&mut programs.command());
    let first = "iptables-nft-save \nip6tables-nft-save \niptables-nft-restore --noflush --wait=30\niptables-nft-save \nip6tables-nft-restore --noflush --wait=30\nip6tables-nft-save \n";
    assert_eq!(fs::read_to_string(log.path()).unwrap(), first);
    fs::write(log.path(), "").unwrap();
    namespace.succeed(&mut programs.command());
    let second = "iptables-nft-save \nip6tables-nft-save \n";
    assert_eq!(fs::read_to_string(log.path()).unwrap(), second);
}

#[test]
fn the_whole_run_is_quick() {
    // The budget is 15 ms; ten times that leaves room for a busy machine and a debug build.
    let fastest = (0..5).map(|_| {
        let namespace = dual_stack();
        let begin = Instant::now();
        namespace.succeed(program().args(DEFAULT));
        begin.elapsed()
    });
    let fastest = fastest.min().unwrap();
    assert!(fastest < Duration::from_millis(150), "{fastest:?}");
}

#[test]
fn validation_tells_redirected_pods_from_others() {
    let world = dual_stack();
    let validate = [
        "--skip-rule-apply",
        "--run-validation",
        "--probe-timeout",
        "200ms",
    ];
    let as_user = |id: u32| {
        let mut command = Command::new(which("setpriv"));
        command.args([format!("--reuid={id}"), format!("--regid={id}")]);
        command.args(["--clear-groups", env!("CARGO_BIN_EXE_lateen-init")]);
        world.output(command.args(DEFAULT).args(validate))
    };
    let message = error(&as_user(PROXY), 126);
    assert_says(
        &message,
        &["IPv4 traffic is not redirected", "127.0.0.6:15002"],
    );

    world.succeed(program().args(DEFAULT));
    assert_eq!(as_user(PROXY).status.code(), Some(0));
    // Root becomes the proxy's user; another user cannot, and is told.
    assert_eq!(
        world
            .output(program().args(DEFAULT).args(validate))
            .status
            .code(),
        Some(0)
    );
    let output = as_user(1000);
    assert_says(
        &String::from_utf8_lossy(&output.stderr),
        &["should run as user 1337"],
    );
    error(&output, 126);

    world.restore("ip6tables", "nft", "*nat\n:ISTIO_OUTPUT - [0:0]\nCOMMIT\n");
    assert_says(
        &error(&as_user(PROXY), 126),
        &["IPv6 traffic is not redirected", "[::6]:15002"],
    );
    let taken = world.enter(|| std::net::TcpListener::bind("127.0.0.1:15006").unwrap());
    assert!(taken.as_raw_fd() > 0);
    assert_says(
        &error(&as_user(PROXY), 126),
        &["cannot listen on 127.0.0.1:15006"],
    );
}

#[test]
fn rules_can_be_made_and_tried_out_in_one_run() {
    // The proxy's ports are taken by the listeners of the world; the trial has its own.
    let flags = [
        "-p",
        "16001",
        "-z",
        "16006",
        "-u",
        "1337",
        "-i",
        "*",
        "-b",
        "*",
        "--run-validation",
    ];
    for means in MEANS {
        let world = World::new();
        for mode in ["REDIRECT", "TPROXY"] {
            let said = world.program(&[&flags[..], means, &["-m", mode]].concat());
            assert_says(
                &said,
                &["IPv4 traffic is redirected", "IPv6 traffic is redirected"],
            );
        }
    }
}

/// Waits until something is so.
fn await_condition(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::yield_now();
    }
}
