//! Istio's standard metrics and the proxy's own, as Prometheus text.
//!
//! A set of labels is written out once, when a peer is first met, and the series behind it is held
//! by whoever records into it ([`Telemetry`]); recording is a handful of relaxed atomic additions.
//! A series leaves when nobody has held it for a while.

mod counters;
mod dns;
mod histogram;
mod labels;
mod process;
mod render;
mod series;
mod telemetry;
#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ahash::AHashMap;
use parking_lot::Mutex;
use tokio::time::Instant;

pub use self::counters::Counters;
pub use self::dns::DnsMetrics;
pub use self::labels::{Flag, Flags, Party, Reporter, Security, ServiceLabels, Traffic};
pub use self::series::{HttpRecord, HttpSeries, TcpSeries};
pub use self::telemetry::{HttpKey, OpenConnection, RequestProtocol, Telemetry};

/// How long a series that nobody holds stays, so that a scraper sees its last values.
const EXPIRY: Duration = Duration::from_secs(600);
/// Series of one kind; beyond them records go nowhere and are counted.
const MAX_SERIES: usize = 10_000;

/// Every series of the process. Clones share them.
#[derive(Clone, Debug)]
pub struct Registry {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    http: Mutex<AHashMap<Arc<str>, Arc<HttpSeries>>>,
    tcp: Mutex<AHashMap<Arc<str>, Arc<TcpSeries>>>,
    counters: Counters,
    /// Made when the name server starts.
    dns: OnceLock<Arc<DnsMetrics>>,
    started: Instant,
}

impl Registry {
    /// An empty registry.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "made once, by name")]
    pub fn new() -> Self {
        Self {
            inner: Arc::new(Inner {
                http: Mutex::default(),
                tcp: Mutex::default(),
                counters: Counters::default(),
                dns: OnceLock::new(),
                started: Instant::now(),
            }),
        }
    }

    /// The proxy's own counters and gauges.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.inner.counters
    }

    /// What the name server counts; without one nobody asks, and there are no such metrics.
    #[must_use]
    pub fn dns(&self) -> Arc<DnsMetrics> {
        Arc::clone(self.inner.dns.get_or_init(Arc::default))
    }

    /// Appends every metric in the Prometheus text format 0.0.4.
    pub fn render(&self, text: &mut String) {
        self.expire();
        let http = sorted(&self.inner.http);
        let tcp = sorted(&self.inner.tcp);
        render::http(text, &http);
        render::tcp(text, &tcp);
        render::build(text);
        self.inner.counters.render(text);
        if let Some(dns) = self.inner.dns.get() {
            dns.render(text);
        }
        process::render(text);
    }

    /// The series with these labels, made if it is new.
    fn http(&self, labels: String) -> Arc<HttpSeries> {
        let now = self.seconds();
        self.get(&self.inner.http, labels, now, HttpSeries::touched)
    }

    /// The series with these labels, made if it is new.
    fn tcp(&self, labels: String) -> Arc<TcpSeries> {
        let now = self.seconds();
        self.get(&self.inner.tcp, labels, now, TcpSeries::touched)
    }

    fn get<S: Default>(
        &self,
        map: &Mutex<AHashMap<Arc<str>, Arc<S>>>,
        labels: String,
        now: u32,
        touched: fn(&S) -> u32,
    ) -> Arc<S> {
        let mut map = map.lock();
        if let Some(series) = map.get(labels.as_str()) {
            return Arc::clone(series);
        }
        if map.len() >= MAX_SERIES {
            retain_live(&mut map, now, touched);
        }
        let series = Arc::new(S::default());
        if map.len() < MAX_SERIES {
            map.insert(labels.into(), Arc::clone(&series));
        } else {
            self.inner.counters.series_over_limit.increment();
        }
        series
    }

    fn expire(&self) {
        let now = self.seconds();
        retain_live(&mut self.inner.http.lock(), now, HttpSeries::touched);
        retain_live(&mut self.inner.tcp.lock(), now, TcpSeries::touched);
    }

    /// Whole seconds since the start: the clock of expiry.
    fn seconds(&self) -> u32 {
        u32::try_from(self.inner.started.elapsed().as_secs()).unwrap_or(u32::MAX)
    }
}

fn retain_live<S>(map: &mut AHashMap<Arc<str>, Arc<S>>, now: u32, touched: fn(&S) -> u32) {
    let expiry = EXPIRY.as_secs() as u32;
    map.retain(|_, series| {
        Arc::strong_count(series) > 1 || now.saturating_sub(touched(series)) < expiry
    });
}

fn sorted<S>(map: &Mutex<AHashMap<Arc<str>, Arc<S>>>) -> Vec<(Arc<str>, Arc<S>)> {
    let mut all: Vec<_> = map
        .lock()
        .iter()
        .map(|(labels, series)| (labels.clone(), series.clone()))
        .collect();
    all.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    all
}
