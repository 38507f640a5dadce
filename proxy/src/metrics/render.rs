//! The Prometheus text format, version 0.0.4.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::histogram::{BOUNDS, Histogram};
use super::{HttpSeries, TcpSeries};

type Labelled<S> = [(Arc<str>, Arc<S>)];

/// The standard HTTP and gRPC metrics.
pub(super) fn http(text: &mut String, all: &Labelled<HttpSeries>) {
    if all.is_empty() {
        return;
    }
    counter(
        text,
        "istio_requests_total",
        all,
        |series| &series.requests,
        false,
    );
    histogram(text, "istio_request_duration_milliseconds", all, |series| {
        &series.duration
    });
    histogram(text, "istio_request_bytes", all, |series| {
        &series.request_bytes
    });
    histogram(text, "istio_response_bytes", all, |series| {
        &series.response_bytes
    });
    counter(
        text,
        "istio_request_messages_total",
        all,
        |series| &series.request_messages,
        true,
    );
    counter(
        text,
        "istio_response_messages_total",
        all,
        |series| &series.response_messages,
        true,
    );
}

/// The standard TCP metrics.
pub(super) fn tcp(text: &mut String, all: &Labelled<TcpSeries>) {
    if all.is_empty() {
        return;
    }
    counter(
        text,
        "istio_tcp_sent_bytes_total",
        all,
        |series| &series.sent,
        false,
    );
    counter(
        text,
        "istio_tcp_received_bytes_total",
        all,
        |series| &series.received,
        false,
    );
    counter(
        text,
        "istio_tcp_connections_opened_total",
        all,
        |series| &series.opened,
        false,
    );
    counter(
        text,
        "istio_tcp_connections_closed_total",
        all,
        |series| &series.closed,
        false,
    );
}

/// `istio_build`.
pub(super) fn build(text: &mut String) {
    head(text, "istio_build", "gauge");
    line(
        text,
        "istio_build",
        concat!(
            "component=\"proxy\",tag=\"",
            env!("CARGO_PKG_VERSION"),
            "\""
        ),
        1,
    );
}

/// `# TYPE` line.
pub(super) fn head(text: &mut String, name: &str, kind: &str) {
    let _ = writeln!(text, "# TYPE {name} {kind}");
}

/// One sample.
pub(super) fn line(text: &mut String, name: &str, labels: &str, value: impl std::fmt::Display) {
    let written = if labels.is_empty() {
        writeln!(text, "{name} {value}")
    } else {
        writeln!(text, "{name}{{{labels}}} {value}")
    };
    debug_assert!(written.is_ok(), "writing to a string does not fail");
}

fn counter<S>(
    text: &mut String,
    name: &str,
    all: &Labelled<S>,
    value: fn(&S) -> &AtomicU64,
    omit_zero: bool,
) {
    let mut headed = false;
    for (labels, series) in all {
        let value = value(series).load(Ordering::Relaxed);
        if value == 0 && omit_zero {
            continue;
        }
        if !headed {
            head(text, name, "counter");
            headed = true;
        }
        line(text, name, labels, value);
    }
}

fn histogram(
    text: &mut String,
    name: &str,
    all: &Labelled<HttpSeries>,
    value: fn(&HttpSeries) -> &Histogram,
) {
    head(text, name, "histogram");
    for (labels, series) in all {
        let histogram = value(series);
        let cumulative = histogram.cumulative();
        for (bound, count) in BOUNDS.iter().zip(cumulative) {
            let _ = writeln!(text, "{name}_bucket{{{labels},le=\"{bound}\"}} {count}");
        }
        let count = cumulative.last().copied().unwrap_or_default();
        let _ = writeln!(text, "{name}_bucket{{{labels},le=\"+Inf\"}} {count}");
        let _ = writeln!(text, "{name}_sum{{{labels}}} {}", histogram.sum());
        let _ = writeln!(text, "{name}_count{{{labels}}} {count}");
    }
}
