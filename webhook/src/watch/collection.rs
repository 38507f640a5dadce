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

    /// Notes an object; answers whether it is new, or what is kept of it has changed. Nodes, for one,
    /// report every few seconds.
    fn insert(&mut self, object: &O) -> bool;
    /// Forgets an object; answers whether it was known.
    fn remove(&mut self, object: &O) -> bool;
}

/// Follows objects for ever. `known` learns of them once they are all listed, and then of every change
/// of what is kept of them.
pub(super) async fn follow<O, C: Collection<O>>(
    events: impl Stream<Item = watcher::Result<Event<O>>>,
    known: watch::Sender<Option<Arc<C>>>,
) {
    let mut events = Box::pin(events);
    let mut listed = C::default();
    let objects = C::OBJECTS;
    loop {
        match events.try_next().await {
            Ok(Some(event)) => apply(event, &mut listed, &known),
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

/// Takes an event over. A list counts once it is whole.
fn apply<O, C: Collection<O>>(
    event: Event<O>,
    listed: &mut C,
    known: &watch::Sender<Option<Arc<C>>>,
) {
    match event {
        Event::Init => *listed = C::default(),
        Event::InitApply(object) => {
            listed.insert(&object);
        }
        Event::InitDone => {
            let list = Some(Arc::new(std::mem::take(listed)));
            known.send_if_modified(|known| {
                let before = std::mem::replace(known, list);
                before != *known
            });
        }
        Event::Apply(object) => change(known, |known| known.insert(&object)),
        Event::Delete(object) => change(known, |known| known.remove(&object)),
    }
}

/// Changes what is known where it is, or a copy of it if somebody holds it at this moment.
fn change<C: Clone>(known: &watch::Sender<Option<Arc<C>>>, change: impl FnOnce(&mut C) -> bool) {
    known.send_if_modified(|known| {
        let known = known.as_mut();
        known.is_some_and(|known| change(Arc::make_mut(known)))
    });
}

/// Whether it is our rights or the kind itself that is missing, which may stay so for ever.
fn is_refused(error: &watcher::Error) -> bool {
    let watcher::Error::InitialListFailed(kube::Error::Api(status)) = error else {
        return false;
    };
    matches!(status.code, 403 | 404)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    type Object = (&'static str, u32);
    type Numbers = BTreeMap<&'static str, u32>;

    impl Collection<Object> for Numbers {
        const OBJECTS: &'static str = "numbers";
        const MEANING_IF_REFUSED: &'static str = "nothing";

        fn insert(&mut self, &(name, number): &Object) -> bool {
            Self::insert(self, name, number) != Some(number)
        }

        fn remove(&mut self, (name, _): &Object) -> bool {
            Self::remove(self, name).is_some()
        }
    }

    #[test]
    fn only_what_makes_a_difference_is_told() {
        let (sender, mut receiver) = watch::channel(None);
        let mut listed = Numbers::default();
        let cases = [
            (Event::Init, None),
            (Event::InitApply(("one", 1)), None),
            (Event::InitDone, Some(vec![("one", 1)])),
            (Event::Apply(("one", 1)), None),
            (Event::Apply(("two", 2)), Some(vec![("one", 1), ("two", 2)])),
            (Event::Apply(("one", 0)), Some(vec![("one", 0), ("two", 2)])),
            (Event::Delete(("three", 3)), None),
            (Event::Delete(("one", 0)), Some(vec![("two", 2)])),
            (Event::Init, None),
            (Event::InitApply(("two", 2)), None),
            (Event::InitDone, None),
            (Event::Init, None),
            (Event::InitDone, Some(vec![])),
        ];
        for (number, (event, expected)) in cases.into_iter().enumerate() {
            // Whoever holds what was known keeps it as it was.
            let held = receiver.borrow().clone();
            let before = held.as_deref().cloned();
            apply(event, &mut listed, &sender);
            assert_eq!(held.as_deref(), before.as_ref(), "event {number}");
            let is_told = receiver.has_changed().unwrap();
            let now = receiver.borrow_and_update().as_deref().cloned();
            let told = is_told.then(|| now.unwrap().into_iter().collect());
            assert_eq!(told, expected, "event {number}");
        }
    }
}
