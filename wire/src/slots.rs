//! Bounds on open connections, for every port of ours that strangers can reach: so many in all, and so
//! many from one address, so that nobody can keep everybody else out.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Room for connections. Clones share it.
#[derive(Clone, Debug)]
pub struct Slots {
    all: usize,
    of_one_peer: usize,
    taken: Arc<Mutex<Taken>>,
}

/// Who holds how many.
#[derive(Debug, Default)]
struct Taken {
    all: usize,
    /// Peers without a connection are not here.
    by_peer: HashMap<IpAddr, usize>,
}

/// Why a connection finds no room. The message is for a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// All slots are taken.
    #[error("all {0} connections of this port are taken")]
    ForAll(usize),
    /// The peer holds its share.
    #[error("this address already holds {0} connections of this port")]
    ForPeer(usize),
}

impl Slots {
    /// Room for `all` connections, of which one address may hold `of_one_peer`. Loopback addresses
    /// are one pod's own processes and not held to that share.
    #[must_use]
    pub fn new(all: usize, of_one_peer: usize) -> Self {
        Self {
            all,
            of_one_peer,
            taken: Arc::default(),
        }
    }

    /// A slot for a connection from `peer`, until it is dropped.
    ///
    /// # Errors
    /// When there is no room.
    pub fn take(&self, peer: IpAddr) -> Result<Slot, Full> {
        let peer = peer.to_canonical();
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.all >= self.all {
            return Err(Full::ForAll(self.all));
        }
        let held = taken.by_peer.get(&peer).copied().unwrap_or_default();
        if held >= self.of_one_peer && !peer.is_loopback() {
            return Err(Full::ForPeer(self.of_one_peer));
        }
        taken.all += 1;
        taken.by_peer.insert(peer, held + 1);
        Ok(Slot {
            peer,
            taken: Arc::clone(&self.taken),
        })
    }
}

/// Room for one connection; dropping it gives the room back.
#[derive(Debug)]
#[must_use = "the room is given back at once"]
pub struct Slot {
    peer: IpAddr,
    taken: Arc<Mutex<Taken>>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all -= 1;
        if let Some(held) = taken.by_peer.get_mut(&self.peer) {
            *held -= 1;
            if *held == 0 {
                taken.by_peer.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    const ONE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));

    #[test]
    fn a_peer_gets_its_share_and_leaves_the_rest() {
        let slots = Slots::new(3, 2);
        let held = [slots.take(ONE).unwrap(), slots.take(ONE).unwrap()];
        assert_eq!(slots.take(ONE).unwrap_err(), Full::ForPeer(2));
        let _other = slots.take(OTHER).unwrap();
        assert_eq!(slots.take(OTHER).unwrap_err(), Full::ForAll(3));
        drop(held);
        let _again = slots.take(ONE).unwrap();
    }

    #[test]
    fn loopback_is_only_held_to_the_whole() {
        let slots = Slots::new(2, 1);
        let loopback = IpAddr::V6(Ipv6Addr::LOCALHOST);
        let _held = [slots.take(loopback).unwrap(), slots.take(loopback).unwrap()];
        assert_eq!(slots.take(loopback).unwrap_err(), Full::ForAll(2));
    }

    #[test]
    fn both_ways_to_write_an_address_are_one_peer() {
        let slots = Slots::new(9, 1);
        let _held = slots.take(ONE).unwrap();
        let mapped = IpAddr::V6(Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped());
        assert_eq!(slots.take(mapped).unwrap_err(), Full::ForPeer(1));
    }

    #[test]
    fn peers_that_left_are_forgotten() {
        let slots = Slots::new(9, 9);
        for last in 0..200 {
            drop(slots.take(IpAddr::V4(Ipv4Addr::new(10, 0, 1, last))));
        }
        assert!(slots.taken.lock().unwrap().by_peer.is_empty());
    }
}
