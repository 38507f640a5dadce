//! The flags of `istio-iptables`: their names on the command line and in the environment, and how
//! they are read from there. What their values mean is for [`super::reader`] and its callers.
//!
//! The command line wins over the environment, the environment over the default; an empty value in
//! the environment is none. As in Go's flag packages a switch may carry a value (`--dry-run=false`),
//! and of a flag given twice the last counts.

use std::collections::HashMap;
use std::ffi::OsString;

use lexopt::{Arg, Parser};

use super::Problem;

/// One flag.
#[derive(Debug)]
pub(super) struct Flag {
    /// The name on the command line without dashes, or the only name in the environment.
    pub(super) name: &'static str,
    /// The one-letter name on the command line.
    pub(super) short: Option<char>,
    /// What follows it on the command line.
    takes: Takes,
    /// Names in the environment, the first that is set counts.
    environment: Environment,
    /// One line for `--help`.
    pub(super) help: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Takes {
    Value,
    Switch,
}

#[derive(Clone, Copy, Debug)]
enum Environment {
    /// Only the command line sets it.
    None,
    /// The long name in capitals, with `_` for `-`.
    Named,
    /// As [`Environment::Named`], and this name too, which wins over it.
    NamedOr(&'static str),
    /// Only under this name: there is no such flag on the command line.
    Only,
}

impl Flag {
    const fn value(name: &'static str, short: Option<char>, help: &'static str) -> Self {
        Self {
            name,
            short,
            takes: Takes::Value,
            environment: Environment::Named,
            help,
        }
    }

    const fn switch(name: &'static str, help: &'static str) -> Self {
        Self {
            name,
            short: None,
            takes: Takes::Switch,
            environment: Environment::Named,
            help,
        }
    }

    const fn also(mut self, name: &'static str) -> Self {
        self.environment = Environment::NamedOr(name);
        self
    }

    const fn short(mut self, short: char) -> Self {
        self.short = Some(short);
        self
    }

    const fn without_environment(mut self) -> Self {
        self.environment = Environment::None;
        self
    }

    const fn only_environment(name: &'static str, help: &'static str) -> Self {
        Self {
            name,
            short: None,
            takes: Takes::Value,
            environment: Environment::Only,
            help,
        }
    }

    /// The names in the environment; the first that is set counts.
    pub(super) fn environment_names(&self) -> Vec<String> {
        let named = || self.name.to_uppercase().replace('-', "_");
        match self.environment {
            Environment::None => Vec::new(),
            Environment::Named => vec![named()],
            Environment::NamedOr(other) => vec![other.to_owned(), named()],
            Environment::Only => vec![self.name.to_owned()],
        }
    }

    /// Whether the command line knows it.
    pub(super) fn on_command_line(&self) -> bool {
        !matches!(self.environment, Environment::Only)
    }

