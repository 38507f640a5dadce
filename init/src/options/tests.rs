//! What users write, and what they are told about it.

use std::collections::HashMap;
use std::time::Duration;

use super::*;
use crate::pod::Container;

fn parse(arguments: &[&str], environment: &[(&str, &str)]) -> Result<Options, Vec<String>> {
    let environment: HashMap<_, _> = environment.iter().copied().collect();
    let container = Container::new(
        "istio-proxy:x:1400:1500::/:\napp:x:1000:1000::/:\n",
        "mesh:x:1600:\n",
        "nameserver 10.96.0.10\n",
    );
    let arguments = arguments.iter().map(OsString::from);
    let lookup = |name: &str| environment.get(name).map(|value| (*value).to_owned());
    match Invocation::parse(arguments, lookup, &container) {
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
    // Of two names for the same flag the one that pods are given counts.
    for (capture, dns) in [("true", DnsCapture::All), ("false", DnsCapture::Off)] {
        let environment = [
            ("ISTIO_META_DNS_CAPTURE", capture),
            (
                "REDIRECT_DNS",
                if capture == "true" { "false" } else { "true" },
            ),
        ];
        assert_eq!(good(&["--capture-all-dns"], &environment).dns, dns);
    }
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
    --proxy-uid=nobody: "nobody" is neither the id nor the name of a user in this container
    --envoy-port=70000: "70000" is not a port (1 to 65535)
    --istio-inbound-ports=80,*: "*" is not a port (1 to 65535); * alone means all
    --istio-inbound-interception-mode=tproxy: is no interception mode; allowed are REDIRECT and TPROXY
    --istio-service-exclude-cidr=*: "*" is not a network (such as 10.0.0.0/8, fd00::/8 or 10.1.2.3)
    ISTIO_OUTBOUND_PORTS=http: "http" is not a port (1 to 65535)
    --istio-exclude-interfaces=eth0;reboot: "eth0;reboot" is not an interface (at most 15 letters, digits, _ . - @, and + at the end for any rest)
    --kube-virt-interfaces=a/b: "a/b" is not an interface (at most 15 letters, digits, _ . - @, and + at the end for any rest)
    ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR=10.0.0.0/8: "10.0.0.0/8" is not a network within 127.0.0.0/8
    --force-iptables-binary=both: allowed are legacy and nft
    --probe-timeout=5: "5" is not a duration (such as 500ms, 5s or 1m30s)
    "#);
}

#[test]
fn another_pods_name_servers_are_not_known() {
    let elsewhere = [
        "--cni-mode",
        "--network-namespace",
        "/run/netns/x",
        "--redirect-dns",
    ];
    let problems = parse(&elsewhere, &[]).unwrap_err();
    insta::assert_snapshot!(problems.join("\n"), @"--redirect-dns=true: needs --capture-all-dns with --network-namespace, for /etc/resolv.conf is not that pod's");
    let options = good(&[&elsewhere[..], &["--capture-all-dns"]].concat(), &[]);
    assert_eq!(
        options.run.network_namespace,
        Some(PathBuf::from("/run/netns/x"))
    );
}

#[test]
fn tproxy_has_a_mark_and_a_route_table() {
    let mode = |arguments: &[&str]| good(arguments, &[]).inbound_mode;
    let tproxy = |mark, route_table| InboundMode::Tproxy { mark, route_table };
    assert_eq!(mode(&["-m", "TPROXY"]), tproxy(1337, 133));
    assert_eq!(
        mode(&["-m", "TPROXY", "-t", "0x7", "-r", "99"]),
        tproxy(7, 99)
    );
    assert_eq!(mode(&["-t", "7"]), InboundMode::Redirect);
    // Only what arrives is handed over by route.
    assert_eq!(good(&["-m", "TPROXY"], &[]).marked_route(), None);
    assert_eq!(
        good(&["-m", "TPROXY", "-b", "*"], &[]).marked_route(),
        Some((1337, 133))
    );
    for wrong in [["-t", "0"], ["-r", "254"], ["-m", "NONE"]] {
        assert_eq!(parse(&wrong, &[]).unwrap_err().len(), 1, "{wrong:?}");
    }
}

#[test]
fn dns_capture_needs_name_servers_or_takes_all() {
    let dns = |arguments: &[&str], environment| good(arguments, environment).dns;
    let server = DnsCapture::Servers(vec!["10.96.0.10".parse().unwrap()]);
    assert_eq!(dns(&["--redirect-dns"], &[]), server);
    assert_eq!(dns(&[], &[("ISTIO_META_DNS_CAPTURE", "true")]), server);
    assert_eq!(
        dns(&["--redirect-dns", "--capture-all-dns"], &[]),
        DnsCapture::All
    );
    assert_eq!(dns(&["--capture-all-dns"], &[]), DnsCapture::Off);
    assert_eq!(
        dns(
            &["--redirect-dns=false"],
            &[("ISTIO_META_DNS_CAPTURE", "true")]
        ),
        DnsCapture::Off
    );
}

#[test]
fn groups_are_named_or_numbered_and_not_too_many() {
    const ONLY: &str = "ISTIO_OUTBOUND_OWNER_GROUPS";
    const EXCEPT: &str = "ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE";
    let groups = |environment| good(&[], environment).groups;
    assert_eq!(groups(&[]), Groups::AllExcept(vec![]));
    assert_eq!(
        groups(&[(ONLY, "*"), (EXCEPT, "mesh,5")]),
        Groups::AllExcept(vec![1600, 5])
    );
    assert_eq!(
        groups(&[(ONLY, "mesh,5,6")]),
        Groups::Only(vec![1600, 5, 6])
    );
    assert_eq!(
        groups(&[(ONLY, "mesh,5,6"), (EXCEPT, "5")]),
        Groups::Only(vec![1600, 6])
    );
    let many = |count: u32| {
        (1..=count)
            .map(|id| id.to_string())
            .collect::<Vec<_>>()
            .join(",")
    };
    assert!(parse(&[], &[(ONLY, &many(64))]).is_ok());
    for wrong in [&many(65), "nobody", "5,*"] {
        assert_eq!(
            parse(&[], &[(ONLY, wrong)]).unwrap_err().len(),
            1,
            "{wrong}"
        );
    }
}

#[test]
fn the_back_end_is_what_works_or_what_is_asked_for() {
    let backend = |arguments: &[&str]| good(arguments, &[]).backend;
    assert_eq!(backend(&[]), Backend::Auto);
    assert_eq!(backend(&["--backend", "auto"]), Backend::Auto);
    assert_eq!(backend(&["--backend=iptables"]), Backend::Iptables);
    assert_eq!(backend(&["--backend=nftables"]), Backend::Nftables);
    assert_eq!(
        good(&[], &[("BACKEND", "nftables")]).backend,
        Backend::Nftables
    );
    assert_eq!(backend(&["--native-nftables"]), Backend::Nftables);
    assert_eq!(backend(&["--force-iptables-binary=nft"]), Backend::Iptables);
    for wrong in [
        &["--backend=ebpf"][..],
        &["--backend=iptables", "--native-nftables"],
        &["--backend=nftables", "--force-iptables-binary=nft"],
        &["--native-nftables", "--force-iptables-binary=legacy"],
    ] {
        assert_eq!(parse(wrong, &[]).unwrap_err().len(), 1, "{wrong:?}");
    }
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
    let timeout = |text: &str| good(&["--probe-timeout", text], &[]).run.probe_timeout;
    assert_eq!(timeout("1.5m"), Duration::from_secs(90));
    assert_eq!(timeout("250ms"), Duration::from_millis(250));
    assert_eq!(timeout("1m30s"), Duration::from_secs(90));
    assert_eq!(timeout("1h0.5s2us"), Duration::from_micros(3_600_500_002));
    assert!(good(&["-n"], &[]).run.dry_run);
    assert!(good(&["--dry-run=T"], &[]).run.dry_run);
    for wrong in [
        "-1s",
        "1e400s",
        "5",
        "s",
        "1d",
        "1m30",
        "1..5s",
        "0s",
        "9000000000000000h",
        "",
    ] {
        let problems = parse(&[&format!("--probe-timeout={wrong}")], &[]);
        let expected = usize::from(!wrong.is_empty());
        assert_eq!(
            problems.map_or_else(|all| all.len(), |_| 0),
            expected,
            "{wrong:?}"
        );
    }
}

#[test]
fn help_names_every_flag() {
    let help = help();
    for flag in flags::ALL {
        assert!(help.contains(flag.name), "{}", flag.name);
    }
}
