//! The command line tool: see the library.

use std::io::ErrorKind;
use std::process::ExitCode;

use lateenctl::analyze::Failure;
use lateenctl::arguments::Arguments;
use lateenctl::console::Console;

/// Exit code of a command that failed; clap answers wrong usage with 2, and `analyze` has its own.
const FAILED: u8 = 1;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::from_process();
    let console = Console::for_terminal();
    match Box::pin(lateenctl::run(arguments, &console)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            console.error(&error);
            let failure = error.downcast_ref();
            ExitCode::from(failure.map_or(FAILED, Failure::exit_code))
        }
    }
}

/// Whoever reads our output, such as `head`, has seen enough.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<std::io::Error>();
    io.is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}
