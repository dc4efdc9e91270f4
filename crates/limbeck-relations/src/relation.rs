//! Maps of a sentence, and the distance between teacher and student.

use limbeck_recipe::Pair;
use serde::ser::{Serialize, SerializeMap, SerializeSeq, SerializeStruct, Serializer};

use crate::words::quoted;

/// One token of the sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// As the vocabulary writes it.
    pub text: String,
    /// Whether the tokenizer puts it around every text, such as `[CLS]`.
    pub special: bool,
}

/// What a student is compared with: the first of two maps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reference {
    /// Its teacher.
    #[default]
    Teacher,
    /// The student itself, as it is now: what a student of an earlier step is set beside.
    StudentNow,
    /// The student of the run before, on the same sentence.
    EarlierRun,
    /// The student of the recorded run, on the same sentence.
    RecordedRun,
}

impl Reference {
    /// As a title.
    pub fn title(self) -> &'static str {
        match self {
            Self::Teacher => "Teacher",
            Self::StudentNow => "Student now",
            Self::EarlierRun => "Earlier run",
            Self::RecordedRun => "Recorded run",
        }
    }

    /// Inside a sentence.
    pub fn word(self) -> &'static str {
        match self {
            Self::Teacher => "teacher",
            Self::StudentNow => "student now",
            Self::EarlierRun => "earlier run",
            Self::RecordedRun => "recorded run",
        }
    }

    /// As the name of a field.
    pub fn key(self) -> &'static str {
        match self {
            Self::Teacher => "teacher",
            Self::StudentNow => "student_now",
            Self::EarlierRun => "earlier_run",
            Self::RecordedRun => "recorded_run",
        }
    }

    /// What the student beside it is called, as a title.
    pub fn student(self) -> &'static str {
        match self {
            Self::Teacher | Self::StudentNow => "Student",
            Self::EarlierRun | Self::RecordedRun => "This run",
        }
    }

    /// The same inside a sentence.
    pub fn student_word(self) -> &'static str {
        match self {
            Self::Teacher | Self::StudentNow => "student",
            Self::EarlierRun | Self::RecordedRun => "this run",
        }
    }

    /// What their difference is called, as a title.
    pub fn less(self) -> String {
        format!("{} \u{2212} {}", self.student(), self.word())
    }
}

/// The relations of one sentence of S tokens, of teacher and student.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Relations {
    /// What the maps that are called the teacher's are of.
    pub reference: Reference,
    /// The step at which the student is seen, where that is known.
    pub step: Option<u64>,
    /// The S tokens.
    pub tokens: Vec<Token>,
    /// A, the number of relation heads.
    pub relation_heads: usize,
    /// The layer, from 1, of the maps that are called the teacher's.
    pub teacher_layer: usize,
    /// The student's layer, from 1.
    pub student_layer: usize,
    /// The maps of each pair.
    pub pairs: Vec<PairMaps>,
}

/// All relation heads of one pair.
#[derive(Clone, Debug, PartialEq)]
pub struct PairMaps {
    pair: Pair,
    size: usize,
    teacher: Vec<f32>,
    student: Vec<f32>,
    kl: Vec<f64>,
}

/// Maps that do not belong to the sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MapError {
    /// Nothing to show.
    #[error("{pair}: {heads} relation heads of {size} tokens are nothing to show")]
    Empty {
        /// Rows and columns.
        pair: Pair,
        /// A.
        heads: usize,
        /// S.
        size: usize,
    },
    /// Not (S, H) of both, with an H that A divides.
    #[error(
        "taps of {row} and {column} numbers cannot be cut into {heads} relation heads of {size} tokens"
    )]
    Taps {
        /// Numbers of the rows' tap.
        row: usize,
        /// Numbers of the columns' tap.
        column: usize,
        /// A.
        heads: usize,
        /// S.
        size: usize,
    },
    /// Not (A, S, S).
    #[error(
        "{pair}: the map of the {who} has {found} numbers instead of {wanted} ({heads} relation heads of {size} x {size} tokens)"
    )]
    Shape {
        /// Rows and columns.
        pair: Pair,
        /// "teacher" or "student".
        who: &'static str,
        /// Numbers that there are.
        found: usize,
        /// Numbers that there should be.
        wanted: usize,
        /// A.
        heads: usize,
        /// S.
        size: usize,
    },
}

