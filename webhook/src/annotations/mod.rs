//! What a pod's annotations ask of its injection, read once into checked values. Every value is
//! looked at, also those that Istio leaves to chance, and all problems are reported together.

mod interfaces;
mod parse;
mod scrape;
pub(crate) mod traffic;
mod unused;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Volume, VolumeMount};

use lateen_api::ProxyConfig;
use lateen_api::mesh::InterceptionMode;

use crate::error::Problem;
use crate::keys;
use crate::quantity::Amount;
use crate::settings::Settings;

pub(crate) use scrape::{RESERVED_PORTS, Scrape, is_spelling};
pub(crate) use traffic::TrafficOptions;

/// What the annotations ask for; `None` is what they do not mention.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct PodOptions {
    pub(crate) native: Option<bool>,
    pub(crate) interception_mode: Option<InterceptionMode>,
    pub(crate) image: Option<String>,
    pub(crate) image_type: Option<String>,
    pub(crate) resources: ResourceOptions,
    pub(crate) log_level: Option<String>,
    pub(crate) component_log_level: Option<String>,
    pub(crate) agent_log_level: Option<String>,
    pub(crate) bootstrap_override: Option<String>,
    pub(crate) user_volumes: Vec<Volume>,
    pub(crate) user_volume_mounts: Vec<VolumeMount>,
    pub(crate) cap_net_bind_service: Option<bool>,
    pub(crate) rewrite_probes: Option<bool>,
    pub(crate) status_port: Option<u16>,
    pub(crate) readiness: ReadinessOptions,
    pub(crate) traffic: TrafficOptions,
    pub(crate) merge_metrics: Option<bool>,
    pub(crate) scrape: Scrape,
}

/// `sidecar.istio.io/proxy{CPU,CPULimit,Memory,MemoryLimit}`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ResourceOptions {
    pub(crate) cpu: Option<Amount>,
    pub(crate) cpu_limit: Option<Amount>,
    pub(crate) memory: Option<Amount>,
    pub(crate) memory_limit: Option<Amount>,
}

/// `readiness.status.sidecar.istio.io/*`, in seconds and numbers of tries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReadinessOptions {
    pub(crate) initial_delay: Option<i32>,
    pub(crate) period: Option<i32>,
    pub(crate) failure_threshold: Option<i32>,
}

impl PodOptions {
    /// Reads the annotations; the second value is everything that is wrong with them.
    pub(crate) fn parse(annotations: &BTreeMap<String, String>) -> (Self, Vec<Problem>) {
        let mut reader = Reader {
            annotations,
            problems: Vec::new(),
        };
        unused::check(&mut reader);
        let options = Self {
            native: reader.read(keys::NATIVE_SIDECAR, parse::truth),
            interception_mode: reader.read(keys::INTERCEPTION_MODE, parse::interception_mode),
            image: reader.read(keys::PROXY_IMAGE, parse::image),
            image_type: reader.read(keys::PROXY_IMAGE_TYPE, parse::image_type),
            resources: resources(&mut reader),
            log_level: reader.read(keys::LOG_LEVEL, parse::log_level),
            component_log_level: reader.read(keys::COMPONENT_LOG_LEVEL, parse::log_levels),
            agent_log_level: reader.read(keys::AGENT_LOG_LEVEL, parse::log_levels),
            bootstrap_override: reader.read(keys::BOOTSTRAP_OVERRIDE, parse::object_name),
            user_volumes: reader
                .read(keys::USER_VOLUME, parse::volumes)
                .unwrap_or_default(),
            user_volume_mounts: reader
                .read(keys::USER_VOLUME_MOUNT, parse::volume_mounts)
                .unwrap_or_default(),
            cap_net_bind_service: reader.read(keys::CAP_NET_BIND_SERVICE, parse::truth),
            rewrite_probes: reader.read(keys::REWRITE_PROBES, parse::truth),
            status_port: reader.read(keys::STATUS_PORT, parse::status_port),
            readiness: ReadinessOptions {
                initial_delay: reader.read(keys::READINESS_INITIAL_DELAY, parse::count),
                period: reader.read(keys::READINESS_PERIOD, parse::positive_count),
                failure_threshold: reader.read(keys::READINESS_FAILURES, parse::positive_count),
            },
            traffic: TrafficOptions::read(&mut reader),
            merge_metrics: reader.read(keys::MERGE_METRICS, parse::truth),
            scrape: Scrape::read(&mut reader),
        };
        (options, reader.problems)
    }
}

/// What is wrong with the annotations of a pod, whoever injects it.
#[must_use]
pub fn problems(annotations: &BTreeMap<String, String>) -> Vec<Problem> {
    let (_, mut problems) = PodOptions::parse(annotations);
    if let Some(yaml) = annotations.get(keys::PROXY_CONFIG) {
        problems.extend(Settings::of(&ProxyConfig::default()).merge(yaml).err());
    }
    problems
}

/// The variables for Datadog's tracer: a JSON object from names to texts.
pub(crate) fn datadog(
    annotations: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, Problem> {
    let mut reader = Reader {
        annotations,
        problems: Vec::new(),
    };
    let variables = reader.read(keys::DATADOG_VARIABLES, parse::variables);
    match reader.problems.pop() {
        Some(problem) => Err(problem),
        None => Ok(variables.unwrap_or_default()),
    }
}

/// Reads annotations one by one and collects what is wrong with them.
pub(crate) struct Reader<'a> {
    annotations: &'a BTreeMap<String, String>,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    /// The value of an annotation; `None` if it is absent or wrong. `parse` answers with what is
    /// allowed when the value is not.
    fn read<T, E: Into<String>>(
        &mut self,
        key: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let value = self.annotations.get(key)?;
        match parse(value) {
            Ok(parsed) => Some(parsed),
            Err(allowed) => {
                self.refuse(key, value, allowed);
                None
            }
        }
    }

    fn refuse(&mut self, key: &str, value: &str, allowed: impl Into<String>) {
        let (key, value) = (key.to_owned(), value.to_owned());
        self.problems.push(Problem {
            key,
            value,
            allowed: allowed.into(),
        });
    }
}

/// The resource annotations; a limit below its own request is a problem of the limit.
fn resources(reader: &mut Reader<'_>) -> ResourceOptions {
    let options = ResourceOptions {
        cpu: reader.read(keys::PROXY_CPU, parse::amount),
        cpu_limit: reader.read(keys::PROXY_CPU_LIMIT, parse::amount),
        memory: reader.read(keys::PROXY_MEMORY, parse::amount),
        memory_limit: reader.read(keys::PROXY_MEMORY_LIMIT, parse::amount),
    };
    let pairs = [
        (
            keys::PROXY_CPU,
            &options.cpu,
            keys::PROXY_CPU_LIMIT,
            &options.cpu_limit,
        ),
        (
            keys::PROXY_MEMORY,
            &options.memory,
            keys::PROXY_MEMORY_LIMIT,
            &options.memory_limit,
        ),
    ];
    for (request_key, request, limit_key, limit) in pairs {
        if let (Some(request), Some(limit)) = (request, limit)
            && request.exceeds(limit)
        {
            let allowed = format!(
                "at least the request {:?} of {request_key:?}",
                request.text()
            );
            reader.refuse(limit_key, limit.text(), allowed);
        }
    }
    options
}
