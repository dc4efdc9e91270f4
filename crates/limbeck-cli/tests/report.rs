//! The report is made of text that people and tokenizers wrote and of numbers that can be anything.

#[path = "../src/report.rs"]
mod report;

use std::collections::BTreeMap;

use limbeck_recipe::{Evaluation, FileEvaluation, Pair, Part, Step};
use limbeck_relations::Similarity;
use report::{RelationMaps, Report, picture, render};

fn by_name(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// (A, S, S) rows that sum to 1 and differ from cell to cell.
fn map(heads: usize, size: usize, shift: usize) -> Vec<f32> {
    let row = |row: usize| {
        let weight = move |at: usize| 1.0 + ((at * 7 + row * 3 + shift) % 11) as f32;
        let sum: f32 = (0..size).map(weight).sum();
        (0..size).map(move |at| weight(at) / sum)
    };
    (0..heads * size).flat_map(row).collect()
}

fn maps(pairs: &[&str], heads: usize, tokens: &[&str]) -> RelationMaps {
    let of = |shift: usize| {
        pairs
            .iter()
            .map(|_| map(heads, tokens.len(), shift))
            .collect::<Vec<_>>()
    };
    RelationMaps {
        tokens: by_name(tokens),
        pairs: by_name(pairs),
        heads,
        teacher: of(0),
        before: of(5),
        after: of(0),
    }
}

/// Cosines that differ from the teacher's by 0.5 before and by 0.125 after.
fn sentences(texts: &[&str]) -> Option<[Similarity; 2]> {
    let size = texts.len();
    let map = |far: f32| -> Vec<f32> {
        let cell = |i: usize| if i / size == i % size { 1.0 } else { far };
        (0..size * size).map(cell).collect()
    };
    let at = |step, far| Similarity::new(step, by_name(texts), map(0.25), map(far));
    Some([at(0, 0.75)?, at(9, 0.375)?])
}

const QQ: Part = Part::Relation(Pair::QQ);
const VV: Part = Part::Relation(Pair::VV);

/// Values of Q-Q and V-V.
fn parts(values: &[f64]) -> BTreeMap<Part, f64> {
    [QQ, VV].into_iter().zip(values.iter().copied()).collect()
}

fn step(step: u64, loss: f64) -> Step {
    Step {
        step,
        loss,
        parts: parts(&[loss / 2.0; 2]),
        learning_rate: 1e-3,
        gradient_norm: 1.0,
        ..Step::default()
    }
}

fn report(steps: u64) -> Report {
    Report {
        title: "A student".to_owned(),
        facts: vec![("seed".to_owned(), "7".to_owned())],
        steps: (1..=steps).map(|at| step(at, 1.0 / at as f64)).collect(),
        parts: vec![QQ, VV],
        evaluations: vec![
            Evaluation {
                step: 0,
                parts: parts(&[1.0, 0.5]),
                ..Evaluation::default()
            },
            Evaluation {
                step: steps,
                parts: parts(&[0.1, 0.25]),
                ..Evaluation::default()
            },
        ],
        taught_by: "teacher".to_owned(),
        copied: false,
        heldout_note: "64 lines of wiki.txt".to_owned(),
        measured_on: "held-out lines".into(),
        relations: Some(maps(&["Q-Q", "V-V"], 3, &["[CLS]", "tea", "[SEP]"])),
        sentences: sentences(&["A cup of tea.", "A bridge of stone."]),
        notes: Vec::new(),
    }
}

/// The JSON that the page embeds, as its script reads it.
fn embedded(page: &str) -> serde_json::Value {
    let (_, rest) = page
        .split_once("id=\"data\">")
        .expect("the page embeds its data");
    let (data, _) = rest.split_once("</script>").expect("the data ends");
    serde_json::from_str(data).expect("the embedded data is JSON")
}

#[test]
fn text_cannot_become_markup() {
    let hostile = "</script><img src=x onerror=alert(1)>\"'&{{data}}\u{0}";
    let mut subject = report(3);
    subject.title = hostile.to_owned();
    subject.facts = vec![(hostile.to_owned(), hostile.to_owned())];
    subject.notes = vec![hostile.to_owned()];
    subject.heldout_note = hostile.to_owned();
    let mut relations = maps(&[hostile, "V-V"], 3, &[hostile, "tea", "[SEP]"]);
    relations.tokens[1] = "<!--".to_owned();
    subject.relations = Some(relations);
    subject.sentences = sentences(&[hostile, "<!--"]);
    let page = render(&subject);
    assert!(!page.contains("<img"), "markup came through");
    assert_eq!(
        page.matches("</script>").count(),
        2,
        "a script element was closed early"
    );
    assert_eq!(
        page.matches("id=\"data\"").count(),
        1,
        "a value was filled as a template"
    );
    assert!(!page.contains('\u{0}'), "a control character came through");
    let data = embedded(&page);
    assert_eq!(
        data["relations"]["tokens"][0], hostile,
        "the script must see the text as it was"
    );
    assert_eq!(data["relations"]["tokens"][1], "<!--");
    let svg = picture(&subject);
    assert!(
        !svg.contains("<img") && !svg.contains('\u{0}'),
        "markup came through in the picture"
    );
}

#[test]
fn the_page_needs_no_network() {
    let page = render(&report(3)).replace("http://www.w3.org/2000/svg", "");
    for word in ["http:", "https:", "@import", "url(", "fetch(", "src="] {
        assert!(!page.contains(word), "the page has {word}");
    }
    assert!(
        !page.contains("{{"),
        "a place of the template was left open"
    );
}

#[test]
fn sentences_are_drawn_before_and_after() {
    let page = render(&report(9));
    for text in [
        "On 2 of the held-out lines, the cosines",
        "differ from the teacher’s by <b>0.125</b>",
        "before the first step it was 0.500",
        "Sentences at step 0",
        "Sentences at step 9",
        "<li>A bridge of stone.</li>",
    ] {
        assert!(page.contains(text), "{text}");
    }
    let without = Report {
        sentences: None,
        ..report(9)
    };
    assert!(!render(&without).contains("Sentences, side by side"));
}

#[test]
fn the_headline_says_before_and_after() {
    let page = render(&report(3));
    for text in [
        "0.750 to 0.175 nats",
        "−77 %",
        "−90 %",
        "−50 %",
        "64 lines of wiki.txt",
    ] {
        assert!(page.contains(text), "the page does not say {text}");
    }
    let mut worse = report(3);
    worse.evaluations.reverse();
    assert!(render(&worse).contains("moved away from the teacher"));
}

#[test]
fn a_copied_student_is_called_that() {
    let random = report(3);
    let mut copied = report(3);
    copied.copied = true;
    for (report, header, caption, is_copied) in [
        (random, ">before<", "Student, before", false),
        (copied, ">copied student<", "Copied student", true),
    ] {
        let page = render(&report);
        assert!(page.contains(header), "no {header}");
        assert_eq!(embedded(&page)["copied"], is_copied);
        assert!(picture(&report).contains(caption), "no {caption}");
    }
}

#[test]
fn an_empty_report_is_still_a_page_and_a_picture() {
    let page = render(&Report::default());
    assert!(page.contains("No evaluation on held-out lines was recorded"));
    assert!(embedded(&page)["relations"].is_null());
    assert!(picture(&Report::default()).contains("No steps were recorded"));
}

#[test]
fn one_of_everything_is_enough() {
    let mut subject = report(1);
    subject.evaluations.truncate(1);
    subject.relations = Some(maps(&["Q-Q"], 1, &["tea"]));
    let data = embedded(&render(&subject));
    assert_eq!(data["steps"]["step"], serde_json::json!([1]));
    assert_eq!(
        data["relations"]["teacher"][0], "//8=",
        "probability 1 is 65535"
    );
    assert_eq!(
        data["relations"]["kl"]["before"][0],
        serde_json::json!([0.0])
    );
    assert!(picture(&subject).ends_with("</svg>"));
}

#[test]
fn what_is_not_a_number_is_shown_as_missing() {
    let mut subject = report(5);
    subject.steps[2] = step(3, f64::NAN);
    subject.steps[3].parts = parts(&[f64::INFINITY]);
    subject.evaluations[1].parts = parts(&[f64::NAN]);
    if let Some(relations) = &mut subject.relations {
        relations.after[0][0] = f32::NAN;
    }
    let page = render(&subject);
    let data = embedded(&page);
    assert!(data["steps"]["loss"][2].is_null() && data["steps"]["parts"][1][3].is_null());
    assert!(
        data["relations"]["kl"]["after"][0][0].is_null(),
        "NaN must not pass for a distance of 0"
    );
    assert!(
        page.contains("–</b>"),
        "the table must show that the number is missing"
    );
    let svg = picture(&subject);
    assert!(
        !svg.contains("NaN") && !svg.contains("inf"),
        "a coordinate is not a number"
    );
    subject
        .steps
        .iter_mut()
        .for_each(|row| *row = step(row.step, f64::NAN));
    assert!(!picture(&subject).contains("NaN"));
    assert!(
        embedded(&render(&subject))["steps"]["loss"]
            .as_array()
            .is_some_and(|loss| loss.len() == 5)
    );
}

#[test]
fn maps_of_the_wrong_size_are_left_out_and_named() {
    let mut subject = report(3);
    if let Some(relations) = &mut subject.relations {
        relations.before[1].pop();
    }
    let page = render(&subject);
    assert!(page.contains("a map of before has 26 numbers instead of 27"));
    assert!(embedded(&page)["relations"].is_null());
}

#[test]
fn a_long_run_is_thinned_but_keeps_its_spikes_and_ends() {
    let mut subject = report(10_000);
    subject.steps[6_789] = step(6_790, 42.0);
    let data = embedded(&render(&subject));
    let steps = data["steps"]["step"].as_array().expect("steps are a list");
    assert!((600..=1202).contains(&steps.len()), "{} steps", steps.len());
    assert_eq!(
        (&steps[0], &steps[steps.len() - 1]),
        (&1.into(), &10_000.into())
    );
    let at = steps
        .iter()
        .position(|step| step == 6_790)
        .expect("the spike is kept");
    assert_eq!(data["steps"]["loss"][at], 42.0);
    assert!(
        data["steps"]["loss_smooth"][at]
            .as_f64()
            .is_some_and(|mean| mean < 0.2),
        "the average spreads it"
    );
}

#[test]
fn distances_are_those_of_the_rows() {
    let mut subject = report(3);
    subject.relations = Some(RelationMaps {
        tokens: by_name(&["a", "b"]),
        pairs: by_name(&["Q-Q"]),
        heads: 1,
        teacher: vec![vec![0.5, 0.5, 1.0, 0.0]],
        before: vec![vec![0.25, 0.75, 0.5, 0.5]],
        after: vec![vec![0.5, 0.5, 1.0, 0.0]],
    });
    let data = embedded(&render(&subject));
    let kl = |when: &str, row: usize| {
        data["relations"]["kl"][when][0][row]
            .as_f64()
            .unwrap_or(f64::NAN)
    };
    assert!(
        (kl("before", 0) - 0.1438).abs() < 1e-4,
        "0.5 ln(0.5/0.25) + 0.5 ln(0.5/0.75)"
    );
    assert!(
        (kl("before", 1) - std::f64::consts::LN_2).abs() < 1e-4,
        "ln 2; a teacher's zero adds nothing"
    );
    assert_eq!((kl("after", 0), kl("after", 1)), (0.0, 0.0));
}

#[test]
fn a_large_report_stays_small() {
    let mut subject = report(10_000);
    let tokens = vec!["token"; 24];
    subject.parts = vec![QQ, Part::Relation(Pair::KK), VV];
    subject.relations = Some(maps(&["Q-Q", "K-K", "V-V"], 48, &tokens));
    let size = render(&subject).len();
    assert!(size < 2_000_000, "{size} bytes");
    let size = picture(&subject).len();
    assert!(size < 200_000, "{size} bytes of picture");
}

/// Files that are measured by themselves have a table, of which a name cannot become markup.
#[test]
fn each_file_is_told_before_and_after() {
    let mut subject = report(3);
    assert!(!render(&subject).contains("File by file"));
    for (evaluation, factor) in subject.evaluations.iter_mut().zip([1.0, 0.5]) {
        let file = |(name, kl): (&str, f64)| FileEvaluation {
            file: name.to_owned(),
            lines: 12,
            parts: parts(&[factor * kl, kl]),
        };
        evaluation.files = [("en.txt", 0.25), ("<de>.txt", 0.5)].map(file).into();
    }
    let page = render(&subject);
    let table = page.split("<table class=\"files\">").nth(1);
    let table = table.and_then(|rest| rest.split("</table>").next());
    let rows: Vec<&str> = table.expect("the table").split("<tr>").skip(2).collect();
    for (row, texts) in rows.iter().zip([
        ["en.txt", ">12<", "0.250 → 0.125", "0.250 → 0.250"],
        ["&lt;de&gt;.txt", ">12<", "0.500 → 0.250", "0.500 → 0.500"],
    ]) {
        assert!(texts.iter().all(|text| row.contains(text)), "{row}");
    }
    assert_eq!(rows.len(), 2);
    // The student before its first step was measured by an older limbeck.
    subject.evaluations[0].files.clear();
    assert!(render(&subject).contains("– → 0.125"));
}

/// Pairs that are not trained stand in a table of all nine, those that are with a mark, and nowhere among the parts of the loss.
#[test]
fn all_nine_pairs_are_told_and_the_trained_ones_marked() {
    let mut subject = report(3);
    for (evaluation, factor) in subject.evaluations.iter_mut().zip([1.0, 2.0]) {
        let untrained = Pair::all().into_iter().zip(1..);
        evaluation.untrained = untrained
            .filter(|(pair, _)| ![Pair::QQ, Pair::VV].contains(pair))
            .map(|(pair, n)| (Part::Relation(pair), factor * f64::from(n) / 16.0))
            .collect();
    }
    let page = render(&subject);
    let table = page.split("<table class=\"pairs\">").nth(1);
    let table = table.and_then(|rest| rest.split("</table>").next());
    let rows: Vec<&str> = table.expect("the table").split("<tr>").skip(2).collect();
    assert_eq!(rows.len(), 3);
    let cells: Vec<Vec<&str>> = (rows.iter())
        .map(|row| row.split("<td").skip(1).collect())
        .collect();
    for (row, column, text, trained) in [
        (0, 0, "1.00 → 0.100", true),
        (0, 1, "0.125 → 0.250", false),
        (1, 0, "0.250 → 0.500", false),
        (1, 2, "0.375 → 0.750", false),
        (2, 1, "0.500 → 1.00", false),
        (2, 2, "0.500 → 0.250", true),
    ] {
        let cell = cells[row][column];
        assert!(cell.contains(text), "{text} is not in {cell}");
        assert_eq!(cell.contains("swatch"), trained, "{cell}");
    }
    assert!(cells[0][1].contains(">+100 %<"), "{}", cells[0][1]);
    let data = embedded(&page);
    assert_eq!(data["parts"], serde_json::json!(["Q-Q", "V-V"]));
    assert_eq!(
        data["evaluations"][1]["parts"].as_array().map(Vec::len),
        Some(2)
    );
    assert!(page.contains("from <b>0.750 to 0.175 nats</b>"));
    let svg = picture(&subject);
    let below = svg.split("KL of all nine pairs").nth(1).expect("a part");
    assert_eq!(below.matches("<circle").count(), 2);
    for text in [
        ">V-K</text>",
        ">0.500 → 1.00</text>",
        ">1.00 → 0.100</text>",
    ] {
        assert!(below.contains(text), "no {text} in {below}");
    }
}

/// The parts of the output stage begin in mid-run: they are drawn from there on and told beside the pairs, with bars of their
/// own scale, and the headline is about the relations alone.
#[test]
fn the_output_stage_is_shown_beside_the_pairs() {
    let mut subject = report(6);
    subject.parts.push(Part::Cosine);
    for (step, cosine) in subject.steps.iter_mut().skip(3).zip([0.5, 0.25, 0.125]) {
        step.parts.insert(Part::Cosine, cosine);
    }
    for (evaluation, cosine) in subject.evaluations.iter_mut().zip([8.0, 2.0]) {
        evaluation.parts.insert(Part::Cosine, cosine);
    }
    let page = render(&subject);
    let data = embedded(&page);
    assert_eq!(data["parts"], serde_json::json!(["Q-Q", "V-V", "cosine"]));
    assert_eq!(
        data["steps"]["parts"][2],
        serde_json::json!([null, null, null, 0.5, 0.25, 0.125])
    );
    assert_eq!(data["evaluations"][1]["parts"][2], 2.0);
    assert!(page.contains("from <b>0.750 to 0.175 nats</b>"), "{page}");
    let row = page.split("<tr").find(|row| row.contains(">cosine<span"));
    let row = row.expect("a row");
    assert!(
        row.contains("width:100.0%") && row.contains("width:25.0%"),
        "{row}"
    );
    let row = page.split("<tr").find(|row| row.contains(">Q-Q<span"));
    assert!(row.is_some_and(|row| row.contains("width:100.0%")));
    let svg = picture(&subject);
    assert!(svg.contains(">cosine</text>") && !svg.contains("NaN"));
}

#[test]
fn a_part_that_is_no_kl_has_its_own_unit() {
    let pairs_only = render(&report(3));
    let mut subject = report(3);
    subject.parts.push(Part::Cosine);
    for evaluation in &mut subject.evaluations {
        evaluation.parts.insert(Part::Cosine, 0.25);
    }
    let page = render(&subject);
    let row = |name: &str| {
        let (_, rest) = page
            .split_once(&format!("<th scope=\"row\">{name}<"))
            .expect("a row");
        rest.split("</tr>").next().expect("an end").to_owned()
    };
    assert!(row("Q-Q").contains(">KL in nats</span>"));
    let cosine = row("cosine");
    assert!(
        cosine.contains(">1 \u{2212} cosine</span>") && !cosine.contains("nats"),
        "{cosine}"
    );
    for (page, said) in [
        (
            &page,
            "KL in nats; every other part in its own unit. Strong line",
        ),
        (&page, "any other part has a scale of its own"),
        (&pairs_only, "KL in nats. Strong line"),
    ] {
        assert!(page.contains(said), "no {said}");
    }
    assert!(!pairs_only.contains("a scale of its own"));
    assert!(picture(&report(3)).contains(">Distance from the teacher, KL in nats<"));
    assert!(picture(&subject).contains(">Distance from the teacher, KL of pairs in nats<"));
}
