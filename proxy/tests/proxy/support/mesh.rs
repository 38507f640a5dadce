//! A small mesh: a control stand-in and proxies, each with its own addresses.
//!
//! A client connects to `127.1.X.Y`, which stands for the original destination of the connection;
//! proxies call endpoints at `127.2.X.Y` on the port of the receiving proxy, which stands for the
//! application's address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use lateen_proxy::config::{Arguments, Config, Dns, NameServers};
use lateen_proxy::dns;
use lateen_proxy::listen::Capture;
use lateen_proxy::ready::Reason;
use lateen_proxy::runtime::{self, Listening};
use lateen_proxy::shared::Shared;
use lateen_wire::{lateen, resource};
use socket2::{Domain, Socket, Type};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::authority::Authority;
use super::control::Control;
use super::{soon, until};

pub(crate) struct Mesh {
    pub(crate) authority: Arc<Authority>,
    pub(crate) control: Control,
    folder: tempfile::TempDir,
    next: AtomicU16,
}

pub(crate) struct Proxy {
    pub(crate) shared: Arc<Shared>,
    pub(crate) listening: Listening,
    pub(crate) name: String,
    _tasks: JoinSet<()>,
}

/// A port that nobody else gets; connections go to those who listen on it, which this does not.
struct Reserved {
    address: SocketAddr,
    _socket: Socket,
}

/// The addresses that stand for destinations, given before a proxy starts.
pub(crate) type Destinations = HashMap<IpAddr, SocketAddr>;

impl Mesh {
    pub(crate) async fn start() -> Self {
        let authority = Arc::new(Authority::new());
        let folder = tempfile::tempdir().unwrap();
        let control = Control::start(Arc::clone(&authority)).await;
        control.set(resource::OWN, resource::OWN_NAME, &own(&[]));
        let mesh = Self {
            authority,
            control,
            folder,
            next: AtomicU16::new(1),
        };
        mesh.set_roots(&[&mesh.authority]);
        mesh
    }

    /// Exchanges the roots that proxies trust.
    pub(crate) fn set_roots(&self, authorities: &[&Authority]) {
        let roots: String = authorities
            .iter()
            .map(|authority| authority.root_pem.as_str())
            .collect();
        std::fs::write(self.folder.path().join("root.pem"), roots).unwrap();
    }

    /// Takes the token of a proxy away.
    pub(crate) fn remove_token(&self, name: &str) {
        std::fs::remove_file(self.token(name)).unwrap();
    }

    pub(crate) fn write_token(&self, name: &str, token: &str) {
        std::fs::write(self.token(name), token).unwrap();
    }

    fn token(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.token"))
    }

    /// An address that stands for a destination.
    pub(crate) fn stand_in(&self, network: u8) -> IpAddr {
        let [high, low] = self.next.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        IpAddr::V4(Ipv4Addr::new(127, network, high, low))
    }

    /// Starts a proxy of a workload; waits until it is ready.
    pub(crate) async fn proxy(&self, name: &str, destinations: Destinations) -> Proxy {
        self.unready_proxy(name, destinations).ready().await
    }

    /// Starts a proxy that answers DNS questions, and asks these name servers; tells where.
    pub(crate) async fn name_server(
        &self,
        name: &str,
        name_servers: NameServers,
    ) -> (Proxy, Vec<SocketAddr>) {
        self.write_token(name, &identity(name));
        let mut config = self.config(name, self.token(name).to_str().unwrap());
        config.dns = Some(Dns {
            listen: ["127.0.0.1:0", "[::1]:0"]
                .map(|it| it.parse().unwrap())
                .into(),
            name_servers,
        });
        let shared = Shared::new(config);
        let mut tasks = JoinSet::new();
        let listening = runtime::start_worker(&mut tasks, Arc::clone(&shared)).unwrap();
        // The port that the kernel chooses for TCP may be taken for UDP.
        let (name_server, asked_at) = loop {
            let mut tasks = JoinSet::new();
            if let Ok(asked_at) = dns::start(&mut tasks, &shared) {
                break (tasks, asked_at);
            }
        };
        tasks.spawn(async move {
            let _held = name_server;
            std::future::pending().await
        });
        let proxy = Proxy::start(name, shared, listening, tasks).ready().await;
        (proxy, asked_at)
    }

    pub(crate) fn unready_proxy(&self, name: &str, destinations: Destinations) -> Proxy {
        let shared = self.shared(name, destinations, [0, 0]);
        let mut tasks = JoinSet::new();
        let listening = runtime::start_worker(&mut tasks, Arc::clone(&shared)).unwrap();
        Proxy::start(name, shared, listening, tasks)
    }

