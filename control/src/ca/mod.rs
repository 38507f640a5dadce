//! The certificate authority: Istio's certificate service for workloads, and certificates for
//! control and the webhook, all signed by one authority that lives in a Secret.

mod authority;
mod current;
mod lifetime;
mod pem;
mod request;
pub mod root;
mod self_signed;
mod service;
mod token;

pub use authority::{Authority, Issued, Material, Signed, Subject};
pub use current::CurrentAuthority;
pub use lifetime::Lifetimes;
pub use request::{PublicKey, RequestError, SigningRequest};
pub use service::CertificateService;
pub use token::{ApiServerTokens, Bearer, TokenError, Tokens};

#[cfg(test)]
mod tests;
