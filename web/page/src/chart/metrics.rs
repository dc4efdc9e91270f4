//! The numbers of a run as files.

use limbeck_recipe::Part;
use serde_json::{Value, json};

use crate::state::RunLog;

/// One row a step, after RFC 4180: `step,loss,Q-Q,...,learning_rate,gradient_norm,tokens,seconds`. A number that is none
/// is an empty field.
pub fn csv(run: &RunLog) -> String {
    let mut header = vec!["step".to_owned(), "loss".to_owned()];
    header.extend(run.info.parts.iter().map(Part::to_string));
    header.extend(["learning_rate", "gradient_norm", "tokens", "seconds"].map(str::to_owned));
    let mut text = row(&header);
    for step in &run.steps {
        let mut fields = vec![step.step.to_string(), exact(step.loss)];
        let value = |part: &Part| step.parts.get(part).map_or_else(String::new, |v| exact(*v));
        fields.extend(run.info.parts.iter().map(value));
        fields.extend([
            exact(step.learning_rate),
            exact(step.gradient_norm),
            step.tokens.to_string(),
            exact(step.seconds),
        ]);
        text += &row(&fields);
    }
    text
}

/// The run with its recipe, steps and held-out evaluations.
pub fn json(run: &RunLog) -> String {
    let steps: Vec<Value> = run
        .steps
        .iter()
        .map(|step| {
            json!({
                "step": step.step, "loss": step.loss, "parts": step.parts,
                "learning_rate": step.learning_rate, "gradient_norm": step.gradient_norm,
                "tokens": step.tokens, "seconds": step.seconds,
            })
        })
        .collect();
    let evaluations: Vec<Value> = run.evaluations.iter().map(|evaluation| {
        json!({
            "step": evaluation.step, "parts": evaluation.parts, "note": evaluation.note, "files": evaluation.files,
        })
    }).collect();
    let whole = json!({
        "recipe": run.info.recipe, "device": run.info.device, "parameters": run.info.parameters,
        "relation_heads": run.info.relation_heads, "teacher_layer": run.info.teacher_layer,
        "steps": steps, "evaluations": evaluations,
    });
    format!("{whole:#}\n")
}

/// The shortest text that gives the number back exactly.
fn exact(value: f64) -> String {
    if value.is_finite() {
        format!("{value:?}")
    } else {
        String::new()
    }
}

fn row(fields: &[String]) -> String {
    fields.join(",") + "\r\n"
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::examples;
    use limbeck_protocol::RunInfo;
    use limbeck_recipe::{Evaluation, FileEvaluation, Pair, Step};

    fn parts(values: &[f64]) -> BTreeMap<Part, f64> {
        let parts = [Part::Relation(Pair::QQ), Part::Cosine];
        parts.into_iter().zip(values.iter().copied()).collect()
    }

    fn run() -> RunLog {
        let step = |step: u64, loss: f64| Step {
            parts: parts(&[0.1, 0.2]),
            learning_rate: 6e-4,
            gradient_norm: 1.5,
            tokens: 400,
            ..examples::step(step, loss, 0.25)
        };
        let before = Step {
            parts: parts(&[0.1]),
            ..step(1, 0.1 + 0.2)
        };
        RunLog {
            info: RunInfo {
                parts: vec![Part::Relation(Pair::QQ), Part::Cosine],
                ..examples::info()
            },
            steps: vec![before, step(2, f64::NAN)],
            evaluations: vec![Evaluation {
                step: 2,
                parts: parts(&[0.5, 0.6]),
                note: "2 lines".into(),
                files: vec![FileEvaluation {
                    file: "de.txt".into(),
                    lines: 2,
                    parts: parts(&[0.5, 0.6]),
                }],
                ..Evaluation::default()
            }],
            ..examples::run()
        }
    }

    #[test]
    fn csv_is_exact() {
        let text = csv(&run());
        let lines: Vec<&str> = text.split("\r\n").collect();
        assert_eq!(
            lines[0],
            "step,loss,Q-Q,cosine,learning_rate,gradient_norm,tokens,seconds"
        );
        assert_eq!(lines[1], "1,0.30000000000000004,0.1,,0.0006,1.5,400,0.25");
        assert_eq!(lines[2], "2,,0.1,0.2,0.0006,1.5,400,0.25");
        assert_eq!(lines[3..], [""]);
    }

    #[test]
    fn json_names_every_number() {
        let value: Value = serde_json::from_str(&json(&run())).expect("it is JSON");
        assert_eq!(value["steps"][0]["parts"], json!({ "Q-Q": 0.1 }));
        assert_eq!(value["steps"][1]["parts"]["cosine"], 0.2);
        assert_eq!(value["steps"][1]["loss"], Value::Null);
        assert_eq!(value["evaluations"][0]["step"], 2);
        let file = &value["evaluations"][0]["files"][0];
        assert_eq!(
            (&file["file"], &file["parts"]["cosine"]),
            (&json!("de.txt"), &json!(0.6))
        );
        assert_eq!(value["recipe"]["batch"], 32);
    }
}
