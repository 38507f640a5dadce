//! One run at a time: two that read the same rules at the same moment would both add theirs.
//!
//! The turn is the name of an abstract Unix socket (unix(7)). Such names belong to the network
//! namespace, as the rules do; they need no file system, and are free again however their holder
//! ends.

use std::io::{self, ErrorKind, Read};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::time::{Duration, Instant};

const NAME: &str = "lateen-init";

/// How long to wait for runs that came before.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long to wait before asking again for a name that nobody can be asked about.
const PAUSE: Duration = Duration::from_millis(1);

/// The turn of this run, until it is dropped.
pub(crate) struct Turn(#[expect(dead_code, reason = "held, never used")] UnixListener);

impl Turn {
    /// Waits for the turn of this run.
    ///
    /// # Errors
    /// When it does not come in time.
    pub(crate) fn wait() -> io::Result<Self> {
        let name = SocketAddr::from_abstract_name(NAME)?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match UnixListener::bind_addr(&name) {
                Err(error) if error.kind() == ErrorKind::AddrInUse => {
                    wait_for_end(&name, deadline)?
                }
                bound => return bound.map(Self),
            }
        }
    }
}

/// Waits until the run whose turn it is ends: it accepts nobody, and who is connected notices its
/// end.
fn wait_for_end(name: &SocketAddr, deadline: Instant) -> io::Result<()> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(ErrorKind::TimedOut.into());
    }
    let Ok(mut holder) = UnixStream::connect_addr(name) else {
        // It has just ended, or begun, or has the name and does not listen.
        std::thread::sleep(PAUSE.min(left));
        return Ok(());
    };
    holder.set_read_timeout(Some(left))?;
    // Whether it was an end or time is up shows when the turn is tried again.
    let _ = holder.read(&mut [0]);
    Ok(())
}

#[cfg(test)]
mod tests {
    use socket2::{Domain, SockAddr, Socket, Type};

    use super::*;

    #[test]
    fn a_holder_that_does_not_listen_is_waited_for_in_peace() {
        let name = format!("lateen-init-test-{}", std::process::id());
        let holder = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        holder
            .bind(&SockAddr::unix(format!("\0{name}")).unwrap())
            .unwrap();
        let name = SocketAddr::from_abstract_name(name).unwrap();
        let begin = Instant::now();
        wait_for_end(&name, begin + PATIENCE).unwrap();
        assert!(begin.elapsed() >= PAUSE);
        assert!(wait_for_end(&name, begin).is_err(), "the time is up");
    }
}
