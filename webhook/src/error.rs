//! Why a pod cannot be injected.

use std::fmt;

/// One annotation or label with a value it cannot have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The annotation's key.
    pub key: String,
    /// The value that the pod has.
    pub value: String,
    /// What is allowed, as the end of the sentence "allowed is ...".
    pub allowed: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            key,
            value,
            allowed,
        } = self;
        write!(
            formatter,
            "invalid value {value:?} for annotation {key:?}: allowed is {allowed}"
        )
    }
}

/// A pod that should be injected and cannot be. The message is what the user sees whose pod is
/// refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InjectError {
    /// Annotations have values they cannot have; all of them, not only the first.
    #[error("cannot inject the sidecar: {}", join(.0))]
    Annotations(Vec<Problem>),
    /// A custom template does not fit the pod.
    #[error("cannot inject template {name:?}: {reason}; ask whoever runs the mesh to mend it")]
    Template {
        /// Its name.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// A document of a file that should hold manifests cannot be read.
    #[error("cannot read document {number}: {reason}")]
    Document {
        /// Which document of the file, from 1.
        number: usize,
        /// What is wrong with it.
        reason: String,
    },
}

fn join(problems: &[Problem]) -> String {
    problems
        .iter()
        .map(Problem::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}
