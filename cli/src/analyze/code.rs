//! The messages that there are, with Istio's codes and levels
//! (istio.io/docs/reference/config/analysis).

use crate::level::Level;

/// A kind of message.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Code {
    /// Istio's name of it: `IST0103`.
    pub(super) name: &'static str,
    pub(super) level: Level,
}

const fn code(name: &'static str, level: Level) -> Code {
    Code { name, level }
}

pub(super) static NAMESPACE_NOT_INJECTED: Code = code("IST0102", Level::Info);
pub(super) static POD_MISSING_PROXY: Code = code("IST0103", Level::Warning);
pub(super) static MISPLACED_ANNOTATION: Code = code("IST0107", Level::Warning);
pub(super) static UNKNOWN_ANNOTATION: Code = code("IST0108", Level::Warning);
pub(super) static MULTIPLE_INJECTION_LABELS: Code = code("IST0123", Level::Warning);
pub(super) static INVALID_ANNOTATION: Code = code("IST0125", Level::Warning);
pub(super) static DEPRECATED_ANNOTATION: Code = code("IST0135", Level::Info);
pub(super) static ALPHA_ANNOTATION: Code = code("IST0136", Level::Info);
pub(super) static INVALID_WEBHOOK: Code = code("IST0139", Level::Error);
pub(super) static INVALID_APPLICATION_USER: Code = code("IST0144", Level::Warning);
pub(super) static AUTO_IMAGE_IN_DEPLOYMENT: Code = code("IST0146", Level::Warning);
pub(super) static AUTO_IMAGE_IN_POD: Code = code("IST0147", Level::Error);
pub(super) static INJECTION_BY_DEFAULT: Code = code("IST0148", Level::Info);
pub(super) static PROXY_IMAGE_MISMATCH: Code = code("IST0158", Level::Warning);

/// All of them.
pub(super) static CODES: [&Code; 14] = [
    &NAMESPACE_NOT_INJECTED,
    &POD_MISSING_PROXY,
    &MISPLACED_ANNOTATION,
    &UNKNOWN_ANNOTATION,
    &MULTIPLE_INJECTION_LABELS,
    &INVALID_ANNOTATION,
    &DEPRECATED_ANNOTATION,
    &ALPHA_ANNOTATION,
    &INVALID_WEBHOOK,
    &INVALID_APPLICATION_USER,
    &AUTO_IMAGE_IN_DEPLOYMENT,
    &AUTO_IMAGE_IN_POD,
    &INJECTION_BY_DEFAULT,
    &PROXY_IMAGE_MISMATCH,
];
