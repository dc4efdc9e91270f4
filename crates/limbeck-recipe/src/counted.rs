//! Numbers of things, for people.

use std::fmt::Display;

/// `1 row`, `2 rows`, `0 classes`.
///
/// ```
/// use limbeck_recipe::counted;
///
/// assert_eq!(counted(1, "row"), "1 row");
/// assert_eq!(counted(0, "row"), "0 rows");
/// assert_eq!(counted(2, "class"), "2 classes");
/// ```
pub fn counted(number: impl Display, thing: &str) -> String {
    let number = number.to_string();
    let plural = match (number.as_str(), thing.ends_with('s')) {
        ("1", _) => "",
        (_, true) => "es",
        (_, false) => "s",
    };
    format!("{number} {thing}{plural}")
}
