//! Control as proxies meet it: real gRPC over real TLS on loopback, without a cluster.
#![cfg(test)]

mod certificates;
mod discovery;
mod support;
