//! Messages held against another implementation's, and against no sense at all.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query as Question, ResponseCode};
use hickory_proto::rr::rdata::{A, CNAME, NULL, SOA, TXT};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use proptest::collection::vec;
use proptest::prelude::*;

use super::cache::Cache;
use super::message::{Code, records};
use super::query::{Family, Query, Refusal, Transport};
use super::response::{Response, Unusable, fit};

/// A question as another implementation writes it.
fn question(name: &str, kind: RecordType, size: Option<u16>) -> Message {
    let mut message = Message::new(4711, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Question::query(Name::from_ascii(name).unwrap(), kind));
    if let Some(size) = size {
        let mut edns = Edns::new();
        edns.set_max_payload(size).set_dnssec_ok(true);
        message.set_edns(edns);
    }
    message
}

fn record(name: &str, seconds: u32, data: RData) -> Record {
    Record::from_rdata(Name::from_ascii(name).unwrap(), seconds, data)
}

fn a(seconds: u32) -> Record {
    record(
        "web.example.",
        seconds,
        RData::A(A(Ipv4Addr::new(10, 0, 0, 1))),
    )
}

fn soa(seconds: u32, minimum: u32) -> Record {
    let name = Name::from_ascii("example.").unwrap();
    let soa = SOA::new(name.clone(), name, 1, 2, 3, 4, minimum);
    record("example.", seconds, RData::SOA(soa))
}

/// The response to a question for `web.example.`, and the question.
fn response(code: ResponseCode, answers: Vec<Record>, authorities: Vec<Record>) -> [Vec<u8>; 2] {
    let asked = question("web.example.", RecordType::A, None);
    let mut message = asked.clone();
    message.metadata.message_type = MessageType::Response;
    message.metadata.response_code = code;
    message.insert_answers(answers);
    message.insert_authorities(authorities);
    [message.to_vec().unwrap(), asked.to_vec().unwrap()]
}

fn read(bytes: &[u8], asked: &[u8]) -> Result<Response, Unusable> {
    Response::read(bytes.to_vec(), &Query::read(asked).unwrap(), 4711)
}

#[test]
fn what_is_no_question_gets_no_answer_or_a_refusal() {
    let good = question("web.example.", RecordType::A, None)
        .to_vec()
        .unwrap();
    let changed = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bytes
    };
    let code = |bytes: &[u8]| match Query::read(bytes) {
        Ok(_) => panic!("it is a question"),
        Err(Refusal::Silence) => None,
        Err(Refusal::Answer(answer)) => {
            let answer = Message::from_vec(&answer).unwrap();
            assert_eq!(answer.metadata.id, 4711);
            Some(answer.metadata.response_code)
        }
    };
    assert_eq!(code(&[]), None);
    assert_eq!(code(&good[..11]), None);
    // A response: whoever answers responses talks to himself.
    assert_eq!(code(&changed(2, 0x81)), None);
    assert_eq!(code(&good[..20]), Some(ResponseCode::FormErr));
    assert_eq!(code(&changed(5, 2)), Some(ResponseCode::FormErr));
    assert_eq!(code(&changed(12, 0xc0)), Some(ResponseCode::FormErr));
    // An update, and the transfer of a zone.
    assert_eq!(code(&changed(2, 0x28)), Some(ResponseCode::NotImp));
    let transfer = question("example.", RecordType::AXFR, None)
        .to_vec()
        .unwrap();
    assert_eq!(code(&transfer), Some(ResponseCode::NotImp));
}

#[test]
fn only_the_answer_to_the_question_counts() {
    let [bytes, asked] = response(ResponseCode::NoError, vec![a(30)], vec![]);
    assert!(read(&bytes, &asked).is_ok());
    let mut upper = bytes.clone();
    upper[13..16].make_ascii_uppercase();
    assert!(read(&upper, &asked).is_ok());
    for (at, byte) in [(0, 0xff), (2, 0x01), (13, b'x'), (26, 9)] {
        let mut other = bytes.clone();
        other[at] = byte;
        assert_eq!(read(&other, &asked), Err(Unusable::NotOurs), "byte {at}");
    }
    let short = &bytes[..bytes.len() - 1];
    assert_eq!(read(short, &asked), Err(Unusable::Broken));
}

