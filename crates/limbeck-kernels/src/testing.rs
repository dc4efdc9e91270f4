//! What the tests need to see and to break. Nothing here is part of the public interface.

use std::fmt::Debug;

use burn_cubecl::template::KernelSource;

use crate::ops::adamw::AdamWSpec;
use crate::ops::attention::AttentionSpec;
use crate::ops::embedding::EmbeddingSpec;
use crate::ops::gelu::GeluSpec;
use crate::ops::layer_norm::LayerNormSpec;
use crate::ops::matmul::{MatmulSpec, SumSpec};
use crate::ops::relation::{MeanSpec, RelationSpec};
use crate::ops::rotary::RotarySpec;

pub use crate::gpu::{fill_outputs_with, launches, pretend_software, skip_launches};
pub use crate::ops::adamw::{buffers, limit_buffers};

/// Every WGSL text that is ever launched, after the name of its variant.
pub fn shaders() -> Vec<(String, String)> {
    let mut all = rendered(RelationSpec::all());
    all.extend(rendered(MeanSpec::all()));
    all.extend(rendered(AttentionSpec::all()));
    all.extend(rendered(GeluSpec::all()));
    all.extend(rendered(LayerNormSpec::all()));
    all.extend(rendered(AdamWSpec::all()));
    all.extend(rendered(MatmulSpec::all()));
    all.extend(rendered(SumSpec::all()));
    all.extend(rendered(EmbeddingSpec::all()));
    all.extend(rendered(vec![RotarySpec]));
    all
}

/// The texts of kernels that only devices with cooperative matrices launch.
#[cfg(not(target_family = "wasm"))]
pub fn cooperative_shaders() -> Vec<(String, String)> {
    rendered(MatmulSpec::cooperative())
}

fn rendered(specs: Vec<impl KernelSource + Debug>) -> Vec<(String, String)> {
    specs
        .into_iter()
        .map(|spec| (format!("{spec:?}"), spec.source().complete()))
        .collect()
}
