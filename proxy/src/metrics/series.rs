//! What is counted under one set of labels.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::histogram::Histogram;

/// HTTP requests of one kind between the same two parties.
#[derive(Debug, Default)]
pub struct HttpSeries {
    pub(super) requests: AtomicU64,
    pub(super) duration: Histogram,
    pub(super) request_bytes: Histogram,
    pub(super) response_bytes: Histogram,
    pub(super) request_messages: AtomicU64,
    pub(super) response_messages: AtomicU64,
    touched: AtomicU32,
}

/// TCP connections between the same two parties.
#[derive(Debug, Default)]
pub struct TcpSeries {
    pub(super) opened: AtomicU64,
    pub(super) closed: AtomicU64,
    pub(super) sent: AtomicU64,
    pub(super) received: AtomicU64,
    touched: AtomicU32,
}

/// One finished request.
#[derive(Clone, Copy, Debug, Default)]
pub struct HttpRecord {
    /// From the first byte of the request to the last of the response.
    pub duration: Duration,
    /// Bytes of the request, headers included.
    pub request_bytes: u64,
    /// Bytes of the response, headers included.
    pub response_bytes: u64,
    /// gRPC messages in the request.
    pub request_messages: u64,
    /// gRPC messages in the response.
    pub response_messages: u64,
}

impl HttpSeries {
    pub(super) fn record(&self, record: &HttpRecord, now: u32) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.duration
            .observe(record.duration.as_secs_f64() * 1_000.0);
        self.request_bytes.observe(record.request_bytes as f64);
        self.response_bytes.observe(record.response_bytes as f64);
        if record.request_messages > 0 {
            self.request_messages
                .fetch_add(record.request_messages, Ordering::Relaxed);
        }
        if record.response_messages > 0 {
            self.response_messages
                .fetch_add(record.response_messages, Ordering::Relaxed);
        }
        self.touched.store(now, Ordering::Relaxed);
    }

    pub(super) fn touched(&self) -> u32 {
        self.touched.load(Ordering::Relaxed)
    }
}

impl TcpSeries {
    /// A connection was opened.
    pub(super) fn open(&self, now: u32) {
        self.opened.fetch_add(1, Ordering::Relaxed);
        self.touched.store(now, Ordering::Relaxed);
    }

    /// A connection was closed.
    pub(super) fn close(&self, now: u32) {
        self.closed.fetch_add(1, Ordering::Relaxed);
        self.touched.store(now, Ordering::Relaxed);
    }

    /// Bytes came from the client.
    pub fn add_received(&self, bytes: u64) {
        self.received.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes went to the client.
    pub fn add_sent(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn touched(&self) -> u32 {
        self.touched.load(Ordering::Relaxed)
    }
}