    /// How `--help` writes it.
    pub(super) fn synopsis(&self) -> String {
        let value = if self.takes == Takes::Value {
            " <value>"
        } else {
            ""
        };
        match self.short {
            Some(short) => format!("-{short}, --{}{value}", self.name),
            None => format!("    --{}{value}", self.name),
        }
    }
}

macro_rules! flags {
    ($($name:ident = $flag:expr;)*) => {
        $(pub(super) static $name: Flag = $flag;)*
        /// Every flag, in the order of `--help`.
        pub(super) static ALL: &[&Flag] = &[$(&$name),*];
    };
}

flags! {
    ENVOY_PORT = Flag::value("envoy-port", Some('p'), "Port that outbound connections are redirected to (15001)").without_environment();
    INBOUND_CAPTURE_PORT = Flag::value("inbound-capture-port", Some('z'), "Port that inbound connections are redirected to (15006)");
    INBOUND_TUNNEL_PORT = Flag::value("inbound-tunnel-port", Some('e'), "Port of the tunnel, never redirected (15008)");
    PROXY_UID = Flag::value("proxy-uid", Some('u'), "Users whose traffic is not redirected: comma list of ids or names (user $ENVOY_USER, else 1337)");
    PROXY_GID = Flag::value("proxy-gid", Some('g'), "Groups whose traffic is not redirected: comma list of ids or names (as --proxy-uid)");
    INTERCEPTION_MODE = Flag::value("istio-inbound-interception-mode", Some('m'), "REDIRECT (the default) or TPROXY");
    INBOUND_PORTS = Flag::value("istio-inbound-ports", Some('b'), "Inbound ports to redirect: comma list or * (none)");
    LOCAL_EXCLUDE_PORTS = Flag::value("istio-local-exclude-ports", Some('d'), "Inbound ports not to redirect, when all others are: comma list (none)");
    SERVICE_CIDR = Flag::value("istio-service-cidr", Some('i'), "Outbound destinations to redirect: comma list of CIDRs or * (none)");
    SERVICE_EXCLUDE_CIDR = Flag::value("istio-service-exclude-cidr", Some('x'), "Outbound destinations not to redirect: comma list of CIDRs (none)");
    OUTBOUND_PORTS = Flag::value("istio-outbound-ports", Some('q'), "Outbound ports to redirect whatever the destination: comma list (none)");
    LOCAL_OUTBOUND_PORTS_EXCLUDE = Flag::value("istio-local-outbound-ports-exclude", Some('o'), "Outbound ports not to redirect: comma list (none)");
    EXCLUDE_INTERFACES = Flag::value("istio-exclude-interfaces", Some('c'), "Interfaces whose traffic is not redirected: comma list (none)");
    KUBE_VIRT_INTERFACES = Flag::value("kube-virt-interfaces", Some('k'), "Interfaces of virtual machines, whose inbound traffic counts as outbound: comma list (none)");
    TPROXY_MARK = Flag::value("istio-inbound-tproxy-mark", Some('t'), "Mark of inbound packets in TPROXY mode (1337)");
    TPROXY_ROUTE_TABLE = Flag::value("istio-inbound-tproxy-route-table", Some('r'), "Routing table of marked packets in TPROXY mode (133)");
    REDIRECT_DNS = Flag::switch("redirect-dns", "Redirect DNS to the proxy").also("ISTIO_META_DNS_CAPTURE");
    CAPTURE_ALL_DNS = Flag::switch("capture-all-dns", "Redirect DNS to any server, not only those of /etc/resolv.conf");
    DROP_INVALID = Flag::switch("drop-invalid", "Drop packets that conntrack calls invalid").also("INVALID_DROP");
    DUAL_STACK = Flag::switch("dual-stack", "Accepted; both families are always looked at").also("ISTIO_DUAL_STACK");
    PROBE_PORT = Flag::value("iptables-probe-port", None, "Destination port of the trial connection (15002)");
    PROBE_TIMEOUT = Flag::value("probe-timeout", None, "How long the trial connection may take (5s)");
    RUN_VALIDATION = Flag::switch("run-validation", "Try the rules out; exit code 126 if they do not redirect");
    SKIP_RULE_APPLY = Flag::switch("skip-rule-apply", "Leave the rules alone");
    DRY_RUN = Flag::switch("dry-run", "Print what would be applied, to $DRY_RUN_FILE_PATH too").short('n');
    RECONCILE = Flag::switch("reconcile", "Accepted; rules that differ are always replaced");
    CLEANUP_ONLY = Flag::switch("cleanup-only", "Remove the rules");
    FORCE_APPLY = Flag::switch("force-apply", "Apply the rules even if the kernel already has them");
    BACKEND = Flag::value("backend", None, "iptables, nftables (over netlink, no program needed) or auto: iptables where it works (auto)");
    NATIVE_NFTABLES = Flag::switch("native-nftables", "The same as --backend nftables");
    FORCE_IPTABLES_BINARY = Flag::value("force-iptables-binary", None, "legacy or nft (what is there)");
    CNI_MODE = Flag::switch("cni-mode", "Accepted; --network-namespace alone says for which pod");
    NETWORK_NAMESPACE = Flag::value("network-namespace", None, "Path of the network namespace to work in (one's own)");
    LOG_AS_JSON = Flag::switch("log_as_json", "Accepted and ignored");
    LOG_CALLER = Flag::value("log_caller", None, "Accepted and ignored");
    LOG_OUTPUT_LEVEL = Flag::value("log_output_level", None, "Accepted and ignored");
    LOG_STACKTRACE_LEVEL = Flag::value("log_stacktrace_level", None, "Accepted and ignored");
    LOG_TARGET = Flag::value("log_target", None, "Accepted and ignored");
    VKLOG = Flag::value("vklog", None, "Accepted and ignored");
    ENVOY_USER = Flag::only_environment("ENVOY_USER", "User of the proxy, if --proxy-uid is not given (istio-proxy)");
    DRY_RUN_FILE_PATH = Flag::only_environment("DRY_RUN_FILE_PATH", "File that --dry-run writes");
    OWNER_GROUPS = Flag::only_environment("ISTIO_OUTBOUND_OWNER_GROUPS", "Groups whose outbound traffic is redirected: comma list of at most 64 ids or names, or * (*)");
    OWNER_GROUPS_EXCLUDE = Flag::only_environment("ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE", "Groups whose outbound traffic is not redirected: comma list of ids or names (none)");
    LOOPBACK_CIDR = Flag::only_environment("ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR", "IPv4 loopback destinations of applications (127.0.0.1/32)");
}

/// A value, and where it was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Given {
    /// How the user wrote the flag: `--proxy-uid` or `PROXY_UID`.
    pub(super) source: String,
    /// The text.
    pub(super) value: String,
}

/// What one invocation says about every flag.
#[derive(Debug, Default)]
pub(super) struct Values {
    given: HashMap<&'static str, Given>,
    /// `--help` was asked for.
    pub(super) help: bool,
    /// `--version` was asked for.
    pub(super) version: bool,
}

impl Values {
    /// Collects what the command line and the environment say; what neither knows is a problem.
    pub(super) fn collect(
        arguments: impl IntoIterator<Item = OsString>,
        environment: impl Fn(&str) -> Option<String>,
        problems: &mut Vec<Problem>,
    ) -> Self {
        let mut values = Self::default();
        for flag in ALL {
            let set = |name: String| Some((environment(&name)?, name));
            let mut given = flag.environment_names().into_iter().filter_map(set);
            if let Some((value, source)) = given.find(|(value, _)| !value.is_empty()) {
                values.given.insert(flag.name, Given { source, value });
            }
        }
        let mut parser = Parser::from_args(arguments);
        loop {
            match values.next(&mut parser) {
                Ok(true) => {}
                Ok(false) => return values,
                Err(problem) => problems.push(problem),
            }
        }
    }