    /// Starts a proxy with several workers, each on a thread and a runtime of its own.
    pub(crate) async fn proxy_of_workers(
        &self,
        name: &str,
        destinations: Destinations,
        workers: usize,
    ) -> Proxy {
        let reserved = [Reserved::new(), Reserved::new()];
        let [outbound, inbound] = reserved.each_ref().map(|one| one.address);
        let shared = self.shared(name, destinations, [outbound.port(), inbound.port()]);
        let mut tasks = JoinSet::new();
        for _ in 0..workers {
            let (worker, started) = start_thread(Arc::clone(&shared));
            soon("a worker", started).await.unwrap();
            tasks.spawn(worker);
        }
        let listening = Listening { outbound, inbound };
        Proxy::start(name, shared, listening, tasks).ready().await
    }

    /// The parts of a proxy that does not run yet.
    fn shared(&self, name: &str, destinations: Destinations, ports: [u16; 2]) -> Arc<Shared> {
        self.write_token(name, &identity(name));
        let token = self.token(name);
        let mut config = self.config(name, token.to_str().unwrap());
        config.listen.capture = Capture::ByLocalAddress(Arc::new(destinations));
        [config.listen.outbound, config.listen.inbound] = ports;
        Shared::new(config)
    }

    fn config(&self, name: &str, token: &str) -> Config {
        let control = format!("localhost:{}", self.control.address.port());
        let proxy_config = format!(r#"{{"discoveryAddress":"{control}"}}"#);
        let root = self.folder.path().join("root.pem");
        let environment = HashMap::from([
            ("POD_NAME", name),
            ("POD_NAMESPACE", "default"),
            ("SERVICE_ACCOUNT", name),
            ("INSTANCE_IP", "127.0.0.1"),
            ("PROXY_CONFIG", &proxy_config),
            ("LATEEN_TOKEN_PATH", token),
            ("LATEEN_ROOT_CERT_PATH", root.to_str().unwrap()),
            ("LATEEN_BIND_ADDRESS", "0.0.0.0"),
        ]);
        Config::read(&Arguments::default(), |name| {
            environment.get(name).map(ToString::to_string)
        })
        .unwrap()
    }

    /// Makes a service of these endpoints known under a name and an address.
    pub(crate) fn serve(&self, service: &Service, endpoints: &[Endpoint]) {
        self.set_endpoints(service, endpoints);
        let answer = lateen::Service {
            name: service.name.to_owned(),
            namespace: "default".to_owned(),
            host: format!("{}.default.svc.cluster.local", service.name),
            port: u32::from(service.address.port()),
            port_name: "main".to_owned(),
            protocol: service.protocol.into(),
            headless: service.headless,
            endpoint_slices: vec![service.slice(1), service.slice(2)],
            ..lateen::Service::default()
        };
        for name in service.names() {
            let answer = lateen::destination::Answer::Service(answer.clone());
            self.control.set_destination(&name, answer);
        }
    }

    /// Gives a host addresses in DNS.
    pub(crate) fn set_addresses(&self, host: &str, addresses: &[&str]) {
        let addresses = addresses.iter().map(|text| bytes_of(text.parse().unwrap()));
        let answer = lateen::HostAddresses {
            addresses: addresses.collect(),
        };
        self.control.set(resource::HOST_ADDRESSES, host, &answer);
    }

    pub(crate) fn set_endpoints(&self, service: &Service, endpoints: &[Endpoint]) {
        self.control.set(
            resource::ENDPOINT_SLICE,
            &service.slice(1),
            &slice(endpoints),
        );
        self.control
            .set(resource::ENDPOINT_SLICE, &service.slice(2), &slice(&[]));
    }

    /// Makes a service of two endpoints known that listen on different ports, and so are in two
    /// slices.
    pub(crate) fn serve_two(&self, service: &Service, one: &Endpoint, other: &Endpoint) {
        self.serve(service, std::slice::from_ref(one));
        let other = slice(std::slice::from_ref(other));
        self.control
            .set(resource::ENDPOINT_SLICE, &service.slice(2), &other);
    }
}

/// A slice of endpoints that listen on one port.
fn slice(endpoints: &[Endpoint]) -> lateen::EndpointSlice {
    let port = endpoints
        .first()
        .map_or(1, |endpoint| endpoint.address.port());
    assert!(
        endpoints
            .iter()
            .all(|endpoint| endpoint.address.port() == port)
    );
    lateen::EndpointSlice {
        ports: vec![lateen::SlicePort {
            name: "main".to_owned(),
            number: u32::from(port),
        }],
        endpoints: endpoints
            .iter()
            .enumerate()
            .map(|(index, endpoint)| lateen::Endpoint {
                address: bytes_of(endpoint.address.ip()),
                workload: index as u32 + 1,
                ready: endpoint.ready,
                terminating: !endpoint.ready,
            })
            .collect(),
        workloads: endpoints
            .iter()
            .map(|endpoint| endpoint.workload.clone())
            .collect(),
    }
}

impl Reserved {
    fn new() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        socket.set_reuse_port(true).unwrap();
        let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        socket.bind(&any.into()).unwrap();
        Self {
            address: socket.local_addr().unwrap().as_socket().unwrap(),
            _socket: socket,
        }
    }
}

