//! The threads that carry traffic, as seen from outside: whether they still turn.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

/// A worker that does not answer for this long is stuck.
const STUCK: Duration = Duration::from_secs(1);

/// Asks workers whether they are alive. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Workers {
    pulses: Arc<Mutex<Vec<mpsc::Sender<oneshot::Sender<()>>>>>,
}

impl Workers {
    /// Adds a worker; the returned future answers for it and must run on its thread.
    pub fn join(&self) -> impl Future<Output = ()> + Send + use<> {
        let (sender, mut questions) = mpsc::channel::<oneshot::Sender<()>>(16);
        self.pulses.lock().push(sender);
        async move {
            while let Some(answer) = questions.recv().await {
                // Whoever asked may have given up.
                let _ = answer.send(());
            }
        }
    }

    /// Whether every worker answers in time.
    pub async fn are_alive(&self) -> bool {
        let pulses = self.pulses.lock().clone();
        for pulse in pulses {
            let (answer, answered) = oneshot::channel();
            if pulse.try_send(answer).is_err()
                || !matches!(tokio::time::timeout(STUCK, answered).await, Ok(Ok(())))
            {
                return false;
            }
        }
        true
    }
}
