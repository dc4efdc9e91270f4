//! Rotary positions on the CPU: rows of the tensor, in place where nobody else holds it.

use burn::backend::Flex;
use burn::backend::tensor::FloatTensor;

use super::{RotaryOps, Turn};
use crate::cpu::{self, CHUNK};

impl RotaryOps for Flex {
    fn turned(x: FloatTensor<Self>, table: FloatTensor<Self>, turn: Turn) -> FloatTensor<Self> {
        let (mut x, table) = (cpu::whole(x), cpu::contiguous(table));
        let table = cpu::values(&table);
        let width = turn.heads * turn.d;
        let rows = (CHUNK / width).max(1);
        let chunks = x.storage_mut::<f32>().chunks_mut(rows * width).enumerate();
        cpu::each(chunks, |(chunk, values)| {
            cpu::vectorised(
                #[inline(always)]
                || turn_rows(values, chunk * rows, table, turn),
            );
        });
        x
    }
}

/// Some rows of (B, S, H), from the `first` of all on.
#[inline(always)]
fn turn_rows(values: &mut [f32], first: usize, table: &[f32], turn: Turn) {
    let half = turn.features / 2;
    let sign = if turn.back { -1.0 } else { 1.0 };
    for (row, values) in values.chunks_exact_mut(turn.heads * turn.d).enumerate() {
        let position = (first + row) % turn.s;
        let angles = &table[position * turn.features..][..turn.features];
        let (cosines, sines) = angles.split_at(half);
        for vector in values.chunks_exact_mut(turn.d) {
            let (firsts, seconds) = vector[..turn.features].split_at_mut(half);
            let angles = cosines.iter().zip(sines);
            for ((x, y), (cosine, sine)) in firsts.iter_mut().zip(seconds).zip(angles) {
                let sine = sign * sine;
                (*x, *y) = (*x * cosine - *y * sine, *y * cosine + *x * sine);
            }
        }
    }
}
