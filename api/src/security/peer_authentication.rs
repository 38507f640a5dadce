//! `PeerAuthentication`: whether clients of a workload must use mutual TLS.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{GROUP, VERSIONS};
use crate::resource::{Column, Kind, LabelSelector, Spec};

/// Whether clients must use mutual TLS. A port goes before its workload, a workload before its
/// namespace, a namespace before the mesh.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct PeerAuthentication {
    /// Workloads that this is for; unset is all of the namespace, or of the mesh in the root
    /// namespace.
    pub selector: Option<LabelSelector>,
    /// For all ports.
    pub mtls: Option<MutualTls>,
    /// By port of the workload; needs a selector.
    #[schemars(with = "BTreeMap<String, MutualTls>")]
    pub port_level_mtls: BTreeMap<u16, MutualTls>,
}

impl Spec for PeerAuthentication {
    const KIND: Kind = Kind {
        group: GROUP,
        kind: "PeerAuthentication",
        plural: "peerauthentications",
        short_names: &["pa"],
        versions: VERSIONS,
        columns: &[
            Column::text("Mode", ".spec.mtls.mode", "Whether mutual TLS is needed."),
            Column::AGE,
        ],
    };
}

/// Whether mutual TLS is needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct MutualTls {
    /// The answer.
    pub mode: MutualTlsMode,
}

/// Whether mutual TLS is needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum MutualTlsMode {
    /// As the next wider policy says.
    #[default]
    Unset,
    /// No, and it is not used either.
    Disable,
    /// No, but it is used with those who can. The mesh's default.
    Permissive,
    /// Yes.
    Strict,
}
