//! The server as its callers see it: over sockets, with TLS where TLS matters.

mod crowds;
mod fixture;
mod lifecycle;
mod requests;

pub(crate) use fixture::Authority;