#[test]
fn only_of_names_does_letter_case_not_count() {
    // As letters, the numbers of these types are one in two cases.
    let [https, other] = [65, 97].map(|kind| {
        let asked = question("web.example.", RecordType::from(kind), None);
        asked.to_vec().unwrap()
    });
    let answer = |asked: &[u8]| {
        let mut answer = Message::from_vec(asked).unwrap();
        answer.metadata.message_type = MessageType::Response;
        answer.insert_authorities(vec![soa(20, 20)]);
        answer.to_vec().unwrap()
    };
    assert_eq!(read(&answer(&other), &https), Err(Unusable::NotOurs));
    let cache = Cache::default();
    let query = Query::read(&https).unwrap();
    cache.keep(&query, &read(&answer(&https), &https).unwrap());
    assert!(cache.find(&query).is_some());
    assert!(cache.find(&Query::read(&other).unwrap()).is_none());
}

#[test]
fn a_refusal_may_be_without_the_question() {
    let [_, asked] = response(ResponseCode::NoError, vec![], vec![]);
    for (code, is_answer) in [
        (ResponseCode::FormErr, true),
        (ResponseCode::ServFail, true),
        (ResponseCode::NoError, false),
        (ResponseCode::NXDomain, false),
    ] {
        let mut bare = Message::new(4711, MessageType::Response, OpCode::Query);
        bare.metadata.response_code = code;
        let mut bytes = bare.to_vec().unwrap();
        bytes.extend([0xff; 700]);
        let Ok(refusal) = read(&bytes, &asked) else {
            assert!(!is_answer, "{code}");
            continue;
        };
        assert!(is_answer && refusal.lifetime().is_none(), "{code}");
        let passed_on = refusal.answer(&Query::read(&asked).unwrap());
        assert_eq!(passed_on, bare.to_vec().unwrap(), "{code}");
    }
}

