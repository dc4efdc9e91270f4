//! Sentences side by side: the cosines of the vectors of each two, of teacher and student, and how they are drawn.

use serde::ser::{Serialize, SerializeStruct, Serializer};

use crate::colours::{Rgb, Theme};
use crate::drawing::{Drawing, Item, Words};
use crate::relation::Nested;
use crate::sheet::{MARGIN, Map, along, scale};
use crate::words::{capitalised, clip, number, quoted, visible};

/// Width below which the maps are stacked.
const NARROW: f32 = 760.0;
/// Width of the drawing of a file.
const WIDTH: f32 = 1100.0;
const GAP: f32 = 18.0;
/// Most columns of a label beside a row, where there is room and where there is little; and of one above a column.
const LABEL: usize = 24;
const SHORT: usize = 12;
/// Room of a column of a label, in bold too.
const COLUMN: f32 = 8.0;
const TITLE: f32 = 20.0;
const LARGEST_CELL: f32 = 28.0;
/// Below this, differences are noise: they would fill a scale of their own.
const LEAST_GAP: f32 = 0.01;

/// The cosines of the vectors of each two of N sentences.
#[derive(Clone, Debug, PartialEq)]
pub struct Similarity {
    step: u64,
    /// What the student is held beside: `teacher`, or `assistant`.
    beside: String,
    texts: Vec<String>,
    teacher: Vec<f32>,
    student: Vec<f32>,
}

impl Similarity {
    /// (N, N) of the teacher and of the student after so many steps, row-major, as many as there are sentences; none otherwise.
    pub fn new(
        step: u64,
        texts: Vec<String>,
        teacher: Vec<f32>,
        student: Vec<f32>,
    ) -> Option<Self> {
        let whole = |map: &Vec<f32>| !texts.is_empty() && map.len() == texts.len() * texts.len();
        (whole(&teacher) && whole(&student)).then_some(Self {
            step,
            beside: "teacher".to_owned(),
            texts,
            teacher,
            student,
        })
    }

    /// The same, with another word than `teacher` for what the student is held beside.
    #[must_use]
    pub fn beside(self, word: &str) -> Self {
        let beside = word.to_owned();
        Self { beside, ..self }
    }

    /// N.
    pub fn size(&self) -> usize {
        self.texts.len()
    }

    /// Steps that the student had taken.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// A sentence as it can be shown.
    pub fn text(&self, sentence: usize) -> String {
        let text = self.texts.get(sentence);
        text.map_or_else(String::new, |text| visible(text))
    }

    /// The cosines of a row and a column, of teacher and student.
    pub fn both(&self, (row, column): (usize, usize)) -> Option<[f32; 2]> {
        let at = row * self.size() + column;
        Some([*self.teacher.get(at)?, *self.student.get(at)?])
    }

    fn difference(&self) -> Vec<f32> {
        let both = self.student.iter().zip(&self.teacher);
        both.map(|(student, teacher)| student - teacher).collect()
    }

    /// The cells above the diagonal, each with its absolute difference.
    fn gaps(&self) -> impl Iterator<Item = ((usize, usize), f32)> {
        let (size, difference) = (self.size(), self.difference());
        let cells = (0..size).flat_map(move |row| (row + 1..size).map(move |column| (row, column)));
        cells.map(move |cell| (cell, difference[cell.0 * size + cell.1].abs()))
    }

    /// The mean absolute difference of the cosines of two different sentences.
    pub fn gap(&self) -> f64 {
        let count = self.gaps().count().max(1) as f64;
        self.gaps().map(|(_, gap)| f64::from(gap)).sum::<f64>() / count
    }

    /// The two sentences about which teacher and student differ most.
    pub fn worst(&self) -> (usize, usize) {
        let most = self.gaps().max_by(|a, b| a.1.total_cmp(&b.1));
        most.map_or((0, 0), |(cell, _)| cell)
    }

    /// What is seen, in words.
    pub fn title(&self) -> String {
        format!(
            "{} sentences, student at step {}: its cosines differ from the {}'s by {} (mean absolute difference)",
            self.size(),
            self.step,
            self.beside,
            number(self.gap())
        )
    }

