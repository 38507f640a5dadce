//! Which rule does this request match: pure functions over the messages of `lateen-wire`.
