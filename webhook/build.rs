//! How the program that ships is linked.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let features = std::env::var("CARGO_CFG_TARGET_FEATURE").unwrap_or_default();
    // A static program that can be loaded anywhere relocates itself, by a table that is half a
    // megabyte here: packed (RELR) it is a sixtieth as long. Where the C library is the machine's, it
    // may be too old for that.
    if features.split(',').any(|feature| feature == "crt-static") {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}
