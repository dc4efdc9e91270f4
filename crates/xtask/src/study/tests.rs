//! The study with a stand-in for the program, which logs its calls; and the committed study.

use std::path::{Path, PathBuf};

use super::interrupt::Interrupt;
use super::measure::Task;
use super::plan::{Job, Study};
use super::results::{Ground, Key, Line, Results};
use super::runs::Runs;
use super::{Options, all, jobs, same_ground, table};
use crate::places::Places;
use crate::shell::{self, Result};

const STUDY: &str = r#"
[recipe]
steps = 1
student = { init = "teacher", layers = 1 }
[[budget]]
name = "quick"
title = "one step"
recipe = { batch = 2 }
seeds = 2
tuning = { seeds = 2, epochs = 1, batch = 2, learning_rate = 1e-4, max_length = 8, pooling = "mean", arms = ["teacher", "first"] }
[[student]]
name = "3x384"
recipe = { student = { layers = 3 } }
[[arm]]
name = "teacher"
title = "the teacher"
kind = "teacher"
[[arm]]
name = "copied"
title = "copied"
kind = "copied"
[[arm]]
name = "first"
title = "the first"
[[arm]]
name = "second"
title = "the <second>"
recipe = { student = { init = "random" } }
"#;

/// A study in a folder of its own.
struct Scene {
    folder: PathBuf,
    study: Study,
    ground: Ground,
}

impl Scene {
    fn new(name: &str) -> Self {
        let folder =
            std::env::temp_dir().join(format!("limbeck-study-{name}-{}", std::process::id()));
        std::fs::remove_dir_all(&folder).ok();
        for below in ["teacher", "sts", "tweets"] {
            std::fs::create_dir_all(folder.join(below)).expect("a folder");
        }
        std::fs::write(folder.join("sts/dev.tsv"), "sentence1\tsentence2\tscore\n")
            .expect("a file");
        std::fs::write(
            folder.join("tweets/dev.tsv"),
            "sentence\tlabel\na\tyes\nb\tyes\nc\tyes\nd\tyes\n",
        )
        .expect("a file");
        let stand_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/study/stand_in.sh");
        std::os::unix::fs::symlink(stand_in, folder.join("limbeck")).expect("a link");
        let [teacher, corpus] = ["t", "c"].map(str::to_owned);
        Self {
            folder,
            study: Study::parse(STUDY).expect("a study"),
            ground: Ground { teacher, corpus },
        }
    }

    fn results(&self) -> Results {
        Results::open(&self.folder.join("results.jsonl"), &self.ground).expect("results")
    }

    /// Runs the study, and returns the calls that it took.
    fn run(&self, tune: bool) -> (Result<()>, Vec<String>) {
        let log = self.folder.join("log");
        std::fs::write(&log, "").expect("a log");
        let interrupt = Interrupt::default();
        let runs = Runs {
            study: &self.study,
            program: &self.folder.join("limbeck"),
            teacher: &self.folder.join("teacher"),
            corpus: &[],
            work: &self.folder.join("work"),
            device: None,
            interrupt: &interrupt,
        };
        let jobs = jobs(&self.study, &options(&[])).expect("jobs");
        let tasks = |path: &str| Task::all(&[self.folder.join(path)]).expect("a task");
        let labelled = if tune { tasks("tweets") } else { Vec::new() };
        let mut results = self.results();
        let outcome = all(
            &runs,
            &jobs,
            &tasks("sts/dev.tsv"),
            &labelled,
            &mut results,
            &|| Ok(()),
        );
        let calls = std::fs::read_to_string(log).expect("the log");
        (outcome, calls.lines().map(str::to_owned).collect())
    }

