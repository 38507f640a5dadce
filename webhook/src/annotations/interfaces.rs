//! Lists of network interfaces: `excludeInterfaces`, `reroute-virtual-interfaces` and its old name.

/// Longest name of a Linux network interface (`IFNAMSIZ` less the final zero).
const LONGEST: usize = 15;

/// Reads a comma-separated list of interface names; an error says what is allowed.
pub(super) fn parse(value: &str) -> Result<Vec<String>, &'static str> {
    if value.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<&str> = value.split(',').map(str::trim).collect();
    if names.iter().all(|name| is_interface(name)) {
        Ok(names.into_iter().map(str::to_owned).collect())
    } else {
        Err("a comma-separated list of interface names of at most 15 characters, such as eth1,net1")
    }
}

fn is_interface(name: &str) -> bool {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    name.len() <= LONGEST
        && name.starts_with(|letter: char| letter.is_ascii_alphabetic())
        && name.bytes().all(is_legal)
}
