//! What is measured, and what it may be: the budgets.

use std::fmt;

use super::injection::Pace;
use super::load::Load;

/// Something that is measured. Tables are in the order of the variants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Measure {
    /// CPU time that one of two sidecars takes for a request, in microseconds.
    Cpu(Load),
    /// What both sidecars add to the time of a request, in milliseconds.
    AddedLatency(Load, Percentile),
    /// The time of a request, in milliseconds.
    Latency(Load, Percentile),
    /// Resident memory of a sidecar that has just become ready, in megabytes.
    IdleMemory,
    /// Resident memory of a sidecar under load, in megabytes.
    Memory(Load),
    /// What a sidecar is told from its start until it has called three services, in kilobytes.
    Configuration {
        /// How many services there are.
        services: usize,
    },
    /// CPU time of the injector for an admission, in milliseconds.
    InjectionCpu(Pace),
    /// The time that all but one in a hundred admissions do not exceed, in milliseconds.
    InjectionLatency(Pace),
    /// Resident memory of the injector after that, in megabytes.
    InjectionMemory,
    /// What 100,000 reviews add to it, in megabytes.
    InjectionGrowth,
    /// Resident memory of control, in megabytes.
    ControlMemory {
        /// How many services it knows.
        services: usize,
    },
    /// How long programming redirection takes, both families, in milliseconds.
    RedirectionTime(Means),
    /// The most resident memory that takes, in megabytes.
    RedirectionMemory(Means),
    /// What is in an image, in megabytes.
    Image(&'static str),
}

/// What programs redirection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Means {
    /// The programs of iptables.
    Iptables,
    /// `lateen-init` itself, over netlink.
    Netlink,
}

impl fmt::Display for Means {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Iptables => "iptables",
            Self::Netlink => "netlink",
        })
    }
}

/// Which of all the times of a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Percentile {
    /// Half of the requests were faster.
    P50,
    /// All but one in a hundred were faster.
    P99,
}

/// What a figure may be at most.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Budget {
    /// So much, in the unit of the measure.
    AtMost(f64),
    /// This share of what Envoy takes in the same run.
    ShareOfEnvoy(f64),
}

impl Measure {
    /// What values are in.
    #[must_use]
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Cpu(_) => "us",
            Self::AddedLatency(..)
            | Self::Latency(..)
            | Self::InjectionCpu(_)
            | Self::InjectionLatency(_)
            | Self::RedirectionTime(_) => "ms",
            Self::Configuration { .. } => "KB",
            Self::IdleMemory
            | Self::Memory(_)
            | Self::InjectionMemory
            | Self::InjectionGrowth
            | Self::ControlMemory { .. }
            | Self::RedirectionMemory(_)
            | Self::Image(_) => "MB",
        }
    }

    /// What it may be, if anything is promised.
    #[must_use]
    pub fn budget(self) -> Option<Budget> {
        use Budget::{AtMost, ShareOfEnvoy};
        match self {
            Self::Cpu(_) | Self::AddedLatency(Load::Steady16, _) => Some(ShareOfEnvoy(0.5)),
            Self::IdleMemory => Some(AtMost(8.0)),
            Self::Memory(Load::Steady16) => Some(AtMost(12.0)),
            Self::Memory(Load::Steady64) => Some(AtMost(16.0)),
            Self::Configuration { .. } => Some(AtMost(20.0)),
            Self::InjectionCpu(_) => Some(AtMost(0.1)),
            Self::InjectionLatency(_) => Some(AtMost(3.0)),
            Self::InjectionMemory => Some(AtMost(25.0)),
            Self::InjectionGrowth => Some(AtMost(1.0)),
            Self::ControlMemory { services: 1_000 } => Some(AtMost(40.0)),
            Self::RedirectionTime(Means::Iptables) => Some(AtMost(15.0)),
            Self::RedirectionTime(Means::Netlink) => Some(AtMost(3.0)),
            Self::RedirectionMemory(_) => Some(AtMost(6.0)),
            Self::Image("proxyv2") => Some(AtMost(20.0)),
            Self::Image(_) => Some(AtMost(15.0)),
            Self::AddedLatency(..)
            | Self::Latency(..)
            | Self::Memory(Load::Saturated)
            | Self::ControlMemory { .. } => None,
        }
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu(load) => write!(formatter, "CPU per request and sidecar, {load}"),
            Self::AddedLatency(load, percentile) => {
                write!(
                    formatter,
                    "latency added by both sidecars, {load}, {percentile}"
                )
            }
            Self::Latency(load, percentile) => {
                write!(formatter, "latency, {load}, {percentile}")
            }
            Self::IdleMemory => formatter.write_str("memory of a sidecar, idle"),
            Self::Memory(load) => write!(formatter, "memory of a sidecar, {load}"),
            Self::Configuration { services } => write!(
                formatter,
                "received by a sidecar that calls three of {services} services"
            ),
            Self::InjectionCpu(pace) => {
                write!(formatter, "injection, CPU per admission, {pace}")
            }
            Self::InjectionLatency(pace) => write!(formatter, "injection, p99, {pace}"),
            Self::InjectionMemory => formatter.write_str("injection, memory"),
            Self::InjectionGrowth => {
                formatter.write_str("injection, memory that 100,000 reviews add")
            }
            Self::ControlMemory { services } => {
                write!(formatter, "memory of control, {services} services")
            }
            Self::RedirectionTime(means) => write!(formatter, "redirection with {means}, time"),
            Self::RedirectionMemory(means) => write!(formatter, "redirection with {means}, memory"),
            Self::Image(name) => write!(formatter, "image {name}"),
        }
    }
}

impl Percentile {
    /// All of them.
    pub(crate) const ALL: [Self; 2] = [Self::P50, Self::P99];

    /// Of a hundred.
    #[must_use]
    pub(crate) const fn of_hundred(self) -> f64 {
        match self {
            Self::P50 => 50.0,
            Self::P99 => 99.0,
        }
    }
}

impl fmt::Display for Percentile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "p{}", self.of_hundred())
    }
}