impl PairMaps {
    /// The maps of a pair: (A, S, S) of teacher and student, row-major, rows summing to 1.
    ///
    /// # Errors
    /// [`MapError`] if the numbers are not as many as A and S say.
    pub fn new(
        pair: Pair,
        (heads, size): (usize, usize),
        teacher: Vec<f32>,
        student: Vec<f32>,
    ) -> Result<Self, MapError> {
        if heads == 0 || size == 0 {
            return Err(MapError::Empty { pair, heads, size });
        }
        let wanted = heads * size * size;
        for (who, map) in [("teacher", &teacher), ("student", &student)] {
            if map.len() != wanted {
                return Err(MapError::Shape {
                    pair,
                    who,
                    found: map.len(),
                    wanted,
                    heads,
                    size,
                });
            }
        }
        Ok(Self {
            pair,
            size,
            kl: kl_of_rows(size, &teacher, &student),
            teacher,
            student,
        })
    }

    /// Rows and columns.
    pub fn pair(&self) -> Pair {
        self.pair
    }

    /// (A, S, S) of teacher and student.
    pub fn both(&self) -> (&[f32], &[f32]) {
        (&self.teacher, &self.student)
    }

    /// A.
    pub fn heads(&self) -> usize {
        self.kl.len() / self.size
    }

    /// KL(teacher || student) of each row of each head, (A, S), in nats.
    pub fn kl(&self) -> &[f64] {
        &self.kl
    }

    /// The maps of one head, from 0.
    ///
    /// # Panics
    /// If there is no such head.
    pub fn head(&self, head: usize) -> Relation {
        let area = self.size * self.size;
        let cells = head * area..(head + 1) * area;
        Relation {
            size: self.size,
            teacher: self.teacher[cells.clone()].to_vec(),
            student: self.student[cells].to_vec(),
            kl: self.kl[head * self.size..(head + 1) * self.size].to_vec(),
        }
    }

    /// The mean of all heads.
    pub fn mean(&self) -> Relation {
        let heads: Vec<Relation> = (0..self.heads()).map(|head| self.head(head)).collect();
        Relation::mean(&heads)
    }

    /// Mean KL over the rows of one head, from 0.
    ///
    /// # Panics
    /// If there is no such head.
    pub fn total(&self, head: usize) -> f64 {
        let rows = &self.kl[head * self.size..(head + 1) * self.size];
        rows.iter().sum::<f64>() / self.size as f64
    }

    /// Heads, from 0, the farthest from the teacher first.
    pub fn by_kl(&self) -> Vec<usize> {
        let totals: Vec<f64> = (0..self.heads()).map(|head| self.total(head)).collect();
        farthest_first(&totals)
    }
}

/// Heads, from 0, by their KL, the greatest first. What is not a number is farther than anything: it must be seen.
pub fn farthest_first(totals: &[f64]) -> Vec<usize> {
    let mut heads = Vec::with_capacity(totals.len());
    for (head, total) in totals.iter().enumerate() {
        let at = heads.partition_point(|before: &usize| totals[*before].total_cmp(total).is_ge());
        heads.insert(at, head);
    }
    heads
}

/// The maps of one relation head, or the mean of all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Relation {
    /// S.
    pub size: usize,
    /// (S, S), rows sum to 1.
    pub teacher: Vec<f32>,
    /// (S, S), rows sum to 1.
    pub student: Vec<f32>,
    /// KL(teacher || student) of each row in nats; of the mean of heads it is the mean of theirs.
    pub kl: Vec<f64>,
}

