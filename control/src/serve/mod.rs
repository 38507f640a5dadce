//! The ports: gRPC over TLS for proxies, plain HTTP for the kubelet, Prometheus and people.

mod grpc;
mod listener;
mod monitoring;
mod peer;
mod tls;

pub use grpc::grpc;
pub use listener::{Incoming, bind};
pub use monitoring::{Monitoring, Readiness, health, monitoring};
pub use peer::{Peer, PeerCertificate, Secured};
pub use tls::{OwnCertificate, server_config};
