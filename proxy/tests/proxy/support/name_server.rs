//! A name server that answers as a test tells it to, and a client that asks.

use std::net::SocketAddr;
use std::sync::Arc;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;

use super::soon;

/// How a question came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    Udp,
    Tcp,
}

/// What is sent back.
#[derive(Clone)]
pub(crate) enum Reply {
    /// By the server.
    Honest(Vec<u8>),
    /// By somebody else, from another port. Over UDP alone.
    Forged(Vec<u8>),
}

type Behaviour = dyn Fn(Over, Message) -> Vec<Reply> + Send + Sync;

pub(crate) struct NameServer {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<(Over, Message)>>>,
    _tasks: JoinSet<()>,
}

impl NameServer {
    pub(crate) async fn start(
        behaviour: impl Fn(Over, Message) -> Vec<Reply> + Send + Sync + 'static,
    ) -> Self {
        let (listener, socket) = bind_both().await;
        let address = listener.local_addr().unwrap();
        let asked = Arc::<Mutex<Vec<_>>>::default();
        let behaviour: Arc<Behaviour> = {
            let asked = Arc::clone(&asked);
            Arc::new(move |over, question: Message| {
                asked.lock().push((over, question.clone()));
                behaviour(over, question)
            })
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(serve_datagrams(socket, Arc::clone(&behaviour)));
        tasks.spawn(serve_connections(listener, behaviour));
        Self {
            address,
            asked,
            _tasks: tasks,
        }
    }

    /// One that gives every host the same address.
    pub(crate) async fn honest() -> Self {
        Self::start(|_, question| vec![Reply::Honest(answer(&question, 1))]).await
    }

    /// What was asked so far.
    pub(crate) fn asked(&self) -> Vec<(Over, Message)> {
        self.asked.lock().clone()
    }

    /// The names that were asked about so far.
    pub(crate) fn names(&self) -> Vec<String> {
        let asked = self.asked();
        let names = asked
            .iter()
            .map(|(_, question)| question.queries[0].name.to_ascii());
        names.collect()
    }
}

/// A port that is free over both transports.
async fn bind_both() -> (TcpListener, UdpSocket) {
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        if let Ok(socket) = UdpSocket::bind(address).await {
            return (listener, socket);
        }
    }
}

async fn serve_datagrams(socket: UdpSocket, behaviour: Arc<Behaviour>) {
    let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut buffer = vec![0; 65_535];
    loop {
        let (length, client) = socket.recv_from(&mut buffer).await.unwrap();
        let question = Message::from_vec(&buffer[..length]).unwrap();
        for reply in behaviour(Over::Udp, question) {
            let (from, bytes) = match &reply {
                Reply::Honest(bytes) => (&socket, bytes),
                Reply::Forged(bytes) => (&stranger, bytes),
            };
            from.send_to(bytes, client).await.unwrap();
        }
    }
}

async fn serve_connections(listener: TcpListener, behaviour: Arc<Behaviour>) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let question = read(&mut stream).await.unwrap();
        for reply in behaviour(Over::Tcp, question) {
            if let Reply::Honest(bytes) = reply {
                write(&mut stream, &bytes).await;
            }
        }
    }
}

/// An answer with so many addresses, `192.0.2.1` and on, good for a minute.
pub(crate) fn answer(question: &Message, count: u16) -> Vec<u8> {
    let mut message = question.clone();
    message.metadata.message_type = MessageType::Response;
    message.metadata.recursion_available = true;
    let name = question.queries[0].name.clone();
    for number in 1..=count {
        let [high, low] = number.to_be_bytes();
        let address = RData::A(A::new(192, 0, 2 + high, low));
        message.add_answer(Record::from_rdata(name.clone(), 60, address));
    }
    message.to_vec().unwrap()
}

/// A question for addresses.
pub(crate) fn question(name: &str, kind: RecordType) -> Message {
    let mut message = Message::new(fastrand::u16(..), MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    message
}

/// The same from a client that can take longer answers.
pub(crate) fn extended(name: &str, kind: RecordType, size: u16) -> Message {
    let mut message = question(name, kind);
    let mut extensions = Edns::new();
    extensions.set_max_payload(size).set_dnssec_ok(true);
    message.set_edns(extensions);
    message
}

/// Asks, and gives the answer as it came.
pub(crate) async fn ask_raw(server: SocketAddr, over: Over, question: &[u8]) -> Vec<u8> {
    let asked = async {
        match over {
            Over::Udp => {
                let socket = UdpSocket::bind((server.ip(), 0)).await.unwrap();
                socket.connect(server).await.unwrap();
                socket.send(question).await.unwrap();
                let mut buffer = vec![0; 65_535];
                let length = socket.recv(&mut buffer).await.unwrap();
                buffer.truncate(length);
                buffer
            }
            Over::Tcp => {
                let mut stream = TcpStream::connect(server).await.unwrap();
                write(&mut stream, question).await;
                read_raw(&mut stream).await.unwrap()
            }
        }
    };
    soon("an answer", asked).await
}

pub(crate) async fn ask(server: SocketAddr, over: Over, question: &Message) -> Message {
    let answer = ask_raw(server, over, &question.to_vec().unwrap()).await;
    let answer = Message::from_vec(&answer).unwrap();
    assert_eq!(answer.metadata.id, question.metadata.id);
    assert_eq!(answer.metadata.message_type, MessageType::Response);
    answer
}

/// The addresses of an answer, in order, or its code when that is bad.
pub(crate) fn addresses(answer: &Message) -> String {
    if answer.metadata.response_code != hickory_proto::op::ResponseCode::NoError {
        return format!("{:?}", answer.metadata.response_code);
    }
    let answers = answer.answers.iter();
    let mut found: Vec<_> = answers
        .filter_map(|record| record.data.ip_addr())
        .map(|address| address.to_string())
        .collect();
    found.sort();
    found.join(" ")
}

pub(crate) async fn write(stream: &mut TcpStream, message: &[u8]) {
    let length = u16::try_from(message.len()).unwrap();
    stream
        .write_all(&[&length.to_be_bytes(), message].concat())
        .await
        .unwrap();
}

pub(crate) async fn read_raw(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut message = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

async fn read(stream: &mut TcpStream) -> std::io::Result<Message> {
    Ok(Message::from_vec(&read_raw(stream).await?).unwrap())
}
