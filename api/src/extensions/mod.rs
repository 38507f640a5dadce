//! Kinds of the group `extensions.istio.io`: programs that run inside the proxy.

mod traffic_extension;
mod wasm_plugin;

pub use traffic_extension::{Lua, Phase, TrafficExtension, Wasm};
pub use wasm_plugin::{
    EnvironmentVariable, FailStrategy, ImagePullPolicy, PluginPhase, PluginType, PortSelector,
    TrafficMode, TrafficSelector, ValueFrom, VmConfig, WasmPlugin,
};

/// The API group.
pub const GROUP: &str = "extensions.istio.io";

/// Versions of all kinds of the group.
const VERSIONS: &[&str] = &["v1alpha1"];
