//! The relay, against peers that end in different ways.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use super::*;

#[derive(Default)]
struct Sums {
    forward: AtomicUsize,
    back: AtomicUsize,
}

impl Counts for Sums {
    fn forward(&self, bytes: usize) {
        self.forward.fetch_add(bytes, Ordering::Relaxed);
    }
    fn back(&self, bytes: usize) {
        self.back.fetch_add(bytes, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn one_side_may_end_and_still_hear_the_other() {
    let (mut client, mut first) = duplex(64);
    let (mut second, mut server) = duplex(64);
    let sums = Sums::default();
    let talk = async {
        client.write_all(b"question").await.unwrap();
        client.shutdown().await.unwrap();
        let mut asked = String::new();
        server.read_to_string(&mut asked).await.unwrap();
        assert_eq!(asked, "question");
        server.write_all(b"the answer").await.unwrap();
        server.shutdown().await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "the answer");
    };
    let (relayed, ()) = tokio::join!(relay(&mut first, &mut second, &sums), talk);
    assert!(matches!(relayed, Relayed::Finished));
    assert_eq!(sums.forward.into_inner(), 8);
    assert_eq!(sums.back.into_inner(), 10);
}

#[tokio::test]
async fn a_slow_reader_gets_every_byte() {
    let (mut client, mut first) = duplex(256 * 1_024);
    let (mut second, mut server) = duplex(7);
    let sent: Vec<u8> = (0..200_000u32).map(|i| i as u8).collect();
    let expected = sent.clone();
    let talk = async {
        client.write_all(&sent).await.unwrap();
        client.shutdown().await.unwrap();
        let mut received = Vec::new();
        server.read_to_end(&mut received).await.unwrap();
        assert!(received == expected);
        drop(server);
    };
    let (relayed, ()) = tokio::join!(relay(&mut first, &mut second, &NoCounts), talk);
    assert!(matches!(relayed, Relayed::Finished));
}

#[tokio::test]
async fn the_side_that_fails_is_named() {
    let (client, mut first) = duplex(64);
    let (mut second, server) = duplex(64);
    let mut client = client;
    client.write_all(b"nobody reads this").await.unwrap();
    drop(server);
    let relayed = relay(&mut first, &mut second, &NoCounts).await;
    assert!(matches!(relayed, Relayed::SecondFailed(_)), "{relayed:?}");
}

#[tokio::test]
async fn bytes_that_were_looked_at_are_read_again() {
    let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let mut client = connect(listener.local_addr().unwrap(), None).await.unwrap();
    let (accepted, _) = listener.accept().await.unwrap();
    client.write_all(b"hello world").await.unwrap();
    client.shutdown().await.unwrap();
    let mut stream = Stream::from(accepted);
    let mut seen = bytes::BytesMut::new();
    while seen.len() < 5 {
        stream.read_more(&mut seen).await.unwrap();
    }
    stream.put_back(seen);
    let mut all = String::new();
    stream.read_to_string(&mut all).await.unwrap();
    assert_eq!(all, "hello world");
}

#[tokio::test]
async fn one_listener_takes_both_families() {
    let listener = listen("[::]:0".parse().unwrap()).unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut addresses = vec![format!("127.0.0.1:{port}")];
    if listener.local_addr().unwrap().is_ipv6() {
        addresses.push(format!("[::1]:{port}"));
    }
    for address in addresses {
        let _client = connect(address.parse().unwrap(), None).await.unwrap();
        let (_, peer) = listener.accept().await.unwrap();
        assert!(peer.ip().to_canonical().is_loopback());
    }
}

#[tokio::test]
async fn connections_come_from_the_address_asked_for() {
    let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let source = "127.0.0.6".parse().unwrap();
    let _client = connect(listener.local_addr().unwrap(), Some(Source::Own(source)))
        .await
        .unwrap();
    let (_, peer) = listener.accept().await.unwrap();
    assert_eq!(peer.ip(), source);
}
