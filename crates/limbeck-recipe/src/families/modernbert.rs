//! ModernBERT (Warner et al. 2024, <https://arxiv.org/abs/2412.13663>), and the models of its kind: mmBERT, Ettin,
//! gte-modernbert, granite-embedding R2. Pre-norm, rotary positions, a gated feed-forward part, few biases; most layers attend to a
//! window of near tokens, with angles of their own.
//!
//! - Config: <https://github.com/huggingface/transformers/blob/main/src/transformers/models/modernbert/configuration_modernbert.py>
//! - Code: <https://github.com/huggingface/transformers/blob/main/src/transformers/models/modernbert/modeling_modernbert.py>

use serde_json::{Value, json};

use super::bert;
use super::family::{Family, Fields, Keys, POOLS};
use super::kinds::{self, Kind};
use super::rotary;
use crate::error::ConfigError;
use crate::head::{FamilyHead, HeadActivation};
use crate::layout::Names;
use crate::shape::{Activation, Local, NormKind, NormPlace, Positions, Reach, Shape};

pub(super) static FAMILY: Family = Family {
    models: &[("modernbert", "ModernBertModel")],
    keys: Keys {
        activation: "hidden_activation",
        hidden_dropout: "mlp_dropout",
        attention_dropout: "attention_dropout",
        layer_norm_eps: "norm_eps",
        ..bert::KEYS
    },
    names: Names {
        word: "embeddings.tok_embeddings",
        embedding_norm: "embeddings.norm",
        layer: "layers",
        query: "attn.Wqkv",
        key: "attn.Wqkv",
        value: "attn.Wqkv",
        output: "attn.Wo",
        attention_norm: "attn_norm",
        up: "mlp.Wi",
        gate: "mlp.Wi",
        down: "mlp.Wo",
        norm: "mlp_norm",
        last_norm: "final_norm",
        ..bert::NAMES
    },
    head: FamilyHead {
        prefix: "model.",
        dense: "head.dense",
        norm: Some("head.norm"),
        output: "classifier",
        activation: HeadActivation::Gelu,
        has_bias: false,
        serves_tokens: true,
        ..FamilyHead::PLAIN
    },
    pad_token_id: 50283,
    read,
    inherited: &["cls_token_id", "sep_token_id", "initializer_cutoff_factor"],
    write,
    ..Family::PLAIN
};

const EVERY: &str = "global_attn_every_n_layers";
const WINDOW: &str = "local_attention";
/// What follows the dense layer of the head.
const OF_HEAD: &str = "classifier_activation";
const NORM_BIAS: &str = "norm_bias";
const ATTENTION_BIAS: &str = "attention_bias";
const FEED_FORWARD_BIAS: &str = "mlp_bias";

/// Kinds of layers, each with its theta: in the keys of transformers 4, and where config.json says nothing.
const GLOBAL: Kind = (kinds::GLOBAL, "global_rope_theta", 160_000.0);
const LOCAL: Kind = (kinds::LOCAL, "local_rope_theta", 10_000.0);

/// Tokens that a layer with a window attends to where config.json says nothing, half of them on either side.
const USUAL_WINDOW: usize = 128;

/// A shape with what tells ModernBERT from BERT, where config.json says nothing.
fn unlike_bert(shape: Shape) -> Shape {
    Shape {
        norm_place: NormPlace::Before,
        norm_bias: false,
        attention_bias: false,
        up_bias: false,
        down_bias: false,
        layer_norm_eps: 1e-5,
        is_gated: true,
        drops_units: true,
        drops_fed: false,
        ..shape
    }
}

/// The shape of a ModernBERT with the tokens of another model and as many positions, as transformers builds it, but for its sizes and for
/// windows: all of its layers attend to all tokens.
pub(super) fn with_tokens_of(other: &Shape) -> Shape {
    unlike_bert(Shape {
        embedding_size: None,
        type_vocab_size: 0,
        head_size: None,
        key_value_heads: None,
        positions: Positions::Rotary {
            longest: other.max_length(),
            angles: GLOBAL.2.into(),
        },
        local: Some(Local {
            reach: Reach::local(USUAL_WINDOW / 2),
            angles: LOCAL.2.into(),
            layers: Vec::new(),
        }),
        scales_words: false,
        is_causal: false,
        norms_heads: false,
        score_width: None,
        norms_embeddings: true,
        projects_first: false,
        norm_kind: NormKind::MeanVariance,
        activation: Activation::Gelu,
        drops_attention_output: true,
        ..other.clone()
    })
}