#[test]
fn answers_are_kept_as_long_as_they_may_be() {
    let cname = |seconds| {
        let target = Name::from_ascii("other.example.").unwrap();
        record("web.example.", seconds, RData::CNAME(CNAME(target)))
    };
    let no_error = ResponseCode::NoError;
    let absent = ResponseCode::NXDomain;
    for (code, answers, authorities, expected) in [
        (no_error, vec![a(30), a(10)], vec![], Some(10)),
        (no_error, vec![a(100_000)], vec![], Some(300)),
        (no_error, vec![a(0)], vec![], None),
        (no_error, vec![a(u32::MAX)], vec![], None),
        (no_error, vec![], vec![soa(20, 5)], Some(5)),
        (absent, vec![], vec![soa(8, 20)], Some(8)),
        (absent, vec![], vec![soa(9_999, 9_999)], Some(30)),
        (absent, vec![cname(3)], vec![soa(20, 20)], Some(3)),
        // An alias of what has no such address.
        (no_error, vec![cname(60)], vec![soa(20, 5)], Some(5)),
        (no_error, vec![cname(60)], vec![], None),
        (no_error, vec![cname(60), a(30)], vec![soa(20, 5)], Some(30)),
        // Nobody says for how long.
        (absent, vec![], vec![], None),
        (no_error, vec![], vec![], None),
        (ResponseCode::ServFail, vec![], vec![soa(20, 20)], None),
    ] {
        let what = format!("{code} {answers:?} {authorities:?}");
        let [bytes, asked] = response(code, answers, authorities);
        let lifetime = read(&bytes, &asked).unwrap().lifetime();
        assert_eq!(lifetime, expected.map(Duration::from_secs), "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_grows_old_and_keeps_the_askers_letters() {
    let [bytes, asked] = response(ResponseCode::NoError, vec![a(30)], vec![]);
    let cache = Cache::default();
    let query = Query::read(&asked).unwrap();
    cache.keep(&query, &read(&bytes, &asked).unwrap());

    tokio::time::advance(Duration::from_secs(12)).await;
    let mut again = question("WEB.example.", RecordType::A, None);
    again.metadata.id = 99;
    let again = again.to_vec().unwrap();
    let again = Query::read(&again).unwrap();
    let answer = cache.find(&again).unwrap().answer(&again);
    assert!(answer.windows(3).any(|letters| letters == b"WEB"));
    let answer = Message::from_vec(&answer).unwrap();
    assert_eq!((answer.metadata.id, answer.answers[0].ttl), (99, 18));

    // Another type, or with extensions: another question.
    let others = [(RecordType::AAAA, None), (RecordType::A, Some(1_232))];
    for (kind, size) in others {
        let other = question("web.example.", kind, size).to_vec().unwrap();
        assert!(cache.find(&Query::read(&other).unwrap()).is_none());
    }
    tokio::time::advance(Duration::from_secs(18)).await;
    assert!(cache.find(&query).is_none());
}

#[test]
fn kept_addresses_take_turns() {
    let addresses = |numbers: std::ops::Range<u8>| {
        numbers.map(|number| {
            let address = RData::A(A(Ipv4Addr::new(10, 0, 0, number)));
            record("web.example.", 30, address)
        })
    };
    let answers: Vec<_> = addresses(0..4).collect();
    let [bytes, asked] = response(
        ResponseCode::NoError,
        answers.clone(),
        addresses(7..9).collect(),
    );
    let query = Query::read(&asked).unwrap();
    let mut firsts = std::collections::BTreeSet::new();
    for _ in 0..200 {
        let turned = read(&bytes, &asked).unwrap().in_any_order().answer(&query);
        let mut turned = Message::from_vec(&turned).unwrap();
        firsts.insert(turned.answers[0].data.to_string());
        turned.answers.sort();
        assert_eq!(turned.answers, answers);
        assert!(turned.authorities.iter().cloned().eq(addresses(7..9)));
    }
    assert_eq!(firsts.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn the_cache_is_bounded_and_what_was_kept_last_is_there() {
    let cache = Cache::default();
    for (count, length) in [(3_000, 1), (3_000, 250)] {
        for number in 0..count {
            let name = format!("host-{number}-{length}.example.");
            let asked = question(&name, RecordType::TXT, None);
            let mut message = asked.clone();
            message.metadata.message_type = MessageType::Response;
            let text = RData::TXT(TXT::new(vec!["x".repeat(length); 9]));
            message.add_answer(record(&name, 30, text));
            let (bytes, asked) = (message.to_vec().unwrap(), asked.to_vec().unwrap());
            let query = Query::read(&asked).unwrap();
            cache.keep(&query, &read(&bytes, &asked).unwrap());
            assert!(cache.find(&query).is_some(), "{name}");
        }
        let (entries, bytes) = cache.size();
        assert!(
            entries <= 1_024 && bytes <= 512 * 1_024,
            "{entries} entries, {bytes} bytes"
        );
        assert!(entries == 1_024 || bytes > 500 * 1_024);
    }
}

fn host() -> impl Strategy<Value = String> {
    vec("[a-zA-Z0-9_][a-zA-Z0-9_-]{0,19}", 1..8).prop_map(|labels| format!("{}.", labels.join(".")))
}

fn any_record() -> impl Strategy<Value = Record> {
    let data = prop_oneof![
        any::<[u8; 4]>().prop_map(|octets| RData::A(A(octets.into()))),
        host().prop_map(|name| RData::CNAME(CNAME(Name::from_ascii(name).unwrap()))),
        vec(any::<u8>(), 1..60).prop_map(|bytes| RData::Unknown {
            code: RecordType::Unknown(65_280),
            rdata: NULL::with(bytes),
        }),
    ];
    (host(), any::<u32>(), data).prop_map(|(name, seconds, data)| record(&name, seconds, data))
}

proptest! {
    #[test]
    fn questions_are_read_as_they_were_written(
        host in host(),
        kind in any::<u16>().prop_map(RecordType::from),
        class in any::<u16>().prop_map(DNSClass::from),
        size in proptest::option::of(any::<u16>()),
    ) {
        prop_assume!(!matches!(u16::from(kind), 41 | 250..=252));
        let mut message = question(&host, kind, size);
        message.queries[0].set_query_class(class);
        let bytes = message.to_vec().unwrap();
        let query = Query::read(&bytes).unwrap();
        prop_assert_eq!(query.host(), Some(host.trim_end_matches('.').to_ascii_lowercase()));
        let family = match (u16::from(class), u16::from(kind)) {
            (1, 1) => Some(Family::V4),
            (1, 28) => Some(Family::V6),
            _ => None,
        };
        prop_assert_eq!(query.family(), family);
        prop_assert_eq!(query.limit(Transport::Udp), usize::from(size.unwrap_or(512).clamp(512, 4_096)));
    }

    #[test]
    fn our_answers_are_read_as_we_meant_them(
        host in host(),
        addresses in vec(any::<[u8; 16]>().prop_map(IpAddr::from), 0..300),
        size in proptest::option::of(0_u16..5_000),
    ) {
        let asked = question(&host, RecordType::AAAA, size).to_vec().unwrap();
        let query = Query::read(&asked).unwrap();
        let limit = query.limit(Transport::Udp);
        let answer = fit(query.addresses(&addresses, 30), limit);
        prop_assert!(answer.len() <= limit);
        let answer = Message::from_vec(&answer).unwrap();
        prop_assert_eq!(answer.metadata.id, 4711);
        prop_assert_eq!(answer.metadata.message_type, MessageType::Response);
        prop_assert!(answer.metadata.authoritative && answer.metadata.recursion_desired);
        prop_assert_eq!(answer.metadata.truncation, answer.answers.len() < addresses.len());
        prop_assert_eq!(answer.edns.is_some(), size.is_some());
        prop_assert!(answer.edns.as_ref().is_none_or(|edns| edns.flags().dnssec_ok));
        for (record, address) in answer.answers.iter().zip(&addresses) {
            prop_assert_eq!(record.name.to_ascii().to_lowercase(), host.to_lowercase());
            prop_assert_eq!(record.data.ip_addr(), Some(*address));
            prop_assert_eq!(record.ttl, 30);
        }
    }

    #[test]
    fn foreign_answers_are_aged_and_cut_and_otherwise_left_alone(
        answers in vec(any_record(), 0..12),
        additional in vec(any_record(), 0..4),
        age in 0_u32..4_000,
        limit in 512_usize..1_500,
    ) {
        let asked = question("web.example.", RecordType::ANY, Some(4_096));
        let mut message = asked.clone();
        message.metadata.message_type = MessageType::Response;
        message.insert_answers(answers.clone());
        message.insert_additionals(additional.clone());
        let asked = asked.to_vec().unwrap();
        let query = Query::read(&asked).unwrap();
        let whole = read(&message.to_vec().unwrap(), &asked).unwrap().answer(&query);
        let read_back = Message::from_vec(&whole).unwrap();
        prop_assert_eq!(&read_back.answers, &answers);
        prop_assert_eq!(&read_back.additionals, &additional);

        let old = read(&whole, &asked).unwrap().aged(Duration::from_secs(age.into()));
        let old = Message::from_vec(&old.answer(&query)).unwrap();
        for (old, new) in old.answers.iter().zip(&answers) {
            let plausible = if new.ttl > i32::MAX as u32 { 0 } else { new.ttl };
            prop_assert_eq!(old.ttl, plausible.saturating_sub(age));
            prop_assert_eq!(&old.data, &new.data);
        }

        let was_whole = whole.len() <= limit;
        let cut = fit(whole, limit);
        prop_assert!(cut.len() <= limit);
        let cut = Message::from_vec(&cut).unwrap();
        prop_assert_eq!(cut.metadata.truncation, !was_whole);
        prop_assert!(cut.edns.is_some());
        prop_assert_eq!(&cut.answers[..], &answers[..cut.answers.len()]);
    }

    #[test]
    fn nonsense_is_survived(
        bytes in vec(any::<u8>(), 0..600),
        answers in vec(any_record(), 0..6),
        places in vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        limit in 0_usize..1_500,
    ) {
        let [mut spoilt, asked] = response(ResponseCode::NoError, answers, vec![soa(1, 2)]);
        for (place, byte) in places {
            let place = place.index(spoilt.len());
            spoilt[place] = byte;
        }
        for bytes in [bytes, spoilt] {
            if let Ok(query) = Query::read(&bytes) {
                let _ = (query.host(), query.key(), query.failure(Code::ServerFailure));
            }
            prop_assert!(records(&bytes, 12).count() <= 3 * 65_535);
            if let Ok(response) = read(&bytes, &asked) {
                let _ = (response.lifetime(), response.aged(Duration::from_secs(1)).in_any_order());
            }
            prop_assert!(fit(bytes, limit).len() <= limit.max(12 + 259));
        }
    }
}
