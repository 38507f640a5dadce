//! The standard `process_*` metrics, read from `/proc` when they are asked for.

use std::fmt;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Clock ticks per second in `/proc`, fixed in Linux' interface (`USER_HZ`).
const TICKS: f64 = 100.0;
/// Fields of `/proc/self/stat` after the program's name (proc_pid_stat(5), numbers 14, 15, 22).
const USER_TIME: usize = 11;
const SYSTEM_TIME: usize = 12;
const START_TIME: usize = 19;

/// Reads the metrics of this process.
#[derive(Debug)]
pub(crate) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let fields: Vec<&str> = stat
            .rsplit_once(')')
            .map_or("", |(_, rest)| rest)
            .split_whitespace()
            .collect();
        let ticks = |index: usize| -> f64 {
            fields
                .get(index)
                .and_then(|field| field.parse::<f64>().ok())
                .unwrap_or(0.0)
                / TICKS
        };

        let cpu = ConstCounter::new(ticks(USER_TIME) + ticks(SYSTEM_TIME));
        let descriptor = encoder.encode_descriptor(
            "process_cpu_seconds",
            "Processor time used, in seconds",
            None,
            MetricType::Counter,
        )?;
        cpu.encode(descriptor)?;

        let mut gauge = |name: &str, help: &str, value: f64| {
            let descriptor = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(value).encode(descriptor)
        };
        gauge(
            "process_resident_memory_bytes",
            "Resident memory",
            status_kib("VmRSS:") * 1024.0,
        )?;
        gauge(
            "process_virtual_memory_bytes",
            "Virtual memory",
            status_kib("VmSize:") * 1024.0,
        )?;
        gauge("process_open_fds", "Open file descriptors", open_files())?;
        gauge(
            "process_start_time_seconds",
            "Start of the process, seconds since the epoch",
            boot_time() + ticks(START_TIME),
        )
    }
}

fn status_kib(name: &str) -> f64 {
    number_after(
        &fs::read_to_string("/proc/self/status").unwrap_or_default(),
        name,
    )
}

fn boot_time() -> f64 {
    number_after(
        &fs::read_to_string("/proc/stat").unwrap_or_default(),
        "btime ",
    )
}

fn number_after(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or(0.0)
}

fn open_files() -> f64 {
    let count = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    u32::try_from(count).map_or(f64::MAX, f64::from)
}
