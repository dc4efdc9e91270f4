//! Mixed precision on a GPU: the products of `ops/matmul/gpu.rs`, with factors that are rounded on their way in.

use burn::backend::tensor::FloatTensor;
use burn_cubecl::CubeBackend;
use limbeck_recipe::Mixed;

use super::MixedOps;
use crate::ops::matmul::{End, Factor, Factors, products, row};
use crate::optional::Optional;

impl MixedOps for CubeBackend {
    fn mixed_product(
        x: FloatTensor<Self>,
        w: FloatTensor<Self>,
        bias: Optional<Self>,
        gelu: bool,
        mixed: Mixed,
    ) -> FloatTensor<Self> {
        let factors = Factors::one(Factor::stored(x), Factor::stored(w)).mixed(Some(mixed));
        let end = match gelu {
            true => End::Gelu,
            false => End::Plain,
        };
        let bias = bias.into_option().map(row).into_iter().collect();
        products(&factors, end, bias, false).swap_remove(0).0
    }
}
