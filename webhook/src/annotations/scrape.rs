//! How Prometheus scrapes the application: `prometheus.io/{scrape,port,path}` in any of the spellings
//! that Prometheus takes for the same, and `prometheus.istio.io/scrape-targets`.

use lateen_wire::ports;
use serde::Serialize;

use super::{Reader, parse};
use crate::keys;

/// Ports of the mesh itself, which no application can serve or be scraped on. 15004 is that of Istio's
/// agent for debugging discovery.
pub(crate) const RESERVED_PORTS: [u16; 8] = [
    ports::ADMIN,
    ports::OUTBOUND,
    15004,
    ports::INBOUND,
    ports::TUNNEL,
    ports::HEALTH,
    ports::DNS,
    ports::METRICS,
];

const PORT: &str = "a port number from 1 to 65535 that the mesh does not use itself";
const TARGETS: &str =
    "a comma-separated list of PORT:PATH, such as 8080:/metrics, without ports of the mesh";

/// How Prometheus scrapes the application. Serialised as the agent reads it from
/// `ISTIO_PROMETHEUS_ANNOTATIONS`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Scrape {
    pub(crate) scrape: String,
    pub(crate) path: String,
    pub(crate) port: String,
    /// Further pages: `PORT:PATH`, several with commas between.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) targets: String,
}

impl Scrape {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let spelt_like = |key| {
            let mut entries = reader.annotations.iter();
            entries.find(|(spelling, _)| is_spelling(spelling, key))
        };
        let value = |entry: Option<(&String, &String)>| {
            entry.map(|(_, value)| value.clone()).unwrap_or_default()
        };
        let port = spelt_like(keys::PROMETHEUS_PORT);
        let scrape = Self {
            scrape: value(spelt_like(keys::PROMETHEUS_SCRAPE)),
            path: value(spelt_like(keys::PROMETHEUS_PATH)),
            port: value(port),
            targets: String::new(),
        };
        if let Some((key, value)) = port
            && !value.is_empty()
            && parse::port(value).is_none_or(|port| RESERVED_PORTS.contains(&port))
        {
            reader.refuse(key, value, PORT);
        }
        Self {
            targets: reader
                .read(keys::SCRAPE_TARGETS, targets)
                .unwrap_or_default(),
            ..scrape
        }
    }

    /// The annotations ask that nobody scrapes.
    pub(crate) fn is_off(&self) -> bool {
        parse::truth(&self.scrape) == Ok(false)
    }

    /// There is nothing of the application to scrape.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The annotations lead to the agent already.
    pub(crate) fn is_merged(&self, status_port: u16) -> bool {
        parse::port(&self.port) == Some(status_port)
    }
}

/// Prometheus makes an underscore of every character that no label of its own may have.
pub(crate) fn is_spelling(spelling: &str, key: &str) -> bool {
    let normal = |byte: u8| {
        if byte.is_ascii_alphanumeric() {
            byte
        } else {
            b'_'
        }
    };
    spelling.bytes().map(normal).eq(key.bytes().map(normal))
}

fn targets(value: &str) -> Result<String, &'static str> {
    let is_target = |text: &str| {
        let (port, path) = text.split_once(':').unwrap_or((text, ""));
        let port = parse::port(port).filter(|port| !RESERVED_PORTS.contains(port));
        port.is_some_and(|port| port != ports::STATUS) && (path.is_empty() || path.starts_with('/'))
    };
    let targets: Vec<&str> = value.split(',').map(str::trim).collect();
    if targets.iter().all(|target| is_target(target)) {
        Ok(targets.join(","))
    } else {
        Err(TARGETS)
    }
}
