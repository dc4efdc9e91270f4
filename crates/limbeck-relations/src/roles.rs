//! What heads do: roles that the literature gives to attention heads (Clark et al. 2019, Voita et al. 2019), as masks over
//! a sentence, and the share of a head's mass that follows each.

use crate::relation::Token;

/// A habit that a head may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Every token to itself.
    Itself,
    /// To the token before.
    Previous,
    /// To the token after.
    Next,
    /// To what the tokenizer puts around a text, `[CLS]` and `[SEP]`.
    Special,
    /// To punctuation.
    Punctuation,
    /// To the other pieces of its own word.
    Pieces,
    /// To other tokens of the same text.
    Same,
    /// To words that the vocabulary has only in pieces: rare ones.
    Rare,
    /// To the word that it depends on, and from there back, if a parse is given.
    Parse,
}

impl Role {
    /// All, in the order in which they are listed.
    pub const ALL: [Self; 9] = [
        Self::Previous,
        Self::Next,
        Self::Itself,
        Self::Special,
        Self::Punctuation,
        Self::Pieces,
        Self::Same,
        Self::Rare,
        Self::Parse,
    ];

    /// What follows "this head attends to".
    pub fn words(self) -> &'static str {
        match self {
            Self::Itself => "the token itself",
            Self::Previous => "the previous token",
            Self::Next => "the next token",
            Self::Special => "special tokens",
            Self::Punctuation => "punctuation",
            Self::Pieces => "other pieces of the same word",
            Self::Same => "the same token elsewhere",
            Self::Rare => "rare words (split into pieces)",
            Self::Parse => "the word it depends on, or its dependants",
        }
    }
}

/// A sentence as roles see it.
pub struct Sentence<'a> {
    tokens: &'a [Token],
    /// The word of each token, from 0; none of special ones.
    words: Vec<Option<usize>>,
    /// How many tokens each word has.
    pieces: Vec<usize>,
    /// The head of each word, from 1, 0 for the root; empty without a parse.
    parse: Vec<usize>,
}

/// How a head's mass follows a role.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share {
    /// Which role.
    pub role: Role,
    /// Mean share of the mass of a row, over the rows that the role says anything of.
    pub share: f64,
    /// What the same rows would give if they were uniform.
    pub even: f64,
}

impl Share {
    /// Whether that is a habit: a fifth of the mass at least, and three times what a uniform row gives.
    pub fn is_habit(&self) -> bool {
        self.share >= 0.2 && self.share >= 3.0 * self.even
    }

    /// In words: `attends to the previous token: 61 % of its probability (uniform: 7 %)`.
    pub fn words(&self) -> String {
        format!(
            "attends to {}: {:.0} % of its probability (uniform: {:.0} %)",
            self.role.words(),
            100.0 * self.share,
            100.0 * self.even
        )
    }
}

impl<'a> Sentence<'a> {
    /// Of tokens, without a parse.
    pub fn new(tokens: &'a [Token]) -> Self {
        let words = words(tokens);
        let mut pieces = Vec::new();
        for word in words.iter().flatten() {
            pieces.resize(pieces.len().max(word + 1), 0);
            pieces[*word] += 1;
        }
        Self {
            words,
            pieces,
            tokens,
            parse: Vec::new(),
        }
    }

    /// With the head of each word, from 1, 0 for the root, as in the HEAD column of CoNLL-U; numbers with anything between
    /// them.
    ///
    /// # Errors
    /// Not one head for each word, or one beyond the last word; for people.
    pub fn with_parse(mut self, heads: &str) -> Result<Self, String> {
        let numbers = heads.split(|c: char| !c.is_ascii_digit());
        let parsed: Result<Vec<usize>, _> =
            numbers.filter(|n| !n.is_empty()).map(str::parse).collect();
        let heads = parsed.map_err(|e| format!("the heads of the parse: {e}"))?;
        let count = self.pieces.len();
        if heads.is_empty() {
            return Ok(self);
        }
        if heads.len() != count {
            return Err(format!(
                "the sentence has {count} words (punctuation counts) and the parse {} heads",
                heads.len()
            ));
        }
        if let Some(head) = heads.iter().find(|head| **head > count) {
            return Err(format!(
                "head {head} does not exist: the sentence has {count} words; 0 is the root"
            ));
        }
        self.parse = heads;
        Ok(self)
    }

    /// The words of the sentence, as the tokens give them.
    pub fn words(&self) -> Vec<String> {
        let mut words = vec![String::new(); self.pieces.len()];
        for (token, word) in self.tokens.iter().zip(&self.words) {
            let Some(word) = word else { continue };
            words[*word].push_str(bare(&token.text));
        }
        words
    }

