//! A socket to the kernel. Whoever asks waits for all of the answer.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, setsockopt, socket,
    sockopt,
};

use super::message::{ACKNOWLEDGE, Answer, Request, answers, number};

/// Kinds of answers that are no data.
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// Set in an answer of a dump during which something changed.
const INTERRUPTED: u16 = 0x10;
/// The kernel's answers are shorter than this.
const LONGEST_ANSWER: usize = 1 << 16;
/// What the kernel lets one send without asking for more.
const USUAL_SEND_BUFFER: usize = 1 << 16;

/// A socket to one part of the kernel.
#[derive(Debug)]
pub(crate) struct Socket(OwnedFd);

impl Socket {
    /// To the part that routes.
    pub(crate) fn route() -> io::Result<Self> {
        Self::open(SockProtocol::NetlinkRoute)
    }

    /// To the part that filters packets.
    pub(crate) fn netfilter() -> io::Result<Self> {
        Self::open(SockProtocol::NetlinkNetFilter)
    }

    fn open(protocol: SockProtocol) -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, protocol)?;
        Ok(Self(socket))
    }

    /// Asks for one change.
    ///
    /// # Errors
    /// What the kernel answered.
    pub(crate) fn change(&self, request: &Request) -> io::Result<()> {
        let acknowledged = Request {
            flags: request.flags | ACKNOWLEDGE,
            ..request.clone()
        };
        self.send(&acknowledged.bytes(0))?;
        self.each_answer(|_| Ok(()))
    }

    /// Asks for something, and hands over each message of the answer.
    ///
    /// # Errors
    /// What the kernel answered; [`io::ErrorKind::Interrupted`] if something changed meanwhile.
    pub(crate) fn ask(
        &self,
        request: &Request,
        mut each: impl FnMut(Answer<'_>),
    ) -> io::Result<()> {
        self.send(&request.bytes(0))?;
        self.each_answer(|answer| {
            if answer.flags & INTERRUPTED != 0 {
                return Err(io::ErrorKind::Interrupted.into());
            }
            each(answer);
            Ok(())
        })
    }

    /// Sends requests of which all are done, or none.
    ///
    /// # Errors
    /// What the kernel answered, and which request it was about, if it was about one.
    pub(crate) fn change_all(
        &self,
        requests: &[Request],
    ) -> Result<(), (Option<usize>, io::Error)> {
        let numbered = requests.iter().zip(0..);
        let bytes: Vec<u8> = numbered
            .flat_map(|(request, at)| request.bytes(at))
            .collect();
        if bytes.len() > USUAL_SEND_BUFFER {
            // In a user namespace there is a limit (net.core.wmem_max). Where it is too low, sending says so.
            let size = 2 * bytes.len();
            let _ = setsockopt(&self.0, sockopt::SndBufForce, &size)
                .or_else(|_| setsockopt(&self.0, sockopt::SndBuf, &size));
        }
        self.send(&bytes).map_err(|cause| (None, cause))?;
        self.refusal().map_or(Ok(()), Err)
    }

    /// What the kernel did not want to do of what it was sent. All answers are there already, for it has
    /// done the work while it took the bytes.
    fn refusal(&self) -> Option<(Option<usize>, io::Error)> {
        let mut refusal = None;
        loop {
            let received = match self.receive(MsgFlags::MSG_DONTWAIT) {
                Ok(Some(received)) => received,
                Ok(None) => return refusal,
                // So many answers that some are lost are many refusals; the first one is there.
                Err(cause) if cause.raw_os_error() == Some(Errno::ENOBUFS as i32) => continue,
                Err(cause) => return refusal.or(Some((None, cause))),
            };
            for answer in answers(&received) {
                if let Err(cause) = verdict(&answer) {
                    let at = usize::try_from(answer.sequence).ok();
                    refusal.get_or_insert((at, cause));
                }
            }
        }
    }

    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        send(self.0.as_raw_fd(), bytes, MsgFlags::empty())?;
        Ok(())
    }

    /// Receives until the answer ends.
    fn each_answer(&self, mut each: impl FnMut(Answer<'_>) -> io::Result<()>) -> io::Result<()> {
        let mut result = Ok(());
        while let Some(received) = self.receive(MsgFlags::empty())? {
            for answer in answers(&received) {
                match answer.kind {
                    ERROR | DONE => return verdict(&answer).and(result),
                    _ => result = result.and_then(|()| each(answer)),
                }
            }
        }
        result
    }

    /// Receives a datagram; `None` if there is none.
    fn receive(&self, flags: MsgFlags) -> io::Result<Option<Vec<u8>>> {
        let mut buffer = vec![0; LONGEST_ANSWER];
        match recv(self.0.as_raw_fd(), &mut buffer, flags | MsgFlags::MSG_TRUNC) {
            Ok(length) if length <= buffer.len() => {
                buffer.truncate(length);
                Ok(Some(buffer))
            }
            Ok(_) => Err(io::Error::other("an answer of the kernel is too long")),
            Err(Errno::EAGAIN) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// What an answer that is no data says.
fn verdict(answer: &Answer<'_>) -> io::Result<()> {
    match number(answer.body, 0).map(u32::cast_signed) {
        Some(0) => Ok(()),
        Some(errno) if answer.kind == ERROR || errno < 0 => {
            Err(io::Error::from_raw_os_error(errno.wrapping_neg()))
        }
        _ => Ok(()),
    }
}
