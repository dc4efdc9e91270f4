//! What a finished run leaves: the student's folder, the report, and a few lines for people.

use limbeck_engine::card::{self, Outcome};
use limbeck_engine::{Compared, Session};
use limbeck_protocol::before_use;
use limbeck_recipe::{Config, HubId, Plan, file_size};
use limbeck_relations::{Projections, Similarity};
use serde_json::json;

use super::listener::Listener;
use super::metrics::Past;
use crate::error::CliError;
use crate::output::{KEPT, METRICS};
use crate::report::{self, RelationMaps, Report};

/// Writes the student and its report, and removes what only an unfinished run needs.
///
/// # Errors
/// A file cannot be written, or a tensor not be read back. The checkpoint is still there then.
pub fn finish(session: &Session, listener: &Listener) -> Result<(), CliError> {
    listener.progress.finish();
    let (output, outcome) = (&listener.output, session.outcome());
    for (name, bytes) in pollster::block_on(session.student())? {
        output.write(&name, &bytes)?;
    }
    let report = report_of(session, &outcome)?;
    output.write("report.html", report::render(&report).as_bytes())?;
    output.write("report.svg", report::picture(&report).as_bytes())?;
    let plan = session.run().plan();
    let numbers = Past::read(output, &plan.recipe, session.steps_taken())?;
    let kept = put_away(listener, &numbers)?;
    let folder = output.folder().display();
    let (parts, pairs) = (outcome.table(plan), outcome.all_pairs(plan));
    let facts: Vec<String> = outcome
        .facts()
        .iter()
        .map(|(name, value)| format!("  {name:<16} {value}"))
        .collect();
    let damage = numbers.damage(METRICS);
    let files = outcome
        .by_file(plan)
        .map_or_else(String::new, |files| format!("File by file:\n{files}\n"));
    let text = format!(
        "\n{parts}\nAll nine pairs; ** marks those that were trained:\n{pairs}\n{files}{}\n\n{}\n{}: {folder}\nreport:  {folder}/report.html{}{}",
        outcome.heldout_note,
        facts.join("\n"),
        listener.stage.result(),
        kept.map_or_else(String::new, |bytes| format!(
            "\n{KEPT} ({}) is what --resume --set steps=N goes on from; nothing else needs it",
            file_size(bytes)
        )),
        damage
            .as_ref()
            .map_or_else(String::new, |damage| format!("\n{damage}"))
    );
    let fields = json!({
        "stage": listener.stage.name(), "out": output.folder(), "seconds": listener.elapsed().as_secs_f64(), "skipped": outcome.skipped,
        "metrics_damage": damage,
    });
    listener.progress.say(&text, "done", &fields);
    Ok(())
}

/// The checkpoint goes last: as long as it is there, the run can be resumed and ends in this again; without it the folder is
/// complete. The student's stays under another name, for a longer run, and its size is given; nobody needs an assistant's.
fn put_away(listener: &Listener, numbers: &Past) -> Result<Option<u64>, CliError> {
    let output = &listener.output;
    output.write(METRICS, numbers.text().as_bytes())?;
    let part = output.metrics_in_progress();
    std::fs::remove_file(&part).map_err(CliError::file("remove", &part))?;
    output.forget_away()?;
    let checkpoint = output.checkpoint();
    if listener.stage.is_assistant() {
        std::fs::remove_file(&checkpoint).map_err(CliError::file("remove", &checkpoint))?;
        return Ok(None);
    }
    let kept = output.kept();
    std::fs::rename(&checkpoint, &kept).map_err(CliError::file("rename", &checkpoint))?;
    Ok(Some(kept.metadata().map_or(0, |file| file.len())))
}

fn report_of(session: &Session, outcome: &Outcome) -> Result<Report, CliError> {
    let (run, heldout) = (session.run(), session.heldout());
    let plan = run.plan();
    let of_one = &heldout.picture;
    let ids = &of_one.ids;
    let from_teacher = pollster::block_on(run.teacher_taps(of_one))?;
    let (before, compared) = pollster::block_on(session.looked_back())?;
    let after = pollster::block_on(run.student_taps(of_one))?;
    let relations = RelationMaps {
        tokens: session.tokenizer().labels(ids),
        pairs: session.info().pairs.clone(),
        heads: plan.relation_heads,
        teacher: maps(
            plan,
            (&plan.teacher, from_teacher.get(plan.teacher_layer - 1)),
            ids,
        )?,
        before: maps(plan, (&plan.student, before.last()), ids)?,
        after: maps(plan, (&plan.student, after.last()), ids)?,
    };
    Ok(Report {
        title: title(plan),
        taught_by: card::taught_by(plan).to_owned(),
        facts: card::facts(plan)
            .into_iter()
            .chain(outcome.facts())
            .collect(),
        steps: session.steps().to_vec(),
        parts: plan.parts(),
        evaluations: session.evaluations().to_vec(),
        copied: plan.from_layers.is_some(),
        heldout_note: outcome.heldout_note.clone(),
        measured_on: heldout.kind.to_owned(),
        relations: Some(relations),
        sentences: sentences(compared, session.steps_taken(), card::taught_by(plan)),
        notes: notes(plan),
    })
}

/// Such as `3 layers x 192, ... from all-MiniLM-L6-v2`.
fn title(plan: &Plan) -> String {
    let student = card::size(&plan.student);
    let teacher = match HubId::pinned(&plan.recipe.teacher) {
        Some(id) => id.model,
        None => card::name(&plan.recipe.teacher).to_owned(),
    };
    match plan.recipe.has_assistant() {
        true => format!("{student} from an assistant of {teacher}"),
        false => format!("{student} from {teacher}"),
    }
}

/// What a reader must know of the student.
fn notes(plan: &Plan) -> Vec<String> {
    let mut notes = vec![before_use(&plan.recipe).to_owned()];
    if plan.recipe.has_assistant() {
        notes.push(format!(
            "The student learnt from a teacher assistant, and the assistant from {}: every distance here is to the assistant.",
            card::name(&plan.recipe.teacher)
        ));
    }
    notes
}

/// The sentences side by side, before the first step and after the last.
fn sentences(compared: Compared, steps: u64, taught_by: &str) -> Option<[Similarity; 2]> {
    let Compared {
        texts,
        teacher,
        before,
        after,
    } = compared;
    let first = Similarity::new(0, texts.clone(), teacher.clone(), before)?.beside(taught_by);
    let last = Similarity::new(steps, texts, teacher, after)?;
    Some([first, last.beside(taught_by)])
}

/// The map of each pair of the plan, from a model's queries, keys and values in one layer.
fn maps(
    plan: &Plan,
    (config, layer): (&Config, Option<&Vec<f32>>),
    ids: &[u32],
) -> Result<Vec<Vec<f32>>, CliError> {
    let layer = layer.cloned().unwrap_or_default();
    let taps = Projections::of(config, ids.len(), vec![layer])?;
    let pairs = plan.pairs.iter();
    pairs
        .map(|(pair, _)| Ok(taps.map(1, *pair, plan.relation_heads)?))
        .collect()
}
