//! Tasks: read from the text of a table, and what a model makes of their rows.

use std::fmt;

use limbeck_recipe::counted;

use crate::metric::{cosine, mean, pearson, spearman};
use crate::quotes::require_closed_quotes;

/// Rows below which nothing can be said.
const FEWEST: usize = 3;
const EXPECTED: &str = "Expected is a first line with the columns `sentence1`, `sentence2` and `score` (similarity), or with two \
                        columns of text, such as `lemma` and `definition` (retrieval)";

/// Why a file is no task.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {reason}")]
pub struct TaskError {
    /// The file.
    pub file: String,
    /// What was found, and what is expected.
    pub reason: String,
}

/// What is asked of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// How alike two sentences are: cosines against the scores of people.
    Similarity,
    /// Which of the texts of a batch belongs to a text: the one with the largest cosine.
    Retrieval,
}

/// A number that says how good a model's answers are; 1 is the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Spearman's correlation of cosines and scores.
    Spearman,
    /// Pearson's.
    Pearson,
    /// Share of rows whose right answer comes first.
    AccuracyAt1,
    /// Mean reciprocal rank of the right answer.
    Mrr,
    /// Share of rows, or words, whose class is right.
    Accuracy,
    /// F1 of each class, and the mean of them.
    MacroF1,
    /// F1 of the chunks of all sentences, as conlleval and seqeval compute it.
    F1,
}

impl Metric {
    /// For programs.
    pub fn key(self) -> &'static str {
        match self {
            Self::Spearman => "spearman",
            Self::Pearson => "pearson",
            Self::AccuracyAt1 => "accuracy_at_1",
            Self::Mrr => "mrr",
            Self::Accuracy => "accuracy",
            Self::MacroF1 => "macro_f1",
            Self::F1 => "f1",
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Spearman => "Spearman",
            Self::Pearson => "Pearson",
            Self::AccuracyAt1 => "accuracy@1",
            Self::Mrr => "MRR",
            Self::Accuracy => "accuracy",
            Self::MacroF1 => "macro F1",
            Self::F1 => "F1",
        })
    }
}

/// What stands between the fields of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Separator {
    /// A tab; a quote is a character like any other.
    Tab,
    /// A comma; quotes protect it, and line ends, in a field.
    Comma,
}

/// Pairs of texts, and for similarity their scores.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    name: String,
    kind: Kind,
    pairs: Vec<[String; 2]>,
    scores: Vec<f64>,
}

impl Task {
    /// Reads a table with a header.
    ///
    /// # Errors
    /// The table is no task. The message says what was found and what is expected.
    pub fn parse(name: &str, separator: Separator, text: &str) -> Result<Self, TaskError> {
        let wrong = |reason: String| TaskError {
            file: name.to_owned(),
            reason,
        };
        let table = Table::read(separator, text).map_err(wrong)?;
        let header: Vec<String> = table.header.iter().map(|h| h.to_lowercase()).collect();
        let column = |wanted: &str| header.iter().position(|h| h == wanted);
        let named = ["sentence1", "sentence2", "score"].map(column);
        let (kind, columns, score) = match named {
            [Some(first), Some(second), Some(score)] => {
                (Kind::Similarity, [first, second], Some(score))
            }
            _ => {
                table.require_retrieval().map_err(wrong)?;
                (Kind::Retrieval, [0, 1], None)
            }
        };
        if table.rows.len() < FEWEST {
            let rows = table.rows.len();
            return Err(wrong(format!(
                "too few rows, {rows}; at least {FEWEST} are needed"
            )));
        }
        let pair = |row: &Row| Ok(columns.map(|at| row.fields[at].clone()));
        let number = |row: &Row| {
            score
                .map(|at| row.number(&table.header[at], at))
                .transpose()
        };
        let pairs: Result<Vec<[String; 2]>, String> = table.rows.iter().map(pair).collect();
        let scores: Result<Vec<f64>, String> = table
            .rows
            .iter()
            .filter_map(|row| number(row).transpose())
            .collect();
        table.require_text(&columns).map_err(wrong)?;
        let scores = scores.map_err(wrong)?;
        if kind == Kind::Similarity && scores.iter().all(|score| *score == scores[0]) {
            let score = scores[0];
            return Err(wrong(format!(
                "every score is {score}, so no correlation is defined"
            )));
        }
        Ok(Self {
            name: name.to_owned(),
            kind,
            pairs: pairs.map_err(wrong)?,
            scores,
        })
    }

