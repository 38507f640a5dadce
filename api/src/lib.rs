//! Istio's resources and settings as checked Rust types. No I/O: texts and values in, types out.

pub mod document;
pub mod duration;
pub mod error;
pub mod mesh;

pub use document::{NotHonoured, Parsed};
pub use duration::Duration;
pub use error::Error;
pub use mesh::{MeshConfig, ProxyConfig};