    /// What was said about a flag.
    pub(super) fn given(&self, flag: &Flag) -> Option<&Given> {
        self.given.get(flag.name)
    }

    /// Reads the next argument; false at the end.
    fn next(&mut self, parser: &mut Parser) -> Result<bool, Problem> {
        let argument = match parser.next() {
            Ok(Some(argument)) => argument,
            Ok(None) => return Ok(false),
            Err(error) => return Err(Problem::of_command_line(&error)),
        };
        let flag = match argument {
            Arg::Long("help") | Arg::Short('h') => {
                self.help = true;
                return Ok(true);
            }
            Arg::Long("version") => {
                self.version = true;
                return Ok(true);
            }
            Arg::Long(long) => ALL
                .iter()
                .find(|flag| flag.on_command_line() && flag.name == long),
            Arg::Short(short) => ALL.iter().find(|flag| flag.short == Some(short)),
            Arg::Value(_) => None,
        };
        let Some(flag) = flag else {
            let unknown = argument.unexpected();
            parser.optional_value();
            return Err(Problem::of_command_line(&unknown));
        };
        let value = match flag.takes {
            Takes::Value => parser
                .value()
                .map_err(|error| Problem::of_command_line(&error))?,
            Takes::Switch => parser.optional_value().unwrap_or_else(|| "true".into()),
        };
        let source = format!("--{}", flag.name);
        let value = value.into_string().map_err(|value| Problem {
            source: source.clone(),
            value: value.to_string_lossy().into_owned(),
            reason: "is not valid UTF-8".to_owned(),
        })?;
        self.given.insert(flag.name, Given { source, value });
        Ok(true)
    }
}
