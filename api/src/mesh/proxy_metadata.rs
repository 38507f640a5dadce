//! Variables of `proxyMetadata` that `istio-init` reads as well, and stops at when their value is none of
//! theirs: whoever sets them learns it before the pod is there.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use lateen_wire::{names, switch};

/// A variable whose value redirection cannot be programmed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongVariable<'a> {
    /// Its name.
    pub name: &'a str,
    /// What is wrong with its value, and what is allowed.
    pub reason: String,
}

/// The variables that `istio-init` would refuse. References to other variables (`$(NAME)`) are not known
/// before the container starts.
pub fn wrong_variables(
    metadata: &BTreeMap<String, String>,
) -> impl Iterator<Item = WrongVariable<'_>> {
    let known = metadata.iter().filter(|(_, value)| !value.contains("$("));
    known.filter_map(|(name, value)| {
        let reason = refusal(name, value.trim())?;
        Some(WrongVariable { name, reason })
    })
}

fn refusal(name: &str, value: &str) -> Option<String> {
    let (is_right, allowed) = match name {
        // An empty variable is none.
        _ if value.is_empty() => return None,
        "BACKEND" => (
            ["auto", "iptables", "nftables"].contains(&value),
            "auto, iptables and nftables".to_owned(),
        ),
        "FORCE_IPTABLES_BINARY" => (
            ["legacy", "nft"].contains(&value),
            "legacy and nft".to_owned(),
        ),
        "ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR" => {
            (is_loopback(value), "networks within 127.0.0.0/8".to_owned())
        }
        "ISTIO_OUTBOUND_OWNER_GROUPS" => (
            groups(value) <= names::MAX_OWNER_GROUPS,
            format!("at most {} groups", names::MAX_OWNER_GROUPS),
        ),
        "CAPTURE_ALL_DNS"
        | "DROP_INVALID"
        | "DUAL_STACK"
        | "INVALID_DROP"
        | "ISTIO_DUAL_STACK"
        | "ISTIO_META_DNS_CAPTURE"
        | "NATIVE_NFTABLES"
        | "REDIRECT_DNS" => (switch::parse(value).is_some(), "true and false".to_owned()),
        _ => return None,
    };
    (!is_right).then(|| format!("allowed are {allowed}, not {value:?}"))
}

fn is_loopback(value: &str) -> bool {
    let (address, length) = value.split_once('/').unwrap_or((value, "32"));
    let is_length = length
        .parse()
        .is_ok_and(|length: u8| (8..=32).contains(&length));
    let address: Result<Ipv4Addr, _> = address.parse();
    is_length && address.is_ok_and(|address| address.is_loopback())
}

fn groups(value: &str) -> usize {
    let groups = value.split(',').map(str::trim);
    let groups: BTreeSet<_> = groups.filter(|group| !group.is_empty()).collect();
    groups.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_init_refuses_is_wrong_and_nothing_else() {
        let many: Vec<String> = (0..65).map(|group: u32| group.to_string()).collect();
        let (many, most) = (many.join(","), many[..64].join(", "));
        let table: [(&str, &[&str], &[&str]); 6] = [
            (
                "BACKEND",
                &["auto", "iptables", " nftables ", ""],
                &["nft", "IPTABLES"],
            ),
            (
                "FORCE_IPTABLES_BINARY",
                &["legacy", "nft"],
                &["iptables-nft"],
            ),
            (
                "ISTIO_META_DNS_CAPTURE",
                &["true", "0", "F", "$(CAPTURE)"],
                &["yes", "tRUE"],
            ),
            (
                "ISTIO_OUTBOUND_OWNER_GROUPS",
                &["*", "101,java", &most],
                &[&many],
            ),
            (
                "ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR",
                &["127.0.0.1", "127.0.0.1/8", "127.1.0.0/32"],
                &[
                    "10.0.0.1/32",
                    "127.0.0.0/7",
                    "::1/128",
                    "127.0.0.1/33",
                    "all",
                ],
            ),
            ("ANYTHING_ELSE", &["yes", "nft"], &[]),
        ];
        for (name, right, wrong) in table {
            let refused = |value: &str| {
                let metadata = BTreeMap::from([(name.to_owned(), value.to_owned())]);
                wrong_variables(&metadata).next().is_some()
            };
            assert_eq!(right.iter().find(|value| refused(value)), None, "{name}");
            assert_eq!(wrong.iter().find(|value| !refused(value)), None, "{name}");
        }
    }
}
