//! A pod and what is outside of it: two namespaces joined by two links, with addresses of both
//! families on each.
//!
//! | | pod | outside |
//! |---|---|---|
//! | eth0 | 10.77.0.2, fd77::2 | 10.77.0.1, fd77::1 |
//! | eth1 | 10.78.0.2, fd78::2 | 10.78.0.1, fd78::1 |
//! | lo | 127.0.0.1, ::1 | 198.51.100.7 and .8, 2001:db8::7 and ::8 |
//!
//! The pod's default route leads outside by eth0. Outside sends 203.0.113.0/24 and 2001:db8:1::/64
//! to the pod by eth1, as a virtual machine would.

use std::net::{IpAddr, SocketAddr};
use std::process::{Command, Output};

use super::{Arrival, Flow, Listeners, Namespace, Place};

/// Ports of the application, in the pod, and of servers outside.
pub(crate) const SERVED: [u16; 7] = [8080, 9090, 53, 15008, 15020, 15021, 15090];

/// A pod and what is outside of it.
pub(crate) struct World {
    /// The pod.
    pub(crate) pod: Namespace,
    /// Everything else.
    pub(crate) outside: Namespace,
    listeners: Listeners,
}

impl World {
    /// Makes both, with nobody listening for the proxy's ports but the standard ones.
    pub(crate) fn new() -> Self {
        Self::with_captures(15001, 15006)
    }

    /// Makes both, with listeners on these ports of the proxy.
    pub(crate) fn with_captures(outbound: u16, inbound: u16) -> Self {
        let (pod, outside) = (Namespace::new(), Namespace::new());
        for link in 0..2 {
            let peer = outside.path();
            pod.ip(&format!(
                "link add eth{link} type veth peer name eth{link} netns {peer}"
            ));
            for (namespace, host) in [(&pod, 2), (&outside, 1)] {
                namespace.ip(&format!("link set eth{link} up"));
                namespace.ip(&format!(
                    "address add 10.7{}.0.{host}/24 dev eth{link}",
                    7 + link
                ));
                namespace.ip(&format!(
                    "address add fd7{}::{host}/64 dev eth{link} nodad",
                    7 + link
                ));
            }
        }
        for address in [
            "198.51.100.7/32",
            "198.51.100.8/32",
            "2001:db8::7/128",
            "2001:db8::8/128",
        ] {
            outside.ip(&format!("address add {address} dev lo"));
        }
        pod.ip("route add default via 10.77.0.1");
        pod.ip("route add default via fd77::1");
        outside.ip("route add 203.0.113.0/24 via 10.78.0.2");
        outside.ip("route add 2001:db8:1::/64 via fd78::2");

        let mut listeners = Listeners::default();
        listeners.add(&pod, Place::OutboundProxy, &[outbound]);
        listeners.add(&pod, Place::InboundProxy, &[inbound]);
        listeners.add(&pod, Place::DnsProxy, &[15053]);
        listeners.add(&pod, Place::Application, &SERVED);
        listeners.add(&outside, Place::Outside, &SERVED);
        Self {
            pod,
            outside,
            listeners,
        }
    }

    /// Runs the program in the pod; it must succeed.
    pub(crate) fn program(&self, flags: &[&str]) -> String {
        let output = self.run(flags);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            output.status.success(),
            "{flags:?}: {}: {said}",
            output.status
        );
        said
    }

    /// Runs the program in the pod with these variables; it must succeed.
    pub(crate) fn program_with(&self, flags: &[&str], environment: &[(&str, &str)]) {
        let mut command = program();
        self.pod
            .succeed(command.args(flags).envs(environment.iter().copied()));
    }

    /// Runs the program in the pod.
    pub(crate) fn run(&self, flags: &[&str]) -> Output {
        self.pod.output(program().args(flags))
    }

    /// Opens a connection and finds out who got it; `None` if nobody did.
    pub(crate) fn arrival(&self, flow: &Flow) -> Option<Arrival> {
        let from = if flow.from_outside {
            &self.outside
        } else {
            &self.pod
        };
        self.listeners.arrival_of(from, flow)
    }
}

/// The program, with no flags from this process's environment.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lateen-init"));
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap());
    command
}

/// An address as tests write it: `198.51.100.7:80`, `[2001:db8::7]:80`.
pub(crate) fn address(text: &str) -> SocketAddr {
    text.parse()
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// An address without port.
pub(crate) fn host(text: &str) -> IpAddr {
    text.parse()
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}
