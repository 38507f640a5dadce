//! The ports: gRPC over TLS for proxies, plain HTTP for the kubelet, Prometheus and people.

mod debug;
mod door;
mod grpc;
mod listener;
mod monitoring;
mod pages;
mod peer;
mod tls;

pub use door::{Door, Held, Port, bind};
pub use grpc::grpc;
pub use listener::Incoming;
pub use monitoring::{Monitoring, Readiness, health, monitoring};
pub use pages::serve_pages;
pub use peer::{Peer, PeerCertificate, Secured};
pub use tls::Tls;
