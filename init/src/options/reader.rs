//! From flag values to [`Options`]: every value is parsed, whatever went wrong before, so that the
//! user sees all mistakes in one run.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::Ipv4Net;
use lateen_wire::{names, ports};

use super::flags::{self, Flag, Values};
use super::values::{self, Parsed};
use super::{
    Backend, Destinations, DnsCapture, Groups, InboundMode, InboundPorts, Options, Problem, Run,
    Variant,
};
use crate::pod::Container;

/// How long the trial connection may take, unless told otherwise.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
/// The name of the proxy's user, unless told otherwise.
const PROXY_USER: &str = "istio-proxy";

/// Routing table of TPROXY mode, unless told otherwise.
const TPROXY_ROUTE_TABLE: u32 = 133;

/// Reads flags and collects what is wrong with them.
pub(super) struct Reader<'a> {
    values: &'a Values,
    problems: &'a mut Vec<Problem>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(values: &'a Values, problems: &'a mut Vec<Problem>) -> Self {
        Self { values, problems }
    }

    /// The options, with defaults in place of what could not be read.
    pub(super) fn options(mut self, container: &Container) -> Options {
        self.accept_what_changes_nothing();
        let proxy_uids = self.proxy_uids(container);
        let proxy_gids = self.proxy_gids(container, &proxy_uids);
        Options {
            outbound_capture: self.port(&flags::ENVOY_PORT, ports::OUTBOUND),
            inbound_capture: self.port(&flags::INBOUND_CAPTURE_PORT, ports::INBOUND),
            tunnel: self.port(&flags::INBOUND_TUNNEL_PORT, ports::TUNNEL),
            proxy_uids,
            proxy_gids,
            inbound: self.inbound(),
            inbound_mode: self.inbound_mode(),
            destinations: self.destinations(),
            excluded_destinations: self.list(&flags::SERVICE_EXCLUDE_CIDR, values::network),
            outbound_ports: self.list(&flags::OUTBOUND_PORTS, values::port),
            excluded_outbound_ports: self.list(&flags::LOCAL_OUTBOUND_PORTS_EXCLUDE, values::port),
            excluded_interfaces: self.list(&flags::EXCLUDE_INTERFACES, values::interface),
            virtual_interfaces: self.list(&flags::KUBE_VIRT_INTERFACES, values::interface),
            groups: self.groups(container),
            dns: self.dns(container),
            loopback: self.loopback(),
            drop_invalid: self.switch(&flags::DROP_INVALID),
            backend: self.backend(),
            variant: self.variant(),
            run: self.run(),
        }
    }

    fn accept_what_changes_nothing(&mut self) {
        self.switch(&flags::DUAL_STACK);
        self.switch(&flags::RECONCILE);
        self.switch(&flags::CNI_MODE);
    }

    fn inbound_mode(&mut self) -> InboundMode {
        let mark = self.value(&flags::TPROXY_MARK, names::TPROXY_MARK, values::positive);
        let table = &flags::TPROXY_ROUTE_TABLE;
        let route_table = self.value(table, TPROXY_ROUTE_TABLE, values::route_table);
        self.value(
            &flags::INTERCEPTION_MODE,
            InboundMode::Redirect,
            |text| match text {
                "REDIRECT" => Ok(InboundMode::Redirect),
                "TPROXY" => Ok(InboundMode::Tproxy { mark, route_table }),
                _ => Err("is no interception mode; allowed are REDIRECT and TPROXY".to_owned()),
            },
        )
    }

    fn groups(&mut self, container: &Container) -> Groups {
        let group = |name: &str| container.group(name);
        let excluded = self.owners(&flags::OWNER_GROUPS_EXCLUDE, &[], "group", group);
        if self
            .text(&flags::OWNER_GROUPS)
            .is_none_or(|groups| groups == "*")
        {
            return Groups::AllExcept(excluded);
        }
        let mut groups = self.owners(&flags::OWNER_GROUPS, &[], "group", group);
        let most = names::MAX_OWNER_GROUPS;
        if groups.len() > most {
            let reason = format!("has {} groups; allowed are {most}", groups.len());
            self.problem(&flags::OWNER_GROUPS, &reason);
        }
        groups.retain(|group| !excluded.contains(group));
        Groups::Only(groups)
    }

    fn dns(&mut self, container: &Container) -> DnsCapture {
        let (some, all) = (
            self.switch(&flags::REDIRECT_DNS),
            self.switch(&flags::CAPTURE_ALL_DNS),
        );
        let elsewhere = self.text(&flags::NETWORK_NAMESPACE).is_some();
        if some && !all && elsewhere {
            let reason = "needs --capture-all-dns with --network-namespace, for /etc/resolv.conf is not that pod's";
            self.problem(&flags::REDIRECT_DNS, reason);
        }
        match (some, all) {
            (false, _) => DnsCapture::Off,
            (true, true) => DnsCapture::All,
            (true, false) => DnsCapture::Servers(container.name_servers()),
        }
    }

    fn backend(&mut self) -> Backend {
        let native = self.switch(&flags::NATIVE_NFTABLES);
        let variant = self.text(&flags::FORCE_IPTABLES_BINARY).is_some();
        let unspecified = match (native, variant) {
            (true, _) => Backend::Nftables,
            (false, true) => Backend::Iptables,
            (false, false) => Backend::Auto,
        };
        let backend = self.value(&flags::BACKEND, unspecified, |text| match text {
            "auto" => Ok(unspecified),
            "iptables" => Ok(Backend::Iptables),
            "nftables" => Ok(Backend::Nftables),
            _ => Err("is no back end; allowed are auto, iptables and nftables".to_owned()),
        });
        if native && backend == Backend::Iptables {
            self.problem(&flags::NATIVE_NFTABLES, "contradicts --backend iptables");
        }
        if variant && backend == Backend::Nftables {
            let reason = "is for --backend iptables, but nftables is asked for";
            self.problem(&flags::FORCE_IPTABLES_BINARY, reason);
        }
        backend
    }

    fn proxy_uids(&mut self, container: &Container) -> Vec<u32> {
        let name = self.text(&flags::ENVOY_USER).unwrap_or(PROXY_USER);
        let default = container.user(name).unwrap_or(names::PROXY_UID);
        self.owners(&flags::PROXY_UID, &[default], "user", |name| {
            container.user(name)
        })
    }

    fn proxy_gids(&mut self, container: &Container, uids: &[u32]) -> Vec<u32> {
        self.owners(&flags::PROXY_GID, uids, "group", |name| {
            container.group(name)
        })
    }

    fn owners(
        &mut self,
        flag: &Flag,
        default: &[u32],
        kind: &str,
        named: impl Fn(&str) -> Option<u32>,
    ) -> Vec<u32> {
        let owner = |text: &str| {
            text.parse().ok().or_else(|| named(text)).ok_or_else(|| {
                format!("{text:?} is neither the id nor the name of a {kind} in this container")
            })
        };
        let owners = self.list(flag, owner);
        if owners.is_empty() {
            default.to_vec()
        } else {
            owners
        }
    }

    fn inbound(&mut self) -> InboundPorts {
        let except = self.list(&flags::LOCAL_EXCLUDE_PORTS, values::port);
        match self.text(&flags::INBOUND_PORTS) {
            Some("*") => InboundPorts::AllExcept(except),
            _ => InboundPorts::Only(self.list_or_star(&flags::INBOUND_PORTS, values::port)),
        }
    }

    fn destinations(&mut self) -> Destinations {
        match self.text(&flags::SERVICE_CIDR) {
            Some("*") => Destinations::All,
            _ => Destinations::Only(self.list_or_star(&flags::SERVICE_CIDR, values::network)),
        }
    }

    fn loopback(&mut self) -> Ipv4Net {
        let localhost = Ipv4Net::from(Ipv4Addr::LOCALHOST);
        self.value(&flags::LOOPBACK_CIDR, localhost, values::loopback_network)
    }

    fn variant(&mut self) -> Option<Variant> {
        self.value(&flags::FORCE_IPTABLES_BINARY, None, |text| match text {
            "legacy" => Ok(Some(Variant::Legacy)),
            "nft" => Ok(Some(Variant::Nft)),
            _ => Err("allowed are legacy and nft".to_owned()),
        })
    }

    fn run(&mut self) -> Run {
        Run {
            dry_run: self.switch(&flags::DRY_RUN),
            dry_run_file: self.text(&flags::DRY_RUN_FILE_PATH).map(PathBuf::from),
            network_namespace: self.text(&flags::NETWORK_NAMESPACE).map(PathBuf::from),
            skip_rules: self.switch(&flags::SKIP_RULE_APPLY),
            cleanup_only: self.switch(&flags::CLEANUP_ONLY),
            force_apply: self.switch(&flags::FORCE_APPLY),
            validate: self.switch(&flags::RUN_VALIDATION),
            probe_port: self.port(&flags::PROBE_PORT, ports::REDIRECTION_PROBE),
            probe_timeout: self.value(&flags::PROBE_TIMEOUT, PROBE_TIMEOUT, values::duration),
        }
    }

    fn port(&mut self, flag: &Flag, default: u16) -> u16 {
        self.value(flag, default, values::port)
    }

    fn switch(&mut self, flag: &Flag) -> bool {
        self.value(flag, false, values::switch)
    }

    fn list<T: PartialEq>(&mut self, flag: &Flag, item: impl Fn(&str) -> Parsed<T>) -> Vec<T> {
        self.value(flag, Vec::new(), |text| values::list(text, item))
    }

    /// A list where `*` alone would be allowed too.
    fn list_or_star<T: PartialEq>(
        &mut self,
        flag: &Flag,
        item: impl Fn(&str) -> Parsed<T>,
    ) -> Vec<T> {
        self.value(flag, Vec::new(), |text| {
            values::list(text, item).map_err(|reason| format!("{reason}; * alone means all"))
        })
    }

    /// The value of a flag, or the default if there is none or a wrong one.
    fn value<T>(&mut self, flag: &Flag, default: T, parse: impl FnOnce(&str) -> Parsed<T>) -> T {
        let Some(text) = self.text(flag) else {
            return default;
        };
        parse(text).unwrap_or_else(|reason| {
            self.problem(flag, &reason);
            default
        })
    }

    /// The text of a flag; an empty one is none.
    fn text(&self, flag: &Flag) -> Option<&'a str> {
        Some(self.values.given(flag)?.value.trim()).filter(|text| !text.is_empty())
    }

    fn problem(&mut self, flag: &Flag, reason: &str) {
        let Some(given) = self.values.given(flag) else {
            return;
        };
        let (source, value) = (given.source.clone(), given.value.clone());
        self.problems.push(Problem {
            source,
            value,
            reason: reason.to_owned(),
        });
    }
}
