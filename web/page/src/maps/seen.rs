//! The relations that follow from a run and a choice.

use std::sync::Arc;

use limbeck_recipe::{Pair, common_relation_heads};
use limbeck_relations::{
    Large, LayerCell, MapError, PairMaps, Projections, Reference, Relation, Relations, Sentence,
    Token, farthest_first, layer_cell, number, visible,
};

use super::choice::Choice;
use crate::state::{Former, Learnt, RunLog, Taught};

/// All relation heads of one pair in one layer of each model.
pub struct Seen {
    /// The sentence and the teacher.
    pub from_teacher: Arc<Taught>,
    /// The student, at a step of the film or now.
    pub from_student: Arc<Learnt>,
    /// What is shown.
    pub how: How,
    /// Every head.
    pub each: Vec<Relation>,
    /// Their mean.
    pub mean: Relation,
    /// Heads in the order in which they are shown.
    pub order: Vec<usize>,
    /// What the first map is of.
    pub reference: Reference,
    /// Its layer, from 1.
    pub first_layer: usize,
    /// The step of the student that it is of, if it is of one.
    pub first_step: u64,
    /// Labels of the tokens, with nothing in them that a reader could not see.
    pub labels: Vec<String>,
}

/// What a run itself compares.
pub struct Usual {
    /// Its first pair.
    pub pair: Pair,
    /// A.
    pub heads: usize,
    /// From 1.
    pub teacher_layer: usize,
}

impl Usual {
    /// Of a run.
    pub fn of(run: &RunLog) -> Self {
        Self {
            pair: first_pair(&run.info.pairs),
            heads: run.info.relation_heads,
            teacher_layer: run.info.teacher_layer,
        }
    }
}

/// The student of another run, for this run's to be set beside.
#[derive(Clone, Debug)]
pub struct Other {
    /// Whose it is.
    pub reference: Reference,
    /// The student.
    pub former: Arc<Former>,
}

impl Other {
    /// Why this run's student cannot be set beside it, for people; and the sentence that would have to be asked for, if that is
    /// all.
    fn why_not(&self, run: &Usual, tokens: &[Token]) -> Option<(String, Option<String>)> {
        let (name, theirs) = (self.reference.word(), &self.former);
        if theirs.relation_heads != run.heads {
            let why = format!(
                "The {name} has {} relation heads (A_r) and this run {}: head 1 of one is not head 1 of the other, so they cannot be \
                 compared. This run is shown beside its teacher",
                theirs.relation_heads, run.heads
            );
            return Some((why, None));
        }
        if theirs.tokens != tokens {
            let text = |tokens: &[Token]| Sentence::new(tokens).words().join(" ");
            let asked = text(&theirs.tokens);
            let why = format!(
                "The {name} was last seen on \u{201c}{asked}\u{201d}, and this run is on \u{201c}{}\u{201d}: only maps of the same tokens \
                 can be compared. This run is shown beside its teacher",
                text(tokens)
            );
            return Some((why, Some(asked)));
        }
        None
    }
}

/// A choice that a run can follow.
#[derive(Clone, Debug, PartialEq)]
pub struct How {
    /// Rows and columns.
    pub pair: Pair,
    /// A.
    pub heads: usize,
    /// From 1.
    pub teacher_layer: usize,
    /// From 1.
    pub student_layer: usize,
    /// Every A that divides both widths.
    pub fits: Vec<usize>,
    /// What the first map is of.
    pub reference: Reference,
    /// What of the choice cannot be followed, for people.
    pub instead: Vec<String>,
    /// The sentence on which another run could be compared, if that is what is missing.
    pub elsewhere: Option<String>,
}

