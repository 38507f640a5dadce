//! The name servers of the pod, and in which order they are asked: one after the other, each with its
//! time, as resolv.conf(5) says. One that is silent comes last until it is heard of again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::query::{Query, Transport};
use super::response::Response;
use super::server::Server;
use crate::config::NameServers;

/// The name servers.
pub(super) struct Upstream {
    servers: Vec<Arc<Server>>,
    /// How often all of them are asked until one answers.
    attempts: u32,
    rotate: bool,
    /// Counts questions, for `rotate`.
    turn: AtomicUsize,
}

impl Upstream {
    pub(super) fn new(servers: &NameServers) -> Self {
        let addresses = servers.addresses.iter();
        let server = |address| Arc::new(Server::new(address, servers.timeout));
        Self {
            servers: addresses.copied().map(server).collect(),
            attempts: servers.attempts,
            rotate: servers.rotate,
            turn: AtomicUsize::new(0),
        }
    }

    /// The answer of the first server that has one; else that of one that says it has none. None
    /// when none says anything.
    pub(super) async fn ask(&self, query: &Query<'_>, transport: Transport) -> Option<Response> {
        let servers = self.in_order();
        try_silent_ones(&servers, query);
        for _ in 0..self.attempts {
            let mut refusal = None;
            for server in &servers {
                match server.ask(query, transport).await {
                    Ok(response) if response.is_failure() => refusal = Some(response),
                    Ok(response) => return Some(response),
                    Err(failure) => {
                        let server = server.address();
                        tracing::debug!(%server, %failure, "A name server has not answered.");
                    }
                }
            }
            if refusal.is_some() {
                return refusal;
            }
        }
        None
    }

    /// All servers, in the order in which this question goes to them.
    fn in_order(&self) -> Vec<Arc<Server>> {
        let mut servers = self.servers.clone();
        if self.rotate && !servers.is_empty() {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed);
            let first = turn % servers.len();
            servers.rotate_left(first);
        }
        servers.sort_by_key(|server| server.is_silent());
        servers
    }
}

/// While others answer, silent servers get a question now and then that nobody waits for.
fn try_silent_ones(servers: &[Arc<Server>], query: &Query<'_>) {
    let (silent, others): (Vec<_>, Vec<_>) = servers.iter().partition(|server| server.is_silent());
    if others.is_empty() {
        return;
    }
    for server in silent.into_iter().filter(|server| server.is_trial_due()) {
        let (server, question) = (Arc::clone(server), query.bytes().to_vec());
        tokio::spawn(async move {
            if let Ok(query) = Query::read(&question) {
                let _ = server.ask(&query, Transport::Udp).await;
            }
        });
    }
}
