//! What `--dry-run` prints for one set of options after the other: the whole rule sets, for review.

#![expect(clippy::panic, reason = "tests fail by panicking")]

use std::ffi::OsString;

use lateen_init::family::Family;
use lateen_init::iptables::State;
use lateen_init::options::{Invocation, Options};
use lateen_init::pod::Container;
use lateen_init::{nftables, rules};

/// What the injector asks for by default.
const DEFAULT: &str = "-p 15001 -z 15006 -u 1337 -m REDIRECT -i * -b * -d 15090,15021,15020";

/// Name, flags, environment.
type Case = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
);

const CASES: &[Case] = &[
    ("default", DEFAULT, &[]),
    ("nothing", "", &[]),
    ("outbound-only", "-u 1337 -i *", &[]),
    ("inbound-only", "-u 1337 -b *", &[]),
    ("inbound-ports", "-u 1337 -i * -b 8080,9090", &[]),
    ("tunnel", "-u 1337 -i * -b * -e 16008", &[]),
    ("capture-ports", "-p 16001 -z 16006 -u 1337 -i * -b *", &[]),
    (
        "networks",
        "-u 1337 -i 10.0.0.0/8,fd00::/8 -x 10.1.0.0/16,fd00:1::/32 -b *",
        &[],
    ),
    (
        "loopback-network",
        "-u 1337 -i 127.0.0.9/32,::1/128 -b *",
        &[],
    ),
    (
        "loopback-of-applications",
        DEFAULT,
        &[("ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR", "127.0.0.0/16")],
    ),
    (
        "outbound-ports",
        "-u 1337 -i 10.0.0.0/8 -q 5000,6000 -o 25,53 -b *",
        &[],
    ),
    ("interfaces", "-u 1337 -i * -b * -c eth1,tun+", &[]),
    ("virtual-machines", "-u 1337 -i * -b * -k net1,net2", &[]),
    (
        "virtual-machines-networks",
        "-u 1337 -i 10.0.0.0/8,11.0.0.0/8 -k net1",
        &[],
    ),
    ("owners", "-u 1337,7 -g 1338,8 -i * -b *", &[]),
    ("drop-invalid", DEFAULT, &[("INVALID_DROP", "true")]),
    ("tproxy", "-u 1337 -m TPROXY -i * -b * -d 15090,15021", &[]),
    (
        "tproxy-ports",
        "-u 1337 -m TPROXY -t 7 -r 99 -i * -b 8080,9090 -z 16006 -c eth1 -k net1 --drop-invalid",
        &[],
    ),
    ("tproxy-outbound-only", "-u 1337 -m TPROXY -i *", &[]),
    (
        "dns",
        "-u 1337 -i * -b *",
        &[("ISTIO_META_DNS_CAPTURE", "true")],
    ),
    (
        "dns-all",
        "-u 1337,7 -g 1338 -i * --redirect-dns --capture-all-dns",
        &[],
    ),
    (
        "groups",
        "-u 1337 -i * --redirect-dns",
        &[("ISTIO_OUTBOUND_OWNER_GROUPS", "101,java,203")],
    ),
    (
        "groups-excluded",
        "-u 1337 -i *",
        &[("ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE", "java,203")],
    ),
];

fn options(flags: &str, environment: &[(&str, &str)]) -> Options {
    let container = Container::new(
        "",
        "java:x:202:\n",
        "nameserver 10.96.0.10\nnameserver fd96::a\n",
    );
    let arguments = flags.split_whitespace().map(OsString::from);
    let lookup = |name: &str| {
        environment
            .iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| (*value).to_owned())
    };
    match Invocation::parse(arguments, lookup, &container) {
        Ok(Invocation::Run(options)) => *options,
        other => panic!("{flags}: {other:?}"),
    }
}

#[test]
fn rules_are_as_reviewed() {
    for (name, flags, environment) in CASES {
        let options = options(flags, environment);
        let [v4, v6] = [Family::V4, Family::V6].map(|family| {
            let wanted = State::from(&rules::build(&options, family));
            format!("# {family}\n{}", State::default().change_to(&wanted))
        });
        insta::with_settings!({
            snapshot_path => "goldens",
            prepend_module_to_snapshot => false,
            omit_expression => true,
            description => format!("{flags} {environment:?}"),
        }, {
            insta::assert_snapshot!(*name, format!("{v4}{v6}"));
        });
    }
}

/// The same rules are the same in both languages; here is what each option looks like in that of nft.
#[test]
fn rules_of_nftables_are_as_reviewed() {
    for (name, flags, environment) in CASES {
        let options = options(flags, environment);
        let text = Family::ALL.map(|family| {
            let rules = rules::build(&options, family);
            format!("# {family}\n{}", nftables::text::write(&rules, family))
        });
        insta::with_settings!({
            snapshot_path => "goldens/nftables",
            prepend_module_to_snapshot => false,
            omit_expression => true,
            description => format!("{flags} {environment:?}"),
        }, {
            insta::assert_snapshot!(*name, text.concat());
        });
    }
}
