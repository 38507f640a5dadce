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
    /// Its protocol, and the ports within it.
    pub transport: Option<Transport>,
    /// The mark that the kernel keeps beside it.
    pub mark: Option<u32>,
    /// The mark that the kernel keeps beside its connection.
    pub connection_mark: Option<u32>,
    /// What conntrack thinks of it.
    pub state: Option<ConnectionState>,
    /// Whose socket sent it. All of this must be true.
    pub owners: Vec<Is<Owner>>,
}

/// A value that something must have, or must not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Is<T> {
    /// It must.
    Exactly(T),
    /// It must not.
    Not(T),
}

/// A protocol, and the ports within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transport {
    /// The protocol.
    pub protocol: Protocol,
    /// The port it comes from.
    pub source_port: Option<u16>,
    /// The port it goes to.
    pub destination_port: Option<Is<u16>>,
}

impl From<Protocol> for Transport {
    fn from(protocol: Protocol) -> Self {
        Self {
            protocol,
            source_port: None,
            destination_port: None,
        }
    }
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
    /// It belongs to a connection that is known, or begins one that a known connection asked for.
    Known,
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
        Self::of(Protocol::Tcp.into())
    }

    /// UDP packets.
    pub fn udp() -> Self {
        Self::of(Protocol::Udp.into())
    }

    /// TCP packets to any port but this one.
    pub fn tcp_except_port(port: u16) -> Self {
        Self::of(Transport {
            destination_port: Some(Is::Not(port)),
            ..Protocol::Tcp.into()
        })
    }

    /// Packets of a protocol to this port.
    pub fn to_port(protocol: Protocol, port: u16) -> Self {
        Self::of(Transport {
            destination_port: Some(Is::Exactly(port)),
            ..protocol.into()
        })
    }

    /// Packets of a protocol from this port.
    pub fn from_port(protocol: Protocol, port: u16) -> Self {
        Self::of(Transport {
            source_port: Some(port),
            ..protocol.into()
        })
    }

    fn of(transport: Transport) -> Self {
        Self {
            transport: Some(transport),
            ..Self::default()
        }
    }

    /// ... that conntrack calls this.
    pub fn in_state(mut self, state: ConnectionState) -> Self {
        self.state = Some(state);
        self
    }

    /// ... that have this mark.
    pub fn marked(mut self, mark: u32) -> Self {
        self.mark = Some(mark);
        self
    }

    /// ... of connections that have this mark.
    pub fn of_marked_connections(mut self, mark: u32) -> Self {
        self.connection_mark = Some(mark);
        self
    }

    /// ... from here. The network of everything is no condition.
    pub fn from(mut self, network: IpNet) -> Self {
        self.source = (network.prefix_len() > 0).then_some(network);
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
        self.owners.push(Is::Exactly(owner));
        self
    }

    /// ... of anybody but this owner.
    pub fn not_owned_by(mut self, owner: Owner) -> Self {
        self.owners.push(Is::Not(owner));
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
