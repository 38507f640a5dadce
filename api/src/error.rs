//! Why a text is not the configuration it should be.

/// A configuration that cannot be used, with where and why.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is not YAML (or JSON) at all.
    #[error("cannot read {kind} as YAML: {reason}")]
    Syntax {
        /// What the text should have been, such as `MeshConfig`.
        kind: &'static str,
        /// What the parser met, with line and column.
        reason: String,
    },
    /// A field has a value it cannot have.
    #[error("cannot read {kind}: field {path}: {reason}")]
    Field {
        /// What the text should have been, such as `MeshConfig`.
        kind: &'static str,
        /// The field, such as `defaultConfig.interceptionMode`; `.` is the document itself.
        path: String,
        /// What is wrong with the value and what is allowed.
        reason: String,
    },
}

impl Error {
    /// What the text should have been, such as `MeshConfig`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Syntax { kind, .. } | Self::Field { kind, .. } => kind,
        }
    }
}
