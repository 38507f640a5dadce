//! DNS capture: whether the proxy answers DNS questions, where, and whom it asks itself
//! (`ISTIO_META_DNS_CAPTURE`, resolv.conf(5)).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use lateen_wire::{ports, switch};

use super::Reader;

/// The name servers of the pod.
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// The port of name servers.
const PORT: u16 = 53;
/// Servers that count, as for the C library; so are the limits below.
const MAX_SERVERS: usize = 3;
const MAX_TIMEOUT: u64 = 30;
const MAX_ATTEMPTS: u32 = 5;

/// The proxy's name server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dns {
    /// Where questions arrive: redirection leads them to loopback.
    pub listen: Vec<SocketAddr>,
    /// Who is asked what the mesh does not know.
    pub name_servers: NameServers,
}

/// Name servers, and how they are asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameServers {
    /// In the order in which they are asked.
    pub addresses: Vec<SocketAddr>,
    /// How long each has for an answer.
    pub timeout: Duration,
    /// How often all of them are asked until one answers.
    pub attempts: u32,
    /// Each question begins with another server.
    pub rotate: bool,
}

impl Dns {
    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let captured = (reader.lookup)("ISTIO_META_DNS_CAPTURE")?;
        // As the init container reads it, or questions would go where nobody answers.
        if switch::parse(captured.trim()) != Some(true) {
            return None;
        }
        let resolv_conf = std::fs::read_to_string(RESOLV_CONF).unwrap_or_else(|problem| {
            let problem = format!("{RESOLV_CONF} cannot be read: {problem}; it names the servers that DNS questions go to");
            reader.problems.push(problem);
            String::new()
        });
        Some(Self {
            listen: vec![
                (Ipv4Addr::LOCALHOST, ports::DNS).into(),
                (Ipv6Addr::LOCALHOST, ports::DNS).into(),
            ],
            name_servers: NameServers::read(&resolv_conf),
        })
    }
}

impl NameServers {
    /// Reads a resolv.conf. Like the C library, passes over what it does not know.
    #[must_use]
    pub fn read(resolv_conf: &str) -> Self {
        let mut read = Self {
            addresses: Vec::new(),
            timeout: Duration::from_secs(5),
            attempts: 2,
            rotate: false,
        };
        for line in resolv_conf.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => read.addresses.extend(words.next().and_then(server)),
                Some("options") => words.for_each(|option| read.set(option)),
                _ => {}
            }
        }
        read.addresses.truncate(MAX_SERVERS);
        read
    }

    fn set(&mut self, option: &str) {
        match option.split_once(':') {
            None => self.rotate |= option == "rotate",
            Some(("timeout", seconds)) => {
                let seconds = seconds
                    .parse()
                    .map(|seconds: u64| seconds.clamp(1, MAX_TIMEOUT));
                self.timeout = seconds.map_or(self.timeout, Duration::from_secs);
            }
            Some(("attempts", count)) => {
                let count = count.parse().map(|count: u32| count.clamp(1, MAX_ATTEMPTS));
                self.attempts = count.unwrap_or(self.attempts);
            }
            Some(_) => {}
        }
    }
}

/// A server's address; a link-local one may name its interface.
fn server(text: &str) -> Option<SocketAddr> {
    let Some((address, interface)) = text.split_once('%') else {
        return Some(SocketAddr::new(text.parse::<IpAddr>().ok()?, PORT));
    };
    let zone = match interface.parse() {
        Ok(number) => number,
        Err(_) => nix::net::if_::if_nametoindex(interface).ok()?,
    };
    Some(SocketAddrV6::new(address.parse().ok()?, PORT, 0, zone).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolv_conf_is_read_as_the_c_library_reads_it() {
        let read = NameServers::read(
            "# nameserver 10.0.0.9\nsearch shop.svc.cluster.local svc.cluster.local\nnameserver 10.96.0.10\n\
             nameserver fd00::a\nnameserver x\nnameserver fe80::1%7\nnameserver 10.96.0.11\n\
             options ndots:5 timeout:2 attempts:99 rotate edns0",
        );
        let expected = ["10.96.0.10:53", "[fd00::a]:53", "[fe80::1%7]:53"];
        assert_eq!(read.addresses, expected.map(|it| it.parse().unwrap()));
        assert_eq!(
            (read.timeout, read.attempts, read.rotate),
            (Duration::from_secs(2), 5, true)
        );
        let default = NameServers::read("nameserver 127.0.0.1");
        assert_eq!(
            (default.timeout, default.attempts, default.rotate),
            (Duration::from_secs(5), 2, false)
        );
    }
}
