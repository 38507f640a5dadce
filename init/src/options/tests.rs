//! What users write, and what they are told about it.

use std::collections::HashMap;
use std::time::Duration;

use super::*;
use crate::pod::Accounts;

fn parse(arguments: &[&str], environment: &[(&str, &str)]) -> Result<Options, Vec<String>> {
    let environment: HashMap<_, _> = environment.iter().copied().collect();
    let accounts = Accounts::new(
        "istio-proxy:x:1400:1500::/:\napp:x:1000:1000::/:\n",
        "mesh:x:1600:\n",
    );
    let arguments = arguments.iter().map(OsString::from);
    let lookup = |name: &str| environment.get(name).map(|value| (*value).to_owned());
    match Invocation::parse(arguments, lookup, &accounts) {
        Ok(Invocation::Run(options)) => Ok(*options),
        Ok(other) => panic!("{other:?} is no run"),
        Err(Error::Options(problems)) => Err(problems.iter().map(Problem::to_string).collect()),
        Err(other) => panic!("{other} is not about options"),
    }
}

fn good(arguments: &[&str], environment: &[(&str, &str)]) -> Options {
    parse(arguments, environment).unwrap()
}

#[test]
fn without_flags_nothing_is_redirected_and_all_is_default() {
    let options = good(&[], &[]);
    assert_eq!(options.outbound_capture, 15001);
    assert_eq!(options.inbound_capture, 15006);
    assert_eq!(options.tunnel, 15008);
    assert_eq!(
        (options.proxy_uids, options.proxy_gids),
        (vec![1400], vec![1400])
    );
    assert_eq!(options.inbound, InboundPorts::Only(vec![]));
    assert_eq!(options.destinations, Destinations::Only(vec![]));
    assert_eq!(options.run.probe_timeout, Duration::from_secs(5));
    assert_eq!(options.run.probe_port, 15002);
}

#[test]
fn the_injected_arguments_are_understood() {
    let arguments = "-p 15001 -z 15006 -u 1337 -m REDIRECT -i * -x  -b * -d 15090,15021,15020 --log_output_level=default:info";
    let arguments: Vec<_> = arguments.split(' ').collect();
    let options = good(&arguments, &[]);
    assert_eq!(
        (options.proxy_uids, options.proxy_gids),
        (vec![1337], vec![1337])
    );
    assert_eq!(
        options.inbound,
        InboundPorts::AllExcept(vec![15090, 15021, 15020])
    );
    assert_eq!(options.destinations, Destinations::All);
    assert!(options.excluded_destinations.is_empty());
}

#[test]
fn the_command_line_wins_over_the_environment() {
    let environment = [
        ("INBOUND_CAPTURE_PORT", "1"),
        ("PROXY_UID", "2"),
        ("PROXY_GID", ""),
    ];
    let options = good(&["--proxy-uid", "3"], &environment);
    assert_eq!((options.inbound_capture, options.proxy_uids), (1, vec![3]));
    assert_eq!(options.proxy_gids, vec![3]);
    assert!(good(&[], &[("INVALID_DROP", "true")]).drop_invalid);
    assert!(!good(&["--drop-invalid=false"], &[("INVALID_DROP", "true")]).drop_invalid);
    // The one flag that the environment does not have: a Service named envoy would set it.
    assert_eq!(good(&[], &[("ENVOY_PORT", "7")]).outbound_capture, 15001);
    assert_eq!(good(&["-p1", "-p2"], &[]).outbound_capture, 2);
}

#[test]
fn owners_have_ids_or_names() {
    let options = good(
        &["-u", "app, 7,app", "-g", "mesh,8"],
        &[("ENVOY_USER", "app")],
    );
    assert_eq!(
        (options.proxy_uids, options.proxy_gids),
        (vec![1000, 7], vec![1600, 8])
    );
    assert_eq!(good(&[], &[("ENVOY_USER", "app")]).proxy_uids, vec![1000]);
    assert_eq!(
        good(&[], &[("ENVOY_USER", "nobody")]).proxy_uids,
        vec![1337]
    );
}

#[test]
fn networks_lose_their_host_bits() {
    let options = good(&["-i", "10.1.2.3/8,fd00::1/16, 10.9.9.9", "-x", "::1"], &[]);
    let networks: Vec<IpNet> = ["10.0.0.0/8", "fd00::/16", "10.9.9.9/32"]
        .map(|text| text.parse().unwrap())
        .into();
    assert_eq!(options.destinations, Destinations::Only(networks));
    assert_eq!(
        options.excluded_destinations,
        vec!["::1/128".parse::<IpNet>().unwrap()]
    );
}

