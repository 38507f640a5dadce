//! Annotations of a pod. Each text of the input is one: its first line the key, the rest the value.

#![no_main]

use std::sync::LazyLock;

use lateen_webhook::{Config, Injector};
use libfuzzer_sys::fuzz_target;

static INJECTOR: LazyLock<Injector> = LazyLock::new(|| {
    lateen_fuzz::injector(Config::default()).expect("the default configuration is good")
});

fuzz_target!(|input: &str| {
    let annotations = lateen_fuzz::texts(input)
        .map(|text| text.split_once('\n').unwrap_or((text, "")))
        .map(|(key, value)| (key.to_owned(), value.to_owned()));
    let mut pod = lateen_fuzz::pod();
    pod.metadata.annotations = Some(annotations.collect());
    lateen_fuzz::inject_twice(&INJECTOR, &pod);
});