impl Relation {
    /// Of (S, S) maps.
    pub fn new(size: usize, teacher: &[f32], student: &[f32]) -> Self {
        Self {
            size,
            kl: kl_of_rows(size, teacher, student),
            teacher: teacher.to_vec(),
            student: student.to_vec(),
        }
    }

    /// Every head of (A, S, S) maps; none if S is 0.
    pub fn heads(size: usize, teacher: &[f32], student: &[f32]) -> Vec<Self> {
        let area = (size * size).max(1);
        let both = teacher.chunks_exact(area).zip(student.chunks_exact(area));
        both.map(|(teacher, student)| Self::new(size, teacher, student))
            .collect()
    }

    /// The mean of heads.
    pub fn mean(heads: &[Self]) -> Self {
        let mut mean = heads.first().cloned().unwrap_or_default();
        let count = heads.len().max(1) as f64;
        let average = |into: &mut [f32], of: fn(&Self) -> &[f32]| {
            for (i, value) in into.iter_mut().enumerate() {
                let sum: f64 = heads.iter().map(|head| f64::from(of(head)[i])).sum();
                *value = (sum / count) as f32;
            }
        };
        average(&mut mean.teacher, |head| &head.teacher);
        average(&mut mean.student, |head| &head.student);
        for (i, kl) in mean.kl.iter_mut().enumerate() {
            *kl = heads.iter().map(|head| head.kl[i]).sum::<f64>() / count;
        }
        mean
    }

    /// Mean KL of the rows.
    pub fn total(&self) -> f64 {
        self.kl.iter().sum::<f64>() / self.kl.len().max(1) as f64
    }

    /// Student minus teacher.
    pub fn difference(&self) -> Vec<f32> {
        let both = self.student.iter().zip(&self.teacher);
        both.map(|(student, teacher)| student - teacher).collect()
    }

    /// The row with the greatest KL, and the teacher's strongest token in it: where there is most to see.
    pub fn worst(&self) -> (usize, usize) {
        let row = greatest(self.kl.iter().copied());
        let cells = row * self.size..(row + 1) * self.size;
        let strongest = self.teacher.get(cells).unwrap_or_default();
        (row, greatest(strongest.iter().copied().map(f64::from)))
    }

    /// The `most` strongest tokens of a row of a map, with their probabilities, strongest first. Tokens that `hidden` names
    /// are passed over, unless there are no others.
    pub fn strongest(
        &self,
        map: &[f32],
        row: usize,
        most: usize,
        hidden: impl Fn(usize) -> bool,
    ) -> Vec<(usize, f32)> {
        let cells = row * self.size..(row + 1) * self.size;
        let row = map.get(cells).unwrap_or_default();
        let mut all: Vec<(usize, f32)> = row.iter().copied().enumerate().collect();
        if !all.iter().all(|(token, _)| hidden(*token)) {
            all.retain(|(token, _)| !hidden(*token));
        }
        // The few that are asked for, one by one: less work than to order all.
        let next = |_| {
            let first = |a: &usize, b: &usize| all[*a].1.total_cmp(&all[*b].1).then(b.cmp(a));
            let at = (0..all.len()).max_by(first)?;
            Some(all.remove(at))
        };
        (0..most).map_while(next).collect()
    }
}

