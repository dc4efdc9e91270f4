//! model.safetensors of a tiny encoder: refused, or every parameter has the values that its place in the file holds, as this
//! target decodes them on its own.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use limbeck_model::{Folder, Weights};
use serde_json::Value;

const CONFIG: &str = r#"{ "model_type": "bert", "vocab_size": 3, "hidden_size": 2, "num_hidden_layers": 1,
    "num_attention_heads": 1, "intermediate_size": 2, "max_position_embeddings": 2, "type_vocab_size": 1,
    "hidden_act": "gelu", "layer_norm_eps": 1e-12, "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1,
    "pad_token_id": 0 }"#;

fuzz_target!(|bytes: &[u8]| {
    let files = [
        ("config.json", CONFIG.as_bytes()),
        ("model.safetensors", bytes),
    ];
    let files = files.map(|(name, bytes)| (name.to_owned(), bytes.to_owned()));
    let folder = Folder::from_files("model", BTreeMap::from(files));
    // A Git LFS pointer in the place of the weights is refused before the config is read.
    let (Ok(config), Ok(weights)) = (folder.config(), Weights::open(&folder)) else {
        return;
    };
    for parameter in &config.layout().parameters {
        let Ok(values) = weights.get(&parameter.name, &parameter.shape) else {
            continue;
        };
        assert_eq!(values.len(), parameter.shape.iter().product::<usize>());
        assert!(values.iter().all(|value| value.is_finite()), "{values:?}");
        // Under a prefix or an old name it is another tensor.
        if let Some(decoded) = decoded(bytes, &parameter.name) {
            assert_eq!(values, decoded, "{}", parameter.name);
        }
    }
});

/// The values of a tensor; none if the file has none of this very name.
fn decoded(bytes: &[u8], name: &str) -> Option<Vec<f32>> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (header, data) = rest.split_at_checked(u64::from_le_bytes(*length).try_into().ok()?)?;
    let header: Value = serde_json::from_slice(header).ok()?;
    let tensor = header.get(name)?;
    let offset = |at: usize| usize::try_from(tensor["data_offsets"][at].as_u64()?).ok();
    let data = data.get(offset(0)?..offset(1)?)?;
    let wide = |size, read: fn(&[u8]) -> f32| Some(data.chunks_exact(size).map(read).collect());
    match tensor["dtype"].as_str()? {
        "F32" => wide(4, |b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])),
        "F64" => wide(8, |b| {
            f64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]) as f32
        }),
        "BF16" => wide(2, |b| f32::from_le_bytes([0, 0, b[0], b[1]])),
        "F16" => wide(2, |b| half(u16::from_le_bytes([b[0], b[1]]))),
        other => panic!("read as floats: {other}"),
    }
}

/// IEEE 754 with 5 bits of exponent and 10 of fraction; what is not finite has been refused.
fn half(bits: u16) -> f32 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f32::from(bits & 1023) / 1024.0);
    match exponent {
        0 => sign * fraction * 2f32.powi(-14),
        _ => sign * (1.0 + fraction) * 2f32.powi(exponent - 15),
    }
}
