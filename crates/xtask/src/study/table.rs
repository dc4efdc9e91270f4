//! Results as tables: means over seeds, intervals, shares of the teacher's score.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::difference::{Difference, Sample};
use super::measure::{EXAMPLES, FIRST};
use super::picture;
use super::plan::{Arm, Budget, Job, Kind, Student, Study};
use super::results::{Line, Results};
use super::score::Score;
use crate::places::Places;
use crate::shell::{self, Error, Result};

/// The tables are between these lines of docs/study.md.
const MARKERS: [&str; 2] = [
    "<!-- Tables of `cargo xtask study --table`; do not edit them. -->",
    "<!-- End of the tables. -->",
];

/// Relations whose KL has a column.
const PAIRS: [&str; 4] = ["Q-Q", "K-K", "V-V", "Q-K"];

/// All arms of a student and a budget that have been measured.
pub struct Table<'a> {
    /// The budget.
    pub budget: &'a Budget,
    /// The student.
    pub student: &'a Student,
    /// Task and metric of each score.
    pub columns: Vec<(String, String)>,
    /// The arms, in the order of the study.
    pub rows: Vec<Row<'a>>,
}

/// What is known of an arm.
pub struct Row<'a> {
    /// The arm.
    pub arm: &'a Arm,
    /// One for each column.
    pub scores: Vec<Option<Score>>,
    /// The same beside the copied student, in a column where both have one.
    beside: Vec<Option<Difference>>,
    /// KL of each of [`PAIRS`] before the first step and after the last.
    kl: Vec<Option<[f64; 2]>>,
    parameters: Option<f64>,
    seconds: Option<f64>,
}

/// Renders the documents anew; a file that would not change is left alone.
///
/// # Errors
/// Results or documents cannot be read or written, or a marker is gone.
pub fn write(places: &Places, study: &Study, results: &Path) -> Result<()> {
    for (path, text) in render(places, study, results)? {
        if !path.exists() || shell::read(&path)? != text {
            shell::write(&path, text.as_bytes())?;
            eprintln!("rendered {}", path.display());
        }
    }
    Ok(())
}

/// The documents as they are to be, by their paths.
///
/// # Errors
/// Results or documents cannot be read, or a marker is gone.
pub fn render(places: &Places, study: &Study, results: &Path) -> Result<Vec<(PathBuf, String)>> {
    let tables = tables(study, &Results::read(results)?);
    let path = places.root.join("docs/study.md");
    let text = document(&shell::read(&path)?, &tables)
        .map_err(|message| Error::Wrong(format!("{}: {message}", path.display())))?;
    let picture = places.root.join("docs/study.svg");
    Ok(vec![(path, text), (picture, picture::svg(&tables))])
}

/// A document with the tables between its markers.
fn document(text: &str, tables: &[Table]) -> std::result::Result<String, String> {
    let [begin, end] = MARKERS;
    let (before, rest) = text
        .split_once(begin)
        .ok_or_else(|| format!("the line `{begin}` is missing"))?;
    let (_, after) = rest
        .split_once(end)
        .ok_or_else(|| format!("the line `{end}` is missing"))?;
    let tables = markdown_of(tables);
    Ok(format!("{before}{begin}\n{tables}\n{end}{after}"))
}

/// All tables as Markdown.
pub fn markdown_of(tables: &[Table]) -> String {
    tables.iter().map(markdown).collect()
}

/// The tables that have results, in the order of the study. Results of recipes that the study no longer has are left out.
pub fn tables<'a>(study: &'a Study, lines: &[Line]) -> Vec<Table<'a>> {
    let mut tables = Vec::new();
    for budget in &study.budgets {
        for student in &study.students {
            let of_arm = |arm| valid(study, arm, student, budget, lines);
            let arms = study.arms.iter().filter(|arm| arm.is_for(student));
            let measured: Vec<(&Arm, Vec<&Line>)> = arms
                .map(|arm| (arm, of_arm(arm)))
                .filter(|(_, lines)| !lines.is_empty())
                .collect();
            if measured.iter().any(|(arm, _)| arm.kind != Kind::Teacher) {
                tables.push(table(budget, student, &measured));
            }
        }
    }
    tables
}

/// The lines of an arm that are of the study's present recipe.
fn valid<'a>(
    study: &Study,
    arm: &Arm,
    student: &Student,
    budget: &Budget,
    lines: &'a [Line],
) -> Vec<&'a Line> {
    let tuning = budget.tuning.hash();
    let is_valid = |line: &&Line| {
        let of = &line.of;
        let job = Job {
            arm,
            student,
            budget,
            seed: of.seed.unwrap_or_default(),
        };
        of.arm == arm.name
            && of.student.as_ref().is_none_or(|name| *name == student.name)
            && of.budget.as_ref().is_none_or(|name| *name == budget.name)
            && of.recipe == study.hash(&job)
            && of.tuning.as_ref().is_none_or(|(hash, _)| *hash == tuning)
    };
    lines.iter().filter(is_valid).collect()
}

