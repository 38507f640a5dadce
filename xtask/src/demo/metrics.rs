//! Reads Istio's standard metrics in Prometheus's text format: who called whom.

use std::collections::BTreeMap;

/// Who called whom, as whom, and how the bytes travelled.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Edge {
    /// The workload that called, `unknown` outside the mesh.
    pub(crate) source: String,
    /// The workload that answered.
    pub(crate) destination: String,
    /// The caller's identity as its certificate says, `unknown` without one.
    pub(crate) principal: String,
    /// Whether both sides showed certificates.
    pub(crate) mutual_tls: bool,
}

/// What happened on an edge.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Calls {
    /// Requests answered.
    pub(crate) requests: f64,
    /// Those with a 5xx answer, or none.
    pub(crate) failures: f64,
    /// Requests that took at most so many milliseconds, by the bound as text.
    buckets: BTreeMap<String, f64>,
}

impl Calls {
    /// The time in milliseconds that the share `quantile` of all requests kept below, taken to be
    /// spread evenly inside a bucket as Prometheus does.
    pub(crate) fn quantile(&self, quantile: f64) -> Option<f64> {
        let mut bounds: Vec<(f64, f64)> = self
            .buckets
            .iter()
            .filter_map(|(bound, &count)| Some((bound.replace("+Inf", "inf").parse().ok()?, count)))
            .collect();
        bounds.sort_by(|one, other| one.0.total_cmp(&other.0));
        let &(_, total) = bounds.last()?;
        let rank = quantile * total;
        let mut below = (0.0, 0.0);
        for (bound, count) in bounds {
            if count >= rank && count > below.1 {
                if bound.is_infinite() {
                    return Some(below.0);
                }
                return Some(below.0 + (bound - below.0) * (rank - below.1) / (count - below.1));
            }
            below = (bound, count);
        }
        None
    }
}

/// Adds what the sidecar whose metrics are `text` saw as the server: it alone has checked the
/// caller's certificate.
pub(crate) fn add_calls(text: &str, calls: &mut BTreeMap<Edge, Calls>) {
    for sample in text.lines().filter_map(Sample::parse) {
        let Some(edge) = sample.edge() else { continue };
        match sample.name {
            "istio_requests_total" => {
                let calls = calls.entry(edge).or_default();
                calls.requests += sample.value;
                if sample.label("response_code").starts_with(['0', '5']) {
                    calls.failures += sample.value;
                }
            }
            "istio_request_duration_milliseconds_bucket" => {
                let bound = sample.label("le").to_owned();
                *calls
                    .entry(edge)
                    .or_default()
                    .buckets
                    .entry(bound)
                    .or_default() += sample.value;
            }
            _ => {}
        }
    }
}

/// A line of the text format.
#[derive(Debug)]
struct Sample<'a> {
    name: &'a str,
    labels: BTreeMap<&'a str, String>,
    value: f64,
}

impl<'a> Sample<'a> {
    /// Reads `name{label="value",...} number`; none for comments and for series without labels.
    fn parse(line: &'a str) -> Option<Self> {
        let (name, mut rest) = line.split_once('{')?;
        let mut labels = BTreeMap::new();
        while !rest.starts_with('}') {
            let (label, after) = rest.trim_start_matches(',').split_once("=\"")?;
            let (value, after) = unquote(after)?;
            labels.insert(label, value);
            rest = after;
        }
        let value = rest
            .trim_start_matches('}')
            .split_whitespace()
            .next()?
            .parse()
            .ok()?;
        Some(Self {
            name,
            labels,
            value,
        })
    }

    fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("unknown", String::as_str)
    }

    /// The edge that the sample belongs to, if the server reported it.
    fn edge(&self) -> Option<Edge> {
        (self.label("reporter") == "destination").then(|| Edge {
            source: self.label("source_workload").to_owned(),
            destination: self.label("destination_workload").to_owned(),
            principal: self.label("source_principal").to_owned(),
            mutual_tls: self.label("connection_security_policy") == "mutual_tls",
        })
    }
}

/// Splits a quoted text, whose opening quote is gone, from what follows its closing quote.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, text.get(at + 1..)?)),
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"# TYPE istio_requests_total counter
istio_requests_total{reporter="destination",source_workload="a",destination_workload="b",source_principal="spiffe://cluster.local/ns/x/sa/a",response_code="200",connection_security_policy="mutual_tls"} 98
istio_requests_total{reporter="destination",source_workload="a",destination_workload="b",source_principal="spiffe://cluster.local/ns/x/sa/a",response_code="503",connection_security_policy="mutual_tls"} 2
istio_requests_total{reporter="source",source_workload="b",destination_workload="c",response_code="200"} 7
istio_request_duration_milliseconds_bucket{reporter="destination",source_workload="a",destination_workload="b",source_principal="spiffe://cluster.local/ns/x/sa/a",connection_security_policy="mutual_tls",le="1"} 50
istio_request_duration_milliseconds_bucket{reporter="destination",source_workload="a",destination_workload="b",source_principal="spiffe://cluster.local/ns/x/sa/a",connection_security_policy="mutual_tls",le="5"} 90
istio_request_duration_milliseconds_bucket{reporter="destination",source_workload="a",destination_workload="b",source_principal="spiffe://cluster.local/ns/x/sa/a",connection_security_policy="mutual_tls",le="10"} 100
istio_request_duration_milliseconds_bucket{reporter="destination",source_workload="a",destination_workload="b",source_principal="spiffe://cluster.local/ns/x/sa/a",connection_security_policy="mutual_tls",le="+Inf"} 100
up 1
"#;

    #[test]
    fn the_servers_view_is_summed_by_edge() {
        let mut calls = BTreeMap::new();
        add_calls(TEXT, &mut calls);
        let (edge, calls) = calls.pop_first().expect("one edge");
        assert_eq!(
            (edge.source.as_str(), edge.destination.as_str()),
            ("a", "b")
        );
        assert!(edge.mutual_tls);
        assert_eq!((calls.requests, calls.failures), (100.0, 2.0));
    }

    #[test]
    fn quantiles_lie_inside_their_buckets() {
        let mut calls = BTreeMap::new();
        add_calls(TEXT, &mut calls);
        let (_, calls) = calls.pop_first().expect("one edge");
        assert_eq!(calls.quantile(0.5), Some(1.0));
        assert_eq!(calls.quantile(0.7), Some(3.0));
        assert_eq!(calls.quantile(0.95), Some(7.5));
        assert_eq!(Calls::default().quantile(0.5), None);
    }

    #[test]
    fn escapes_in_labels_are_read() {
        let sample = Sample::parse(r#"x{a="q\"\\\n}",b=""} 1.5 1700000000"#).expect("a sample");
        assert_eq!(sample.label("a"), "q\"\\\n}");
        assert_eq!(sample.label("b"), "");
        assert_eq!(sample.value, 1.5);
        assert!(Sample::parse(r#"x{a="no end"#).is_none());
    }
}
