//! Which connections are captured: `traffic.sidecar.istio.io/*` over the values of the installation.

use std::fmt;

use ipnet::IpNet;
use lateen_api::Error;

use super::{Reader, interfaces, parse};
use crate::config::values::{Proxy, SOURCE};
use crate::keys;

const RANGES: &str = "a comma-separated list of address ranges with prefix length and without spaces, such as \
     10.0.0.0/8,fd00::/8";
const RANGES_OR_ALL: &str = "* or a comma-separated list of address ranges with prefix length and without spaces, such as \
     10.0.0.0/8,fd00::/8";
const PORTS: &str = "a comma-separated list of port numbers from 0 to 65535, such as 80,443";
const PORTS_OR_ALL: &str =
    "* or a comma-separated list of port numbers from 0 to 65535, such as 80,443";

/// Address ranges to capture. Displayed as `istio-iptables` takes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ranges {
    All,
    List(Vec<IpNet>),
}

/// Ports to capture. Displayed as `istio-iptables` takes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ports {
    All,
    List(Vec<u16>),
}

impl fmt::Display for Ranges {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => formatter.write_str("*"),
            Self::List(ranges) => formatter.write_str(&join(ranges)),
        }
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => formatter.write_str("*"),
            Self::List(ports) => formatter.write_str(&join(ports)),
        }
    }
}

/// Items with commas between.
pub(crate) fn join<T: ToString>(items: &[T]) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join(",")
}

/// What the annotations say about capturing; `None` is what they do not mention.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TrafficOptions {
    pub(crate) include_outbound_ranges: Option<Ranges>,
    pub(crate) exclude_outbound_ranges: Option<Vec<IpNet>>,
    pub(crate) include_inbound_ports: Option<Ports>,
    pub(crate) exclude_inbound_ports: Option<Vec<u16>>,
    pub(crate) include_outbound_ports: Option<Vec<u16>>,
    pub(crate) exclude_outbound_ports: Option<Vec<u16>>,
    pub(crate) exclude_interfaces: Vec<String>,
    pub(crate) reroute_interfaces: Vec<String>,
}

impl TrafficOptions {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let reroute = reader.read(keys::REROUTE_INTERFACES, interfaces::parse);
        let kubevirt = reader.read(keys::KUBEVIRT_INTERFACES, interfaces::parse);
        Self {
            include_outbound_ranges: reader.read(keys::INCLUDE_OUTBOUND_RANGES, ranges_or_all),
            exclude_outbound_ranges: reader.read(keys::EXCLUDE_OUTBOUND_RANGES, ranges),
            include_inbound_ports: reader.read(keys::INCLUDE_INBOUND_PORTS, ports_or_all),
            exclude_inbound_ports: reader.read(keys::EXCLUDE_INBOUND_PORTS, ports),
            include_outbound_ports: reader.read(keys::INCLUDE_OUTBOUND_PORTS, ports),
            exclude_outbound_ports: reader.read(keys::EXCLUDE_OUTBOUND_PORTS, ports),
            exclude_interfaces: reader
                .read(keys::EXCLUDE_INTERFACES, interfaces::parse)
                .unwrap_or_default(),
            reroute_interfaces: reroute.or(kubevirt).unwrap_or_default(),
        }
    }
}

/// What is captured when the pod says nothing: values `global.proxy.{include,exclude}*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TrafficDefaults {
    pub(crate) include_outbound_ranges: Ranges,
    pub(crate) exclude_outbound_ranges: Vec<IpNet>,
    pub(crate) include_inbound_ports: Ports,
    pub(crate) exclude_inbound_ports: Vec<u16>,
    pub(crate) include_outbound_ports: Vec<u16>,
    pub(crate) exclude_outbound_ports: Vec<u16>,
}

impl TrafficDefaults {
    pub(crate) fn parse(proxy: &Proxy) -> Result<Self, Error> {
        Ok(Self {
            include_outbound_ranges: field(
                "includeIPRanges",
                &proxy.include_ip_ranges,
                ranges_or_all,
            )?,
            exclude_outbound_ranges: field("excludeIPRanges", &proxy.exclude_ip_ranges, ranges)?,
            include_inbound_ports: field(
                "includeInboundPorts",
                &proxy.include_inbound_ports,
                ports_or_all,
            )?,
            exclude_inbound_ports: field(
                "excludeInboundPorts",
                &proxy.exclude_inbound_ports,
                ports,
            )?,
            include_outbound_ports: field(
                "includeOutboundPorts",
                &proxy.include_outbound_ports,
                ports,
            )?,
            exclude_outbound_ports: field(
                "excludeOutboundPorts",
                &proxy.exclude_outbound_ports,
                ports,
            )?,
        })
    }
}

fn field<T>(
    name: &str,
    value: &str,
    parse: impl FnOnce(&str) -> Result<T, &'static str>,
) -> Result<T, Error> {
    parse(value).map_err(|allowed| Error::Field {
        kind: SOURCE,
        path: format!("global.proxy.{name}"),
        reason: format!("{value:?} is not {allowed}"),
    })
}

fn ranges_or_all(value: &str) -> Result<Ranges, &'static str> {
    if value == "*" {
        return Ok(Ranges::All);
    }
    ranges(value).map(Ranges::List).map_err(|_| RANGES_OR_ALL)
}

fn ranges(value: &str) -> Result<Vec<IpNet>, &'static str> {
    if value.is_empty() {
        return Ok(Vec::new());
    }
    value
        .split(',')
        .map(|range| range.parse().map_err(|_| RANGES))
        .collect()
}

fn ports_or_all(value: &str) -> Result<Ports, &'static str> {
    if value == "*" {
        return Ok(Ports::All);
    }
    ports(value).map(Ports::List).map_err(|_| PORTS_OR_ALL)
}

fn ports(value: &str) -> Result<Vec<u16>, &'static str> {
    if value.trim().is_empty() {
        return Ok(Vec::new());
    }
    value
        .split(',')
        .map(|port| parse::port_or_zero(port.trim()).map_err(|_| PORTS))
        .collect()
}
