//! The command line: the subcommands of `pilot-agent` that injected pods use, with Istio's flags.

use std::ffi::OsString;

use lexopt::prelude::*;

/// What the process is asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// `proxy sidecar`: carry the pod's traffic.
    Proxy(Arguments),
    /// `istio-iptables`: hand over to `lateen-init` with these arguments.
    Init(Vec<OsString>),
    /// Another subcommand with its arguments, for the agent.
    Other(String, Vec<OsString>),
    /// `version`.
    Version,
}

/// Flags of `proxy`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arguments {
    /// `--domain`: DNS suffix of the pod's namespace.
    pub domain: Option<String>,
    /// `--concurrency`: overrides the one of `PROXY_CONFIG`.
    pub concurrency: Option<usize>,
    /// `--proxyLogLevel`: level of the data plane.
    pub proxy_log_level: Option<String>,
    /// `--log_output_level`: levels of the agent, `scope:level` by commas.
    pub log_output_level: Option<String>,
    /// `--log_as_json`.
    pub log_as_json: bool,
}

/// Flags of Istio that are taken and mean nothing here: each has one value.
const IGNORED: &[&str] = &[
    "proxyComponentLogLevel",
    "stsPort",
    "tokenManagerPlugin",
    "meshConfig",
    "outlierLogPath",
    "templateFile",
    "serviceCluster",
    "log_caller",
    "log_stacktrace_level",
    "log_target",
    "log_rotate",
    "log_rotate_max_age",
    "log_rotate_max_backups",
    "log_rotate_max_size",
    "vklog",
];

impl Command {
    /// Reads the command line without the program's name.
    ///
    /// # Errors
    /// A sentence that says which argument is wrong.
    pub fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, lexopt::Error> {
        let mut arguments = arguments.into_iter();
        let name = arguments
            .next()
            .ok_or("a subcommand is missing: proxy, istio-iptables, wait, request or version")?;
        let name = name.string()?;
        match name.as_str() {
            "proxy" => Ok(Self::Proxy(Arguments::read(arguments)?)),
            "istio-iptables" => Ok(Self::Init(arguments.collect())),
            "version" => Ok(Self::Version),
            _ => Ok(Self::Other(name, arguments.collect())),
        }
    }
}

impl Arguments {
    fn read(arguments: impl Iterator<Item = OsString>) -> Result<Self, lexopt::Error> {
        let mut parser = lexopt::Parser::from_args(arguments);
        let mut read = Self::default();
        while let Some(argument) = parser.next()? {
            match argument {
                Long("domain") => read.domain = Some(parser.value()?.string()?),
                Long("concurrency") => read.concurrency = Some(parser.value()?.parse()?),
                Long("proxyLogLevel") => read.proxy_log_level = Some(parser.value()?.string()?),
                Long("log_output_level") => read.log_output_level = Some(parser.value()?.string()?),
                Long("log_as_json") => {
                    read.log_as_json = parser.optional_value().is_none_or(|value| value != "false");
                }
                Long(name) if IGNORED.contains(&name) => drop(parser.value()?),
                Value(role) if role == "sidecar" || role == "router" => {}
                other => return Err(other.unexpected()),
            }
        }
        Ok(read)
    }

    /// A `tracing` filter for the levels asked for: the agent's level is the default, the data
    /// plane's its own.
    pub(super) fn log_filter(&self) -> String {
        let agent = self
            .log_output_level
            .as_deref()
            .and_then(|levels| {
                levels
                    .split(',')
                    .find_map(|level| level.strip_prefix("default:"))
            })
            .map_or("info", level);
        match self.proxy_log_level.as_deref() {
            None => agent.to_owned(),
            Some(proxy) => {
                let proxy = level(proxy);
                let modules = ["inbound", "outbound", "http", "tcp", "upstream", "tls"];
                let mut filter = agent.to_owned();
                for module in modules {
                    filter.push_str(&format!(",lateen_proxy::{module}={proxy}"));
                }
                filter
            }
        }
    }
}

/// Istio's and Envoy's names of levels in `tracing`'s words.
fn level(name: &str) -> &'static str {
    match name {
        "trace" => "trace",
        "debug" => "debug",
        "warn" | "warning" => "warn",
        "error" | "critical" | "fatal" => "error",
        "none" | "off" => "off",
        _ => "info",
    }
}
