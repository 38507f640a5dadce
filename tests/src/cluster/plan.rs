//! The address plan: which ranges a cluster uses, derived from its slot so that clusters side by
//! side share nothing on the host.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context as _, Result};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

/// The first address of a node within the node range; those below are the host's.
const FIRST_NODE_ADDRESS: u8 = 10;

/// An address of each family.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Address {
    /// The IPv4 address.
    pub v4: Ipv4Addr,
    /// The IPv6 address.
    pub v6: Ipv6Addr,
}

impl Address {
    /// Both addresses, IPv4 first.
    pub fn both(self) -> [IpAddr; 2] {
        [self.v4.into(), self.v6.into()]
    }
}

/// A range of addresses of each family.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Range {
    /// The IPv4 range.
    pub v4: Ipv4Net,
    /// The IPv6 range.
    pub v6: Ipv6Net,
}

impl Range {
    /// Both ranges, IPv4 first.
    pub fn both(self) -> [IpNet; 2] {
        [self.v4.into(), self.v6.into()]
    }

    /// The addresses at `offset` from the beginning of the ranges.
    pub fn address(self, offset: u8) -> Address {
        Address {
            v4: Ipv4Addr::from(u32::from(self.v4.network()) + u32::from(offset)),
            v6: Ipv6Addr::from(u128::from(self.v6.network()) + u128::from(offset)),
        }
    }
}

/// The place of a cluster among those on this machine.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Slot(u8);

impl Slot {
    /// Every slot there is: as many as fit into 10.100.0.0 to 10.255.0.0.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..15).map(Self)
    }

    /// The first slot whose ranges overlap none of `taken`.
    ///
    /// # Errors
    /// When every slot is in use.
    pub(crate) fn first_free(taken: &[IpNet]) -> Result<Self> {
        Self::all()
            .find(|slot| slot.plan().is_free_of(taken))
            .context("Every address range for local clusters is in use on this machine; take one down with `cargo xtask cluster down`")
    }

    /// The name of the host's link into the cluster.
    pub(crate) fn host_link(self) -> String {
        format!("lateen{}", self.0)
    }

    /// The addresses of this slot.
    pub(crate) fn plan(self) -> Plan {
        Plan { slot: self.0 }
    }
}

/// The addresses of one cluster.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    slot: u8,
}

impl Plan {
    /// Where the nodes are, and the host's end of the network.
    pub(crate) fn nodes(self) -> Range {
        self.range(0, 24, 1, 64)
    }

    /// The host as the nodes see it: what lies outside the cluster.
    pub(crate) fn host(self) -> Address {
        self.nodes().address(1)
    }

    /// The addresses of a node; nodes count from 1.
    pub(crate) fn node(self, number: u8) -> Address {
        self.nodes().address(FIRST_NODE_ADDRESS + number)
    }

    /// Where all pods are.
    pub(crate) fn pods(self) -> Range {
        self.range(1, 16, 0x100, 56)
    }

    /// Where the pods of one node are.
    pub(crate) fn pods_of_node(self, number: u8) -> Range {
        let [_, second, ..] = self.pods().v4.network().octets();
        let [first, second_group, third, fourth, ..] = self.pods().v6.network().segments();
        let pods = Ipv6Addr::new(
            first,
            second_group,
            third,
            fourth + u16::from(number),
            0,
            0,
            0,
            0,
        );
        Range {
            v4: Ipv4Net::new_assert(Ipv4Addr::new(10, second, number, 0), 24),
            v6: Ipv6Net::new_assert(pods, 64),
        }
    }

    /// Where Services are.
    pub(crate) fn services(self) -> Range {
        self.range(2, 16, 2, 112)
    }

    /// The Service of the API server.
    pub(crate) fn kubernetes(self) -> Address {
        self.services().address(1)
    }

    /// The Service of the DNS server.
    pub(crate) fn dns(self) -> Address {
        self.services().address(10)
    }

    /// Where Services of type LoadBalancer are, for the host.
    pub(crate) fn load_balancers(self) -> Range {
        self.range(3, 24, 3, 112)
    }

    /// Everything that belongs to the cluster: traffic among these keeps its source address.
    pub(crate) fn all(self) -> [Range; 4] {
        [
            self.nodes(),
            self.pods(),
            self.services(),
            self.load_balancers(),
        ]
    }

    fn is_free_of(self, taken: &[IpNet]) -> bool {
        let overlap = |ours: &IpNet, theirs: &IpNet| ours.contains(theirs) || theirs.contains(ours);
        self.all()
            .into_iter()
            .flat_map(Range::both)
            .all(|ours| taken.iter().all(|theirs| !overlap(&ours, theirs)))
    }

    /// The `part`th range of this slot: `10.(100 + 10 * slot + part).0.0` and
    /// `fd1a:7ee0:slot:subnet::`.
    fn range(self, part: u8, prefix: u8, subnet: u16, prefix_v6: u8) -> Range {
        let v4 = Ipv4Addr::new(10, 100 + 10 * self.slot + part, 0, 0);
        let v6 = Ipv6Addr::new(0xfd1a, 0x7ee0, self.slot.into(), subnet, 0, 0, 0, 0);
        Range {
            v4: Ipv4Net::new_assert(v4, prefix),
            v6: Ipv6Net::new_assert(v6, prefix_v6),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_slot_reads_well() {
        let plan = Slot(0).plan();
        assert_eq!(
            plan.host().both().map(|a| a.to_string()),
            ["10.100.0.1", "fd1a:7ee0:0:1::1"]
        );
        assert_eq!(
            plan.node(2).both().map(|a| a.to_string()),
            ["10.100.0.12", "fd1a:7ee0:0:1::c"]
        );
        assert_eq!(
            plan.pods_of_node(1).both().map(|r| r.to_string()),
            ["10.101.1.0/24", "fd1a:7ee0:0:101::/64"]
        );
        assert_eq!(
            plan.dns().both().map(|a| a.to_string()),
            ["10.102.0.10", "fd1a:7ee0:0:2::a"]
        );
    }

    #[test]
    fn ranges_of_all_slots_are_apart() {
        let ranges: Vec<IpNet> = Slot::all()
            .flat_map(|slot| slot.plan().all())
            .flat_map(Range::both)
            .collect();
        for (index, one) in ranges.iter().enumerate() {
            for other in ranges.iter().skip(index + 1) {
                assert!(
                    !one.contains(other) && !other.contains(one),
                    "{one} overlaps {other}"
                );
            }
        }
    }

    #[test]
    fn pods_of_a_node_lie_within_those_of_the_cluster() {
        let plan = Slot(14).plan();
        for number in 1..=9 {
            assert!(plan.pods().v4.contains(&plan.pods_of_node(number).v4));
            assert!(plan.pods().v6.contains(&plan.pods_of_node(number).v6));
        }
    }

    #[test]
    fn a_slot_in_use_is_passed_over() {
        let taken =
            ["10.100.0.0/24", "10.112.7.0/24", "192.168.0.0/16"].map(|r| r.parse().unwrap());
        assert_eq!(Slot::first_free(&taken).unwrap(), Slot(2));
        assert!(Slot::first_free(&["10.0.0.0/8".parse().unwrap()]).is_err());
    }
}
