//! Talking to the kernel over netlink(7): [`message`] writes and reads messages, [`socket`] exchanges
//! them. [`address`] and [`route`] are what the rules need beside themselves.

pub(crate) mod address;
pub(crate) mod message;
pub(crate) mod route;
pub(crate) mod socket;