impl How {
    /// What of a choice fits a run; the run's own where it does not, and its teacher in the place of another run that cannot be
    /// compared.
    pub fn new(
        choice: &Choice,
        run: &Usual,
        (from_teacher, from_student): (&Taught, &Learnt),
        other: Option<&Other>,
    ) -> Self {
        let (teacher, student) = (&from_teacher.taps, &from_student.taps);
        let mut instead = Vec::new();
        let why_not = other.and_then(|other| other.why_not(run, &from_teacher.tokens));
        let other = other.filter(|_| why_not.is_none());
        let elsewhere = why_not.and_then(|(why, elsewhere)| {
            instead.push(why);
            elsewhere
        });
        let reference = match other {
            Some(other) => other.reference,
            None if choice.beside_now && choice.step.is_some() => Reference::StudentNow,
            None => Reference::Teacher,
        };
        let (first, name) = match other {
            Some(other) => (other.former.taps.hidden(), reference.word()),
            None => (teacher.keys(), "teacher"),
        };
        let fits = common_relation_heads(student.hidden(), first);
        let mut heads = choice.heads.unwrap_or(run.heads);
        if !fits.contains(&heads) {
            instead.push(format!(
                "{heads} relation heads do not divide both widths, {first} ({name}) and {} (student): {} are shown",
                student.hidden(),
                run.heads
            ));
            heads = run.heads;
        }
        let mut layer = |name: &str, taps: &Projections, chosen: Option<usize>, usual: usize| {
            let (layers, usual) = (taps.layers(), taps.only().unwrap_or(usual));
            let layer = chosen.unwrap_or(usual);
            match taps.layer(layer) {
                Some([]) => instead.push(format!(
                    "the link holds only {name} layer {usual}, so that is shown"
                )),
                Some(_) => return layer,
                None => instead.push(format!(
                    "the {name} has layers 1 to {layers}, and no layer {layer}: layer {usual} is shown"
                )),
            }
            usual
        };
        let last = student.layers();
        let teacher_layer = layer("teacher", teacher, choice.teacher_layer, run.teacher_layer);
        // The film keeps the last layer alone.
        let student_layer = match choice.step {
            Some(_) => last,
            None => layer("student", student, choice.student_layer, last),
        };
        let mut pair = choice.pair.unwrap_or(run.pair);
        let holds = |vector| teacher.holds(teacher_layer, vector);
        if !(holds(pair.row) && holds(pair.column)) && teacher.only().is_some() {
            pair = run.pair;
            instead.push(format!(
                "the link holds only what {pair} needs, so {pair} is shown"
            ));
        }
        Self {
            pair,
            heads,
            teacher_layer,
            student_layer,
            fits,
            reference,
            instead,
            elsewhere,
        }
    }
}

impl Seen {
    /// Of what there is. Beside the student as it is now the student of the film is set, if a choice says so; the student of
    /// another run comes before both. The maps of a teacher that was seen so before are taken from there.
    ///
    /// # Errors
    /// [`MapError`] if taps and choice do not fit, which [`How`] sees to.
    pub fn new(
        choice: &Choice,
        run: &Usual,
        (from_teacher, (from_student, now)): (Arc<Taught>, (Arc<Learnt>, &Learnt)),
        other: Option<&Other>,
        before: Option<&Self>,
    ) -> Result<Self, MapError> {
        let how = How::new(choice, run, (&from_teacher, &from_student), other);
        let reference = how.reference;
        let other = other.filter(|other| other.reference == reference);
        let (taps, first_layer, first_step) = match (other, reference) {
            (Some(Other { former, .. }), _) => (&former.taps, former.taps.layers(), former.step),
            (None, Reference::StudentNow) => (&now.taps, how.student_layer, now.step),
            (None, _) => (&from_teacher.taps, how.teacher_layer, 0),
        };
        let same = before.filter(|before| {
            let kind = |how: &How| (how.reference, how.pair, how.heads, how.teacher_layer);
            reference == Reference::Teacher
                && kind(&before.how) == kind(&how)
                && Arc::ptr_eq(&before.from_teacher, &from_teacher)
        });
        let first = match same {
            Some(before) => before
                .each
                .iter()
                .flat_map(|head| &head.teacher)
                .copied()
                .collect(),
            None => taps.map(first_layer, how.pair, how.heads)?,
        };
        let student = from_student
            .taps
            .map(how.student_layer, how.pair, how.heads)?;
        let each = Relation::heads(from_teacher.tokens.len(), &first, &student);
        let order = match choice.by_kl {
            true => by_kl(&each),
            false => (0..each.len()).collect(),
        };
        let tokens = from_teacher.tokens.iter();
        let labels = tokens.map(|token| visible(&token.text));
        Ok(Self {
            labels: labels.collect(),
            mean: Relation::mean(&each),
            order,
            each,
            how,
            from_teacher,
            from_student,
            reference,
            first_layer,
            first_step,
        })
    }

