//! Probes of the application on behalf of the kubelet.
//!
//! The injector rewrites HTTP, TCP and gRPC probes to `/app-health/CONTAINER/{livez,readyz,startupz}`
//! and HTTP and TCP lifecycle hooks to `/app-lifecycle/CONTAINER/{prestopz,poststartz}` on the status
//! port, because the kubelet has no mesh certificate. The originals arrive in the environment variable
//! `ISTIO_KUBE_APP_PROBERS`, as JSON from path to probe. This module reads them; `prober` runs them.

use std::collections::HashMap;
use std::time::Duration;

use serde::Deserialize;

/// The kubelet's own default for `timeoutSeconds`.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(1);

/// The probes of every container, by the path that the kubelet asks for.
#[derive(Clone, Debug, Default)]
pub struct Probes(HashMap<String, Probe>);

/// One original probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// What to do.
    pub action: Action,
    /// How long the application may take; hooks may take as long as the kubelet waits for them, which
    /// is the pod's grace period.
    pub timeout: Option<Duration>,
}

/// What a probe does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A GET request; any status below 400 is healthy.
    Http(HttpGet),
    /// Opening a connection is enough.
    Tcp {
        /// Port of the application.
        port: u16,
    },
    /// `grpc.health.v1.Health/Check` must say `SERVING`.
    Grpc {
        /// Port of the application.
        port: u16,
        /// Service to ask about; empty asks for the server as a whole.
        service: String,
    },
}

/// An HTTP probe as Kubernetes writes it (`HTTPGetAction`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpGet {
    /// Port of the application.
    pub port: u16,
    /// Path with query, beginning with `/`.
    pub path: String,
    /// Speak TLS; the certificate is not verified, as the kubelet does not either.
    pub tls: bool,
    /// Value of the Host header, when the probe names one.
    pub host: Option<String>,
    /// Headers that the probe sets.
    pub headers: Vec<(String, String)>,
}

/// The probers of the environment cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// Not JSON of the expected shape.
    #[error("ISTIO_KUBE_APP_PROBERS is not a JSON object of probes: {0}")]
    Json(#[from] serde_json::Error),
    /// A path that the injector never writes.
    #[error(
        "ISTIO_KUBE_APP_PROBERS names the path '{0}': expected /app-health/CONTAINER/{{livez,readyz,startupz}} \
         or /app-lifecycle/CONTAINER/{{prestopz,poststartz}}"
    )]
    Path(String),
    /// Not exactly one of the three actions.
    #[error(
        "ISTIO_KUBE_APP_PROBERS has no usable probe at '{0}': expected exactly one of httpGet, tcpSocket \
         and grpc, with a numeric port from 1 to 65535"
    )]
    Action(String),
}

