//! The AdamW update on the CPU: one pass over chunks, in place where nobody else holds a buffer.

use burn::backend::Flex;
use burn::backend::tensor::FloatTensor;

use super::{AdamWOps, AdamWScalars};
use crate::cpu::{self, CHUNK};

impl AdamWOps for Flex {
    fn adamw_update(
        parameter: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        scalars: AdamWScalars,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let gradient = cpu::contiguous(gradient);
        let mut owned = [parameter, first, second].map(cpu::whole);
        let [parameter, first, second] = owned.each_mut().map(|tensor| tensor.storage_mut::<f32>());
        let chunks = parameter
            .chunks_mut(CHUNK)
            .zip(first.chunks_mut(CHUNK))
            .zip(second.chunks_mut(CHUNK))
            .zip(cpu::values(&gradient).chunks(CHUNK));
        cpu::each(chunks, |(((parameter, first), second), gradient)| {
            cpu::vectorised(
                #[inline(always)]
                || update_chunk(parameter, gradient, first, second, scalars),
            );
        });
        let [parameter, first, second] = owned;
        (parameter, first, second)
    }
}

#[inline(always)]
fn update_chunk(
    parameter: &mut [f32],
    gradient: &[f32],
    first: &mut [f32],
    second: &mut [f32],
    scalars: AdamWScalars,
) {
    let (step, correction) = scalars.corrections();
    let (step, correction, eps) = (step as f32, correction as f32, scalars.eps as f32);
    let decay = (1.0 - scalars.learning_rate * scalars.weight_decay) as f32;
    let (beta1, beta2) = (scalars.beta1 as f32, scalars.beta2 as f32);
    let (rest1, rest2) = ((1.0 - scalars.beta1) as f32, (1.0 - scalars.beta2) as f32);
    let scale = scalars.gradient_scale as f32;
    for (((p, m), v), g) in parameter.iter_mut().zip(first).zip(second).zip(gradient) {
        let g = g * scale;
        *m = *m * beta1 + g * rest1;
        *v = *v * beta2 + g * g * rest2;
        *p = *p * decay - step * (*m / (v.sqrt() * correction + eps));
    }
}
