//! A question to the proxy's name server, and what another one says to it.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| lateen_fuzz::dns::exchange(input));