/// The relation of a sentence (eq. 7, 8): the softmax of each row of scaled products of a tap's (S, H) with another's, for A
/// relation heads, (A, S, S). It is computed in f64, so that what is rounded to f32 is right to its last digit; and so that a
/// front can cut the taps that it has into other numbers of relation heads, without a device.
///
/// # Errors
/// [`MapError`] if the taps are not (S, H), or A does not divide H.
pub fn map(row: &[f32], column: &[f32], size: usize, heads: usize) -> Result<Vec<f32>, MapError> {
    let length = row.len();
    let whole = size > 0 && heads > 0 && length > 0 && length.is_multiple_of(size * heads);
    if !whole || column.len() != length {
        return Err(MapError::Taps {
            row: length,
            column: column.len(),
            heads,
            size,
        });
    }
    let hidden = length / size;
    let width = hidden / heads;
    let scale = 1.0 / (width as f64).sqrt();
    let head_of = |tap: &[f32], token: usize, head: usize| -> Vec<f64> {
        let start = token * hidden + head * width;
        tap[start..start + width]
            .iter()
            .copied()
            .map(f64::from)
            .collect()
    };
    let mut map = Vec::with_capacity(heads * size * size);
    for head in 0..heads {
        let keys: Vec<Vec<f64>> = (0..size)
            .map(|token| head_of(column, token, head))
            .collect();
        for token in 0..size {
            let query = head_of(row, token, head);
            let score = |key: &Vec<f64>| dot(&query, key) * scale;
            map.extend(softmax(keys.iter().map(score).collect()));
        }
    }
    Ok(map)
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn softmax(mut scores: Vec<f64>) -> impl Iterator<Item = f32> {
    let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    for score in &mut scores {
        *score = (*score - most).exp();
    }
    let sum: f64 = scores.iter().sum();
    scores.into_iter().map(move |weight| (weight / sum) as f32)
}

fn greatest(values: impl Iterator<Item = f64>) -> usize {
    values
        .enumerate()
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .map_or(0, |(at, _)| at)
}

fn kl_of_rows(size: usize, teacher: &[f32], student: &[f32]) -> Vec<f64> {
    let size = size.max(1);
    let rows = teacher.chunks_exact(size).zip(student.chunks_exact(size));
    rows.map(|(teacher, student)| row_kl(teacher, student))
        .collect()
}

/// KL(teacher || student) of two rows of probabilities (a term of eq. 6), in nats. A student's zero, which is an underflow
/// of the softmax, counts as the smallest normal f32. Rounded rows do not sum to exactly 1, so that equal ones might be a
/// trifle below 0: that is 0. What is not a number stays so.
pub fn row_kl(teacher: &[f32], student: &[f32]) -> f64 {
    let both = teacher.iter().zip(student);
    let kl: f64 = both.map(|(p, q)| kl_part(*p, *q)).sum();
    if kl < 0.0 { 0.0 } else { kl }
}

/// What one cell adds to the KL of its row, in nats: p ln(p / q).
pub fn kl_part(p: f32, q: f32) -> f64 {
    // A comparison instead of `max`, which would turn NaN into a number.
    let floor = match q < f32::MIN_POSITIVE {
        true => f32::MIN_POSITIVE,
        false => q,
    };
    match p {
        0.0 => 0.0,
        _ => f64::from(p) * (f64::from(p) / f64::from(floor)).ln(),
    }
}

/// A flat array as nested lists.
pub(crate) struct Nested<'a, T> {
    pub values: &'a [T],
    pub shape: &'a [usize],
}

impl<T: Serialize> Serialize for Nested<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let [first, inner @ ..] = self.shape else {
            return self.values.serialize(serializer);
        };
        let mut list = serializer.serialize_seq(Some(*first))?;
        if inner.is_empty() {
            for value in self.values {
                list.serialize_element(value)?;
            }
            return list.end();
        }
        let step = inner.iter().product::<usize>().max(1);
        for values in self.values.chunks(step) {
            list.serialize_element(&Nested {
                values,
                shape: inner,
            })?;
        }
        list.end()
    }
}

/// A pair, and what the first of its maps is of.
struct Named<'a>(&'a PairMaps, Reference);

impl Serialize for Named<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(maps, reference) = self;
        let (a, s) = (maps.heads(), maps.size);
        let shape = [a, s, s];
        let map = |values| Nested {
            values,
            shape: &shape,
        };
        let mut pair = serializer.serialize_struct("PairMaps", 3)?;
        pair.serialize_field(reference.key(), &map(&maps.teacher))?;
        pair.serialize_field("student", &map(&maps.student))?;
        let kl = Nested {
            values: &maps.kl,
            shape: &shape[..2],
        };
        pair.serialize_field("kl", &kl)?;
        pair.end()
    }
}

/// The pairs by their keys.
struct ByKey<'a>(&'a [PairMaps], Reference);

