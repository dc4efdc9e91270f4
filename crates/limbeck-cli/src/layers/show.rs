//! What `limbeck layers` found: tables, a sentence, and the files.

use std::io::Write;

use limbeck_recipe::{Evaluation, Pair, counted};
use limbeck_relations::{
    LayerPair, PROFILED, ProbedLayer, Theme, number, profile_page, profile_sheet, svg,
};
use limbeck_score::{Mean, Verdict};
use serde_json::{Value, json};

use super::probe::Probed;
use super::{Answer, Arguments};
use crate::error::CliError;
use crate::output::write_whole;
use crate::terminal;

/// Chooses the draws of the intervals.
const SEED: u64 = 0;

/// Prints what was found, and writes the files that are asked for: whole, or not at all if it was stopped.
///
/// # Errors
/// A file or standard output cannot be written.
pub fn show(answer: &Answer, arguments: &Arguments) -> Result<(), CliError> {
    let summaries: Vec<Option<ProbedLayer>> = answer.probed.iter().map(summary).collect();
    let (recommended, sentence) = conclusion(answer, &summaries);
    let tables = tables(answer, &summaries);
    let mut out = std::io::stdout().lock();
    for (caption, rows) in &tables {
        writeln!(out, "{caption}\n\n{}\n", terminal::columns(rows))?;
    }
    writeln!(out, "{sentence}")?;
    if answer.stopped {
        let files = match arguments.files().next() {
            Some(_) => ". No file was written",
            None => "",
        };
        terminal::say(format_args!("Stopped: this is what was finished{files}"));
        return Ok(());
    }
    let title = format!("Layers of {}", answer.teacher);
    let words = (title.as_str(), sentence.as_str());
    let probed: Vec<ProbedLayer> = summaries.iter().flatten().copied().collect();
    for (flag, path) in arguments.files() {
        let content = match flag {
            "--json" => format!("{}\n", json(answer, &summaries, (recommended, &sentence))),
            "--html" => profile_page(&answer.profile, &probed, words, &tables),
            _ => svg(&profile_sheet(
                &answer.profile,
                &probed,
                words,
                &Theme::light(),
            )),
        };
        write_whole(path, |file| file.write_all(content.as_bytes()))?;
        writeln!(out, "{}", path.display())?;
    }
    Ok(())
}

fn summary(probed: &Probed) -> Option<ProbedLayer> {
    let [before, after] = probed
        .agreement
        .each_ref()
        .map(|lines| Mean::of(lines, SEED));
    let after = after?;
    Some(ProbedLayer {
        layer: probed.layer,
        before: before?.value,
        after: after.value,
        interval: after.interval,
    })
}

/// The layer to learn from, if the probes say so, and why, in a sentence.
fn conclusion(answer: &Answer, summaries: &[Option<ProbedLayer>]) -> (Option<usize>, String) {
    let (usual, probed) = (answer.plan.teacher_layer, &answer.probed);
    let steps = counted(answer.plan.recipe.steps, "step");
    let lines: Vec<Vec<f64>> = probed.iter().map(|p| p.agreement[1].clone()).collect();
    let at = probed.iter().position(|probed| probed.layer == usual);
    let Some(verdict) = Verdict::of(&lines, at, SEED) else {
        let why = match probed.as_slice() {
            [] => "No layer was probed, and entropy and KL alone do not say which teaches best"
                .to_owned(),
            [one, ..] => format!(
                "Layer {} alone was probed, so there is no other to compare it with",
                one.layer
            ),
        };
        return (
            None,
            format!("{why}: limbeck takes layer {usual} unless told otherwise."),
        );
    };
    let [best, rival] = [verdict.best, verdict.rival].map(|at| probed[at].layer);
    let [of_best, of_rival] = [verdict.best, verdict.rival]
        .map(|at| three(summaries[at].map_or(f64::NAN, |found| found.after)));
    let lead = verdict.lead;
    let [low, high] = lead.interval.map(three);
    let figures = format!(
        "agreement {of_best} against {of_rival}, {} ahead, 95 % interval {low} to {high}",
        three(lead.value)
    );
    let count = counted(lines[verdict.best].len(), "line");
    if verdict.is_clear() {
        let sentence = format!(
            "Learn from layer {best} (teacher_layer = {best}): after {steps} with one seed its student orders {count} more as the \
             teacher does than that of layer {rival} ({figures}); a whole run may still differ."
        );
        return (Some(best), sentence);
    }
    let keep = if rival == usual { rival } else { best };
    let sentence = format!(
        "Take layer {keep} (teacher_layer = {keep}): between layers {best} and {rival} there is no difference that {count} can show \
         after {steps} with one seed ({figures})."
    );
    (Some(keep), sentence)
}

/// Three decimals, with a sign that is as wide as a digit.
fn three(value: f64) -> String {
    format!("{value:.3}").replace('-', "\u{2212}")
}

