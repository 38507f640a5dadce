//! Control and injector without a cluster, as programs to measure from outside: the real code but
//! for the Kubernetes API, whose place files and made-up objects take.

mod cluster;
mod control;
mod webhook;

pub use self::control::{Arguments as ControlArguments, serve as serve_control};
pub use self::webhook::{Arguments as WebhookArguments, serve as serve_webhook};

pub(crate) use self::cluster::APPLICATIONS;
pub(crate) use self::webhook::{ADDRESS_FILE, SERVER_NAME};
