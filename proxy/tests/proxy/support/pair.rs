//! Two workloads of a mesh, one calling the other.

use std::collections::HashMap;
use std::net::IpAddr;

use lateen_wire::lateen::Protocol;
use lateen_wire::resource;
use tokio::net::TcpStream;

use super::app::App;
use super::client::Http1;
use super::mesh::{Endpoint, Mesh, Proxy, Service, workload};

/// A client's proxy, and a server's with the application behind it.
pub(crate) struct Pair {
    pub(crate) mesh: Mesh,
    pub(crate) client: Proxy,
    pub(crate) server: Proxy,
    pub(crate) service: Service,
    /// Stands for the service's address.
    pub(crate) door: IpAddr,
    /// Stands for the application's address.
    pub(crate) back: IpAddr,
    pub(crate) app: App,
}

impl Pair {
    pub(crate) async fn start(name: &'static str, protocol: Protocol, app: App) -> Self {
        Self::within(Mesh::start().await, name, protocol, app).await
    }

    pub(crate) async fn within(
        mesh: Mesh,
        name: &'static str,
        protocol: Protocol,
        app: App,
    ) -> Self {
        mesh.control
            .set(resource::WORKLOAD, "127.0.0.1", &workload("client", true));
        let service = Service::new(name, protocol);
        let (door, back) = (mesh.stand_in(1), mesh.stand_in(2));
        let server = mesh
            .proxy("server", HashMap::from([(back, app.address)]))
            .await;
        mesh.serve(&service, &[Endpoint::mesh(&server, back)]);
        let client = mesh
            .proxy("client", HashMap::from([(door, service.address)]))
            .await;
        Self {
            mesh,
            client,
            server,
            service,
            door,
            back,
            app,
        }
    }

    /// Connects as the client does, to the service.
    pub(crate) async fn dial(&self) -> TcpStream {
        self.client.dial(self.door).await
    }

    /// The same, for HTTP/1.
    pub(crate) async fn http(&self) -> Http1 {
        Http1::new(self.dial().await)
    }

    /// Connects to the server's proxy, as somebody without one does.
    pub(crate) async fn dial_inbound(&self) -> TcpStream {
        self.server.dial_inbound(self.back).await
    }
}
