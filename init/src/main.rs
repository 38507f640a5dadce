//! `lateen-init`: programs traffic redirection in a pod's network namespace, and leaves.

use std::process::ExitCode;

fn main() -> ExitCode {
    lateen_init::run(std::env::args_os().skip(1), |name| std::env::var(name).ok())
}
