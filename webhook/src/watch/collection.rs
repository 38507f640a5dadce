//! Follows all objects of a kind, and keeps of them what injection needs to know.

use std::sync::Arc;

use futures::{Stream, TryStreamExt};
use kube::runtime::watcher::{self, Event};
use tokio::sync::watch;

/// What is kept of objects `O`.
pub(super) trait Collection<O>: Clone + Default + PartialEq {
    /// How the objects are called in the log.
    const OBJECTS: &'static str;
    /// What becomes of pods if the objects may not be listed, or nobody has defined their kind.
    const MEANING_IF_REFUSED: &'static str;

    /// Notes an object that is new or has changed.
    fn insert(&mut self, object: &O);
    /// Forgets an object.
    fn remove(&mut self, object: &O);
}

/// Follows objects for ever. `known` learns of them once they are all listed, and then of every change
/// of what is kept of them.
pub(super) async fn follow<O, C: Collection<O>>(
    events: impl Stream<Item = watcher::Result<Event<O>>>,
    known: watch::Sender<Option<Arc<C>>>,
) {
    let mut events = Box::pin(events);
    let mut next = C::default();
    let objects = C::OBJECTS;
    loop {
        match events.try_next().await {
            Ok(Some(event)) => {
                if apply(&mut next, event) {
                    known.send_if_modified(|current| replace(current, &next));
                }
            }
            Ok(None) => return,
            Err(error) if is_refused(&error) && known.borrow().is_none() => {
                known.send_replace(Some(Arc::default()));
                let meaning = C::MEANING_IF_REFUSED;
                tracing::warn!(objects, %error, meaning, "Cannot list objects; going on without and trying again.");
            }
            Err(error) => tracing::warn!(objects, %error, "Cannot watch objects; trying again."),
        }
    }
}

/// Takes an event over; answers whether the list is whole.
fn apply<O, C: Collection<O>>(collection: &mut C, event: Event<O>) -> bool {
    match event {
        Event::Init => *collection = C::default(),
        Event::InitApply(object) => collection.insert(&object),
        Event::InitDone => return true,
        Event::Apply(object) => {
            collection.insert(&object);
            return true;
        }
        Event::Delete(object) => {
            collection.remove(&object);
            return true;
        }
    }
    false
}

/// Nodes, for one, report every few seconds; only a change of what we keep counts.
fn replace<C: Clone + PartialEq>(current: &mut Option<Arc<C>>, next: &C) -> bool {
    let differs = current.as_deref() != Some(next);
    if differs {
        *current = Some(Arc::new(next.clone()));
    }
    differs
}

/// Whether it is our rights or the kind itself that is missing, which may stay so for ever.
fn is_refused(error: &watcher::Error) -> bool {
    let watcher::Error::InitialListFailed(kube::Error::Api(status)) = error else {
        return false;
    };
    matches!(status.code, 403 | 404)
}