#[test]
fn every_mistake_is_reported_with_its_name_and_value() {
    let problems = parse(
        &[
            "-p",
            "70000",
            "-b",
            "80,*",
            "-x",
            "*",
            "-c",
            "eth0;reboot",
            "--wat",
            "stray",
            "-k",
            "a/b",
            "--probe-timeout",
            "5",
            "-u",
            "nobody",
            "--force-iptables-binary=both",
            "-m",
            "tproxy",
        ],
        &[
            ("ISTIO_OUTBOUND_PORTS", "http"),
            ("ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR", "10.0.0.0/8"),
        ],
    )
    .unwrap_err();
    insta::assert_snapshot!(problems.join("\n"), @r#"
    command line: invalid option '--wat'; --help lists the flags
    command line: unexpected argument "stray"; --help lists the flags
    --istio-inbound-interception-mode=tproxy: is no interception mode; allowed is REDIRECT
    --proxy-uid=nobody: "nobody" is neither the id nor the name of a user in this container
    --envoy-port=70000: "70000" is not a port (1 to 65535)
    --istio-inbound-ports=80,*: "*" is not a port (1 to 65535); * alone means all
    --istio-service-exclude-cidr=*: "*" is not a network (such as 10.0.0.0/8, fd00::/8 or 10.1.2.3)
    ISTIO_OUTBOUND_PORTS=http: "http" is not a port (1 to 65535)
    --istio-exclude-interfaces=eth0;reboot: "eth0;reboot" is not an interface (at most 15 letters, digits, _ . - @, and + at the end for any rest)
    --kube-virt-interfaces=a/b: "a/b" is not an interface (at most 15 letters, digits, _ . - @, and + at the end for any rest)
    ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR=10.0.0.0/8: "10.0.0.0/8" is not a network within 127.0.0.0/8
    --force-iptables-binary=both: allowed are legacy and nft
    --probe-timeout=5: "5" is not a duration (such as 500ms, 5s or 1m)
    "#);
}

#[test]
fn what_is_not_built_is_refused_rather_than_ignored() {
    let problems = parse(
        &[
            "-m",
            "TPROXY",
            "--capture-all-dns",
            "--native-nftables",
            "--cni-mode",
            "--network-namespace",
            "/x",
        ],
        &[
            ("ISTIO_META_DNS_CAPTURE", "true"),
            ("ISTIO_OUTBOUND_OWNER_GROUPS", "java"),
            ("ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE", "202"),
        ],
    )
    .unwrap_err();
    insta::assert_snapshot!(problems.join("\n"), @r#"
    ISTIO_META_DNS_CAPTURE=true: is not supported yet; allowed is false
    --capture-all-dns=true: is not supported yet; allowed is false
    --native-nftables=true: is not supported yet; allowed is false
    --cni-mode=true: is not supported yet; allowed is false
    --network-namespace=/x: is not supported yet; leave it empty
    ISTIO_OUTBOUND_OWNER_GROUPS=java: is not supported yet; allowed is *
    ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE=202: is not supported yet; leave it empty
    --istio-inbound-interception-mode=TPROXY: is not supported yet; allowed is REDIRECT
    "#);
}

#[test]
fn what_changes_nothing_is_accepted() {
    good(
        &[
            "--log_as_json",
            "--log_output_level=all:debug",
            "--dual-stack",
            "--reconcile",
            "--redirect-dns=false",
            "-t",
            "0x539",
            "-r",
            "133",
            "-m",
            "",
        ],
        &[
            ("ISTIO_OUTBOUND_OWNER_GROUPS", "*"),
            ("ISTIO_DUAL_STACK", "true"),
            ("DRY_RUN", "0"),
        ],
    );
}

#[test]
fn durations_and_switches_are_written_as_in_go() {
    assert_eq!(
        good(&["--probe-timeout=1.5m"], &[]).run.probe_timeout,
        Duration::from_secs(90)
    );
    assert_eq!(
        good(&["--probe-timeout=250ms"], &[]).run.probe_timeout,
        Duration::from_millis(250)
    );
    assert!(good(&["-n"], &[]).run.dry_run);
    assert!(good(&["--dry-run=T"], &[]).run.dry_run);
    assert_eq!(parse(&["--probe-timeout=-1s"], &[]).unwrap_err().len(), 1);
    assert_eq!(
        parse(&["--probe-timeout=1e400s"], &[]).unwrap_err().len(),
        1
    );
}

#[test]
fn help_names_every_flag() {
    let help = help();
    for flag in flags::ALL {
        assert!(help.contains(flag.name), "{}", flag.name);
    }
}
