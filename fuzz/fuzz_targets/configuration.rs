//! The ConfigMaps. The texts of the input are the keys `config`, `values` and `mesh`.

#![no_main]

use lateen_webhook::Config;
use lateen_webhook::config::Sources;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &str| {
    let mut texts = lateen_fuzz::texts(input);
    let mut next = || texts.next().unwrap_or_default();
    let sources = Sources {
        config: next(),
        values: next(),
        mesh: next(),
    };
    let config = Config::parse(sources).map(|(config, _)| config);
    if let Some(injector) = config.ok().and_then(lateen_fuzz::injector) {
        lateen_fuzz::inject_twice(&injector, &lateen_fuzz::pod());
    }
});
