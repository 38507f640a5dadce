//! Unary gRPC by hand, over any HTTP/2: one length-prefixed message each way, the status in trailers.
//!
//! The services are `lateen.echo.v1.Echo`, with `Echo(EchoRequest) returns (EchoReply)`, and the
//! standard `grpc.health.v1.Health` with its method `Check`.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use prost::Message;

/// Content type of requests and answers.
pub(crate) const CONTENT_TYPE: &str = "application/grpc";
/// Path of the method that echoes.
pub(crate) const ECHO: &str = "/lateen.echo.v1.Echo/Echo";
/// Path of the method that tells health.
pub(crate) const HEALTH: &str = "/grpc.health.v1.Health/Check";

/// What to echo.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct EchoRequest {
    #[prost(string, tag = "1")]
    pub(crate) message: String,
}

/// What was echoed, and by whom.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct EchoReply {
    #[prost(string, tag = "1")]
    pub(crate) message: String,
    #[prost(string, tag = "2")]
    pub(crate) pod: String,
    #[prost(string, tag = "3")]
    pub(crate) peer: String,
}

/// `grpc.health.v1.HealthCheckResponse`; 1 is SERVING.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct HealthReply {
    #[prost(int32, tag = "1")]
    pub(crate) status: i32,
}

impl HealthReply {
    /// Health is good.
    pub(crate) const SERVING: Self = Self { status: 1 };
}

/// Statuses that are given here (the numbers are gRPC's).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Ok = 0,
    InvalidArgument = 3,
    Unimplemented = 12,
}

impl Status {
    /// The value of `grpc-status`.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "0",
            Self::InvalidArgument => "3",
            Self::Unimplemented => "12",
        }
    }
}

/// A message behind its prefix: not compressed, and its length.
pub(crate) fn frame(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut framed = BytesMut::with_capacity(length + 5);
    framed.put_u8(0);
    framed.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    framed.extend_from_slice(&message.encode_to_vec());
    framed.freeze()
}

/// The message of a frame; `None` for anything else.
pub(crate) fn unframe<M: Message + Default>(mut framed: Bytes) -> Option<M> {
    if framed.remaining() < 5 || framed.get_u8() != 0 {
        return None;
    }
    let length = usize::try_from(framed.get_u32()).ok()?;
    (framed.remaining() == length).then(|| M::decode(framed).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unframes_what_it_frames_and_nothing_else() {
        let request = EchoRequest {
            message: "hello".to_owned(),
        };
        let framed = frame(&request);
        assert_eq!(unframe(framed.clone()), Some(request));
        for cut in 0..framed.len() {
            assert_eq!(unframe::<EchoRequest>(framed.slice(..cut)), None);
        }
    }
}
