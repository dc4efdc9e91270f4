//! What differs between two runs, in words.

use limbeck_protocol::RunInfo;
use limbeck_recipe::{Init, Pair, usual_from_layers, usual_warmup};
use serde_json::Value;

/// Key of a recipe and the word for it, in the order in which a reader looks for them.
const WORDS: [(&str, &str); 38] = [
    ("teacher", "teacher"),
    ("teacher_layer", "teacher layer"),
    ("student.layers", "layers"),
    ("student.hidden", "width"),
    ("student.heads", "heads"),
    ("student.ffn", "feed-forward"),
    ("student.dropout", "dropout"),
    ("student.init", "start"),
    ("student.from_layers", "from layers"),
    ("relation_heads", "A_r"),
    ("pairs", "pairs"),
    ("objective", "objective"),
    ("output.share", "output stage"),
    ("output.relations", "relations in it"),
    ("output.sentence_relation", "sentence relation"),
    ("output.cosine", "cosine"),
    ("output.l2", "l2"),
    ("output.similarity", "similarity"),
    ("output.hidden", "hidden states"),
    ("corpus", "text"),
    ("corpus_field", "field of the text"),
    ("corpus_pairs", "pairs of texts"),
    ("corpus_weights", "weights of the texts"),
    ("steps", "steps"),
    ("learning_rate", "learning rate"),
    ("warmup", "warm-up"),
    ("batch", "batch"),
    ("accumulate", "accumulated batches"),
    ("max_length", "length"),
    ("seed", "seed"),
    ("heldout", "held out"),
    ("weight_decay", "weight decay"),
    ("beta1", "beta1"),
    ("beta2", "beta2"),
    ("epsilon", "epsilon"),
    ("clip", "clip"),
    ("shuffle", "shuffle"),
    ("kernel", "kernel"),
];

/// What another run has that the present one has not: `steps 300, A_r 8`.
pub fn differences(present: &RunInfo, other: &RunInfo) -> String {
    let (ours, theirs) = (settled(present, other), settled(other, present));
    let differs = WORDS.iter().filter_map(|(key, word)| {
        let value = field(&theirs, key);
        (value != field(&ours, key)).then(|| format!("{word} {}", in_words(value)))
    });
    let mut words: Vec<String> = differs.collect();
    if present.device != other.device {
        words.push(format!("on {}", other.device));
    }
    if words.is_empty() {
        "the same recipe".into()
    } else {
        words.join(", ")
    }
}

/// A recipe as JSON, with what it left to the defaults written out, so that only what really differs does.
fn settled(run: &RunInfo, beside: &RunInfo) -> Value {
    let mut recipe = run.recipe.clone();
    recipe.relation_heads = Some(run.relation_heads);
    recipe.teacher_layer = Some(run.teacher_layer);
    recipe.student.ffn.get_or_insert(4 * recipe.student.hidden);
    if recipe.student.hidden != beside.recipe.student.hidden
        && run.recipe.student.ffn.is_none()
        && beside.recipe.student.ffn.is_none()
    {
        recipe.student.ffn = None;
    }
    if run.recipe.warmup.is_some() || beside.recipe.warmup.is_some() {
        recipe.warmup.get_or_insert(usual_warmup(recipe.steps));
    }
    let named = |run: &RunInfo| run.recipe.student.from_layers.is_some();
    if (named(run) || named(beside)) && recipe.student.init == Init::Teacher {
        let usual = usual_from_layers(recipe.student.layers, run.teacher_layer);
        recipe.student.from_layers.get_or_insert(usual);
    }
    if recipe.pairs.is_none() {
        let usual = ["qq", "kk", "vv"].map(|pair| (pair.to_owned(), 1.0));
        recipe.pairs = Some(usual.into());
    }
    serde_json::to_value(recipe).unwrap_or_default()
}

fn field<'a>(recipe: &'a Value, key: &str) -> &'a Value {
    let mut parts = key.split('.');
    parts
        .try_fold(recipe, |value, part| value.get(part))
        .unwrap_or(&Value::Null)
}

fn in_words(value: &Value) -> String {
    match value {
        Value::Null => "as usual".into(),
        Value::String(text) if text.is_empty() => "none".into(),
        Value::String(text) => text.clone(),
        Value::Number(number) => match number.as_f64() {
            Some(x) if x != 0.0 && x.abs() < 1e-3 => format!("{x:e}"),
            _ => number.to_string().trim_end_matches(".0").to_owned(),
        },
        Value::Array(all) => all.iter().map(in_words).collect::<Vec<_>>().join(" + "),
        Value::Object(weights) => weights.iter().map(weight).collect::<Vec<_>>().join(" "),
        Value::Bool(flag) => flag.to_string(),
    }
}

/// A pair, and its weight if that is not 1.
fn weight((key, value): (&String, &Value)) -> String {
    let name = key
        .parse()
        .map_or_else(|_| key.clone(), |pair: Pair| pair.to_string());
    match value.as_f64() {
        Some(weight) if weight != 1.0 => format!("{weight}\u{00d7}{name}"),
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples;
    use limbeck_recipe::Recipe;

    fn run(change: impl FnOnce(&mut Recipe)) -> RunInfo {
        let mut recipe = Recipe::default();
        change(&mut recipe);
        RunInfo {
            relation_heads: recipe.relation_heads.unwrap_or(48),
            teacher_layer: recipe.teacher_layer.unwrap_or(12),
            recipe,
            ..examples::info()
        }
    }

    #[test]
    fn only_what_differs_is_said() {
        let present = run(|_| {});
        assert_eq!(differences(&present, &present), "the same recipe");
        let other = run(|r| (r.steps, r.relation_heads) = (300, Some(8)));
        assert_eq!(differences(&present, &other), "A_r 8, steps 300");
        let slow = run(|r| r.learning_rate = 1e-5);
        assert_eq!(differences(&present, &slow), "learning rate 1e-5");
        let random = run(|r| r.student.init = Init::Random);
        assert_eq!(differences(&present, &random), "start random");
        let low = run(|r| r.student.from_layers = Some(vec![1, 2, 3]));
        assert_eq!(differences(&present, &low), "from layers 1 + 2 + 3");
        let wide = run(|r| r.student.hidden = 384);
        assert_eq!(differences(&present, &wide), "width 384");
    }

    #[test]
    fn a_default_that_is_written_out_does_not_differ() {
        let written = run(|r| {
            r.relation_heads = Some(48);
            r.teacher_layer = Some(12);
            r.student.ffn = Some(768);
            r.student.from_layers = Some(vec![1, 6, 12]);
            r.warmup = Some(100);
            r.pairs = Some(["qq", "kk", "vv"].map(|p| (p.to_owned(), 1.0)).into());
            r.out = "elsewhere".into();
        });
        assert_eq!(differences(&run(|_| {}), &written), "the same recipe");
    }

    #[test]
    fn pairs_texts_and_devices_have_words() {
        let mut other = run(|r| {
            r.pairs = Some([("qk".to_owned(), 1.0), ("vv".to_owned(), 0.5)].into());
            r.corpus = vec!["a.txt".into(), "b.txt".into()];
        });
        other.device = "a GPU".into();
        assert_eq!(
            differences(&run(|_| {}), &other),
            "pairs Q-K 0.5\u{00d7}V-V, text a.txt + b.txt, on a GPU"
        );
    }
}
