//! The proxy's reading of DNS messages, compiled from its own files: the whole proxy would take longer
//! to build than all targets together.

#![allow(dead_code, reason = "some of it is for the rest of the proxy")]

#[path = "../../proxy/src/dns/cache.rs"]
mod cache;
#[path = "../../proxy/src/dns/message.rs"]
mod message;
#[path = "../../proxy/src/dns/query.rs"]
mod query;
#[path = "../../proxy/src/dns/response.rs"]
mod response;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use self::cache::Cache;
use self::message::{Code, HEADER};
use self::query::{Query, Refusal, Transport};
use self::response::{Response, fit};

/// A question behind its length, as over TCP, and what a name server says to it: its header without the
/// id, and what follows the question. Ends the process unless all that is answered is sound.
pub fn exchange(input: &[u8]) {
    let Some((length, rest)) = input.split_first_chunk() else {
        return;
    };
    let length = usize::from(u16::from_be_bytes(*length));
    let (question, said) = rest.split_at(length.min(rest.len()));
    let query = match Query::read(question) {
        Ok(query) => query,
        Err(Refusal::Silence) => return,
        Err(Refusal::Answer(refusal)) => {
            assert!(refusal.starts_with(&question[..2]) && refusal[2] & 0x80 != 0);
            return;
        }
    };
    assert!(query.host().is_none_or(|host| host.len() < 255));
    answer_ourselves(&query);
    let said = [&question[..2], said].concat();
    pass_on(&query, said.clone());
    if let Some((header, records)) = said.split_at_checked(HEADER) {
        pass_on(&query, [header, query.question(), records].concat());
    }
}

/// Whatever we say must be an answer to what was asked.
fn answer_ourselves(query: &Query<'_>) {
    let addresses = [
        IpAddr::from(Ipv4Addr::LOCALHOST),
        IpAddr::from(Ipv6Addr::LOCALHOST),
    ];
    let answers = [
        query.failure(Code::ServerFailure),
        query.addresses(&addresses, 30),
        query.addresses(&addresses.repeat(100), 30),
    ];
    for answer in answers {
        check_fit(query, answer);
    }
}

/// What is passed on must be as long as what came, and kept if it may be.
fn pass_on(query: &Query<'_>, said: Vec<u8>) {
    let length = said.len();
    let Ok(response) = Response::read(said, query, query.id()) else {
        return;
    };
    let answer = response.answer(query);
    assert!([length, HEADER].contains(&answer.len()));
    let aged = response.aged(Duration::from_secs(7)).in_any_order();
    assert_eq!(aged.answer(query).len(), answer.len());

    let cache = Cache::default();
    cache.keep(query, &response);
    let kept = cache.find(query).map(|kept| kept.answer(query));
    let may_be_kept = response.lifetime().is_some() && answer.len() + query.key().len() <= 4_096;
    assert_eq!(kept.is_some(), may_be_kept);
    assert!(kept.is_none_or(|kept| kept.len() == answer.len()));
    if answer.len() > HEADER {
        check_fit(query, answer);
    }
}

/// An answer that is cut must fit, and still be one.
fn check_fit(query: &Query<'_>, answer: Vec<u8>) {
    for transport in [Transport::Udp, Transport::Tcp] {
        let limit = query.limit(transport);
        let cut = fit(answer.clone(), limit);
        assert!(cut.len() <= limit, "{} of {limit}", cut.len());
        let id = query.id();
        assert!(Response::read(cut, query, id).is_ok());
    }
}
