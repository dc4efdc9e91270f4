//! Text in a PNG: what the table of letters lacks is a box with the number of the character, and right-to-left text is in its order.

#[path = "../src/relations/raster.rs"]
mod raster;

use limbeck_relations::{Drawing, Item, Pixels, Words};

fn drawing(text: &str) -> Drawing {
    Drawing {
        width: 200.0,
        height: 20.0,
        items: vec![Item::Text(Words::new((0.0, 14.0), text, 7.0, [0, 0, 0]))],
        ..Drawing::default()
    }
}

fn painted(text: &str) -> Pixels {
    raster::pixels(&drawing(text))
}

/// The rows of the first letter, a `#` for each dot.
fn letter(text: &str) -> Vec<String> {
    let pixels = painted(text);
    let rows = pixels.cells.chunks(pixels.columns);
    let dot = |cell: &[u8; 3]| if *cell == [0; 3] { '#' } else { '.' };
    let rows = rows.map(|row| row[..16].iter().map(dot).collect::<String>());
    rows.filter(|row| row.contains('#')).collect()
}

#[test]
fn a_character_without_a_letter_is_a_box_with_its_number() {
    let expected = [
        "################",
        "#..............#",
        "#.###..#..###..#",
        "#.#.#.##..#....#",
        "#.#.#..#..###..#",
        "#.#.#..#..#....#",
        "#.###.###.#....#",
        "#..............#",
        "#..............#",
        "#..#..###.###..#",
        "#.#.#.#...#.#..#",
        "#.###.###.###..#",
        "#.#.#.#...#.#..#",
        "#.#.#.###.###..#",
        "#..............#",
        "################",
    ];
    assert_eq!(letter("\u{1fae8}"), expected);
    assert_ne!(letter("\u{1fae7}"), expected, "another number");
    let text = "a \u{732b}\u{1f600}\u{fffd}\u{200d}e\u{301}\u{1fae8}\u{10ffff}";
    let boxes = raster::without_letter(&drawing(text));
    assert_eq!(boxes.into_iter().collect::<String>(), "\u{1fae8}\u{10ffff}");
}

#[test]
fn an_emoji_is_a_picture() {
    let face = [
        "......#####.....",
        "....##.....##...",
        "...#.........#..",
        "..#...........#.",
        "..#..##...##..#.",
        ".#...##...##...#",
        ".#.............#",
        ".#.............#",
        ".#..#########..#",
        "..#.#.#.#.#.#.#.",
        "..#..##.#.##..#.",
        "...#..#####..#..",
        "....##.....##...",
        "......#####.....",
    ];
    assert_eq!(letter("\u{1f600}"), face);
}

/// Whoever reads from the right meets alef first, and of two words the first; what follows them stays behind.
#[test]
fn words_from_right_to_left_stand_in_their_order() {
    let place = |text: &str, at: usize| -> Vec<[u8; 3]> {
        let pixels = painted(text);
        let rows = pixels.cells.chunks(pixels.columns);
        rows.flat_map(|row| row[8 * at..8 * at + 8].to_vec())
            .collect()
    };
    let (alef, bet) = ("\u{5d0}", "\u{5d1}");
    assert_ne!(place(alef, 0), place(bet, 0));
    for (text, order) in [
        (format!("{alef}{bet}"), [bet, alef].concat()),
        (format!("{alef} {bet}"), format!("{bet} {alef}")),
        (format!("{alef}{bet}. x"), format!("{bet}{alef}. x")),
        (format!("a {alef}, {bet} b"), format!("a {bet} ,{alef} b")),
        (format!("{alef} x {bet}"), format!("{alef} x {bet}")),
    ] {
        for (at, c) in order.chars().enumerate() {
            assert_eq!(
                place(&text, at),
                place(&c.to_string(), 0),
                "{text:?} at {at}"
            );
        }
    }
}
