//! DNS capture as a whole: an application's question, the kernel's rules, our proxy, and name servers
//! that it asks in turn, of both families and in the pod itself.

mod message;
mod name_server;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use self::message::{address_in, question};
use self::name_server::NameServer;
use crate::bed::Metrics;
use crate::bed::inside::{connect_within, inside};
use crate::bench::Programs;
use crate::bench::lab::{Lab, Mesh};
use crate::bench::pair::Pair;
use crate::bench::process::Process;
use crate::cluster::command::run;
use crate::cluster::{Cache, FORTIO, Progress};

/// The pod's name servers, with the namespace that each is in and the address that it gives every host.
const SERVERS: [(&str, &str, Ipv4Addr); 3] = [
    ("10.88.0.3", "control", Ipv4Addr::new(192, 0, 2, 4)),
    ("fd88::3", "control", Ipv4Addr::new(192, 0, 2, 6)),
    ("127.0.0.1", "client", Ipv4Addr::new(192, 0, 2, 127)),
];
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How a question is asked.
#[derive(Clone, Copy, Debug)]
pub enum Over {
    /// In a datagram.
    Udp,
    /// On a connection.
    Tcp,
}

/// A pod whose DNS is captured, with our proxy and control, and the name servers.
pub struct Lookup {
    lab: Lab,
    proxy: Process,
    servers: Vec<NameServer>,
}

impl Lookup {
    /// Starts everything, with the rules of a back end of `lateen-init`. Our programs are those in
    /// `folder`.
    ///
    /// # Errors
    /// When a program cannot be had or does not start.
    pub async fn start(backend: &str, folder: &Path) -> Result<Self> {
        let (cache, progress) = (Cache::locate()?, Progress::begin());
        let fortio = FORTIO.get(&cache, &progress).await?.join("fortio");
        let mesh = Some(Mesh { services: 0 });
        let mut lab = Lab::new(&Programs::of(folder), &fortio, mesh).await?;
        lab.environment = vec![("ISTIO_META_DNS_CAPTURE", "true")];
        match start_in(&lab, backend).await {
            Ok((proxy, servers)) => Ok(Self {
                lab,
                proxy,
                servers,
            }),
            Err(error) => {
                lab.end().await?;
                Err(error)
            }
        }
    }

    /// The name servers' addresses, as the pod knows them.
    pub fn servers(&self) -> impl Iterator<Item = IpAddr> {
        self.servers.iter().map(|server| server.address.ip())
    }

    /// How many questions each name server got over UDP and over TCP.
    #[must_use]
    pub fn asked(&self) -> Vec<[usize; 2]> {
        self.servers.iter().map(NameServer::asked).collect()
    }

    /// Asks a name server for a host's address, as the application does; the answer must come from
    /// that server.
    ///
    /// # Errors
    /// When none comes, or one from somebody else.
    pub async fn ask(&self, server: IpAddr, over: Over, host: &str) -> Result<Ipv4Addr> {
        let server = SocketAddr::new(server, 53);
        let question = question(host);
        let answer = match over {
            Over::Udp => timeout(PATIENCE, self.ask_over_udp(server, &question)).await,
            Over::Tcp => timeout(PATIENCE, self.ask_over_tcp(server, &question)).await,
        };
        let answer = answer.context("no answer came")??;
        address_in(&answer, &question).with_context(|| format!("{answer:?} has no address"))
    }

    async fn ask_over_udp(&self, server: SocketAddr, question: &[u8]) -> Result<Vec<u8>> {
        let any = if server.is_ipv4() {
            "0.0.0.0:0"
        } else {
            "[::]:0"
        };
        let socket = bind_within(&self.lab.network("client"), any.parse()?).await?;
        socket.send_to(question, server).await?;
        let mut answer = vec![0; 512];
        let (length, from) = socket.recv_from(&mut answer).await?;
        ensure!(from == server, "{server} was asked, and {from} answered");
        answer.truncate(length);
        Ok(answer)
    }

    async fn ask_over_tcp(&self, server: SocketAddr, question: &[u8]) -> Result<Vec<u8>> {
        let mut stream = connect_within(&self.lab.network("client"), server).await?;
        stream.write_u16(u16::try_from(question.len())?).await?;
        stream.write_all(question).await?;
        let mut answer = vec![0; usize::from(stream.read_u16().await?)];
        stream.read_exact(&mut answer).await?;
        Ok(answer)
    }

    /// What the C library in the pod finds for a host, as text.
    ///
    /// # Errors
    /// When it finds nothing.
    pub async fn library(&self, host: &str) -> Result<String> {
        let mut getent = self.lab.command("client", Path::new("getent"));
        run(getent.args(["ahosts", host])).await
    }

    /// The metrics of our proxy.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn metrics(&self) -> Result<Metrics> {
        self.lab.metrics("client").await
    }

    /// Ends everything.
    ///
    /// # Errors
    /// When a process cannot be ended.
    pub async fn end(self) -> Result<()> {
        drop(self.servers);
        self.proxy.end().await?;
        self.lab.end().await
    }
}

async fn start_in(lab: &Lab, backend: &str) -> Result<(Process, Vec<NameServer>)> {
    lab.address("control", "fd88::3/64", "br0").await?;
    lab.address("client", "fd88::1/64", "eth0").await?;
    let mut resolv_conf = "options rotate timeout:5\n".to_owned();
    let mut servers = Vec::new();
    for (address, namespace, answer) in SERVERS {
        resolv_conf += &format!("nameserver {address}\n");
        let address = SocketAddr::new(address.parse()?, 53);
        servers.push(NameServer::start(&lab.network(namespace), address, answer).await?);
    }
    lab.replace_file("client", "resolv.conf", &resolv_conf)?;
    lab.redirect("client", &["--redirect-dns", "--backend", backend])
        .await?;
    let proxy = Pair::Lateen.start(lab, "client").await?;
    Ok((proxy, servers))
}

/// A socket in a network namespace.
async fn bind_within(namespace: &Path, address: SocketAddr) -> Result<UdpSocket> {
    let bind = move || {
        let socket = std::net::UdpSocket::bind(address)?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    };
    let socket = inside(namespace, bind)
        .await
        .with_context(|| format!("Binding {address} within {}", namespace.display()))?;
    Ok(UdpSocket::from_std(socket)?)
}
