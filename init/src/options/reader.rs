//! From flag values to [`Options`]: every value is parsed, whatever went wrong before, so that the
//! user sees all mistakes in one run.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::Ipv4Net;
use lateen_wire::{names, ports};

use super::flags::{self, Flag, Values};
use super::values::{self, Parsed};
use super::{Destinations, InboundPorts, Options, Problem, Run, Variant};
use crate::pod::Accounts;

/// How long the trial connection may take, unless told otherwise.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
/// The name of the proxy's user, unless told otherwise.
const PROXY_USER: &str = "istio-proxy";

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
    pub(super) fn options(mut self, accounts: &Accounts) -> Options {
        self.refuse_what_is_not_built();
        self.accept_what_changes_nothing();
        let proxy_uids = self.proxy_uids(accounts);
        let proxy_gids = self.proxy_gids(accounts, &proxy_uids);
        Options {
            outbound_capture: self.port(&flags::ENVOY_PORT, ports::OUTBOUND),
            inbound_capture: self.port(&flags::INBOUND_CAPTURE_PORT, ports::INBOUND),
            tunnel: self.port(&flags::INBOUND_TUNNEL_PORT, ports::TUNNEL),
            proxy_uids,
            proxy_gids,
            inbound: self.inbound(),
            destinations: self.destinations(),
            excluded_destinations: self.list(&flags::SERVICE_EXCLUDE_CIDR, values::network),
            outbound_ports: self.list(&flags::OUTBOUND_PORTS, values::port),
            excluded_outbound_ports: self.list(&flags::LOCAL_OUTBOUND_PORTS_EXCLUDE, values::port),
            excluded_interfaces: self.list(&flags::EXCLUDE_INTERFACES, values::interface),
            virtual_interfaces: self.list(&flags::KUBE_VIRT_INTERFACES, values::interface),
            loopback: self.loopback(),
            drop_invalid: self.switch(&flags::DROP_INVALID),
            variant: self.variant(),
            run: self.run(),
        }
    }

    fn refuse_what_is_not_built(&mut self) {
        for flag in [
            &flags::REDIRECT_DNS,
            &flags::CAPTURE_ALL_DNS,
            &flags::NATIVE_NFTABLES,
            &flags::CNI_MODE,
        ] {
            if self.switch(flag) {
                self.problem(flag, "is not supported yet; allowed is false");
            }
        }
        if self.text(&flags::NETWORK_NAMESPACE).is_some() {
            self.problem(
                &flags::NETWORK_NAMESPACE,
                "is not supported yet; leave it empty",
            );
        }
        if self
            .text(&flags::OWNER_GROUPS)
            .is_some_and(|groups| groups != "*")
        {
            self.problem(&flags::OWNER_GROUPS, "is not supported yet; allowed is *");
        }
        if self.text(&flags::OWNER_GROUPS_EXCLUDE).is_some() {
            self.problem(
                &flags::OWNER_GROUPS_EXCLUDE,
                "is not supported yet; leave it empty",
            );
        }
        match self.text(&flags::INTERCEPTION_MODE) {
            None | Some("REDIRECT") => {}
            Some("TPROXY") => self.problem(
                &flags::INTERCEPTION_MODE,
                "is not supported yet; allowed is REDIRECT",
            ),
            Some(_) => self.problem(
                &flags::INTERCEPTION_MODE,
                "is no interception mode; allowed is REDIRECT",
            ),
        }
    }

    fn accept_what_changes_nothing(&mut self) {
        self.switch(&flags::DUAL_STACK);
        self.switch(&flags::RECONCILE);
        self.value(&flags::TPROXY_MARK, 0, values::number);
        self.value(&flags::TPROXY_ROUTE_TABLE, 0, values::number);
    }

    fn proxy_uids(&mut self, accounts: &Accounts) -> Vec<u32> {
        let name = self.text(&flags::ENVOY_USER).unwrap_or(PROXY_USER);
        let default = accounts.user(name).unwrap_or(names::PROXY_UID);
        self.owners(&flags::PROXY_UID, &[default], "user", |name| {
            accounts.user(name)
        })
    }

    fn proxy_gids(&mut self, accounts: &Accounts, uids: &[u32]) -> Vec<u32> {
        self.owners(&flags::PROXY_GID, uids, "group", |name| {
            accounts.group(name)
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
