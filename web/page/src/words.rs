//! Numbers as people read them.

/// Bytes with a unit, in powers of ten as browsers and the hub show them: `9.5 MB`.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    // 999.95 would be written as 1000.0.
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    match unit {
        0 => format!("{bytes} B"),
        _ if value >= 100.0 => format!("{value:.0} {}", UNITS[unit]),
        _ => format!("{value:.1} {}", UNITS[unit]),
    }
}

/// Digits with commas: `9,539,368`.
pub fn grouped(digits: &str) -> String {
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count, with commas.
pub fn count(number: u64) -> String {
    grouped(&number.to_string())
}

/// A count of parameters: `2.4 million`.
pub fn parameters(number: u128) -> String {
    match number {
        0..1_000_000 => count(number as u64),
        1_000_000..1_000_000_000 => format!("{:.1} million", number as f64 / 1e6),
        _ => format!("{:.1} billion", number as f64 / 1e9),
    }
}

/// Up to six names, and how many more there are.
pub fn some_of(names: &[String]) -> String {
    const SHOWN: usize = 6;
    let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>();
    match names.len() {
        0 => "nothing".into(),
        n if n > SHOWN => format!("{} and {} more", shown.join(", "), n - SHOWN),
        _ => shown.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_a_unit_that_fits() {
        let shown = [0, 999, 1_000, 9_539_368, 999_960_000, 2_000_000_000].map(bytes);
        assert_eq!(
            shown,
            ["0 B", "999 B", "1.0 kB", "9.5 MB", "1.0 GB", "2.0 GB"]
        );
    }

    #[test]
    fn counts_have_commas() {
        assert_eq!(
            [0, 100, 1000, 9_539_368].map(count),
            ["0", "100", "1,000", "9,539,368"]
        );
    }

    #[test]
    fn long_lists_are_cut() {
        let names: Vec<String> = (0..8).map(|n| n.to_string()).collect();
        assert_eq!(some_of(&names), "0, 1, 2, 3, 4, 5 and 2 more");
        assert_eq!(some_of(&names[..2]), "0, 1");
    }
}