    /// What a choice shows of a run as it is now; none before the student was seen.
    pub fn of(run: &RunLog, choice: &Choice) -> Option<Self> {
        let (from_teacher, now) = (run.from_teacher.clone()?, run.from_student.clone()?);
        let both = (from_teacher, (now.clone(), &*now));
        Self::new(choice, &Usual::of(run), both, None, None).ok()
    }

    /// What is seen, in words: `Q-K, head 3 of 8, teacher layer 4, student layer 2 at step 300, KL 0.12 nats`.
    pub fn title(&self, head: Option<usize>) -> String {
        let which = match (head, self.how.heads) {
            (Some(head), heads) => format!("head {} of {heads}", head + 1),
            (None, 1) => "the only head".to_owned(),
            (None, heads) => format!("mean of {heads} heads"),
        };
        format!(
            "{}, {which}, {}, KL {} nats",
            self.how.pair,
            self.layers(),
            number(self.relation(head).total())
        )
    }

    /// `teacher layer 4, student layer 2 at step 300`.
    pub fn layers(&self) -> String {
        let (layer, step) = (self.how.student_layer, self.from_student.step);
        match self.reference {
            Reference::Teacher => format!(
                "teacher layer {}, student layer {layer} at step {step}",
                self.how.teacher_layer
            ),
            Reference::StudentNow => {
                format!("student layer {layer} at step {step}, compared with the current student")
            }
            other => format!(
                "{}, layer {} at step {}; this run, layer {layer} at step {step}",
                other.word(),
                self.first_layer,
                self.first_step
            ),
        }
    }

    /// The three strongest relations of a token in each model, in words.
    pub fn strongest(&self, head: Option<usize>, token: usize) -> String {
        let relation = self.relation(head);
        let of = |map: &[f32]| {
            let three = relation.strongest(map, token, 3, |_| false).into_iter();
            let named = three
                .map(|(to, p)| format!("\u{201c}{}\u{201d} {:.0} %", self.labels[to], 100.0 * p));
            named.collect::<Vec<_>>().join(", ")
        };
        format!(
            "\u{201c}{}\u{201d}: {} {}; {} {}",
            self.labels[token],
            self.reference.word(),
            of(&relation.teacher),
            self.reference.student_word(),
            of(&relation.student)
        )
    }

    /// One head, or the mean.
    pub fn relation(&self, head: Option<usize>) -> &Relation {
        head.and_then(|head| self.each.get(head))
            .unwrap_or(&self.mean)
    }

    /// A head that there is, from 0; otherwise the mean.
    pub fn head(&self, head: Option<usize>) -> Option<usize> {
        head.filter(|head| *head < self.each.len())
    }

    /// What a file draws large: a head, or the mean.
    pub fn large(&self, head: Option<usize>) -> Large {
        self.head(head).map_or(Large::Mean, Large::Head)
    }

    /// The heads, from 0, the farthest first.
    pub fn by_kl(&self) -> Vec<usize> {
        by_kl(&self.each)
    }

    /// S.
    pub fn size(&self) -> usize {
        self.from_teacher.tokens.len()
    }

    /// All heads of a pair, which may be another than the one that is seen; beside the student itself there is only that.
    pub fn each_of(&self, pair: Pair) -> Vec<Relation> {
        if pair == self.how.pair || self.reference != Reference::Teacher {
            return self.each.clone();
        }
        let how = &self.how;
        let teacher = self
            .from_teacher
            .taps
            .map(how.teacher_layer, pair, how.heads);
        let student = self
            .from_student
            .taps
            .map(how.student_layer, pair, how.heads);
        // They fit, as they did for the pair that is seen.
        match (teacher, student) {
            (Ok(teacher), Ok(student)) => Relation::heads(self.size(), &teacher, &student),
            _ => Vec::new(),
        }
    }