impl Probes {
    /// Reads the value of `ISTIO_KUBE_APP_PROBERS`.
    ///
    /// # Errors
    /// When it is not JSON, or holds a path or an action that the injector never writes.
    pub fn parse(json: &str) -> Result<Self, ProbeError> {
        let raw: HashMap<String, RawProbe> = serde_json::from_str(json)?;
        raw.into_iter()
            .map(|(path, probe)| {
                if !is_probe_path(&path) {
                    return Err(ProbeError::Path(path));
                }
                let default = (!is_hook(&path)).then_some(DEFAULT_TIMEOUT);
                let probe = probe
                    .checked(default)
                    .ok_or_else(|| ProbeError::Action(path.clone()))?;
                Ok((path, probe))
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The probe behind a path.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Probe> {
        self.0.get(path)
    }
}

fn is_hook(path: &str) -> bool {
    path.starts_with("/app-lifecycle/")
}

fn is_probe_path(path: &str) -> bool {
    let kinds: &[&str] = if path.starts_with("/app-health/") {
        &["livez", "readyz", "startupz"]
    } else {
        &["prestopz", "poststartz"]
    };
    let mut segments = path.split('/').skip(1);
    let prefix = matches!(segments.next(), Some("app-health" | "app-lifecycle"));
    let container = segments.next().is_some_and(|name| !name.is_empty());
    let kind = segments.next().is_some_and(|kind| kinds.contains(&kind));
    prefix && container && kind && segments.next().is_none()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawProbe {
    http_get: Option<RawHttpGet>,
    tcp_socket: Option<RawTcp>,
    grpc: Option<RawGrpc>,
    timeout_seconds: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawHttpGet {
    port: u16,
    path: Option<String>,
    scheme: Option<String>,
    host: Option<String>,
    #[serde(default)]
    http_headers: Vec<RawHeader>,
}

#[derive(Deserialize)]
struct RawHeader {
    name: String,
    #[serde(default)]
    value: String,
}

#[derive(Deserialize)]
struct RawTcp {
    port: u16,
}

#[derive(Deserialize)]
struct RawGrpc {
    port: u16,
    service: Option<String>,
}

impl RawProbe {
    fn checked(self, default_timeout: Option<Duration>) -> Option<Probe> {
        let action = match (self.http_get, self.tcp_socket, self.grpc) {
            (Some(get), None, None) => Action::Http(get.checked()),
            (None, Some(tcp), None) => Action::Tcp { port: tcp.port },
            (None, None, Some(grpc)) => Action::Grpc {
                port: grpc.port,
                service: grpc.service.unwrap_or_default(),
            },
            _ => return None,
        };
        let timeout = match self.timeout_seconds {
            None | Some(0) => default_timeout,
            Some(seconds) => Some(Duration::from_secs(seconds)),
        };
        (action.port() != 0).then_some(Probe { action, timeout })
    }
}

impl Action {
    fn port(&self) -> u16 {
        match self {
            Self::Http(get) => get.port,
            Self::Tcp { port } | Self::Grpc { port, .. } => *port,
        }
    }
}

impl RawHttpGet {
    fn checked(self) -> HttpGet {
        let path = self.path.unwrap_or_default();
        HttpGet {
            port: self.port,
            path: if path.starts_with('/') {
                path
            } else {
                format!("/{path}")
            },
            tls: self
                .scheme
                .is_some_and(|scheme| scheme.eq_ignore_ascii_case("https")),
            host: self.host.filter(|host| !host.is_empty()),
            headers: self
                .http_headers
                .into_iter()
                .map(|h| (h.name, h.value))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_injector_writes() {
        let probes = Probes::parse(
            r#"{"/app-health/app/readyz":{"httpGet":{"path":"health","port":8080,"scheme":"HTTPS",
                "httpHeaders":[{"name":"A","value":"b"}]},"timeoutSeconds":3},
                "/app-health/app/livez":{"tcpSocket":{"port":90}},
                "/app-lifecycle/app/prestopz":{"httpGet":{"port":1}},
                "/app-health/app/startupz":{"grpc":{"port":91,"service":"s"},"timeoutSeconds":0}}"#,
        )
        .unwrap();
        let ready = probes.get("/app-health/app/readyz").unwrap();
        assert_eq!(ready.timeout, Some(Duration::from_secs(3)));
        let Action::Http(get) = &ready.action else {
            panic!("not HTTP")
        };
        assert_eq!(
            (get.path.as_str(), get.port, get.tls),
            ("/health", 8080, true)
        );
        assert_eq!(get.headers, [("A".to_owned(), "b".to_owned())]);
        assert_eq!(
            probes.get("/app-health/app/livez").unwrap().action,
            Action::Tcp { port: 90 }
        );
        let startup = probes.get("/app-health/app/startupz").unwrap();
        assert_eq!(
            startup.action,
            Action::Grpc {
                port: 91,
                service: "s".to_owned()
            }
        );
        assert_eq!(startup.timeout, Some(DEFAULT_TIMEOUT));
        assert_eq!(
            probes.get("/app-lifecycle/app/prestopz").unwrap().timeout,
            None
        );
    }

    #[test]
    fn refuses_paths_and_actions_that_the_injector_never_writes() {
        for json in [
            r#"{"/etc/passwd":{"tcpSocket":{"port":1}}}"#,
            r#"{"/app-health//livez":{"tcpSocket":{"port":1}}}"#,
            r#"{"/app-health/a/prestopz":{"tcpSocket":{"port":1}}}"#,
            r#"{"/app-health/a/livez/b":{"tcpSocket":{"port":1}}}"#,
            r#"{"/app-health/a/livez":{}}"#,
            r#"{"/app-health/a/livez":{"tcpSocket":{"port":0}}}"#,
            r#"{"/app-health/a/livez":{"tcpSocket":{"port":1},"grpc":{"port":1}}}"#,
            r#"{"/app-health/a/livez":{"httpGet":{"port":"http"}}}"#,
            "[]",
        ] {
            assert!(Probes::parse(json).is_err(), "{json}");
        }
    }
}
