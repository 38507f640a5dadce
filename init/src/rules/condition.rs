//! Which packets a rule is about. Everything that a condition says must be true; the empty
//! condition is true for every packet. The methods read as a sentence:
//! `Condition::tcp().except_port(15008).leaving_by(&lo).owned_by(owner)`.

use ipnet::IpNet;

use crate::options::Interface;

/// Which packets a rule is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// Where it comes from.
    pub source: Option<IpNet>,
    /// Where it goes.
    pub destination: Option<Is<IpNet>>,
    /// The interface it came in by.
    pub in_interface: Option<Interface>,
    /// The interface it leaves by.
    pub out_interface: Option<Interface>,
    /// Its protocol, and the destination port within it.
    pub protocol: Option<(Protocol, Option<Is<u16>>)>,
    /// What conntrack thinks of it.
    pub state: Option<ConnectionState>,
    /// Whose socket sent it.
    pub owner: Option<Is<Owner>>,
}

/// A value that something must have, or must not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Is<T> {
    /// It must.
    Exactly(T),
    /// It must not.
    Not(T),
}

/// A protocol with ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// What conntrack thinks of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionState {
    /// It belongs to no connection and begins none.
    Invalid,
}

/// The credentials that a socket was made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A user id.
    User(u32),
    /// A group id; supplementary groups don't count.
    Group(u32),
}

impl Condition {
    /// Every packet.
    pub fn any() -> Self {
        Self::default()
    }

    /// TCP packets.
    pub fn tcp() -> Self {
        Self {
            protocol: Some((Protocol::Tcp, None)),
            ..Self::default()
        }
    }

    /// TCP packets to this port.
    pub fn tcp_port(port: u16) -> Self {
        Self {
            protocol: Some((Protocol::Tcp, Some(Is::Exactly(port)))),
            ..Self::default()
        }
    }

    /// UDP packets to this port.
    pub fn udp_port(port: u16) -> Self {
        Self {
            protocol: Some((Protocol::Udp, Some(Is::Exactly(port)))),
            ..Self::default()
        }
    }

    /// TCP packets to any port but this one.
    pub fn tcp_except_port(port: u16) -> Self {
        Self {
            protocol: Some((Protocol::Tcp, Some(Is::Not(port)))),
            ..Self::default()
        }
    }

    /// Packets that conntrack calls this.
    pub fn in_state(state: ConnectionState) -> Self {
        Self {
            state: Some(state),
            ..Self::default()
        }
    }

    /// ... from here.
    pub fn from(mut self, network: IpNet) -> Self {
        self.source = Some(network);
        self
    }

    /// ... to there. The network of everything is no condition.
    pub fn to(mut self, network: IpNet) -> Self {
        self.destination = (network.prefix_len() > 0).then_some(Is::Exactly(network));
        self
    }

    /// ... to anywhere but there.
    pub fn except_to(mut self, network: IpNet) -> Self {
        self.destination = Some(Is::Not(network));
        self
    }

    /// ... that came in by this interface.
    pub fn arriving_by(mut self, interface: &Interface) -> Self {
        self.in_interface = Some(interface.clone());
        self
    }

    /// ... that leave by this interface.
    pub fn leaving_by(mut self, interface: &Interface) -> Self {
        self.out_interface = Some(interface.clone());
        self
    }

    /// ... of this owner.
    pub fn owned_by(mut self, owner: Owner) -> Self {
        self.owner = Some(Is::Exactly(owner));
        self
    }

    /// ... of anybody but this owner.
    pub fn not_owned_by(mut self, owner: Owner) -> Self {
        self.owner = Some(Is::Not(owner));
        self
    }

    /// What happens to these packets.
    pub fn then(self, action: super::Action) -> super::Rule {
        super::Rule {
            condition: self,
            action,
        }
    }
}