    /// The scaled product behind a cell, q k / sqrt(D), of teacher and student; there is none in
    /// the mean of heads, and beside the student itself.
    pub fn scores(&self, head: usize, (row, column): (usize, usize)) -> Option<[f64; 2]> {
        if head >= self.how.heads || self.reference != Reference::Teacher {
            return None;
        }
        let of = |taps: &Projections, layer: usize| {
            let all = taps.width(self.how.pair);
            let width = all / self.how.heads;
            let [rows, columns] = taps.compared(layer, self.how.pair);
            let vector = |vectors: &[f32], token: usize| {
                let start = token * all + head * width;
                Some(vectors.get(start..start + width)?.to_vec())
            };
            let (from, to) = (vector(&rows, row)?, vector(&columns, column)?);
            let products = from
                .iter()
                .zip(to)
                .map(|(a, b)| f64::from(*a) * f64::from(b));
            Some(products.sum::<f64>() / (width as f64).sqrt())
        };
        let teacher = of(&self.from_teacher.taps, self.how.teacher_layer)?;
        let student = of(&self.from_student.taps, self.how.student_layer)?;
        Some([teacher, student])
    }

    /// As files hold them: the pair that is seen, with all its heads.
    ///
    /// # Errors
    /// [`MapError`], which there is no cause for.
    pub fn relations(&self) -> Result<Relations, MapError> {
        let all = |of: fn(&Relation) -> &Vec<f32>| self.each.iter().flat_map(of).copied().collect();
        let size = (self.how.heads, self.size());
        let maps = PairMaps::new(
            self.how.pair,
            size,
            all(|head| &head.teacher),
            all(|head| &head.student),
        )?;
        Ok(Relations {
            reference: self.reference,
            step: Some(self.from_student.step),
            tokens: self.from_teacher.tokens.clone(),
            relation_heads: self.how.heads,
            teacher_layer: self.first_layer,
            student_layer: self.how.student_layer,
            pairs: vec![maps],
        })
    }

    /// A layer of the teacher and a pair beside the student.
    ///
    /// # Errors
    /// [`MapError`] if there is no such layer.
    pub fn layer_cell(&self, layer: usize, pair: Pair) -> Result<LayerCell, MapError> {
        let student = (&self.from_student.taps, self.how.student_layer);
        layer_cell(
            (&self.from_teacher.taps, layer),
            student,
            pair,
            self.how.heads,
        )
    }
}

fn by_kl(each: &[Relation]) -> Vec<usize> {
    let totals: Vec<f64> = each.iter().map(Relation::total).collect();
    farthest_first(&totals)
}

/// The pair of a run that is looked at first.
pub fn first_pair(pairs: &[String]) -> Pair {
    pairs
        .first()
        .and_then(|name| Pair::named(name))
        .unwrap_or(Pair::QQ)
}

#[cfg(test)]
mod tests {
    use limbeck_recipe::Vector;
    use limbeck_relations::Token;

    use super::*;

    fn taps(hidden: usize, layers: usize) -> Projections {
        let layer = |l: usize| (0..3 * 3 * hidden).map(move |i| ((i * (l + 2)) as f32).sin());
        Projections::new(3, 2, (0..layers).map(|l| layer(l).collect()).collect()).expect("3 tokens")
    }

    fn both() -> (Arc<Taught>, Arc<Learnt>) {
        let token = |text: &str| Token {
            text: text.into(),
            special: text.starts_with('['),
        };
        let from_teacher = Taught {
            tokens: vec![token("[CLS]"), token("tea"), token("[SEP]")],
            left_out: 0,
            taps: taps(8, 3),
        };
        let from_student = Learnt {
            step: 5,
            taps: taps(4, 2),
            similarity: None,
        };
        (Arc::new(from_teacher), Arc::new(from_student))
    }