impl Serialize for ByKey<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for pair in self.0 {
            map.serialize_entry(&pair.pair.key(), &Named(pair, self.1))?;
        }
        map.end()
    }
}

impl Relations {
    /// A line for each cell of each map: its pair, head and tokens, both probabilities, their difference, its part of the KL
    /// and the KL of its row, in nats.
    pub fn csv(&self) -> String {
        let mut csv = format!(
            "pair,head,row,column,from,to,{},student,difference,kl_part,kl_row\n",
            self.reference.key()
        );
        let size = self.tokens.len();
        let quoted = |i: usize| quoted(&self.tokens[i].text);
        for pair in &self.pairs {
            for (i, (p, q)) in pair.teacher.iter().zip(&pair.student).enumerate() {
                let (line, column) = (i / size, i % size);
                let row = line % size;
                csv.push_str(&format!(
                    "{},{},{},{},{},{},{p},{q},{},{},{}\n",
                    pair.pair.key(),
                    line / size + 1,
                    row + 1,
                    column + 1,
                    quoted(row),
                    quoted(column),
                    q - p,
                    kl_part(*p, *q),
                    pair.kl[line],
                ));
            }
        }
        csv
    }
}

impl Serialize for Relations {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let texts: Vec<&str> = self.tokens.iter().map(|t| t.text.as_str()).collect();
        let special: Vec<bool> = self.tokens.iter().map(|t| t.special).collect();
        let mut all = serializer.serialize_struct("Relations", 7)?;
        all.serialize_field("tokens", &texts)?;
        all.serialize_field("special", &special)?;
        all.serialize_field("relation_heads", &self.relation_heads)?;
        // Beside itself, the student stands in one layer; a field without a meaning would be taken for one.
        match self.reference {
            Reference::Teacher => all.serialize_field("teacher_layer", &self.teacher_layer)?,
            Reference::StudentNow => all.skip_field("teacher_layer")?,
            Reference::EarlierRun => all.serialize_field("earlier_layer", &self.teacher_layer)?,
            Reference::RecordedRun => all.serialize_field("recorded_layer", &self.teacher_layer)?,
        }
        all.serialize_field("student_layer", &self.student_layer)?;
        match &self.step {
            Some(step) => all.serialize_field("step", step)?,
            None => all.skip_field("step")?,
        }
        all.serialize_field("pairs", &ByKey(&self.pairs, self.reference))?;
        all.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEACHER: [f32; 8] = [0.5, 0.5, 1.0, 0.0, 0.25, 0.75, 0.5, 0.5];
    const STUDENT: [f32; 8] = [0.5, 0.5, 0.5, 0.5, 0.25, 0.75, 0.25, 0.75];

    fn pair() -> PairMaps {
        PairMaps::new(Pair::QQ, (2, 2), TEACHER.into(), STUDENT.into()).expect("maps of 2 tokens")
    }

    #[test]
    fn kl_is_of_rows_and_heads_are_ordered_by_it() {
        let pair = pair();
        let ln2 = std::f64::consts::LN_2;
        assert_eq!((pair.kl()[0], pair.kl()[2]), (0.0, 0.0));
        assert!(
            (pair.kl()[1] - ln2).abs() < 1e-15,
            "a teacher's zero adds nothing"
        );
        assert!((pair.kl()[3] - 0.5 * (4.0_f64 / 3.0).ln()).abs() < 1e-15);
        assert_eq!(pair.by_kl(), [0, 1]);
        assert!((pair.total(0) - ln2 / 2.0).abs() < 1e-15);
        assert_eq!(pair.head(0).worst(), (1, 0));
    }

    #[test]
    fn a_students_zero_is_far_but_not_infinitely() {
        let kl = row_kl(&[1.0, 0.0], &[0.0, 1.0]);
        assert!(
            (kl + f64::from(f32::MIN_POSITIVE).ln()).abs() < 1e-9,
            "{kl}"
        );
        assert!(row_kl(&[f32::NAN, 0.5], &[0.5, 0.5]).is_nan());
        assert_eq!(row_kl(&[0.333_333_3; 3], &[0.333_333_34; 3]), 0.0);
    }

