//! Equal questions that come while one of them is under way wait for its answer. Whoever wants to answer
//! in a server's place would have a chance with each that is sent (RFC 5452, section 5), and a name
//! server that asks the proxy in turn would let a question multiply.

use std::future::Future;
use std::sync::Arc;

use ahash::AHashMap;
use parking_lot::Mutex;
use tokio::sync::OnceCell;

use super::query::{Query, Transport};
use super::response::Response;

/// Questions under way.
#[derive(Default)]
pub(super) struct Flights {
    by_question: Mutex<AHashMap<Key, Arc<Flight>>>,
}

/// What makes questions equal.
type Key = (Transport, Box<[u8]>);
/// A question, and what came of it.
type Flight = OnceCell<Option<Response>>;

impl Flights {
    /// What comes of asking, or of an equal question that is under way already.
    pub(super) async fn join(
        &self,
        query: &Query<'_>,
        transport: Transport,
        ask: impl Future<Output = Option<Response>>,
    ) -> Option<Response> {
        let key = (transport, query.key());
        let flight = Arc::clone(self.by_question.lock().entry(key.clone()).or_default());
        let response = flight.get_or_init(|| ask).await.clone();
        self.end(&key, &flight);
        response
    }

    /// The first who has the answer clears up; by then the next question may be under way.
    fn end(&self, key: &Key, flight: &Arc<Flight>) {
        let mut flights = self.by_question.lock();
        if flights.get(key).is_some_and(|it| Arc::ptr_eq(it, flight)) {
            flights.remove(key);
        }
    }
}