/// Each table with its caption; the first row is the head.
fn tables(answer: &Answer, summaries: &[Option<ProbedLayer>]) -> Vec<(String, Vec<Vec<String>>)> {
    let profile = &answer.profile;
    let mut tables = Vec::new();
    if profile.lines() > 0 {
        let caption = format!(
            "Entropy of a row of the relations of {} in nats, and its share of ln S; mean of {} {} and {}{}",
            answer.teacher,
            profile.lines(),
            answer.kind,
            counted(answer.plan.relation_heads, "relation head"),
            left_out(answer)
        );
        let cell =
            |cell: LayerPair| format!("{} ({:.0} %)", number(cell.entropy), 100.0 * cell.share);
        let rows = profile
            .rows()
            .map(|(layer, cells)| line(layer.to_string(), cells.map(cell)));
        tables.push((caption, with_head("layer", rows)));
        let steps = profile
            .steps()
            .map(|([layer, next], kl)| line(format!("{layer} to {next}"), kl.map(number)));
        let caption = "KL from a layer to the next in nats".to_owned();
        tables.push((caption, with_head("layers", steps)));
    }
    if !answer.probed.is_empty() {
        let (recipe, student) = (&answer.plan.recipe, &answer.plan.recipe.student);
        let caption = format!(
            "Students of {} x {} after {} with seed {}: KL to the layer on held-out lines in nats, before \u{2192} after; and agreement \
             with the teacher (1: the same order of lines; 95 % interval)",
            student.layers,
            student.hidden,
            counted(recipe.steps, "step"),
            recipe.seed
        );
        let rows = answer.probed.iter().zip(summaries);
        let rows = rows.map(|(probed, summary)| {
            let kl = PROFILED.map(|pair| {
                let [before, after] = kl(probed, pair).map(number);
                format!("{before} \u{2192} {after}")
            });
            let mut row = line(probed.layer.to_string(), kl);
            row.extend(summary.map(|found| {
                let [low, high] = found.interval.map(three);
                format!(
                    "{} \u{2192} {} ({low} to {high})",
                    three(found.before),
                    three(found.after)
                )
            }));
            row
        });
        let mut rows = with_head("layer", rows);
        rows[0].push("agreement".to_owned());
        tables.push((caption, rows));
    }
    tables
}

/// The layers that have no relations among all tokens, in words; nothing if all have.
fn left_out(answer: &Answer) -> String {
    let teacher = &answer.plan.teacher;
    let local = (1..=teacher.num_hidden_layers).filter(|layer| teacher.is_local(layer - 1));
    let local: Vec<String> = local.map(|layer| layer.to_string()).collect();
    match local.as_slice() {
        [] => String::new(),
        [layer] => format!(
            "; layer {layer} is left out: it attends to near tokens alone, and has no relations among all"
        ),
        layers => format!(
            "; layers {} are left out: they attend to near tokens alone, and have no relations among all",
            layers.join(", ")
        ),
    }
}

fn line(name: String, cells: [String; 4]) -> Vec<String> {
    std::iter::once(name).chain(cells).collect()
}

fn with_head(first: &str, rows: impl Iterator<Item = Vec<String>>) -> Vec<Vec<String>> {
    let head = line(first.to_owned(), PROFILED.map(|pair| pair.to_string()));
    std::iter::once(head).chain(rows).collect()
}

/// KL of a pair on held-out lines in nats, before and after.
fn kl(probed: &Probed, pair: Pair) -> [f64; 2] {
    let kl = |evaluation: &Evaluation| evaluation.kl(pair).unwrap_or(f64::NAN);
    probed.evaluations.each_ref().map(kl)
}

/// All numbers, with every digit.
fn json(
    answer: &Answer,
    summaries: &[Option<ProbedLayer>],
    (recommended, sentence): (Option<usize>, &str),
) -> Value {
    let pairs = |of: &dyn Fn(usize, Pair) -> Value| -> Value {
        let pairs = PROFILED.iter().enumerate();
        pairs
            .map(|(at, pair)| (pair.key(), of(at, *pair)))
            .collect()
    };
    let layers: Vec<Value> = answer
        .profile
        .rows()
        .map(|(layer, cells)| {
            let entropy = pairs(&|at, _| cells[at].entropy.into());
            let share = pairs(&|at, _| cells[at].share.into());
            json!({ "layer": layer, "entropy": entropy, "share_of_ln_s": share })
        })
        .collect();
    let steps: Vec<Value> = answer
        .profile
        .steps()
        .map(|(layers, kl)| json!({ "layers": layers, "kl": pairs(&|at, _| kl[at].into()) }))
        .collect();
    let probes: Vec<Value> = answer
        .probed
        .iter()
        .zip(summaries)
        .map(|(probed, found)| {
            json!({
                "layer": probed.layer,
                "kl_before": pairs(&|_, pair| kl(probed, pair)[0].into()),
                "kl_after": pairs(&|_, pair| kl(probed, pair)[1].into()),
                "agreement_before": found.map(|found| found.before),
                "agreement_after": found.map(|found| found.after),
                "interval": found.map(|found| found.interval),
            })
        })
        .collect();
    let plan = &answer.plan;
    json!({
        "teacher": answer.teacher, "lines": answer.profile.lines(), "kind": answer.kind,
        "relation_heads": plan.relation_heads, "usual_layer": plan.teacher_layer,
        "layers": layers, "neighbours": steps,
        "steps": if probes.is_empty() { 0 } else { plan.recipe.steps }, "seed": plan.recipe.seed,
        "student": { "layers": plan.student.num_hidden_layers, "hidden": plan.student.hidden_size },
        "probes": probes, "recommended": recommended, "conclusion": sentence,
    })
}
