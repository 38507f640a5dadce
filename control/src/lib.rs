//! The control plane: watches Kubernetes, resolves names into answers, serves them to proxies over
//! delta discovery, and is the certificate authority.
//!
//! [`snapshot`] is what the cluster looks like, [`resolve`] the pure function from it to answers
//! (of use without a cluster too), [`discovery`] and [`ca`] are what proxies talk to, [`publish`] is
//! what one elected replica writes back. [`run()`] puts them together.

#[cfg(test)]
mod api_server;
pub mod ca;
pub mod caller;
pub mod config;
pub mod discovery;
pub mod error;
pub mod limit;
pub mod mesh;
pub mod metrics;
mod process;
pub mod publish;
pub mod resolve;
mod run;
pub mod serve;
pub mod snapshot;

pub use config::Config;
pub use error::Error;
pub use run::run;
