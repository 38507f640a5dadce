//! The memory a connection costs while it does nothing: the sizes of the futures that carry it.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};

use crate::config::{Arguments, Config};
use crate::shared::{Shared, Worker};
use crate::{inbound, outbound};

fn worker() -> Arc<Worker> {
    let config = Config::read(&Arguments::default(), |name| match name {
        "POD_NAME" | "POD_NAMESPACE" => Some("test".to_owned()),
        "INSTANCE_IP" => Some("10.0.0.1".to_owned()),
        _ => None,
    });
    Worker::new(Shared::new(config.unwrap()))
}

/// A budget, not a measurement: raise it only in a change that says why.
fn assert_size(what: &str, future: &impl Future, budget: usize) {
    let size = size_of_val(future);
    assert!(
        size <= budget,
        "{what} takes {size} bytes, more than {budget}"
    );
    assert!(
        size * 2 > budget,
        "{what} takes {size} bytes: lower its budget of {budget}"
    );
}

#[tokio::test]
async fn futures_of_connections_stay_small() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer: SocketAddr = listener.local_addr().unwrap();
    let stream = || async { TcpStream::connect(peer).await.unwrap() };
    assert_size(
        "outbound::serve",
        &outbound::serve(worker(), stream().await, peer),
        1_000,
    );
    assert_size(
        "inbound::serve",
        &inbound::serve(worker(), stream().await, peer),
        2_000,
    );
}
