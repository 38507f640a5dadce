//! `client dns`: asks a server for the addresses of a name, over UDP or TCP (RFC 1035), without the
//! system's resolver between.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use bytes::{Buf as _, BufMut as _, Bytes};
use clap::{Args, ValueEnum};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{connection, datagram};

const LIMIT: Duration = Duration::from_secs(5);
const CLASS_INTERNET: u16 = 1;

#[derive(Args)]
pub(crate) struct Options {
    /// A whole name, such as echo.default.svc.cluster.local.
    name: String,
    /// `ADDRESS` or `ADDRESS:PORT` of the server; unless given, the first of /etc/resolv.conf.
    #[arg(long)]
    server: Option<String>,
    /// Ask over TCP.
    #[arg(long)]
    tcp: bool,
    /// Which addresses to ask for.
    #[arg(long = "type", value_enum, default_value = "a")]
    kind: Kind,
}

/// Types of records (RFC 1035, RFC 3596).
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    A = 1,
    Aaaa = 28,
}

pub(super) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let server = match &options.server {
        Some(server) => server_address(server),
        None => from_resolv_conf(&std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default()),
    };
    let server = server.context("no DNS server: give one with --server ADDRESS")?;
    match ask(server, options.tcp, &options.name, options.kind).await {
        Ok(addresses) => super::print(
            &json!({"server": server, "addresses": addresses}),
            !addresses.is_empty(),
        ),
        Err(error) => super::print(
            &json!({"server": server, "error": super::chain(&error)}),
            false,
        ),
    }
}

async fn ask(server: SocketAddr, tcp: bool, name: &str, kind: Kind) -> anyhow::Result<Vec<IpAddr>> {
    let id = fastrand::u16(..);
    let question = question(id, name, kind)?;
    let answer = if tcp {
        tokio::time::timeout(LIMIT, over_tcp(server, &question))
            .await
            .with_context(|| format!("no answer from {server} within {LIMIT:?}"))??
    } else {
        datagram::exchange(server, &question, LIMIT).await?
    };
    addresses(id, answer.into())
}

async fn over_tcp(server: SocketAddr, question: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut stream = connection::connect(&server.to_string()).await?;
    let mut framed = Vec::with_capacity(question.len() + 2);
    framed.put_u16(u16::try_from(question.len())?);
    framed.extend_from_slice(question);
    stream.write_all(&framed).await?;
    let mut answer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

/// One question, with recursion desired.
fn question(id: u16, name: &str, kind: Kind) -> anyhow::Result<Vec<u8>> {
    let mut message = Vec::new();
    for word in [id, 0x0100, 1, 0, 0, 0] {
        message.put_u16(word);
    }
    for label in name.trim_end_matches('.').split('.') {
        anyhow::ensure!((1..=63).contains(&label.len()), "{name} is not a DNS name");
        message.put_u8(u8::try_from(label.len())?);
        message.extend_from_slice(label.as_bytes());
    }
    message.put_u8(0);
    message.put_u16(kind as u16);
    message.put_u16(CLASS_INTERNET);
    Ok(message)
}

/// The addresses of an answer to a question with this number.
fn addresses(id: u16, mut message: Bytes) -> anyhow::Result<Vec<IpAddr>> {
    let truncated = "the answer is cut short";
    anyhow::ensure!(message.remaining() >= 12, truncated);
    anyhow::ensure!(message.get_u16() == id, "the answer is to another question");
    let code = message.get_u16() & 0xf;
    anyhow::ensure!(
        code == 0,
        "the server answered with code {code}{}",
        meaning(code)
    );
    let (questions, answers) = (message.get_u16(), message.get_u16());
    message.advance(4);
    for _ in 0..questions {
        skip_name(&mut message).context(truncated)?;
        message.try_get_u32().context(truncated)?;
    }
    let mut addresses = Vec::new();
    for _ in 0..answers {
        addresses.extend(record(&mut message).context(truncated)?);
    }
    Ok(addresses)
}

const fn meaning(code: u16) -> &'static str {
    match code {
        2 => ": server failure",
        3 => ": no such name",
        5 => ": refused",
        _ => "",
    }
}

