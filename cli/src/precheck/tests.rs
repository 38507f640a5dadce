//! What people read.

use super::*;

#[test]
fn the_worst_comes_with_its_remedy() {
    let findings = [
        Finding::error("nodes", "no node has room for istiod").remedy("add a node"),
        Finding::info("kubernetes", "the API server is v1.34.0"),
    ];
    assert_eq!(
        to_text(&findings),
        "LEVEL   CHECK        FINDING\n\
         Error   nodes        no node has room for istiod\n\
         \u{20}                    → add a node\n\
         Info    kubernetes   the API server is v1.34.0\n"
    );
}

#[test]
fn levels_are_ordered() {
    assert!(Level::Error > Level::Warning && Level::Warning > Level::Info);
}
