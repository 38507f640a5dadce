//! One thing that is changed whole.

use crate::Error;

/// A change that can be taken back.
pub(super) trait Step {
    /// Makes it so. What is so already is left alone.
    ///
    /// # Errors
    /// When it could not be made so; then it may have to be taken back.
    fn bring_about(&mut self) -> Result<(), Error>;

    /// Makes it what it was before [`Self::bring_about`], whether that succeeded or failed.
    ///
    /// # Errors
    /// When it is not what it was.
    fn take_back(&mut self) -> Result<(), Error>;
}