    #[test]
    fn what_is_not_a_number_comes_first() {
        let mut student = STUDENT;
        student[6] = f32::NAN;
        let pair = PairMaps::new(Pair::KK, (2, 2), TEACHER.into(), student.into()).expect("maps");
        assert_eq!(pair.by_kl(), [1, 0]);
    }

    #[test]
    fn the_mean_is_of_all_heads() {
        let mean = Relation::mean(&Relation::heads(2, &TEACHER, &STUDENT));
        assert_eq!(mean.teacher, [0.375, 0.625, 0.75, 0.25]);
        assert!((mean.total() - (pair().total(0) + pair().total(1)) / 2.0).abs() < 1e-15);
        assert_eq!(pair().head(0).difference(), [0.0, 0.0, -0.5, 0.5]);
        assert_eq!(Relation::mean(&[]).worst(), (0, 0));
        assert!(Relation::heads(0, &[], &[]).is_empty());
        assert!(Relation::heads(0, &[], &[]).is_empty());
        assert_eq!(Relation::mean(&[]).worst(), (0, 0));
    }

    #[test]
    fn the_strongest_come_first_and_hidden_ones_last() {
        let relation = Relation::new(3, &[0.1, 0.6, 0.3, 0.2, 0.2, 0.6, 1.0, 0.0, 0.0], &[0.0; 9]);
        let strongest = |row, hidden: fn(usize) -> bool| {
            let all = relation.strongest(&relation.teacher, row, 2, hidden);
            all.into_iter().map(|(token, _)| token).collect::<Vec<_>>()
        };
        assert_eq!(strongest(0, |_| false), [1, 2]);
        assert_eq!(strongest(1, |_| false), [2, 0], "the first of equal ones");
        assert_eq!(strongest(0, |token| token == 1), [2, 0]);
        assert_eq!(strongest(0, |_| true), [1, 2], "nothing else is there");
    }

    #[test]
    fn a_map_is_the_softmax_of_scaled_products() {
        // Two tokens, two heads of width 1: scores 1 * 1, 1 * 2 and so on.
        let (row, column) = ([1.0, 0.0, 2.0, 1e4], [1.0, 5.0, 2.0, -7.0]);
        let map = map(&row, &column, 2, 2).expect("taps of two tokens");
        let sigmoid = |x: f64| (1.0 / (1.0 + (-x).exp())) as f32;
        assert_eq!(
            map,
            [
                sigmoid(-1.0),
                sigmoid(1.0),
                sigmoid(-2.0),
                sigmoid(2.0),
                0.5,
                0.5,
                1.0,
                0.0
            ]
        );
        let one = super::map(&[3.0, 4.0], &[3.0, 4.0], 1, 1).expect("one token");
        assert_eq!(one, [1.0]);
        let error = super::map(&row, &column, 2, 3).expect_err("3 does not divide 2");
        assert_eq!(
            error.to_string(),
            "taps of 4 and 4 numbers cannot be cut into 3 relation heads of 2 tokens"
        );
    }

    #[test]
    fn csv_has_a_line_a_cell() {
        let token = |text: &str| Token {
            text: text.into(),
            special: false,
        };
        let relations = Relations {
            tokens: vec![token("say \"a\""), token("b,c")],
            relation_heads: 2,
            teacher_layer: 1,
            student_layer: 1,
            pairs: vec![pair()],
            ..Relations::default()
        };
        let csv = relations.csv();
        let lines: Vec<&str> = csv.lines().collect();
        assert_eq!(lines.len(), 9);
        assert!(
            lines[3].starts_with("qq,1,2,1,\"b,c\",\"say \"\"a\"\"\",1,0.5,-0.5,0.69"),
            "{}",
            lines[3]
        );
        assert!(lines[8].starts_with("qq,2,2,2,"), "{}", lines[8]);
    }