    /// Whether a token's row has this column in a role.
    pub fn follows(&self, role: Role, row: usize, column: usize) -> bool {
        let (Some(from), Some(to)) = (self.tokens.get(row), self.tokens.get(column)) else {
            return false;
        };
        let one_word = self.words[row].is_some() && self.words[row] == self.words[column];
        match role {
            Role::Itself => row == column,
            Role::Previous => column + 1 == row,
            Role::Next => row + 1 == column,
            Role::Special => to.special,
            Role::Punctuation => !to.special && is_punctuation(&to.text),
            Role::Pieces => row != column && one_word,
            Role::Same => row != column && !from.special && from.text == to.text,
            Role::Rare => self.is_rare(column),
            Role::Parse => self.depends(row, column) || self.depends(column, row),
        }
    }

    fn depends(&self, token: usize, on: usize) -> bool {
        match (self.words[token], self.words[on]) {
            (Some(word), Some(head)) => self.parse.get(word) == Some(&(head + 1)),
            _ => false,
        }
    }

    fn is_rare(&self, token: usize) -> bool {
        self.words[token].is_some_and(|word| self.pieces[word] > 1)
    }

    /// How the rows of a map (S, S) follow each role; roles that the sentence has nothing for are left out. Rows of special
    /// tokens do not count: heads without anything to do attend to them.
    pub fn shares(&self, map: &[f32]) -> Vec<Share> {
        let size = self.tokens.len();
        let mut shares = Vec::new();
        for role in Role::ALL {
            let (mut rows, mut share, mut cells) = (0, 0.0, 0);
            for (row, values) in map.chunks_exact(size.max(1)).enumerate() {
                if self.tokens.get(row).is_none_or(|token| token.special) {
                    continue;
                }
                let columns = (0..size).filter(|column| self.follows(role, row, *column));
                let (count, mass) = columns.fold((0, 0.0), |(count, mass), column| {
                    (count + 1, mass + f64::from(values[column]))
                });
                if count > 0 {
                    rows += 1;
                    cells += count;
                    share += mass;
                }
            }
            if rows > 0 {
                let rows = f64::from(rows);
                shares.push(Share {
                    role,
                    share: share / rows,
                    even: cells as f64 / rows / size as f64,
                });
            }
        }
        shares
    }

    /// The role that a map (S, S) follows most beyond what a uniform row gives; none if that is no habit.
    pub fn habit(&self, map: &[f32]) -> Option<Share> {
        strongest(self.shares(map).into_iter().filter(Share::is_habit))
    }

    /// That in words. Where it is no habit, both shares say why: 60 % on special tokens is little where a uniform row gives 50 %.
    pub fn role(&self, map: &[f32]) -> String {
        let nearest = || strongest(self.shares(map).into_iter());
        match (self.habit(map), nearest()) {
            (Some(habit), _) => habit.words(),
            (None, Some(share)) => format!("no clear role; nearest: {}", share.words()),
            (None, None) => "no clear role".to_owned(),
        }
    }
}

fn strongest(shares: impl Iterator<Item = Share>) -> Option<Share> {
    let beyond = |share: &Share| share.share - share.even;
    shares.max_by(|a, b| beyond(a).total_cmp(&beyond(b)))
}

/// The word of each token. WordPiece marks what goes on (`##`), SentencePiece what begins (`▁`), as labels of byte-level
/// BPE do.
fn words(tokens: &[Token]) -> Vec<Option<usize>> {
    let begins = |text: &str| text.starts_with('\u{2581}');
    let marked = tokens.iter().any(|token| begins(&token.text));
    let mut next = 0;
    let mut inside = false;
    let mut word = |token: &Token| {
        if token.special {
            inside = false;
            return None;
        }
        let text = bare(&token.text);
        let goes_on = match marked {
            true => !begins(&token.text) && !is_punctuation(text),
            false => token.text.starts_with("##"),
        };
        if !(inside && goes_on) {
            next += 1;
        }
        inside = true;
        Some(next - 1)
    };
    tokens.iter().map(&mut word).collect()
}

fn bare(text: &str) -> &str {
    text.strip_prefix("##")
        .unwrap_or(text)
        .trim_start_matches('\u{2581}')
}