fn table<'a>(
    budget: &'a Budget,
    student: &'a Student,
    measured: &[(&'a Arm, Vec<&Line>)],
) -> Table<'a> {
    let all = || measured.iter().flat_map(|(_, lines)| lines.iter().copied());
    let columns = columns(all());
    // How many examples a task has is the same whoever is measured on it.
    let examples = |task: &str| {
        let is_it =
            |line: &&Line| line.of.metric == EXAMPLES && line.of.task.as_deref() == Some(task);
        all().find(is_it).and_then(|line| line.value)
    };
    let row = |(arm, lines): &(&'a Arm, Vec<&Line>)| {
        let mean_of = |metric: &str| score(lines, None, metric).map(|score| score.mean);
        let kl = PAIRS.map(|pair| {
            let [before, after] =
                ["before", "after"].map(|time| mean_of(&format!("{pair} {time}")));
            before.zip(after).map(|(before, after)| [before, after])
        });
        let sample = |lines: &[&Line], task: &str, metric: &str| {
            let score = score(lines, Some(task), metric)?;
            Some(Sample::of(lines, (task, metric), score, examples(task)))
        };
        let beside = columns.iter().map(|(task, metric)| {
            let (_, copied) = measured.iter().find(|(arm, _)| arm.kind == Kind::Copied)?;
            let own = (arm.kind == Kind::Distilled).then_some(lines)?;
            let [own, copied] = [own, copied].map(|lines| sample(lines, task, metric));
            Some(own?.beside(&copied?))
        });
        Row {
            arm,
            beside: beside.collect(),
            scores: columns
                .iter()
                .map(|(task, metric)| score(lines, Some(task), metric))
                .collect(),
            kl: kl.to_vec(),
            parameters: mean_of("parameters"),
            seconds: mean_of("seconds"),
        }
    };
    let rows = measured.iter().map(row).collect();
    Table {
        budget,
        student,
        columns,
        rows,
    }
}

/// Tasks with the one metric that the tables show: those of vectors first.
fn columns<'l>(lines: impl Iterator<Item = &'l Line>) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for line in lines {
        let metric = &line.of.metric;
        let shown = metric == "accuracy" || FIRST.contains(&metric.as_str());
        let column = line.of.task.clone().filter(|_| shown);
        let column = column.map(|task| (task, metric.clone()));
        found.extend(column.filter(|column| !found.contains(column)));
    }
    let order = |metric: &str| FIRST.iter().position(|first| *first == metric);
    found.sort_by_key(|(_, metric)| order(metric).unwrap_or(FIRST.len()));
    found
}

