//! Port numbers that Istio users know. All TCP.

/// Proxy admin, on loopback only.
pub const ADMIN: u16 = 15000;
/// Outbound capture: where redirected connections of the application arrive.
pub const OUTBOUND: u16 = 15001;
/// Destination of the redirection self-test; nothing listens here.
pub const REDIRECTION_PROBE: u16 = 15002;
/// Inbound capture: where redirected connections to the application arrive.
pub const INBOUND: u16 = 15006;
/// HBONE tunnel of ambient peers; never redirected.
pub const TUNNEL: u16 = 15008;
/// Control: discovery and certificates over TLS.
pub const DISCOVERY: u16 = 15012;
/// Control: metrics and debug pages.
pub const MONITORING: u16 = 15014;
/// Webhook: the port behind Service port 443.
pub const WEBHOOK: u16 = 15017;
/// Agent status: merged metrics, application probes, drain and quit.
pub const STATUS: u16 = 15020;
/// Proxy health, for the kubelet.
pub const HEALTH: u16 = 15021;
/// DNS proxy.
pub const DNS: u16 = 15053;
/// The proxy's own Prometheus metrics.
pub const METRICS: u16 = 15090;
