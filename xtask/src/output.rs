//! What people see: the only place that prints.
#![expect(clippy::print_stdout, reason = "this module is the program's voice")]

use std::io::{self, Write as _};
use std::time::Duration;

/// Says what begins now.
pub(crate) fn step(text: &str) {
    println!("==> {text}");
}

/// Says a line as it is.
pub(crate) fn line(text: &str) {
    println!("{text}");
}

/// Passes on what another program wrote. Whether anybody reads it does not matter to the program.
pub(crate) fn part(bytes: &[u8]) {
    let mut output = io::stdout().lock();
    let _ = output.write_all(bytes).and_then(|()| output.flush());
}

/// Prints `rows` below `head`, in columns as wide as their longest cell.
pub(crate) fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) {
    line(&columns(head, rows));
}

/// A duration as people say it: `850 ms`, `12.3 s`, `4 min 05 s`.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{} ms", duration.as_millis()),
        1..60 => format!("{:.1} s", duration.as_secs_f64()),
        _ => format!("{} min {:02} s", seconds / 60, seconds % 60),
    }
}

fn columns<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let head = head.map(str::to_owned);
    let all = || std::iter::once(&head).chain(rows);
    let mut widths = [0; N];
    for row in all() {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let lines = all().map(|row| {
        let cells = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_longest_cell() {
        let rows = [
            ["a".to_owned(), "1".to_owned()],
            ["longer".to_owned(), "2".to_owned()],
        ];
        assert_eq!(
            columns(["NAME", "N"], &rows),
            "NAME    N\na       1\nlonger  2"
        );
    }

    #[test]
    fn durations_read_like_speech() {
        assert_eq!(duration(Duration::from_millis(850)), "850 ms");
        assert_eq!(duration(Duration::from_millis(12_340)), "12.3 s");
        assert_eq!(duration(Duration::from_secs(245)), "4 min 05 s");
    }
}
