//! The gRPC services of port 15012.

use std::time::Duration;

use lateen_wire::ca::istio_certificate_service_server::IstioCertificateServiceServer;
use lateen_wire::xds::aggregated_discovery_service_server::AggregatedDiscoveryServiceServer;
use tonic::transport::Server;

use super::Incoming;
use crate::Error;
use crate::ca::{CertificateService, Tokens};
use crate::discovery::Discovery;

/// Longest message that a proxy may send.
const MAX_MESSAGE: usize = 1024 * 1024;
/// A proxy that does not answer pings for this long is gone.
const PING: Duration = Duration::from_secs(30);
/// Streams of HTTP/2 per connection: a proxy needs one, and one for certificates.
const STREAMS_PER_CONNECTION: u32 = 32;

/// Serves proxies until `incoming` is told to stop and the last stream has ended.
///
/// # Errors
/// When the server cannot go on.
pub async fn grpc<T: Tokens>(
    incoming: Incoming,
    discovery: Discovery,
    certificates: CertificateService<T>,
) -> Result<(), Error> {
    let stopping = incoming.stopping.clone();
    let discovery = AggregatedDiscoveryServiceServer::new(discovery);
    let certificates = IstioCertificateServiceServer::new(certificates);
    Server::builder()
        .max_concurrent_streams(STREAMS_PER_CONNECTION)
        .http2_keepalive_interval(Some(PING))
        .http2_keepalive_timeout(Some(PING))
        .add_service(discovery.max_decoding_message_size(MAX_MESSAGE))
        .add_service(certificates.max_decoding_message_size(MAX_MESSAGE))
        .serve_with_incoming_shutdown(incoming.start(), stopping.cancelled_owned())
        .await
        .map_err(|error| Error::Serving(error.to_string()))
}
