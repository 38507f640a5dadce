//! `cargo xtask`: every step that developers and CI take.

mod generate;

use std::path::Path;

fn main() -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    generate::run(root, &root.join("wire/src/generated"))
}