fn score(lines: &[&Line], task: Option<&str>, metric: &str) -> Option<Score> {
    let is_of = |line: &&&Line| line.of.task.as_deref() == task && line.of.metric == metric;
    let of: Vec<&Line> = lines.iter().filter(is_of).copied().collect();
    // By the student's seed: the heads of one student say nothing about another student.
    let mut by_seed: BTreeMap<Option<u64>, Vec<f64>> = BTreeMap::new();
    for line in &of {
        by_seed.entry(line.of.seed).or_default().extend(line.value);
    }
    by_seed.retain(|_, values| !values.is_empty());
    let students: Vec<f64> = by_seed.values().map(|values| mean(values)).collect();
    let samples = match by_seed.len() {
        0 => return None,
        1 => by_seed.into_values().next().unwrap_or_default(),
        _ => students,
    };
    let ends: Vec<[f64; 2]> = of.iter().filter_map(|line| line.interval).collect();
    let end = |at: usize| mean(&ends.iter().map(|ends| ends[at]).collect::<Vec<f64>>());
    Some(Score {
        mean: mean(&samples),
        spread: half_interval(&samples),
        rows: (!ends.is_empty()).then(|| [end(0), end(1)]),
    })
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Half of the 95 % interval of a mean, by Student's t; none of a single value.
fn half_interval(values: &[f64]) -> Option<f64> {
    let freedom = values.len().checked_sub(1).filter(|freedom| *freedom > 0)?;
    let center = mean(values);
    let squares: f64 = values.iter().map(|value| (value - center).powi(2)).sum();
    let variance = squares / freedom as f64;
    Some(quantile(freedom) * (variance / values.len() as f64).sqrt())
}

/// The 97.5 % quantile of Student's t.
pub fn quantile(freedom: usize) -> f64 {
    const FEW: [f64; 9] = [
        12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622,
    ];
    // Cornish and Fisher's expansion around the normal one; right to 3 digits from 10 on.
    let n = freedom as f64;
    let expanded = 1.95996 + 2.3723 / n + 2.8225 / n.powi(2) + 2.5559 / n.powi(3);
    FEW.get(freedom - 1).copied().unwrap_or(expanded)
}

fn markdown(table: &Table) -> String {
    let pairs: Vec<usize> = (0..PAIRS.len())
        .filter(|at| table.rows.iter().any(|row| row.kl[*at].is_some()))
        .collect();
    let mut head = vec!["arm".to_owned()];
    for (task, metric) in &table.columns {
        head.extend([format!("{task}: {metric}"), "of the teacher".to_owned()]);
    }
    head.extend(pairs.iter().map(|at| format!("KL {}", PAIRS[*at])));
    head.extend(["parameters", "time"].map(str::to_owned));
    let mut text = format!(
        "\n### {}, {}\n\n{}|---|{}\n",
        table.student.name.replace('x', " x "),
        table.budget.title,
        line(&head),
        "---:|".repeat(head.len() - 1)
    );
    for row in &table.rows {
        let mut cells = vec![row.arm.title.clone()];
        for at in 0..table.columns.len() {
            cells.extend(score_cells(table, row, at));
        }
        for at in &pairs {
            let kl = row.kl[*at].map(|[before, after]| format!("{before:.3} → {after:.3}"));
            cells.push(kl.unwrap_or_default());
        }
        let millions = row.parameters.map(|count| format!("{:.1} M", count / 1e6));
        let minutes = row
            .seconds
            .map(|seconds| format!("{:.0} min", seconds / 60.0));
        cells.extend([millions.unwrap_or_default(), minutes.unwrap_or_default()]);
        text.push_str(&line(&cells));
    }
    text + &beside_copied(table)
}

/// The differences from the copied student, as a table of their own; nothing where none is known.
fn beside_copied(table: &Table) -> String {
    let is_known = |at: &usize| table.rows.iter().any(|row| row.beside[*at].is_some());
    let columns: Vec<usize> = (0..table.columns.len()).filter(is_known).collect();
    let mut head = vec!["beside the copied student".to_owned()];
    head.extend(columns.iter().map(|at| {
        let (task, metric) = &table.columns[*at];
        format!("{task}: {metric}")
    }));
    let rows = table.rows.iter();
    let rows = rows.filter(|row| row.beside.iter().any(Option::is_some));
    let row = |row: &Row| {
        let cells = columns.iter().map(|at| row.beside[*at].as_ref());
        let cells = cells.map(|cell| cell.map(Difference::to_string).unwrap_or_default());
        line(
            &std::iter::once(row.arm.title.clone())
                .chain(cells)
                .collect::<Vec<_>>(),
        )
    };
    let rows: String = rows.map(row).collect();
    match rows.is_empty() {
        true => rows,
        false => format!(
            "\n{}|---|{}\n{rows}",
            line(&head),
            "---:|".repeat(columns.len())
        ),
    }
}

fn line(cells: &[String]) -> String {
    format!("| {} |\n", cells.join(" | "))
}

/// A score with what is known of its certainty, and its share of the teacher's; the best student's in bold.
fn score_cells(table: &Table, row: &Row, at: usize) -> [String; 2] {
    let Some(score) = row.scores[at] else {
        return [String::new(), String::new()];
    };
    let means = |students: bool| {
        let rows = table.rows.iter();
        let rows = rows.filter(move |row| (row.arm.kind != Kind::Teacher) == students);
        rows.filter_map(move |row| Some(row.scores[at]?.mean))
    };
    let best = means(true).fold(f64::NEG_INFINITY, f64::max);
    let mut text = format!("{:.1}", 100.0 * score.mean);
    if row.arm.kind != Kind::Teacher && score.mean >= best {
        text = format!("**{text}**");
    }
    if let Some(half) = score.spread {
        // Writing to a string cannot fail.
        let _ = write!(text, " ± {:.1}", 100.0 * half);
    }
    if let Some([low, high]) = score.rows {
        let _ = write!(text, " [{:.1}, {:.1}]", 100.0 * low, 100.0 * high);
    }
    let share = means(false)
        .next()
        .map(|teacher| format!("{:.1} %", 100.0 * score.mean / teacher));
    [text, share.unwrap_or_default()]
}