    const RUN: Usual = Usual {
        pair: Pair::VV,
        heads: 2,
        teacher_layer: 3,
    };

    fn seen(choice: &Choice) -> Seen {
        seen_beside(choice, None)
    }

    fn seen_beside(choice: &Choice, other: Option<&Other>) -> Seen {
        let (from_teacher, now) = both();
        let both = (from_teacher, (now.clone(), &*now));
        Seen::new(choice, &RUN, both, other, None).expect("they fit")
    }

    #[test]
    fn what_is_not_chosen_follows_the_run() {
        let seen = seen(&Choice::default());
        let how = &seen.how;
        assert_eq!(
            (how.pair, how.heads, how.teacher_layer, how.student_layer),
            (Pair::VV, 2, 3, 2)
        );
        assert_eq!(
            (how.fits.as_slice(), how.instead.len()),
            ([1, 2, 4].as_slice(), 0)
        );
        assert_eq!((seen.each.len(), how.pair), (2, Pair::VV));
    }

    #[test]
    fn what_cannot_be_followed_is_said() {
        let choice = Choice {
            heads: Some(8),
            teacher_layer: Some(4),
            student_layer: Some(9),
            ..Choice::default()
        };
        let how = seen(&choice).how;
        assert_eq!((how.heads, how.teacher_layer, how.student_layer), (2, 3, 2));
        assert_eq!(how.instead.len(), 3);
        assert_eq!(
            how.instead[0],
            "8 relation heads do not divide both widths, 8 (teacher) and 4 (student): 2 are shown"
        );
    }

    /// The last layer of a student of width 6 with three layers, on these tokens.
    fn other(tokens: Vec<Token>, relation_heads: usize) -> Other {
        let taps = taps(6, 3).alone(3, &Vector::ALL);
        Other {
            reference: Reference::RecordedRun,
            former: Arc::new(Former {
                tokens,
                step: 1200,
                relation_heads,
                taps: taps.expect("layer 3"),
            }),
        }
    }

    #[test]
    fn the_students_of_two_runs_stand_side_by_side() {
        let tokens = both().0.tokens.clone();
        let other = other(tokens, 2);
        let choice = Choice {
            heads: Some(4),
            step: Some(5),
            beside_now: true,
            ..Choice::default()
        };
        let seen = seen_beside(&choice, Some(&other));
        assert_eq!(seen.reference, Reference::RecordedRun);
        let theirs = other.former.taps.map(3, Pair::VV, 2).expect("a map");
        assert_eq!(seen.each[1].teacher, theirs[9..]);
        assert_eq!(
            seen.how.instead,
            [
                "4 relation heads do not divide both widths, 6 (recorded run) and 4 (student): 2 are shown"
            ]
        );
        assert_eq!(
            seen.layers(),
            "recorded run, layer 3 at step 1200; this run, layer 2 at step 5"
        );
        assert!(seen.strongest(None, 0).contains("; this run \u{201c}"));
        assert!(seen.scores(0, (0, 0)).is_none());
        let files = seen.relations().expect("maps of 3 tokens");
        assert_eq!((files.reference, files.teacher_layer), (seen.reference, 3));
    }

    #[test]
    fn runs_that_cannot_be_compared_are_not() {
        let tokens = both().0.tokens.clone();
        let mut coffee = tokens.clone();
        coffee[1].text = "coffee".into();
        for (other, why, elsewhere) in [
            (
                other(tokens, 16),
                "has 16 relation heads (A_r) and this run 2",
                None,
            ),
            (
                other(coffee, 2),
                "was last seen on \u{201c}coffee\u{201d}, and this run is on \u{201c}tea\u{201d}",
                Some("coffee".to_owned()),
            ),
        ] {
            let seen = seen_beside(&Choice::default(), Some(&other));
            assert_eq!(seen.reference, Reference::Teacher);
            assert_eq!(seen.how.instead.len(), 1);
            assert!(seen.how.instead[0].contains(why), "{:?}", seen.how.instead);
            assert_eq!(seen.how.elsewhere, elsewhere);
        }
    }

