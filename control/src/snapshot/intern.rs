//! One copy of each name: namespaces, service accounts, nodes and labels repeat in every pod.

use std::collections::HashSet;
use std::sync::Arc;

/// Below this many names it is not worth looking for unused ones.
const SMALL: usize = 1024;

/// A set of shared names.
#[derive(Default)]
pub struct Names {
    known: HashSet<Arc<str>>,
    used_at_last_purge: usize,
}

impl Names {
    /// The shared copy of a name.
    pub fn intern(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.known.get(name) {
            return known.clone();
        }
        self.purge_when_doubled();
        let shared: Arc<str> = Arc::from(name);
        self.known.insert(shared.clone());
        shared
    }

    fn purge_when_doubled(&mut self) {
        if self.known.len() > SMALL.max(2 * self.used_at_last_purge) {
            self.known.retain(|name| Arc::strong_count(name) > 1);
            self.used_at_last_purge = self.known.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shared_and_unused_ones_forgotten() {
        let mut names = Names::default();
        let kept = names.intern("kept");
        assert!(Arc::ptr_eq(&kept, &names.intern("kept")));
        for number in 0..10 * SMALL {
            names.intern(&number.to_string());
        }
        assert!(names.known.len() <= SMALL + 1, "{}", names.known.len());
        assert!(Arc::ptr_eq(&kept, &names.intern("kept")));
    }
}
