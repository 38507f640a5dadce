//! The custom resource definitions, as the chart `base` has them.

use anyhow::Result;

use super::object::Object;

/// Every kind of the mesh's API.
#[expect(
    clippy::unnecessary_wraps,
    reason = "the API's kinds are not defined yet"
)]
pub(super) fn objects() -> Result<Vec<Object>> {
    Ok(Vec::new())
}