    /// `3 the beginning of the text…`.
    fn labels(&self, most: usize) -> Vec<String> {
        let label = |i| clip(&format!("{} {}", i + 1, self.text(i)), most);
        (0..self.size()).map(label).collect()
    }

    /// Teacher, student and difference with their scales, in a drawing of this width; a cell is framed.
    pub fn maps(&self, cell: Option<(usize, usize)>, width: f32, theme: &Theme) -> Drawing {
        let size = self.size();
        let Places { maps, stacked, .. } = Places::new(size, width);
        let rows = self.labels(if stacked { SHORT } else { LABEL });
        let columns = self.labels(SHORT);
        let difference = self.difference();
        let most = difference
            .iter()
            .fold(LEAST_GAP, |most, d| most.max(d.abs()));
        let cosines = self.teacher.iter().chain(&self.student);
        let least = cosines.fold(0.0_f32, |least, cosine| least.min(*cosine));
        let of_cosine = move |cosine: f32| (cosine - least) / (1.0 - least);
        let of_difference = move |d: f32| 0.5 + d / most / 2.0;
        let names = [
            capitalised(&self.beside),
            format!("Student, step {}", self.step),
            format!("Student \u{2212} {}", self.beside),
        ];
        let mut items = Vec::new();
        for (at, (map, name)) in maps.iter().zip(names).enumerate() {
            let above = if stacked && at > 0 {
                6.0
            } else {
                room(SHORT) + 8.0
            };
            let title = Words::new((map.x, map.y - above), name, 13.0, theme.ink);
            items.push(Item::Text(title.bold()));
            items.push(match at {
                0 => map.image(&self.teacher, &theme.sequential, of_cosine),
                1 => map.image(&self.student, &theme.sequential, of_cosine),
                _ => map.image(&difference, &theme.diverging, of_difference),
            });
            items.push(map.frame(theme.line, 1.0));
            if stacked || at == 0 {
                let labels = map.row_labels(&rows, theme.muted);
                items.extend(marked(labels, cell.map(|cell| cell.0), theme.ink));
            }
            if !stacked || at == 0 {
                let labels = map.column_labels(&columns, theme.muted);
                items.extend(marked(labels, cell.map(|cell| cell.1), theme.ink));
            }
            items.extend(cell.into_iter().flat_map(|cell| map.around(cell, theme)));
        }
        let under = maps[2].y + maps[2].side() + 14.0;
        let colours = theme.sequential.of(&along(least, 1.0), of_cosine);
        let ends = [number(least), "1 cosine".to_owned()];
        let first = if stacked { 0.0 } else { maps[0].x };
        items.extend(scale((first, under), colours, ends, theme));
        let colours = theme.diverging.of(&along(-most, most), of_difference);
        let ends = [number(-most), format!("{} difference", number(most))];
        let (last, lower) = match stacked {
            true => (0.0, under + 20.0),
            false => (maps[2].x, under),
        };
        items.extend(scale((last, lower), colours, ends, theme));
        Drawing {
            width,
            height: lower + 14.0,
            title: format!("Cosines of sentences of {} and student", self.beside),
            description: self.title(),
            items,
        }
    }

    /// The maps as a file shows them: with a heading, a cell in numbers, and the sentences below.
    pub fn sheet(&self, cell: Option<(usize, usize)>, theme: &Theme) -> Drawing {
        let cell = cell.filter(|cell| self.both(*cell).is_some() && cell.1 < self.size());
        let mut drawing = self.maps(cell, WIDTH - 2.0 * MARGIN, theme);
        let by = (MARGIN, MARGIN + 24.0);
        let items = drawing.items.into_iter().map(|item| item.moved(by));
        let page = Item::Rect {
            place: [0.0; 4],
            fill: theme.page,
        };
        drawing.items = [page].into_iter().chain(items).collect();
        drawing.height += by.1 + 10.0;
        let heading = Words::new((MARGIN, MARGIN + 8.0), self.title(), 15.0, theme.ink);
        drawing.items.push(Item::Text(heading.bold()));
        let cell = cell.map(|cell| (self.in_numbers(cell), theme.ink));
        let sentences = (0..self.size()).map(|i| format!("{}  {}", i + 1, self.text(i)));
        let sentences = sentences.map(|text| (text, theme.muted));
        for (text, fill) in cell.into_iter().chain(sentences) {
            drawing.height += 17.0;
            let at = (MARGIN, drawing.height);
            let words = Words::new(at, clip(&text, 150), 12.0, fill);
            drawing.items.push(Item::Text(words));
        }
        (drawing.width, drawing.height) = (WIDTH, drawing.height + MARGIN);
        if let Some(Item::Rect { place, .. }) = drawing.items.first_mut() {
            *place = [0.0, 0.0, drawing.width, drawing.height];
        }
        drawing
    }

