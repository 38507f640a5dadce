//! Answers of name servers, kept as long as they may be. Bounded in entries and in bytes.

use std::time::Duration;

use ahash::AHashMap;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::query::Query;
use super::response::Response;

/// Answers that are kept at most,
const MAX_ENTRIES: usize = 1_024;
/// and bytes of all of them with their questions.
const MAX_BYTES: usize = 512 * 1_024;
/// A longer answer, with its question, is not kept.
const MAX_ENTRY: usize = 4_096;

/// Answers by question.
#[derive(Default)]
pub(super) struct Cache {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    entries: AHashMap<Box<[u8]>, Entry>,
    bytes: usize,
}

struct Entry {
    response: Response,
    since: Instant,
    until: Instant,
}

impl Cache {
    /// The answer to a question, grown old.
    pub(super) fn find(&self, query: &Query<'_>) -> Option<Response> {
        let now = Instant::now();
        let kept = self.kept.lock();
        let entry = kept.entries.get(&query.key())?;
        let age = now.saturating_duration_since(entry.since);
        (now < entry.until).then(|| entry.response.aged(age))
    }

    /// Keeps an answer, if it may be kept.
    pub(super) fn keep(&self, query: &Query<'_>, response: &Response) {
        let key = query.key();
        let size = key.len() + response.len();
        let Some(lifetime) = response.lifetime().filter(|_| size <= MAX_ENTRY) else {
            return;
        };
        self.kept.lock().insert(key, response.clone(), lifetime);
    }

    /// Entries, and their bytes.
    #[cfg(test)]
    pub(super) fn size(&self) -> (usize, usize) {
        let kept = self.kept.lock();
        (kept.entries.len(), kept.bytes)
    }
}

impl Kept {
    fn insert(&mut self, key: Box<[u8]>, response: Response, lifetime: Duration) {
        let since = Instant::now();
        let size = key.len() + response.len();
        self.remove(&key);
        self.make_room(size, since);
        self.bytes += size;
        let until = since + lifetime;
        let entry = Entry {
            response,
            since,
            until,
        };
        self.entries.insert(key, entry);
    }

    /// What is too old goes first, then what will be first.
    fn make_room(&mut self, size: usize, now: Instant) {
        if self.has_room(size) {
            return;
        }
        self.entries.retain(|key, entry| {
            let keep = now < entry.until;
            if !keep {
                self.bytes -= key.len() + entry.response.len();
            }
            keep
        });
        while !self.has_room(size) {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.until);
            let Some(key) = oldest.map(|(key, _)| key.clone()) else {
                return;
            };
            self.remove(&key);
        }
    }

    fn has_room(&self, size: usize) -> bool {
        self.entries.len() < MAX_ENTRIES && self.bytes + size <= MAX_BYTES
    }

    fn remove(&mut self, key: &[u8]) {
        if let Some(entry) = self.entries.remove(key) {
            self.bytes -= key.len() + entry.response.len();
        }
    }
}