fn is_punctuation(text: &str) -> bool {
    let text = bare(text);
    !text.is_empty()
        && text
            .chars()
            .all(|c| !c.is_alphanumeric() && !c.is_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(texts: &[&str]) -> Vec<Token> {
        let token = |text: &&str| Token {
            text: (*text).to_owned(),
            special: text.starts_with('[') && text.len() > 1,
        };
        texts.iter().map(token).collect()
    }

    fn map(size: usize, weight: impl Fn(usize, usize) -> f32) -> Vec<f32> {
        (0..size * size)
            .map(|i| weight(i / size, i % size))
            .collect()
    }

    #[test]
    fn words_are_put_together_from_pieces() {
        let pieces = tokens(&[
            "[CLS]", "the", "para", "##bol", "##ic", "mirror", ",", "[SEP]",
        ]);
        let sentence = Sentence::new(&pieces);
        assert_eq!(sentence.words(), ["the", "parabolic", "mirror", ","]);
        assert!(sentence.follows(Role::Pieces, 2, 4) && !sentence.follows(Role::Pieces, 2, 2));
        assert!(sentence.follows(Role::Rare, 5, 3) && !sentence.follows(Role::Rare, 5, 1));
        assert!(
            sentence.follows(Role::Punctuation, 1, 6) && !sentence.follows(Role::Punctuation, 1, 7)
        );
        let bytes = tokens(&[
            "\u{2581}the",
            "\u{2581}par",
            "abol",
            "ic",
            ".",
            "\u{2581}it",
        ]);
        assert_eq!(
            Sentence::new(&bytes).words(),
            ["the", "parabolic", ".", "it"]
        );
    }

    #[test]
    fn a_head_that_looks_back_is_found_with_its_number() {
        let tokens = tokens(&["[CLS]", "a", "cat", "sat", "here", "[SEP]"]);
        let sentence = Sentence::new(&tokens);
        let back = map(6, |row, column| match column + 1 == row {
            true => 0.7,
            false => 0.06,
        });
        let habit = sentence.habit(&back).expect("a habit");
        assert_eq!(habit.role, Role::Previous);
        assert!((habit.share - 0.7).abs() < 1e-6 && (habit.even - 1.0 / 6.0).abs() < 1e-12);
        assert_eq!(
            habit.words(),
            "attends to the previous token: 70 % of its probability (uniform: 17 %)"
        );
        assert_eq!(
            sentence.habit(&map(6, |_, _| 1.0 / 6.0)),
            None,
            "a uniform row is no habit"
        );
    }

    #[test]
    fn a_share_that_makes_no_role_says_why() {
        let tokens = tokens(&["[CLS]", "tea", "[SEP]"]);
        let sentence = Sentence::new(&tokens);
        let much = map(3, |_, column| if column == 1 { 0.1 } else { 0.45 });
        assert_eq!(
            sentence.role(&much),
            "no clear role; nearest: attends to special tokens: 90 % of its probability (uniform: 67 %)"
        );
        let back = map(3, |row, column| if column + 1 == row { 1.0 } else { 0.0 });
        assert_eq!(
            sentence.role(&back),
            "attends to the previous token: 100 % of its probability (uniform: 33 %)"
        );
        assert_eq!(Sentence::new(&[]).role(&[]), "no clear role");
    }

    #[test]
    fn roles_without_a_cell_are_left_out_and_special_rows_do_not_count() {
        let tokens = tokens(&["[CLS]", "tea", "tea", "[SEP]"]);
        let sentence = Sentence::new(&tokens);
        let shares = sentence.shares(&map(4, |row, _| match row {
            1 | 2 => 0.25,
            _ => f32::NAN,
        }));
        let roles: Vec<Role> = shares.iter().map(|share| share.role).collect();
        assert_eq!(
            roles,
            [
                Role::Previous,
                Role::Next,
                Role::Itself,
                Role::Special,
                Role::Same
            ]
        );
        assert!(shares.iter().all(|share| share.share.is_finite()));
        assert!((shares[3].share - 0.5).abs() < 1e-9, "[CLS] and [SEP]");
    }

    #[test]
    fn a_parse_is_a_role_too() {
        let tokens = tokens(&["[CLS]", "the", "cat", "sat", "[SEP]"]);
        let sentence = Sentence::new(&tokens)
            .with_parse("2 3\t0")
            .expect("three heads");
        assert!(sentence.follows(Role::Parse, 1, 2) && sentence.follows(Role::Parse, 2, 1));
        assert!(sentence.follows(Role::Parse, 2, 3) && !sentence.follows(Role::Parse, 1, 3));
        let refused = |heads| {
            Sentence::new(&tokens)
                .with_parse(heads)
                .err()
                .expect("refused")
        };
        assert_eq!(
            refused("2 3"),
            "the sentence has 3 words (punctuation counts) and the parse 2 heads"
        );
        assert_eq!(
            refused("2 4 0"),
            "head 4 does not exist: the sentence has 3 words; 0 is the root"
        );
        assert!(refused("99999999999999999999999 1 1").starts_with("the heads of the parse"));
        assert!(
            !Sentence::new(&tokens)
                .with_parse(" ")
                .expect("none")
                .follows(Role::Parse, 1, 2)
        );
    }
}