    fn in_numbers(&self, (row, column): (usize, usize)) -> String {
        let [teacher, student] = self.both((row, column)).unwrap_or_default();
        format!(
            "{} and {}: {} {}, student {}, difference {}",
            row + 1,
            column + 1,
            self.beside,
            number(teacher),
            number(student),
            number(student - teacher)
        )
    }

    /// A line for each cell: the two sentences, both cosines and their difference.
    pub fn csv(&self) -> String {
        let mut csv = "row,column,from,to,teacher,student,difference\n".to_owned();
        let size = self.size();
        for (i, (teacher, student)) in self.teacher.iter().zip(&self.student).enumerate() {
            let (row, column) = (i / size, i % size);
            csv.push_str(&format!(
                "{},{},{},{},{teacher},{student},{}\n",
                row + 1,
                column + 1,
                quoted(&self.texts[row]),
                quoted(&self.texts[column]),
                student - teacher
            ));
        }
        csv
    }

    /// The row and column at a point of a drawing of this width, of so many sentences.
    pub fn cell_at((x, y): (f32, f32), width: f32, size: usize) -> Option<(usize, usize)> {
        let index = |at: f32, cell: f32| {
            let index = (at / cell).floor();
            (index >= 0.0 && index < size as f32).then_some(index as usize)
        };
        let places = Places::new(size, width);
        let at = |map: &Map| Some((index(y - map.y, map.cell)?, index(x - map.x, map.cell)?));
        places.maps.iter().find_map(at)
    }
}

impl Serialize for Similarity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let shape = [self.size(); 2];
        let map = |values| Nested {
            values,
            shape: &shape,
        };
        let mut all = serializer.serialize_struct("Similarity", 4)?;
        all.serialize_field("step", &self.step)?;
        all.serialize_field("sentences", &self.texts)?;
        all.serialize_field("teacher", &map(&self.teacher))?;
        all.serialize_field("student", &map(&self.student))?;
        all.end()
    }
}

/// Room for a label of so many columns.
fn room(columns: usize) -> f32 {
    columns as f32 * COLUMN + 8.0
}

/// One of the labels stands out.
fn marked(labels: Vec<Item>, chosen: Option<usize>, ink: Rgb) -> impl Iterator<Item = Item> {
    let labels = labels.into_iter().enumerate();
    labels.map(move |(at, item)| match item {
        Item::Text(words) if chosen == Some(at) => Item::Text(Words { fill: ink, ..words }.bold()),
        item => item,
    })
}

/// Where the three maps are.
struct Places {
    maps: [Map; 3],
    stacked: bool,
}