    /// The file's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is asked.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.pairs.len()
    }

    /// Every text, those of the first column first.
    pub fn texts(&self) -> Vec<&str> {
        let side = |side: usize| self.pairs.iter().map(move |pair| pair[side].as_str());
        side(0).chain(side(1)).collect()
    }

    /// The metrics; the first is the one that models are compared by.
    pub fn metrics(&self) -> [Metric; 2] {
        match self.kind {
            Kind::Similarity => [Metric::Spearman, Metric::Pearson],
            Kind::Retrieval => [Metric::AccuracyAt1, Metric::Mrr],
        }
    }

    /// A model's answer to each row, from its vectors of [`Task::texts`]: the cosine of a pair, or the reciprocal rank of the
    /// right text among `batch` of the second column. Those are the rows of the same batch, or the last `batch` of all.
    /// Other texts that are as close as the right one come before it; the same text elsewhere does not count.
    pub fn answers(&self, vectors: &[Vec<f32>], batch: usize) -> Vec<f64> {
        let rows = self.rows();
        let (left, right) = vectors.split_at(rows);
        let candidates = batch.clamp(1, rows);
        let answer = |row: usize| match self.kind {
            Kind::Similarity => cosine(&left[row], &right[row]),
            Kind::Retrieval => {
                let start = (row / candidates * candidates).min(rows - candidates);
                let own = cosine(&left[row], &right[row]);
                let others = (start..start + candidates)
                    .filter(|other| self.pairs[*other][1] != self.pairs[row][1]);
                let before = others.filter(|other| cosine(&left[row], &right[*other]) >= own);
                1.0 / (1 + before.count()) as f64
            }
        };
        (0..rows).map(answer).collect()
    }

    /// A metric of the answers to some of the rows; none if it is not defined on them.
    pub fn measure(&self, metric: Metric, answers: &[f64], rows: &[usize]) -> Option<f64> {
        let of = |values: &[f64]| -> Vec<f64> { rows.iter().map(|row| values[*row]).collect() };
        let answers = of(answers);
        match metric {
            Metric::Spearman => spearman(&answers, &of(&self.scores)),
            Metric::Pearson => pearson(&answers, &of(&self.scores)),
            Metric::Mrr => Some(mean(&answers)),
            Metric::AccuracyAt1 => {
                let first = answers.iter().filter(|answer| **answer == 1.0);
                Some(first.count() as f64 / answers.len() as f64)
            }
            // Of marks.
            Metric::Accuracy | Metric::MacroF1 | Metric::F1 => None,
        }
    }
}

struct Row {
    line: u64,
    fields: Vec<String>,
}

impl Row {
    fn number(&self, column: &str, at: usize) -> Result<f64, String> {
        let (line, text) = (self.line, &self.fields[at]);
        let number = text.trim().parse::<f64>().ok().filter(|x| x.is_finite());
        number.ok_or_else(|| format!("line {line}: `{column}` is `{text}`, not a number"))
    }
}

/// A table with as many fields in each row as in its header.
struct Table {
    header: Vec<String>,
    rows: Vec<Row>,
}

impl Table {
    fn read(separator: Separator, text: &str) -> Result<Self, String> {
        let is_csv = separator == Separator::Comma;
        if is_csv {
            require_closed_quotes(text.as_bytes())?;
        }
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(if is_csv { b',' } else { b'\t' })
            .quoting(is_csv)
            .flexible(true)
            .has_headers(false)
            .from_reader(text.as_bytes());
        let mut rows = Vec::new();
        for record in reader.records() {
            let record = record.map_err(|e| format!("it cannot be read: {e}"))?;
            rows.push(Row {
                line: record.position().map_or(0, csv::Position::line),
                fields: record.iter().map(str::to_owned).collect(),
            });
        }
        if rows.is_empty() {
            return Err(format!("it is empty. {EXPECTED}"));
        }
        let header = rows.remove(0).fields;
        let is_name = |field: &String| {
            let is_letter = |c: char| c.is_alphanumeric() || "_-.".contains(c);
            field.starts_with(char::is_alphabetic) && field.chars().all(is_letter)
        };
        if !header.iter().all(is_name) {
            let found = quoted(&header);
            return Err(format!(
                "its first line, {found}, is no header but data. {EXPECTED}"
            ));
        }
        let columns = header.len();
        if let Some(row) = rows.iter().find(|row| row.fields.len() != columns) {
            let (line, found) = (row.line, row.fields.len());
            let hint = match is_csv {
                true => {
                    "Put a field with commas or quotes into quotes, and double the quotes in it"
                }
                false => "A field must hold no tab; quotes do not protect it but in a .csv",
            };
            return Err(format!(
                "line {line} has {}, the header {columns}. {hint}",
                counted(found, "column")
            ));
        }
        Ok(Self { header, rows })
    }

