//! Who should get a connection under given options, from what the options promise to users, not
//! from rules: written down anew, so that rules can be checked against it.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use lateen_init::options::{Destinations, DnsCapture, Groups, InboundPorts, Options};

use super::harness::{Flow, Place};

/// Who should accept the flow.
pub(crate) fn expected(options: &Options, flow: &Flow) -> Place {
    let place = if flow.from_outside {
        inbound(options, flow.to)
    } else {
        outbound(options, flow)
    };
    let directly = if is_of_pod(flow.to.ip()) {
        Place::Application
    } else {
        Place::Outside
    };
    place.unwrap_or(directly)
}

/// `None` for "directly".
fn inbound(options: &Options, to: SocketAddr) -> Option<Place> {
    let arrives_by = if is_on_second_link(to.ip()) {
        "eth1"
    } else {
        "eth0"
    };
    let is_among = |interfaces: &[lateen_init::options::Interface]| {
        interfaces.iter().any(|name| name.to_string() == arrives_by)
    };
    if is_among(&options.excluded_interfaces) {
        return None;
    }
    if is_among(&options.virtual_interfaces) {
        return includes(&options.destinations, to.ip()).then_some(Place::OutboundProxy);
    }
    let captured = to.port() != options.tunnel
        && match &options.inbound {
            InboundPorts::AllExcept(ports) => !ports.contains(&to.port()),
            InboundPorts::Only(ports) => ports.contains(&to.port()),
        };
    captured.then_some(Place::InboundProxy)
}

/// `None` for "directly".
fn outbound(options: &Options, flow: &Flow) -> Option<Place> {
    let (address, port) = (flow.to.ip(), flow.to.port());
    let within_pod = is_of_pod(address);
    let by_second_link = !within_pod && is_on_second_link(address);
    let excluded = &options.excluded_interfaces;
    if by_second_link && excluded.iter().any(|name| name.to_string() == "eth1") {
        return None;
    }
    if options.excluded_outbound_ports.contains(&port) || flow.source.is_some() {
        return None;
    }
    let captures_dns = port == 53 && options.dns == DnsCapture::All;
    let of_proxy = options.proxy_uids.contains(&flow.uid) || options.proxy_gids.contains(&flow.gid);
    if of_proxy {
        let to_itself = within_pod && !address.is_loopback();
        let special = port == options.tunnel || captures_dns;
        return (to_itself && !special).then_some(Place::InboundProxy);
    }
    let in_mesh = match &options.groups {
        Groups::AllExcept(groups) => !groups.contains(&flow.gid),
        Groups::Only(groups) => groups.contains(&flow.gid),
    };
    if !in_mesh {
        return None;
    }
    if captures_dns {
        return Some(Place::DnsProxy);
    }
    let excluded = &options.excluded_destinations;
    let captured = !within_pod
        && !excluded.iter().any(|network| network.contains(&address))
        && (options.outbound_ports.contains(&port) || includes(&options.destinations, address));
    captured.then_some(Place::OutboundProxy)
}

fn includes(destinations: &Destinations, address: IpAddr) -> bool {
    match destinations {
        Destinations::All => true,
        Destinations::Only(networks) => networks.iter().any(|network| network.contains(&address)),
    }
}

fn is_of_pod(address: IpAddr) -> bool {
    let own = ["10.77.0.2", "10.78.0.2", "fd77::2", "fd78::2"];
    address.is_loopback() || own.iter().any(|own| own.parse() == Ok(address))
}

fn is_on_second_link(address: IpAddr) -> bool {
    let networks = [
        "10.78.0.0/24",
        "fd78::/64",
        "203.0.113.0/24",
        "2001:db8:1::/64",
    ];
    let mut networks = networks
        .iter()
        .map(|network| network.parse::<IpNet>().unwrap());
    networks.any(|network| network.contains(&address))
}
