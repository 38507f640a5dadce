//! The body of a request to `/inject`: the input as it is.

#![no_main]

use std::sync::LazyLock;

use lateen_webhook::server::review::{Object, Question};
use lateen_webhook::{Config, Injector};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

static INJECTOR: LazyLock<Injector> = LazyLock::new(|| {
    lateen_fuzz::injector(Config::default()).expect("the default configuration is good")
});

fuzz_target!(|body: &[u8]| {
    let Ok(question) = Question::parse(body) else {
        return;
    };
    let (object, namespace, answerer) = question.into_parts();
    let answer = match object {
        Object::Other => answerer.allow(None, &[]),
        Object::UnreadablePod(error) => answerer.deny(400, &error),
        Object::Pod(pod) => {
            lateen_fuzz::inject(&INJECTOR, &pod, &namespace);
            answerer.allow(None, &[])
        }
    };
    let answer: Value = serde_json::from_slice(&answer).expect("an answer is JSON");
    assert!(answer["response"]["uid"].is_string(), "{answer}");
});