    /// Two columns of text, of which neither is a label or a number.
    fn require_retrieval(&self) -> Result<(), String> {
        let found = quoted(&self.header);
        let label =
            |column: &&String| ["class", "category"].contains(&column.to_lowercase().as_str());
        if let Some(label) = self.header.iter().find(label) {
            return Err(format!(
                "the column `{label}` holds classes: name it with --label-column (or call it `label`), for models that limbeck finetune \
                 wrote. {EXPECTED}"
            ));
        }
        if self.header.len() != 2 {
            let missing = ["sentence1", "sentence2", "score"];
            let has = |wanted: &str| self.header.iter().any(|h| h.eq_ignore_ascii_case(wanted));
            let missing: Vec<String> = missing
                .iter()
                .filter(|m| !has(m))
                .map(|m| m.to_string())
                .collect();
            return Err(format!(
                "its columns are {found}; it lacks {}. {EXPECTED}",
                quoted(&missing)
            ));
        }
        let is_number = |text: &str| text.trim().parse::<f64>().is_ok();
        for (at, column) in self.header.iter().enumerate() {
            if !self.rows.is_empty() && self.rows.iter().all(|row| is_number(&row.fields[at])) {
                return Err(format!(
                    "its columns are {found}, and `{column}` holds numbers. {EXPECTED}"
                ));
            }
        }
        Ok(())
    }

    fn require_text(&self, columns: &[usize]) -> Result<(), String> {
        for row in &self.rows {
            if let Some(at) = columns.iter().find(|at| row.fields[**at].trim().is_empty()) {
                let (line, column) = (row.line, &self.header[*at]);
                return Err(format!("line {line}: `{column}` is empty"));
            }
        }
        Ok(())
    }
}

