//! Sidecar injection: a pure function from a pod to an injected pod, and a thin admission server
//! round it. The library is also what injects by hand, without a server.
//!
//! - [`cluster`] is what there is to know of the cluster;
//! - [`config`] reads Istio's ConfigMaps `istio-sidecar-injector` and `istio`;
//! - [`Injector::inject`] decides about one pod and makes the injected one;
//! - [`patch`] is the difference between the two, as RFC 6902 JSON Patch;
//! - [`kube_inject()`] does the same to the pod templates of a file of manifests;
//! - [`server`] and [`watch`] are what the binary adds: TLS, AdmissionReview, the Kubernetes API.
//!
//! Everything the injector adds is a typed Kubernetes object: no text of a user is ever pasted into
//! another text, so it cannot change anything but its own value.

pub mod annotations;
pub mod cluster;
pub mod config;
pub mod decide;
pub mod error;
pub mod inject;
pub mod native;
pub mod openshift;
pub mod owner;
pub mod parameters;
pub mod patch;
pub mod proxy_configs;
pub mod server;
pub mod watch;

mod assemble;
mod earlier;
mod hold;
mod keys;
mod kube_inject;
mod layers;
mod merge;
mod overrides;
mod probes;
mod prometheus;
mod quantity;
mod same;
mod settings;
mod status;
mod template;
mod warnings;

pub use cluster::Cluster;
pub use config::Config;
pub use decide::{Decision, Reason, Step};
pub use error::{InjectError, Problem};
pub use inject::{Injection, Injector, Outcome, Target};
pub use kube_inject::{Manifests, documents, kube_inject};