/// The address in the next record, if it has one; `None` outside if the message ends too soon.
fn record(message: &mut Bytes) -> Option<Option<IpAddr>> {
    skip_name(message)?;
    let kind = message.try_get_u16().ok()?;
    message.try_get_u16().ok()?;
    message.try_get_u32().ok()?;
    let length = usize::from(message.try_get_u16().ok()?);
    if message.remaining() < length {
        return None;
    }
    let data = message.split_to(length);
    let v4 = |data: &[u8]| {
        <[u8; 4]>::try_from(data)
            .ok()
            .map(|octets| Ipv4Addr::from(octets).into())
    };
    let v6 = |data: &[u8]| {
        <[u8; 16]>::try_from(data)
            .ok()
            .map(|octets| Ipv6Addr::from(octets).into())
    };
    Some(match kind {
        kind if kind == Kind::A as u16 => v4(&data),
        kind if kind == Kind::Aaaa as u16 => v6(&data),
        _ => None,
    })
}

/// Leaves a name behind, compressed or not.
fn skip_name(message: &mut Bytes) -> Option<()> {
    loop {
        match message.try_get_u8().ok()? {
            0 => return Some(()),
            length if length >= 0xc0 => return message.try_get_u8().ok().map(|_| ()),
            length if message.remaining() >= usize::from(length) => message.advance(length.into()),
            _ => return None,
        }
    }
}

fn server_address(text: &str) -> Option<SocketAddr> {
    let without_port = text
        .parse()
        .ok()
        .map(|address: IpAddr| (address, 53).into());
    text.parse().ok().or(without_port)
}

fn from_resolv_conf(text: &str) -> Option<SocketAddr> {
    text.lines()
        .filter_map(|line| line.trim().strip_prefix("nameserver"))
        .find_map(|address| server_address(address.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The answer to `question(7, "echo.default", kind)` with one record behind a compressed name.
    fn answer(kind: Kind, data: &[u8]) -> Vec<u8> {
        let mut message = question(7, "echo.default", kind).unwrap();
        message[7] = 1;
        message.extend_from_slice(&[0xc0, 12]);
        message.put_u16(kind as u16);
        message.put_u16(CLASS_INTERNET);
        message.put_u32(30);
        message.put_u16(u16::try_from(data.len()).unwrap());
        message.extend_from_slice(data);
        message
    }

    #[test]
    fn reads_addresses_of_both_families() {
        let v4 = addresses(7, answer(Kind::A, &[10, 0, 0, 1]).into()).unwrap();
        assert_eq!(v4, [IpAddr::from([10, 0, 0, 1])]);
        let v6: Ipv6Addr = "fd00::1".parse().unwrap();
        let read = addresses(7, answer(Kind::Aaaa, &v6.octets()).into()).unwrap();
        assert_eq!(read, [IpAddr::from(v6)]);
    }

    #[test]
    fn an_answer_cut_short_anywhere_is_an_error() {
        let whole = answer(Kind::A, &[10, 0, 0, 1]);
        for length in 0..whole.len() {
            assert!(
                addresses(7, Bytes::copy_from_slice(&whole[..length])).is_err(),
                "{length}"
            );
        }
        assert!(addresses(8, whole.into()).is_err());
    }

    #[test]
    fn says_what_a_code_means() {
        let mut refused = question(7, "nobody", Kind::A).unwrap();
        refused[3] = 3;
        let error = addresses(7, refused.into()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the server answered with code 3: no such name"
        );
        assert!(question(7, "a..b", Kind::A).is_err());
    }

    #[test]
    fn finds_the_first_server() {
        let text = "search a.b\nnameserver fd00::a\nnameserver 10.96.0.10\n";
        assert_eq!(from_resolv_conf(text), "[fd00::a]:53".parse().ok());
        assert_eq!(
            server_address("10.0.0.1:5353"),
            "10.0.0.1:5353".parse().ok()
        );
    }
}
