//! Istio's resources and settings as checked Rust types. No I/O: texts and values in, types out.

pub mod document;
pub mod duration;
pub mod error;
pub mod extensions;
pub mod mesh;
pub mod networking;
pub mod resource;
pub mod security;
pub mod telemetry;

pub use document::{NotHonoured, Parsed};
pub use duration::Duration;
pub use error::Error;
pub use mesh::{MeshConfig, ProxyConfig};
pub use resource::{Resource, Spec, crds};
