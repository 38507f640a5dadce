//! What there is to know about the pod and this process: read from `/proc` and `/etc`, so that no
//! program has to run for it.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::Path;

use nix::sched::{CloneFlags, setns};

use crate::family::Family;

/// The bit of CAP_NET_ADMIN in the capability sets of `/proc`.
const NET_ADMIN: u32 = 12;

/// What the files in `/etc` of this container say.
#[derive(Clone, Debug, Default)]
pub struct Container {
    passwd: String,
    group: String,
    resolv_conf: String,
}

impl Container {
    /// Reads `/etc/passwd`, `/etc/group` and `/etc/resolv.conf`; a file that is not there names nobody.
    pub fn read() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        Self::new(
            &read("/etc/passwd"),
            &read("/etc/group"),
            &read("/etc/resolv.conf"),
        )
    }

    /// From the contents of `/etc/passwd`, `/etc/group` and `/etc/resolv.conf`.
    pub fn new(passwd: &str, group: &str, resolv_conf: &str) -> Self {
        Self {
            passwd: passwd.to_owned(),
            group: group.to_owned(),
            resolv_conf: resolv_conf.to_owned(),
        }
    }

    /// The name servers, each once; the zone of a link-local address is left out.
    pub fn name_servers(&self) -> Vec<IpAddr> {
        let mut servers = Vec::new();
        for line in self.resolv_conf.lines() {
            let mut words = line.split_whitespace();
            let address = words.next().filter(|word| *word == "nameserver");
            let address = address.and_then(|_| words.next()?.split('%').next()?.parse().ok());
            servers.extend(address.filter(|address| !servers.contains(address)));
        }
        servers
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

/// Makes another network namespace this process's, and that of the programs that it starts.
pub(crate) fn enter(network_namespace: &Path) -> io::Result<()> {
    let file = fs::File::open(network_namespace)?;
    Ok(setns(file, CloneFlags::CLONE_NEWNET)?)
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
    fn name_servers_are_those_of_resolv_conf() {
        let resolv_conf = "# nameserver 1.1.1.1\nsearch a.svc\nnameserver 10.96.0.10\nnameserver\tfd00::a # ours\nnameserver fe80::1%eth0\nnameserver 10.96.0.10\nnameserver x\noptions ndots:5";
        let servers = Container::new("", "", resolv_conf).name_servers();
        let expected: [IpAddr; 3] =
            ["10.96.0.10", "fd00::a", "fe80::1"].map(|it| it.parse().unwrap());
        assert_eq!(servers, expected);
    }

    #[test]
    fn accounts_are_found_by_their_whole_name() {
        let passwd = "root:x:0:0::/root:/bin/sh\nistio-proxy:x:1337:1338::/:/bin/false\n";
        let accounts = Container::new(passwd, "adm:x:4:\nbroken\n", "");
        assert_eq!(accounts.user("istio-proxy"), Some(1337));
        assert_eq!(accounts.user("istio"), None);
        assert_eq!(accounts.group("adm"), Some(4));
        assert_eq!(accounts.group("broken"), None);
    }
}