fn quoted(names: &[String]) -> String {
    let short = |name: &String| match name.char_indices().nth(40) {
        Some((end, _)) => format!("`{}…`", &name[..end]),
        None => format!("`{name}`"),
    };
    names.iter().map(short).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(name: &str, text: &str) -> String {
        let separator = match name.ends_with(".csv") {
            true => Separator::Comma,
            false => Separator::Tab,
        };
        Task::parse(name, separator, text)
            .expect_err("no task")
            .to_string()
    }

    const ROWS: &str = "a cat\ta dog\t1\na\tb\t2\nc\td\t3\n";

    #[test]
    fn similarity_has_its_columns_in_any_order_among_others() {
        let text =
            "id\tscore\tSentence2\tsentence1\n1\t0.5\ta \"dog\ta cat\n2\t4\tb\ta\n3\t1e0\td\tc\n";
        let task = Task::parse("sts.tsv", Separator::Tab, text).expect("a task");
        assert_eq!((task.kind(), task.rows()), (Kind::Similarity, 3));
        assert_eq!(task.texts(), ["a cat", "a", "c", "a \"dog", "b", "d"]);
        assert_eq!(task.scores, [0.5, 4.0, 1.0]);
    }

    #[test]
    fn a_csv_has_quotes_commas_and_line_ends_in_fields() {
        let text =
            "sentence1,sentence2,score\r\n\"a, \"\"b\"\"\",\"two\nlines\",1\r\nc,d,2\r\ne,f,3\r\n";
        let task = Task::parse("sts.csv", Separator::Comma, text).expect("a task");
        assert_eq!(task.pairs[0], ["a, \"b\"", "two\nlines"]);
    }

    #[test]
    fn what_is_no_task_is_refused_with_what_was_found_and_what_is_expected() {
        for (name, text, reason) in [
            ("t.tsv", String::new(), "it is empty. "),
            (
                "t.tsv",
                ROWS.into(),
                "its first line, `a cat`, `a dog`, `1`, is no header but data. ",
            ),
            (
                "t.tsv",
                format!("sentence1\tother\tscore\n{ROWS}"),
                "its columns are `sentence1`, `other`, `score`; it lacks `sentence2`. ",
            ),
            (
                "t.tsv",
                "sentence\tclass\na\tnoun\n".into(),
                "the column `class` holds classes: name it with --label-column (or call it `label`), for models that limbeck finetune \
                 wrote. ",
            ),
            (
                "t.tsv",
                "sentence\tvalue\na\t1\nb\t2\nc\t3\n".into(),
                "its columns are `sentence`, `value`, and `value` holds numbers. ",
            ),
        ] {
            assert_eq!(refused(name, &text), format!("t.tsv: {reason}{EXPECTED}"));
        }
        for (name, text, message) in [
            (
                "t.tsv",
                format!("sentence1\tsentence2\tscore\n{ROWS}a\t\"b\tc\"\t1\n"),
                "t.tsv: line 5 has 4 columns, the header 3. A field must hold no tab; quotes do not protect it but in a .csv",
            ),
            (
                "t.csv",
                "sentence1,sentence2,score\na,b,c,1\n".into(),
                "t.csv: line 2 has 4 columns, the header 3. Put a field with commas or quotes into quotes, and double the \
                 quotes in it",
            ),
            (
                "t.csv",
                "score,sentence1,sentence2\n1,a,b\n2,c,d\n3,e,f\n4,g,\"h\n5,i,j\n".into(),
                "t.csv: line 5: a field begins with a quote that is left open, so the lines below would belong to it. Close it; if the \
                 quote is part of the text, put the text into quotes and double those in it",
            ),
            (
                "t.tsv",
                format!("sentence1\tsentence2\tscore\n{ROWS}a\tb\tfour\n"),
                "t.tsv: line 5: `score` is `four`, not a number",
            ),
            (
                "t.tsv",
                format!("sentence1\tsentence2\tscore\n{ROWS}a\tb\tNaN\n"),
                "t.tsv: line 5: `score` is `NaN`, not a number",
            ),
            (
                "t.tsv",
                format!("sentence1\tsentence2\tscore\n{ROWS}a\t \t1\n"),
                "t.tsv: line 5: `sentence2` is empty",
            ),
            (
                "t.tsv",
                "sentence1\tsentence2\tscore\na\tb\t1\n".into(),
                "t.tsv: too few rows, 1; at least 3 are needed",
            ),
            (
                "t.tsv",
                "sentence1\tsentence2\tscore\na\tb\t1\nc\td\t1\ne\tf\t1\n".into(),
                "t.tsv: every score is 1, so no correlation is defined",
            ),
        ] {
            assert_eq!(refused(name, &text), message);
        }
    }

    fn words(rows: usize) -> Task {
        let rows: String = (0..rows)
            .map(|row| format!("word{row}\tmeaning {row}\n"))
            .collect();
        Task::parse(
            "t.tsv",
            Separator::Tab,
            &format!("lemma\tdefinition\n{rows}"),
        )
        .expect("a task")
    }

    #[test]
    fn the_right_text_is_sought_in_its_batch() {
        let task = words(5);
        let one_hot = |at: usize| {
            (0..5)
                .map(|place| f32::from(u8::from(place == at)))
                .collect::<Vec<_>>()
        };
        let left: Vec<Vec<f32>> = (0..5).map(one_hot).collect();
        let perfect = [left.clone(), left.clone()].concat();
        assert_eq!(task.answers(&perfect, 2), [1.0; 5]);
        // Rows 0 and 1 are each other's best, as are 3 and 4. Row 3 chooses among rows 2 and 3, which are equally far, and row 4
        // among rows 3 and 4.
        let swapped = [1, 0, 2, 4, 3].map(one_hot).to_vec();
        let swapped = [left, swapped].concat();
        let answers = task.answers(&swapped, 2);
        assert_eq!(answers, [0.5, 0.5, 1.0, 0.5, 0.5]);
        let all = [0, 1, 2, 3, 4];
        assert_eq!(task.measure(Metric::AccuracyAt1, &answers, &all), Some(0.2));
        assert_eq!(task.measure(Metric::Mrr, &answers, &all), Some(0.6));
    }

    #[test]
    fn vectors_that_are_all_alike_find_nothing() {
        let task = words(4);
        assert_eq!(task.answers(&vec![vec![1.0, 1.0]; 8], 4), [0.25; 4]);
    }

    #[test]
    fn the_right_text_in_another_row_is_no_mistake() {
        let text = "word\tmeaning\na\tsame\nb\tsame\nc\tother\n";
        let task = Task::parse("t.tsv", Separator::Tab, text).expect("a task");
        let vectors = [
            [1.0, 0.0],
            [1.0, 0.0],
            [0.0, 1.0],
            [1.0, 0.1],
            [1.0, 0.1],
            [0.0, 1.0],
        ];
        let vectors: Vec<Vec<f32>> = vectors.iter().map(|v| v.to_vec()).collect();
        assert_eq!(task.answers(&vectors, 3), [1.0; 3]);
    }
}