/// Starts a worker on a thread of its own. The first future stands for it: the worker ends when
/// that is dropped. The second tells that it listens.
fn start_thread(
    shared: Arc<Shared>,
) -> (
    impl Future<Output = ()> + Send + 'static,
    oneshot::Receiver<()>,
) {
    let (tell, started) = oneshot::channel();
    let (held, dropped) = oneshot::channel::<()>();
    std::thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut tasks = JoinSet::new();
            runtime::start_worker(&mut tasks, shared).unwrap();
            tell.send(()).unwrap();
            let _ = dropped.await;
        });
    });
    let worker = async move {
        let _held = held;
        std::future::pending().await
    };
    (worker, started)
}

impl Proxy {
    /// Starts everything but the workers, which listen already.
    fn start(
        name: &str,
        shared: Arc<Shared>,
        listening: Listening,
        mut tasks: JoinSet<()>,
    ) -> Self {
        shared.readiness.resolve(Reason::Listeners);
        runtime::start_background(&mut tasks, &shared);
        Self {
            shared,
            listening,
            name: name.to_owned(),
            _tasks: tasks,
        }
    }

    async fn ready(self) -> Self {
        until("the proxy is ready", || self.shared.readiness.is_ready()).await;
        self
    }

    /// Connects as the application does, to an address that stands for the original destination.
    pub(crate) async fn dial(&self, stand_in: IpAddr) -> TcpStream {
        let address = SocketAddr::new(stand_in, self.listening.outbound.port());
        soon("connecting to the proxy", TcpStream::connect(address))
            .await
            .unwrap()
    }

    /// Connects to the inbound port, as somebody without a sidecar does.
    pub(crate) async fn dial_inbound(&self, stand_in: IpAddr) -> TcpStream {
        let address = SocketAddr::new(stand_in, self.listening.inbound.port());
        soon("connecting to the proxy", TcpStream::connect(address))
            .await
            .unwrap()
    }

    pub(crate) fn metrics(&self) -> String {
        let mut text = String::new();
        self.shared.metrics.render(&mut text);
        text
    }

    /// The sum of all samples whose line holds every part.
    pub(crate) fn sum(&self, metric: &str, parts: &[&str]) -> f64 {
        self.metrics()
            .lines()
            .filter(|line| line.split(['{', ' ']).next() == Some(metric))
            .filter(|line| parts.iter().all(|part| line.contains(part)))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }
}

/// A service of a test.
pub(crate) struct Service {
    pub(crate) name: &'static str,
    /// Its cluster address and port.
    pub(crate) address: SocketAddr,
    pub(crate) protocol: lateen::Protocol,
    pub(crate) headless: bool,
}

impl Service {
    pub(crate) fn new(name: &'static str, protocol: lateen::Protocol) -> Self {
        Self {
            name,
            address: "10.96.0.10:80".parse().unwrap(),
            protocol,
            headless: false,
        }
    }

    fn slice(&self, number: u32) -> String {
        format!("default/{}-{number}", self.name)
    }

    fn names(&self) -> [String; 2] {
        [
            format!("{}:{}", self.name, self.address.port()),
            self.address.to_string(),
        ]
    }
}

/// An endpoint of a test.
#[derive(Clone)]
pub(crate) struct Endpoint {
    pub(crate) address: SocketAddr,
    pub(crate) workload: lateen::Workload,
    pub(crate) ready: bool,
}

impl Endpoint {
    /// A workload with a sidecar.
    pub(crate) fn mesh(proxy: &Proxy, stand_in: IpAddr) -> Self {
        let address = SocketAddr::new(stand_in, proxy.listening.inbound.port());
        Self {
            address,
            workload: workload(&proxy.name, true),
            ready: true,
        }
    }

    /// A workload without one.
    pub(crate) fn plain(address: SocketAddr) -> Self {
        Self {
            address,
            workload: workload("plain", false),
            ready: true,
        }
    }
}

pub(crate) fn workload(name: &str, mutual_tls: bool) -> lateen::Workload {
    lateen::Workload {
        name: name.to_owned(),
        namespace: "default".to_owned(),
        service_account: name.to_owned(),
        canonical_name: name.to_owned(),
        canonical_revision: "v1".to_owned(),
        app: name.to_owned(),
        version: "v1".to_owned(),
        cluster: "Kubernetes".to_owned(),
        mutual_tls,
        trust_domain: "cluster.local".to_owned(),
        ..lateen::Workload::default()
    }
}

pub(crate) fn own(inbound: &[lateen::InboundPort]) -> lateen::Own {
    lateen::Own {
        workload: Some(workload("own", true)),
        inbound: inbound.to_vec(),
        service_ranges: vec!["10.96.0.0/16".to_owned()],
        mesh: Some(lateen::Mesh {
            trust_domain: "cluster.local".to_owned(),
            connect_timeout_ms: 2_000,
            ..lateen::Mesh::default()
        }),
    }
}

pub(crate) fn identity(name: &str) -> String {
    format!("spiffe://cluster.local/ns/default/sa/{name}")
}

fn bytes_of(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}
