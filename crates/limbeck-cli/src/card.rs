//! The facts of a run for people, and the model card.

use limbeck_model::{Config, parameter_count};
use limbeck_train::{Objective, Plan};

use crate::distill::Outcome;

/// The untrained last block: a warning that belongs on every student.
pub const WARNING: &str = "The loss reads the queries, keys and values of the student's last layer. What comes after them in \
    that layer (attention output, feed-forward, LayerNorms) gets no gradient and still has its initial random values: fine-tune \
    before use, or read figures of the student as it is as zero-shot figures of an untrained last block.";

/// Name and value of what defines a run.
pub fn facts(plan: &Plan) -> Vec<(String, String)> {
    let recipe = &plan.recipe;
    let pairs: Vec<String> = plan
        .pairs
        .iter()
        .map(|(pair, weight)| {
            if *weight == 1.0 {
                pair.to_string()
            } else {
                format!("{weight} x {pair}")
            }
        })
        .collect();
    let objective = match recipe.objective {
        Objective::MinilmV2 => "MiniLMv2 relations",
        Objective::MinilmV1 => "MiniLM attention and value relation",
    };
    let fact = |name: &str, value: String| (name.to_owned(), value);
    vec![
        fact(
            "Teacher",
            format!("{}, {}", recipe.teacher, size(&plan.teacher)),
        ),
        fact(
            "Teacher layer",
            format!(
                "{} of {}",
                plan.teacher_layer, plan.teacher.num_hidden_layers
            ),
        ),
        fact("Student", size(&plan.student)),
        fact("Objective", objective.to_owned()),
        fact("Pairs", pairs.join(", ")),
        fact("Relation heads", plan.relation_heads.to_string()),
        fact("Data", recipe.corpus.join(", ")),
        fact(
            "Steps",
            format!(
                "{} of {} sequences, up to {} tokens",
                recipe.steps, recipe.batch, recipe.max_length
            ),
        ),
        fact(
            "Learning rate",
            format!(
                "{} after {} steps of warm-up",
                recipe.learning_rate, plan.warmup
            ),
        ),
        fact("Seed", recipe.seed.to_string()),
    ]
}

/// Layers x hidden size, heads and parameters.
pub fn size(config: &Config) -> String {
    format!(
        "{} layers x {}, {} heads, {:.1} M parameters",
        config.num_hidden_layers,
        config.hidden_size,
        config.num_attention_heads,
        parameter_count(config) as f64 / 1e6
    )
}

/// README.md of a student's folder.
pub fn model_card(plan: &Plan, outcome: &Outcome) -> String {
    let mut card = String::from(
        "---\nlibrary_name: sentence-transformers\npipeline_tag: feature-extraction\ntags:\n- distillation\n- minilmv2\n\
         - limbeck\n---\n\n# A student distilled by its self-attention relations\n\n",
    );
    card.push_str(
        "Distilled with limbeck by the method of [MiniLMv2](https://arxiv.org/abs/2012.15828) (Wang et al. 2021). The licences of the teacher \
         and of the text it was distilled on apply.\n\n| | |\n|---|---|\n",
    );
    for (name, value) in facts(plan).into_iter().chain(outcome.facts()) {
        card.push_str(&format!("| {name} | {value} |\n"));
    }
    card.push_str(&format!(
        "\n## How far its relations are from the teacher's\n\n{}",
        outcome.table(plan)
    ));
    card.push_str(&format!(
        "\n{}\n\n## Before you use it\n\n{WARNING}\n",
        outcome.heldout_note
    ));
    card
}
