//! The `process_*` metrics that every Prometheus client library has, from `/proc/self`.

use std::fs;

use super::render::{head, line};

/// Appends what can be read; what cannot is left out.
pub(super) fn render(text: &mut String) {
    if let Some((cpu_seconds, resident_bytes)) = usage() {
        head(text, "process_cpu_seconds_total", "counter");
        line(text, "process_cpu_seconds_total", "", cpu_seconds);
        head(text, "process_resident_memory_bytes", "gauge");
        line(text, "process_resident_memory_bytes", "", resident_bytes);
    }
    if let Ok(descriptors) = fs::read_dir("/proc/self/fd") {
        head(text, "process_open_fds", "gauge");
        line(text, "process_open_fds", "", descriptors.count());
    }
}

/// CPU seconds (user and system) and resident bytes (proc(5), `/proc/pid/stat`).
fn usage() -> Option<(f64, u64)> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The command, in parentheses, may hold spaces: fields are counted from behind it.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let user: u64 = fields.nth(11)?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    let pages: u64 = fields.nth(8)?.parse().ok()?;
    let ticks = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok()??;
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok()??;
    Some((
        (user + system) as f64 / ticks as f64,
        pages * u64::try_from(page).ok()?,
    ))
}
