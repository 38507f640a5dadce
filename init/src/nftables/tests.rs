//! Rules as expressions and back.

use proptest::prelude::*;

use super::expression::{self, Expression};
use super::translation::translate;
use crate::family::Family;
use crate::rules::Rule;
use crate::rules::generators::{action, condition};

proptest! {
    #[test]
    fn every_rule_is_read_as_it_was_written(condition in condition(), action in action()) {
        let rule = translate(&Rule { condition, action }, Family::V4);
        let written = expression::write(&rule);
        prop_assert_eq!(expression::read(written.bytes()), rule);
    }

    #[test]
    fn any_bytes_are_expressions_of_somebody(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let read = expression::read(&bytes);
        prop_assert!(read.len() <= bytes.len());
    }

    #[test]
    fn what_was_damaged_is_read_without_harm(
        condition in condition(),
        action in action(),
        at in any::<prop::sample::Index>(),
        with in any::<u8>(),
    ) {
        let rule = translate(&Rule { condition, action }, Family::V6);
        let mut bytes = expression::write(&rule).bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] = with;
        expression::read(&bytes);
        expression::read(&bytes[..at]);
    }
}

#[test]
fn what_is_not_ours_is_kept_as_it_is() {
    let theirs = vec![Expression::Other {
        name: "limit".to_owned(),
        data: vec![8, 0, 1, 0, 1, 2, 3, 4],
    }];
    assert_eq!(expression::read(expression::write(&theirs).bytes()), theirs);
}
