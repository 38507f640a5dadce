//! The goldens in `tests/goldens` show whole rule sets; here are the points that are easily missed.

use super::*;
use crate::family::Family;
use crate::options::{Invocation, Options};
use crate::pod::Container;

fn options(arguments: &[&str]) -> Options {
    let arguments = arguments.iter().map(std::ffi::OsString::from);
    match Invocation::parse(arguments, |_| None, &Container::default()) {
        Ok(Invocation::Run(options)) => *options,
        other => panic!("{other:?} is no run"),
    }
}

fn nat(arguments: &[&str], family: Family) -> TableRules {
    build(&options(arguments), family)
        .remove(&Table::Nat)
        .unwrap()
}

#[test]
fn every_chain_that_is_jumped_to_is_there_and_the_other_way_round() {
    let variations: [&[&str]; 8] = [
        &[],
        &["-b", "*", "-i", "*"],
        &["-b", "80", "-i", "10.0.0.0/8", "-c", "eth1"],
        &["-k", "net1", "-i", "fd00::/8"],
        &["-i", "*", "--drop-invalid"],
        &["-m", "TPROXY", "-b", "*"],
        &["-m", "TPROXY", "-b", "80", "-k", "net1", "--drop-invalid"],
        &[
            "-m",
            "TPROXY",
            "-i",
            "*",
            "--redirect-dns",
            "--capture-all-dns",
        ],
    ];
    for arguments in variations {
        for family in [Family::V4, Family::V6] {
            for (table, rules) in build(&options(arguments), family) {
                let jumps = rules
                    .chains
                    .values()
                    .flatten()
                    .filter_map(|rule| match rule.action {
                        Action::Jump(chain) => Some(chain),
                        _ => None,
                    });
                let hooks = rules.hooks.iter().map(|hook| hook.chain);
                let reached: std::collections::BTreeSet<_> = jumps.chain(hooks).collect();
                let made: std::collections::BTreeSet<_> = rules.chains.keys().copied().collect();
                // The outbound redirection is always made, so that it is easy to find.
                let missing: Vec<_> = reached.difference(&made).collect();
                let idle: Vec<_> = made.difference(&reached).collect();
                assert!(
                    missing.is_empty(),
                    "{arguments:?} {family} {table:?}: {missing:?}"
                );
                assert!(
                    idle.is_empty() || idle == [&Chain::Redirect],
                    "{arguments:?}: {idle:?}"
                );
            }
        }
    }
}

#[test]
fn a_family_gets_its_own_networks_only() {
    let arguments = ["-i", "10.0.0.0/8,fd00::/8", "-x", "10.1.0.0/16,fd00:1::/32"];
    for (family, own) in [(Family::V4, "10."), (Family::V6, "fd00:")] {
        let rules = nat(&arguments, family)
            .chains
            .remove(&Chain::Output)
            .unwrap();
        let networks: Vec<_> = rules
            .iter()
            .rev()
            .take(2)
            .map(|rule| &rule.condition.destination)
            .collect();
        for network in networks {
            let Some(Is::Exactly(network)) = network else {
                panic!("{network:?}")
            };
            assert!(network.to_string().starts_with(own), "{family}: {network}");
        }
    }
}

#[test]
fn the_network_of_everything_is_no_condition() {
    // iptables-save would not print it, and the kernel's state would never equal ours.
    let rules = nat(&["-i", "0.0.0.0/0"], Family::V4)
        .chains
        .remove(&Chain::Output)
        .unwrap();
    assert_eq!(
        rules.last(),
        Some(&Condition::any().then(Action::Jump(Chain::Redirect)))
    );
}

#[test]
fn an_application_reaches_included_loopback_addresses_by_the_proxy() {
    let leaves_loopback_alone = |arguments: &[&str], family| {
        let rules = nat(arguments, family)
            .chains
            .remove(&Chain::Output)
            .unwrap();
        let within_pod = Condition::any().leaving_by(&crate::options::Interface::loopback());
        rules.contains(&within_pod.then(Action::Return))
    };
    assert!(leaves_loopback_alone(&["-i", "*"], Family::V4));
    assert!(!leaves_loopback_alone(&["-i", "127.0.0.9/32"], Family::V4));
    assert!(leaves_loopback_alone(&["-i", "127.0.0.9/32"], Family::V6));
}
