//! What there is to know about the pod and this process: read from `/proc` and `/etc`, so that no
//! program has to run for it.

use std::fs;

use crate::family::Family;

/// The bit of CAP_NET_ADMIN in the capability sets of `/proc`.
const NET_ADMIN: u32 = 12;

/// Names of users and groups in this container.
#[derive(Clone, Debug, Default)]
pub struct Accounts {
    passwd: String,
    group: String,
}

impl Accounts {
    /// Reads `/etc/passwd` and `/etc/group`; a file that is not there names nobody.
    pub fn read() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        Self {
            passwd: read("/etc/passwd"),
            group: read("/etc/group"),
        }
    }

    /// From the contents of `/etc/passwd` and `/etc/group`.
    pub fn new(passwd: &str, group: &str) -> Self {
        Self {
            passwd: passwd.to_owned(),
            group: group.to_owned(),
        }
    }

    /// The id of a user.
    pub fn user(&self, name: &str) -> Option<u32> {
        id(&self.passwd, name)
    }

    /// The id of a group.
    pub fn group(&self, name: &str) -> Option<u32> {
        id(&self.group, name)
    }
}

/// The third field of the line that begins with this name.
fn id(accounts: &str, name: &str) -> Option<u32> {
    let mut lines = accounts.lines().map(|line| line.split(':'));
    let mut fields = lines.find(|fields| fields.clone().next() == Some(name))?;
    fields.nth(2)?.parse().ok()
}

/// How far a pod goes with IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ipv6 {
    /// An interface has an address that others can reach: without rules, traffic would escape.
    Used,
    /// The kernel has IPv6 switched on, but there are only loopback and link-local addresses. Rules
    /// are made for the day an address comes; if they cannot be, nothing escapes.
    Idle,
    /// There is no IPv6.
    Absent,
}

impl Ipv6 {
    /// Looks at the addresses of this network namespace.
    pub fn detect() -> Self {
        Self::of(&fs::read_to_string("/proc/thread-self/net/if_inet6").unwrap_or_default())
    }

    /// Judges the contents of `/proc/net/if_inet6`.
    fn of(addresses: &str) -> Self {
        let reachable = |line: &str| {
            let digits = line.split_whitespace().next()?;
            let address = std::net::Ipv6Addr::from(u128::from_str_radix(digits, 16).ok()?);
            let on_loopback = line.split_whitespace().last() == Some("lo");
            (!on_loopback && !address.is_unicast_link_local()).then_some(())
        };
        if addresses.trim().is_empty() {
            Self::Absent
        } else if addresses.lines().any(|line| reachable(line).is_some()) {
            Self::Used
        } else {
            Self::Idle
        }
    }

    /// The families that rules are made for.
    pub fn families(self) -> impl Iterator<Item = Family> {
        let v6 = (self != Self::Absent).then_some(Family::V6);
        [Some(Family::V4), v6].into_iter().flatten()
    }
}

/// Whether this process may change packet rules, as far as it can know itself.
pub(crate) fn may_change_rules() -> bool {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let set = effective.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok());
    // What cannot be read is left for the kernel to judge.
    set.is_none_or(|set| set & (1 << NET_ADMIN) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOPBACK: &str = "00000000000000000000000000000001 01 80 10 80       lo\n";
    const PROXY: &str = "00000000000000000000000000000006 01 80 10 80       lo\n";
    const LINK: &str = "fe80000000000000b8afe2fffe1e1b11 02 40 20 80     eth0\n";
    const GLOBAL: &str = "fd770000000000000000000000000002 02 40 00 80     eth0\n";

    #[test]
    fn ipv6_is_used_when_others_can_reach_an_address() {
        assert_eq!(Ipv6::of(""), Ipv6::Absent);
        assert_eq!(Ipv6::of(LOOPBACK), Ipv6::Idle);
        assert_eq!(Ipv6::of(&[LOOPBACK, PROXY, LINK].concat()), Ipv6::Idle);
        assert_eq!(Ipv6::of(&[LINK, LOOPBACK, GLOBAL].concat()), Ipv6::Used);
    }

    #[test]
    fn accounts_are_found_by_their_whole_name() {
        let passwd = "root:x:0:0::/root:/bin/sh\nistio-proxy:x:1337:1338::/:/bin/false\n";
        let accounts = Accounts::new(passwd, "adm:x:4:\nbroken\n");
        assert_eq!(accounts.user("istio-proxy"), Some(1337));
        assert_eq!(accounts.user("istio"), None);
        assert_eq!(accounts.group("adm"), Some(4));
        assert_eq!(accounts.group("broken"), None);
    }
}