    /// Has the next run break off, with a checkpoint or without.
    fn breaks(&self, how: &str) {
        std::fs::write(self.folder.join("break"), how).expect("a file");
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

fn options(arguments: &[&str]) -> Options {
    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        options: Options,
    }
    let words = ["study", "--teacher", "t", "--corpus", "c"];
    let words = words.iter().chain(arguments);
    <Cli as clap::Parser>::try_parse_from(words)
        .expect("flags")
        .options
}

#[test]
fn every_arm_is_made_once_and_measured_once() {
    let scene = Scene::new("once");
    let (outcome, calls) = scene.run(true);
    outcome.expect("a study");
    let name = scene.folder.file_name().expect("a name").to_string_lossy();
    let teacher = format!("evaluate {name}");
    let made = [
        "baseline copied-1",
        "evaluate copied-1",
        "distill first-1",
        "evaluate first-1",
        "distill second-1",
        "evaluate second-1",
        "distill first-2",
        "evaluate first-2",
        "distill second-2",
        "evaluate second-2",
    ];
    assert_eq!(calls[0], teacher);
    assert_eq!(calls[1..11], made);
    // The teacher and the arm that the budget names, each with two heads.
    let tuned = calls[11..]
        .iter()
        .map(String::as_str)
        .collect::<Vec<&str>>();
    let of_teacher = [1, 2].map(|seed| format!("finetune {name} tweets {seed}"));
    assert_eq!(tuned[..2], of_teacher);
    assert_eq!(
        tuned[2..],
        [
            "finetune first-1 tweets 1",
            "finetune first-1 tweets 2",
            "finetune first-2 tweets 1",
            "finetune first-2 tweets 2"
        ]
    );
    let before = scene.results().lines;
    let (outcome, calls) = scene.run(true);
    outcome.expect("nothing to do");
    assert_eq!(calls, Vec::<String>::new());
    assert_eq!(scene.results().lines, before);
    assert!(!scene.folder.join("work/tuned").exists());
}

#[test]
fn a_run_tells_of_pairs_that_it_does_not_train_and_heads_of_single_examples() {
    let scene = Scene::new("untrained");
    scene.run(true).0.expect("a study");
    let path = scene.folder.join("results.jsonl");
    let text = std::fs::read_to_string(&path).expect("results");
    let value = |metric: &str| {
        let lines = scene.results().lines;
        let is_it = |line: &&Line| line.of.arm == "first" && line.of.metric == metric;
        let found = lines.iter().find(is_it).cloned();
        found.map(|line| (line.value, line.right))
    };
    assert_eq!(value("Q-K before"), Some((Some(0.75), None)));
    assert_eq!(value("Q-K after"), Some((Some(0.5), None)));
    let right = Some("1101".to_owned());
    assert_eq!(value("accuracy"), Some((Some(0.75), right)));
    assert_eq!(value("examples"), Some((Some(4.0), None)));
    // Results from before: what is still there is read again, and nothing is made or measured again.
    let of_before = |line: &&str| !line.contains("Q-K") && !line.contains("examples");
    let before: String = text
        .lines()
        .filter(of_before)
        .map(|line| line.to_owned() + "\n")
        .collect();
    std::fs::write(&path, &before).expect("results");
    assert_eq!(value("Q-K after"), None);
    let (outcome, calls) = scene.run(true);
    outcome.expect("what is left");
    assert_eq!(calls, Vec::<String>::new());
    let mut again: Vec<String> = std::fs::read_to_string(&path)
        .expect("results")
        .lines()
        .map(str::to_owned)
        .collect();
    let mut whole: Vec<String> = text.lines().map(str::to_owned).collect();
    assert!(again.join("\n").starts_with(before.trim_end()));
    for lines in [&mut again, &mut whole] {
        // Times of measuring differ.
        lines
            .iter_mut()
            .for_each(|line| line.truncate(line.rfind(",\"seconds\"").unwrap_or(line.len())));
        lines.sort();
    }
    assert_eq!(again, whole);
    // Without the student there is nothing to read, and it is not made again for that.
    std::fs::write(&path, &before).expect("results");
    std::fs::remove_dir_all(scene.folder.join("work")).expect("the students");
    assert_eq!(scene.run(true).1, Vec::<String>::new());
    assert_eq!(value("Q-K after"), None);
}

#[test]
fn a_run_that_was_broken_off_is_resumed_and_nothing_else_repeated() {
    let scene = Scene::new("resumed");
    scene.breaks("checkpoint");
    let (outcome, calls) = scene.run(false);
    let error = outcome.expect_err("a run that fails").to_string();
    assert!(
        error.ends_with("\n  first, 3x384, budget quick, seed 1"),
        "{error}"
    );
    // The others are made.
    assert_eq!(calls[3..5], ["distill first-1", "distill second-1"]);
    let of_first = |line: &Line| line.of.arm == "first" && line.of.seed == Some(1);
    assert!(!scene.results().lines.iter().any(of_first));
    let (outcome, calls) = scene.run(false);
    outcome.expect("the rest of the study");
    assert_eq!(calls, ["resume first-1", "evaluate first-1"]);
}

#[test]
fn a_run_that_left_no_checkpoint_begins_again_with_the_recipe_of_now() {
    let mut scene = Scene::new("anew");
    scene.breaks("nothing");
    scene.run(false).0.expect_err("a run that fails");
    let recipe = scene.folder.join("work/quick/3x384/first-1/recipe.toml");
    assert!(!shell::read(&recipe).expect("a recipe").contains("heads"));
    let mended = STUDY.replace(
        "title = \"the first\"",
        "title = \"the first\"\nrecipe = { student = { heads = 4 } }",
    );
    scene.study = Study::parse(&mended).expect("a study");
    std::fs::remove_dir_all(scene.folder.join("work/quick/3x384/first-2")).expect("a folder");
    let (outcome, calls) = scene.run(false);
    outcome.expect("the rest of the study");
    assert_eq!(
        calls,
        [
            "distill first-1",
            "evaluate first-1",
            "distill first-2",
            "evaluate first-2"
        ]
    );
    assert!(
        shell::read(&recipe)
            .expect("a recipe")
            .contains("heads = 4")
    );
}

#[test]
fn a_line_that_was_cut_off_is_measured_again_without_making_the_student_again() {
    let scene = Scene::new("cut");
    scene.run(false).0.expect("a study");
    let path = scene.folder.join("results.jsonl");
    let whole = std::fs::read_to_string(&path).expect("results");
    std::fs::write(&path, &whole[..whole.len() - 9]).expect("results");
    let (outcome, calls) = scene.run(false);
    outcome.expect("the rest of the study");
    assert_eq!(calls, ["evaluate second-2"]);
    let lines = scene.results().lines;
    assert_eq!(lines.len(), whole.lines().count() - 1);
}

#[test]
fn the_time_of_a_run_is_the_sum_over_its_parts_or_unknown() {
    let scene = Scene::new("time");
    scene.run(false).0.expect("a study");
    let place = scene.folder.join("work/quick/3x384/first-1");
    let seconds = |times: &str| {
        std::fs::write(place.join("times"), times).expect("times");
        std::fs::remove_file(scene.folder.join("results.jsonl")).expect("results");
        scene.run(false).0.expect("a study");
        let lines = scene.results().lines;
        let is_it = |line: &&Line| {
            line.of.arm == "first" && line.of.seed == Some(1) && line.of.metric == "seconds"
        };
        lines.iter().find(is_it).expect("the time").value
    };
    assert_eq!(seconds("began\n2\nbegan\n3.5\n"), Some(5.5));
    assert_eq!(seconds("began\nbegan\n3.5\n"), None);
}

#[test]
fn an_arm_that_changed_is_not_mixed_with_its_old_student() {
    let mut scene = Scene::new("changed");
    scene.run(false).0.expect("a study");
    let changed = STUDY.replace(r#"init = "random""#, r#"init = "random", heads = 2"#);
    scene.study = Study::parse(&changed).expect("a study");
    let (outcome, calls) = scene.run(false);
    let error = outcome.expect_err("another recipe").to_string();
    let refused = [1, 2].map(|seed| format!("\n  second, 3x384, budget quick, seed {seed}"));
    assert!(error.ends_with(&refused.concat()), "{error}");
    assert_eq!(calls, Vec::<String>::new());
    std::fs::remove_dir_all(scene.folder.join("work/quick/3x384/second-1")).expect("a folder");
    std::fs::remove_dir_all(scene.folder.join("work/quick/3x384/second-2")).expect("a folder");
    let (outcome, calls) = scene.run(false);
    outcome.expect("the changed arm");
    assert_eq!(
        calls,
        [
            "distill second-1",
            "evaluate second-1",
            "distill second-2",
            "evaluate second-2"
        ]
    );
}

#[test]
fn results_and_students_of_another_teacher_are_refused() {
    let scene = Scene::new("ground");
    let path = scene.folder.join("results.jsonl");
    drop(scene.results());
    let other = Ground {
        teacher: "u".to_owned(),
        corpus: "c".to_owned(),
    };
    let error = Results::open(&path, &other)
        .err()
        .expect("an error")
        .to_string();
    assert!(
        error.contains("of another teacher or other texts"),
        "{error}"
    );
    let work = scene.folder.join("work");
    same_ground(&work, &scene.ground).expect("a new folder");
    same_ground(&work, &scene.ground).expect("the same");
    same_ground(&work, &other).expect_err("another");
}

#[test]
fn names_that_the_study_does_not_have_are_refused_with_those_that_it_has() {
    let study = Study::parse(STUDY).expect("a study");
    let refusal = |arguments: &[&str]| {
        jobs(&study, &options(arguments))
            .expect_err("an error")
            .to_string()
    };
    assert_eq!(
        refusal(&["--arms", "third"]),
        "the study has no arm `third`; it has teacher, copied, first, second"
    );
    assert_eq!(
        refusal(&["--budget", "x"]),
        "the study has no budget `x`; it has quick"
    );
    assert_eq!(
        refusal(&["--students", "x"]),
        "the study has no student `x`; it has 3x384"
    );
    let twice = STUDY.replace("\"second\"", "\"first\"");
    assert_eq!(
        Study::parse(&twice).expect_err("an error"),
        "arm `first` is there twice"
    );
    let jobs = jobs(&study, &options(&["--arms", "second", "--seeds", "3"])).expect("jobs");
    let seeds: Vec<u64> = jobs.iter().map(|job| job.seed).collect();
    assert_eq!(seeds, [1, 2, 3]);
}

/// A line of an arm of [`STUDY`].
fn line(study: &Study, arm: usize, seed: u64, task: &str, metric: &str, value: f64) -> Line {
    let job = Job {
        arm: &study.arms[arm],
        student: &study.students[0],
        budget: &study.budgets[0],
        seed,
    };
    let is_student = arm > 0;
    let text = |text: &str| is_student.then(|| text.to_owned());
    Line {
        of: Key {
            arm: job.arm.name.clone(),
            student: text("3x384"),
            budget: text("quick"),
            seed: is_student.then_some(seed),
            recipe: study.hash(&job),
            task: Some(task.to_owned()),
            tuning: None,
            metric: metric.to_owned(),
        },
        value: Some(value),
        interval: None,
        right: None,
        seconds: 1.0,
    }
}

#[test]
fn tables_hold_means_intervals_shares_and_the_best() {
    let study = Study::parse(STUDY).expect("a study");
    let spearman = |arm, seed, value| line(&study, arm, seed, "sts/dev", "Spearman", value);
    let mut lines = vec![
        spearman(0, 0, 0.8),
        spearman(1, 1, 0.5),
        spearman(2, 1, 0.6),
        spearman(2, 2, 0.64),
        spearman(3, 1, 0.7),
    ];
    lines[1].interval = Some([0.4, 0.6]);
    for (seed, value) in [(1, 0.25), (2, 0.75)] {
        let mut tuned = line(&study, 1, 1, "tweets", "accuracy", value);
        tuned.of.tuning = Some((study.budgets[0].tuning.hash(), seed));
        lines.push(tuned);
    }
    // Recipes that the study does not have, and a metric that the tables do not show.
    lines.push(spearman(3, 1, 0.1));
    lines[7].of.recipe = "old".to_owned();
    lines.push(line(&study, 3, 1, "sts/dev", "Pearson", 0.1));
    let text = table::markdown_of(&table::tables(&study, &lines));
    let row = |arm: &str| {
        let line = text
            .lines()
            .find(|line| line.starts_with(&format!("| {arm} |")));
        line.expect("a row").to_owned()
    };
    assert!(text.contains(
        "| arm | sts/dev: Spearman | of the teacher | tweets: accuracy | of the teacher |"
    ));
    assert!(row("the teacher").starts_with("| the teacher | 80.0 | 100.0 % |  |  |"));
    // 12.7062 times the deviation of 25 and 75, 35.36, over the root of 2.
    assert!(
        row("copied").starts_with("| copied | 50.0 [40.0, 60.0] | 62.5 % | **50.0** ± 317.7 |  |")
    );
    assert!(row("the first").starts_with("| the first | 62.0 ± 25.4 | 77.5 % |  |  |"));
    assert!(row("the <second>").starts_with("| the <second> | **70.0** | 87.5 % |  |  |"));
}

#[test]
fn tables_hold_the_attention_and_what_an_arm_is_beside_the_copied_student() {
    let study = Study::parse(STUDY).expect("a study");
    let spearman = |arm, value: f64, half: f64| {
        let interval = Some([value - half, value + half]);
        Line {
            interval,
            ..line(&study, arm, 1, "sts/dev", "Spearman", value)
        }
    };
    let accuracy = |arm, value, right: Option<&str>| {
        let mut tuned = line(&study, arm, 1, "tweets", "accuracy", value);
        tuned.of.tuning = Some((study.budgets[0].tuning.hash(), 1));
        tuned.right = right.map(str::to_owned);
        tuned
    };
    let kl = |time: &str, value| {
        let mut kl = line(&study, 2, 1, "", &format!("Q-K {time}"), value);
        kl.of.task = None;
        kl
    };
    let mut lines = vec![
        spearman(1, 0.5, 0.03),
        spearman(2, 0.6, 0.04),
        accuracy(1, 0.5, Some("1100")),
        accuracy(2, 0.75, Some("1110")),
        accuracy(3, 0.25, None),
        kl("before", 0.25),
        kl("after", 0.125),
    ];
    let text = table::markdown_of(&table::tables(&study, &lines));
    let below = "\n\n| beside the copied student | sts/dev: Spearman | tweets: accuracy |\n|---|---:|---:|\n\
                 | the first | +10.0 ± 5.0 | +25.0 ± 49.0, paired |\n| the <second> |  | -25.0 |\n";
    assert!(text.ends_with(below), "{text}");
    assert!(text.contains("| KL Q-K | parameters | time |"), "{text}");
    assert!(text.contains(" 0.250 → 0.125 |"), "{text}");
    // With the number of examples, an accuracy has a standard error: 0.25 for both.
    let mut examples = line(&study, 0, 0, "tweets", "examples", 4.0);
    examples.of.tuning = None;
    lines.push(examples);
    lines[2].right = None;
    let text = table::markdown_of(&table::tables(&study, &lines));
    assert!(
        text.contains("| the <second> |  | -25.0 ± 64.8 |"),
        "{text}"
    );
    // Nothing to be beside.
    lines.retain(|line| line.of.arm != "copied");
    assert!(!table::markdown_of(&table::tables(&study, &lines)).contains("beside"));
}

#[test]
fn quantiles_are_those_of_students_t() {
    // From tables, to 3 digits.
    for (freedom, expected) in [
        (1, 12.706),
        (9, 2.262),
        (10, 2.228),
        (30, 2.042),
        (120, 1.980),
    ] {
        let found = table::quantile(freedom);
        assert!((found - expected).abs() < 6e-4, "{freedom}: {found}");
    }
}

#[test]
fn the_picture_has_a_mark_for_each_arm_and_escapes_its_name() {
    let study = Study::parse(STUDY).expect("a study");
    let lines = [(0, 0.8), (2, 0.6), (3, 0.7)]
        .map(|(arm, value)| line(&study, arm, 1, "sts/dev", "Spearman", value));
    let picture = super::picture::svg(&table::tables(&study, &lines));
    let count = |text: &str| picture.matches(text).count();
    assert_eq!((count("class=\"mark\""), count("class=\"best\"")), (2, 1));
    assert_eq!(count("the &lt;second&gt;"), 1);
    assert!(!picture.contains("NaN"));
}

#[test]
fn the_committed_tables_and_picture_are_those_of_the_committed_results() {
    let places = Places::find().expect("the workspace");
    let study = Study::read(&places.root.join("docs/study/study.toml")).expect("the study");
    let rendered = table::render(
        &places,
        &study,
        &places.root.join("docs/study/results.jsonl"),
    );
    for (path, text) in rendered.expect("documents") {
        let found = shell::read(&path).unwrap_or_default();
        assert!(
            found == text,
            "{} is not what the results say: run `cargo xtask study --table`",
            path.display()
        );
    }
}