impl Places {
    fn new(size: usize, width: f32) -> Self {
        let stacked = width < NARROW;
        let (gutter, maps) = match stacked {
            true => (room(SHORT), 1.0),
            false => (room(LABEL), 3.0),
        };
        let each = (width - gutter - (maps - 1.0) * GAP) / maps;
        let cell = (each / size.max(1) as f32).clamp(1.0, LARGEST_CELL);
        let side = cell * size as f32;
        let top = TITLE + room(SHORT);
        let map = |at: usize| {
            let at = at as f32;
            let (right, down) = match stacked {
                true => (0.0, at * (side + TITLE + GAP)),
                false => (at * (each.min(side.max(190.0)) + GAP), 0.0),
            };
            Map {
                x: gutter + right,
                y: top + down,
                cell,
                size,
            }
        };
        Self {
            maps: std::array::from_fn(map),
            stacked,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn similarity(size: usize) -> Similarity {
        let texts = (0..size).map(|i| format!("sentence, \"number\" {i} of some"));
        let map = |far: f32| -> Vec<f32> {
            let cell = |i: usize| match i / size == i % size {
                true => 1.0,
                false => far + 0.01 * (i / size + i % size) as f32,
            };
            (0..size * size).map(cell).collect()
        };
        Similarity::new(30, texts.collect(), map(-0.1), map(0.4)).expect("they fit")
    }

    #[test]
    fn numbers_must_fit_the_sentences() {
        let new = |texts: usize, teacher: usize, student: usize| {
            let texts = vec!["a".to_owned(); texts];
            Similarity::new(0, texts, vec![0.0; teacher], vec![0.0; student]).is_some()
        };
        assert!(new(2, 4, 4));
        assert!(!new(2, 4, 2) && !new(2, 2, 4) && !new(0, 0, 0));
    }

    #[test]
    fn the_gap_is_that_of_different_sentences() {
        let mut some = similarity(3);
        assert!((some.gap() - 0.5).abs() < 1e-6, "{}", some.gap());
        for at in [3 + 2, 2 * 3 + 1] {
            some.student[at] += 0.3;
        }
        assert_eq!(some.worst(), (1, 2));
        assert!((some.gap() - 0.6).abs() < 1e-6);
        assert_eq!((similarity(1).gap(), similarity(1).worst()), (0.0, (0, 0)));
        some.student[1] = f32::NAN;
        assert_eq!(some.worst(), (0, 1), "what is not a number must be seen");
        assert!(some.title().ends_with("by – (mean absolute difference)"));
    }

    #[test]
    fn everything_is_on_the_drawing_and_every_cell_is_found() {
        for (size, width) in [
            (1, 300.0),
            (12, 320.0),
            (12, 700.0),
            (16, 760.0),
            (16, 1300.0),
        ] {
            let drawing = similarity(size).maps(Some((size - 1, 0)), width, &Theme::light());
            for item in &drawing.items {
                let ([x, y, w, h], text) = match item {
                    Item::Text(words) => ([words.at.0, words.at.1, 0.0, 0.0], &*words.text),
                    Item::Image { place, .. } | Item::Frame { place, .. } => (*place, ""),
                    _ => panic!("{item:?}"),
                };
                let inside =
                    x >= 0.0 && y >= 0.0 && x + w <= width + 0.1 && y + h <= drawing.height;
                assert!(inside, "{size} in {width}: {item:?} {text}");
            }
            for map in Places::new(size, width).maps {
                let at = (map.x + 0.5 * map.cell, map.y + map.side() - 0.5 * map.cell);
                assert_eq!(Similarity::cell_at(at, width, size), Some((size - 1, 0)));
            }
            assert_eq!(Similarity::cell_at((1.0, 1.0), width, size), None);
        }
    }

    #[test]
    fn a_file_has_the_sentences_and_a_cell_in_numbers() {
        let some = similarity(4);
        let plain = crate::svg(&some.sheet(None, &Theme::dark()));
        assert!(plain.contains("4 sentences, student at step 30: its cosines differ"));
        assert!(plain.contains("4  sentence, &quot;number&quot; 3 of some"));
        let framed = crate::svg(&some.sheet(Some((0, 3)), &Theme::dark()));
        assert!(framed.contains("1 and 4: teacher −0.0700, student 0.430, difference 0.500"));
        let beyond = crate::svg(&some.sheet(Some((0, 4)), &Theme::dark()));
        assert_eq!(beyond, plain, "no such cell");
    }

    #[test]
    fn numbers_go_into_files() {
        let csv = similarity(2).csv();
        let lines: Vec<&str> = csv.lines().collect();
        assert_eq!(lines.len(), 1 + 4);
        assert_eq!(
            lines[1],
            "1,1,\"sentence, \"\"number\"\" 0 of some\",\"sentence, \"\"number\"\" 0 of some\",1,1,0"
        );
        let json = serde_json::to_value(similarity(2)).expect("it is plain");
        assert_eq!(
            (&json["step"], &json["student"][1][1]),
            (&30.into(), &1.0.into())
        );
    }
}