/// `transformers` reads no `position_embedding_type` of this kind, and the models' own say what they like there.
fn read(fields: &Fields) -> Result<Shape, ConfigError> {
    let positions = Positions::Rotary {
        longest: fields.required(fields.keys.longest)?,
        angles: kinds::angles(fields, GLOBAL, true)?,
    };
    let shape = unlike_bert(fields.of_positions(positions, 0.0)?);
    let of_head: Option<String> = fields.optional(OF_HEAD)?;
    if let Some(of_head) = of_head.filter(|of_head| of_head != "gelu") {
        return Err(fields.unsupported(OF_HEAD, &of_head, "gelu"));
    }
    let window: usize = fields.optional(WINDOW)?.unwrap_or(USUAL_WINDOW);
    // Null stands for the angles of the other layers.
    let of_others = fields.map.get(LOCAL.1).is_some_and(Value::is_null);
    let local_angles = if of_others {
        (LOCAL.0, GLOBAL.1, GLOBAL.2)
    } else {
        LOCAL
    };
    let flag = |key| Ok(fields.optional(key)?.unwrap_or(false));
    Ok(Shape {
        local: Some(Local {
            reach: Reach::local(window / 2),
            angles: kinds::angles(fields, local_angles, true)?,
            layers: kinds::local(fields, shape.num_hidden_layers, (EVERY, 3), 0)?,
        }),
        norm_bias: flag(NORM_BIAS)?,
        attention_bias: flag(ATTENTION_BIAS)?,
        up_bias: flag(FEED_FORWARD_BIAS)?,
        down_bias: flag(FEED_FORWARD_BIAS)?,
        layer_norm_eps: fields
            .optional(fields.keys.layer_norm_eps)?
            .unwrap_or(shape.layer_norm_eps),
        ..shape
    })
}

/// In the keys of transformers 5, and as far as they can say it in those of 4, which reads no `layer_types`.
fn write(shape: &Shape) -> Vec<(&'static str, Value)> {
    let kind = |layer| match shape.is_local(layer) {
        true => LOCAL.0,
        false => GLOBAL.0,
    };
    let layers = shape.num_hidden_layers;
    let kinds: Vec<&str> = (0..layers).map(kind).collect();
    let mut fields = vec![
        (kinds::KINDS, json!(kinds)),
        ("embedding_dropout", json!(shape.hidden_dropout)),
        (NORM_BIAS, json!(shape.norm_bias)),
        (ATTENTION_BIAS, json!(shape.attention_bias)),
        (FEED_FORWARD_BIAS, json!(shape.up_bias)),
        ("norm_eps", json!(shape.layer_norm_eps)),
        (POOLS, json!("cls")),
    ];
    let every = (1..=layers).find(|every| {
        (0..layers).all(|layer| shape.is_local(layer) != layer.is_multiple_of(*every))
    });
    fields.extend(every.map(|every| (EVERY, json!(every))));
    if let (Positions::Rotary { angles, .. }, Some(local)) = (shape.positions, &shape.local) {
        let of = rotary::value;
        fields.extend([
            (WINDOW, json!(local.reach.before.map(|tokens| 2 * tokens))),
            (
                rotary::ANGLES,
                json!({GLOBAL.0: of(angles), LOCAL.0: of(local.angles)}),
            ),
        ]);
        // Those of 4 scale all layers alike.
        if angles.stretch == local.angles.stretch {
            fields.extend([
                (GLOBAL.1, json!(angles.theta)),
                (LOCAL.1, json!(local.angles.theta)),
            ]);
            let scaling = rotary::scaling(angles);
            fields.extend(scaling.map(|scaling| (rotary::SCALING, scaling)));
        }
    }
    fields
}