    #[test]
    fn maps_that_do_not_fit_are_refused() {
        let error =
            PairMaps::new(Pair::QQ, (2, 2), TEACHER.into(), vec![0.5; 7]).expect_err("7 of 8");
        assert_eq!(
            error.to_string(),
            "Q-Q: the map of the student has 7 numbers instead of 8 (2 relation heads of 2 x 2 tokens)"
        );
        assert!(PairMaps::new(Pair::QQ, (0, 2), vec![], vec![]).is_err());
    }

    #[test]
    fn json_is_nested() {
        let relations = Relations {
            tokens: ["[CLS]", "a"]
                .map(|text| Token {
                    text: text.into(),
                    special: text != "a",
                })
                .into(),
            relation_heads: 2,
            teacher_layer: 4,
            student_layer: 2,
            pairs: vec![pair()],
            ..Relations::default()
        };
        let json = serde_json::to_value(&relations).expect("JSON");
        assert_eq!(json["tokens"], serde_json::json!(["[CLS]", "a"]));
        assert_eq!(json["special"], serde_json::json!([true, false]));
        assert_eq!(
            (&json["teacher_layer"], &json["student_layer"]),
            (&4.into(), &2.into())
        );
        let qq = &json["pairs"]["qq"];
        assert_eq!(
            qq["teacher"],
            serde_json::json!([[[0.5, 0.5], [1.0, 0.0]], [[0.25, 0.75], [0.5, 0.5]]])
        );
        assert_eq!(qq["kl"][1][0], 0.0);
        assert_eq!(qq["student"][0][1][1], 0.5);
        assert!(json.get("step").is_none());
    }

    #[test]
    fn a_student_beside_itself_is_never_called_the_teacher() {
        let token = || Token {
            text: "a".into(),
            special: false,
        };
        let relations = Relations {
            reference: Reference::StudentNow,
            step: Some(120),
            tokens: vec![token(), token()],
            relation_heads: 2,
            teacher_layer: 4,
            student_layer: 2,
            pairs: vec![pair()],
        };
        let json = serde_json::to_string(&relations).expect("JSON");
        assert!(json.contains("\"student_now\":[[[") && json.contains("\"step\":120"));
        let csv = relations.csv();
        let light = crate::Theme::light();
        let view = crate::View::default();
        let picture = crate::svg(&crate::sheet(&relations, &view, &light));
        let page = crate::page(&relations, &view, &[]);
        assert!(csv.contains(",student_now,student,"));
        assert!(
            picture.contains("Student now, layer 2")
                && picture.contains("Student, layer 2, step 120")
        );
        for text in [json, csv, picture, page] {
            assert!(!text.to_lowercase().contains("teacher"), "{text}");
        }
    }

    #[test]
    fn the_student_of_another_run_is_named_by_its_run() {
        let token = || Token {
            text: "a".into(),
            special: false,
        };
        for (reference, key, title) in [
            (Reference::EarlierRun, "earlier", "Earlier run, layer 3"),
            (Reference::RecordedRun, "recorded", "Recorded run, layer 3"),
        ] {
            let relations = Relations {
                reference,
                step: Some(24),
                tokens: vec![token(), token()],
                relation_heads: 2,
                teacher_layer: 3,
                student_layer: 2,
                pairs: vec![pair()],
            };
            let json = serde_json::to_string(&relations).expect("JSON");
            let layer = format!("\"{key}_layer\":3");
            assert!(json.contains(&format!("\"{key}_run\":[[[")) && json.contains(&layer));
            let view = crate::View::default();
            let picture = crate::svg(&crate::sheet(&relations, &view, &crate::Theme::light()));
            let words = [title.to_owned(), "This run, layer 2, step 24".to_owned()];
            assert!(
                words.iter().all(|words| picture.contains(words)),
                "{picture}"
            );
            let page = crate::page(&relations, &view, &[]);
            for text in [json, relations.csv(), picture, page] {
                assert!(!text.to_lowercase().contains("teacher"), "{text}");
            }
        }
    }
}