    #[test]
    fn what_is_known_of_the_teacher_is_not_worked_out_again() {
        let (from_teacher, now) = both();
        let make = |choice: &Choice, before: Option<&Seen>| {
            let both = (from_teacher.clone(), (now.clone(), &*now));
            Seen::new(choice, &RUN, both, None, before).expect("they fit")
        };
        let mut before = make(&Choice::default(), None);
        before.each[0].teacher[0] = 7.0;
        let again = make(&Choice::default(), Some(&before));
        assert_eq!(again.each[0].teacher, before.each[0].teacher);
        assert_eq!(again.each[1], before.each[1]);
        for other in [
            Choice {
                pair: Some(Pair::QK),
                ..Choice::default()
            },
            Choice {
                heads: Some(4),
                ..Choice::default()
            },
            Choice {
                teacher_layer: Some(1),
                ..Choice::default()
            },
            Choice {
                step: Some(5),
                beside_now: true,
                ..Choice::default()
            },
        ] {
            let seen = make(&other, Some(&before));
            assert_eq!(seen.each, make(&other, None).each, "{other:?}");
        }
    }

    #[test]
    fn a_score_gives_its_probability() {
        let seen = seen(&Choice {
            pair: Some(Pair::QK),
            ..Choice::default()
        });
        for (i, name) in [(0, "teacher"), (1, "student")] {
            let scores: Vec<f64> = (0..3)
                .map(|column| seen.scores(1, (2, column)).expect("a score")[i])
                .collect();
            let sum: f64 = scores.iter().map(|s| s.exp()).sum();
            let relation = seen.relation(Some(1));
            let map = if i == 0 {
                &relation.teacher
            } else {
                &relation.student
            };
            for (column, score) in scores.iter().enumerate() {
                assert!(
                    (score.exp() / sum - f64::from(map[6 + column])).abs() < 1e-6,
                    "{name}"
                );
            }
        }
        assert!(seen.scores(2, (0, 0)).is_none());
    }

    #[test]
    fn heads_come_by_their_kl_if_asked() {
        let seen = seen(&Choice {
            by_kl: true,
            heads: Some(4),
            ..Choice::default()
        });
        let totals: Vec<f64> = seen
            .order
            .iter()
            .map(|head| seen.each[*head].total())
            .collect();
        assert!(totals.is_sorted_by(|a, b| a >= b) && totals.len() == 4);
        assert_eq!(seen.order, seen.by_kl());
        let json = seen.relations().expect("they fit");
        assert_eq!((json.pairs[0].heads(), json.student_layer), (4, 2));
        assert_eq!((json.reference, json.step), (Reference::Teacher, Some(5)));
    }

    #[test]
    fn the_student_beside_itself_is_not_the_teacher() {
        let choice = Choice {
            step: Some(5),
            beside_now: true,
            ..Choice::default()
        };
        let seen = seen(&choice);
        assert_eq!(seen.mean.total(), 0.0, "nothing has changed since");
        let relations = seen.relations().expect("they fit");
        assert_eq!(relations.reference, Reference::StudentNow);
        assert!(seen.scores(0, (0, 0)).is_none());
    }

    #[test]
    fn a_head_that_there_is_not_is_the_mean() {
        let seen = seen(&Choice::default());
        assert_eq!(
            [0, 1, 2, 11].map(|head| seen.head(Some(head))),
            [Some(0), Some(1), None, None]
        );
        assert_eq!(seen.relation(Some(11)), &seen.mean);
    }

    #[test]
    fn a_run_begins_with_its_first_pair() {
        let first = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            first_pair(&names)
        };
        assert_eq!(first(&["Q-K", "V-V"]), Pair::QK);
        assert_eq!(first(&["V-V"]), Pair::VV);
        assert_eq!([first(&[]), first(&["V"]), first(&["QK"])], [Pair::QQ; 3]);
    }
}
