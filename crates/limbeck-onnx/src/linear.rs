//! Linear layers and tables of words: whole, or of 8 bits.

use crate::Source;
use crate::graph::{DataType, Value};
use crate::writer::{Quantised, Writer};

/// The largest weight of 8 bits. With 7 bits of them, sums of two products fit the 16 bits in which processors without VNNI add
/// them; with all 8 they would be cut off there.
const LARGEST_WEIGHT: f32 = 63.0;
/// The largest number of a word's row, which nothing is multiplied with.
const LARGEST_ROW: f32 = 127.0;

/// Rows of numbers in whole steps of each row's own scale: row r is about `values[r] * scales[r]`. `width` is the length of a row,
/// and `largest` what its number farthest from 0 becomes, at most 127.
pub fn steps(rows: &[f32], width: usize, largest: f32) -> (Vec<i8>, Vec<f32>) {
    let mut values = Vec::with_capacity(rows.len());
    let mut scales = Vec::with_capacity(rows.len() / width.max(1));
    for row in rows.chunks(width.max(1)) {
        let far = row.iter().fold(0.0_f32, |far, x| far.max(x.abs()));
        let scale = if far > 0.0 { far / largest } else { 1.0 };
        values.extend(row.iter().map(|x| (x / scale).round() as i8));
        scales.push(scale);
    }
    (values, scales)
}

/// (out, in) to (in, out).
fn transposed<T: Copy>(values: &[T], outputs: usize, inputs: usize) -> Vec<T> {
    let at = |place: usize| values[(place % outputs) * inputs + place / outputs];
    (0..values.len()).map(at).collect()
}

impl<E> Writer<'_, '_, E> {
    /// x W^T + b, with the weight (out, in) of a file.
    pub fn linear(
        &mut self,
        x: &Value,
        source: Source,
        name: &str,
        [outputs, inputs]: [usize; 2],
        bias: bool,
    ) -> Result<Value, E> {
        let weight = format!("{name}.weight");
        let values = (self.tensors)(source, &weight, &[outputs, inputs])?;
        let stored = stored(source, &weight);
        let product = if self.quantised {
            self.quantised_product(x, &stored, &values, [outputs, inputs])
        } else {
            let values = transposed(&values, outputs, inputs);
            let weight = self.graph.weights(&stored, &[inputs, outputs], &values);
            self.graph.op("MatMul", &[x, &weight], &[])
        };
        if !bias {
            return Ok(product);
        }
        let bias = self.vector(source, &format!("{name}.bias"), outputs)?;
        Ok(self.graph.op("Add", &[&product, &bias], &[]))
    }

    /// x in whole steps of a scale of its own, times weights in whole steps of their columns' scales.
    fn quantised_product(
        &mut self,
        x: &Value,
        name: &str,
        values: &[f32],
        [outputs, inputs]: [usize; 2],
    ) -> Value {
        let (steps, scales) = steps(values, inputs, LARGEST_WEIGHT);
        let steps = transposed(&steps, outputs, inputs);
        let weight = self
            .graph
            .bytes(&format!("{name}.steps"), &[inputs, outputs], &steps);
        let scales = self
            .graph
            .weights(&format!("{name}.scale"), &[outputs], &scales);
        let Quantised {
            values,
            scale,
            zero,
        } = self.in_steps(x);
        let sum = self
            .graph
            .op("MatMulInteger", &[&values, &weight, &zero], &[]);
        let sum = self.graph.cast(&sum, DataType::Float);
        let scale = self.graph.op("Mul", &[&scale, &scales], &[]);
        self.graph.op("Mul", &[&sum, &scale], &[])
    }

    /// An activation in whole steps; once, however many layers read it.
    fn in_steps(&mut self, x: &Value) -> Quantised {
        if let Some((_, known)) = self.narrow.iter().find(|(value, _)| value == x) {
            return known.clone();
        }
        let [values, scale, zero] = self.graph.ops("DynamicQuantizeLinear", &[x]);
        let quantised = Quantised {
            values,
            scale,
            zero,
        };
        self.narrow.push((x.clone(), quantised.clone()));
        quantised
    }

    /// The rows of a table of words.
    pub fn words(
        &mut self,
        ids: &Value,
        name: &str,
        [rows, width]: [usize; 2],
    ) -> Result<Value, E> {
        let values = (self.tensors)(Source::Encoder, name, &[rows, width])?;
        if !self.quantised {
            let table = self.graph.weights(name, &[rows, width], &values);
            return Ok(self.graph.op("Gather", &[&table, ids], &[]));
        }
        let (steps, scales) = steps(&values, width, LARGEST_ROW);
        let table = self
            .graph
            .bytes(&format!("{name}.steps"), &[rows, width], &steps);
        let scales = self
            .graph
            .weights(&format!("{name}.scale"), &[rows, 1], &scales);
        let row = self.graph.op("Gather", &[&table, ids], &[]);
        let row = self.graph.as_float(&row);
        let scale = self.graph.op("Gather", &[&scales, ids], &[]);
        Ok(self.graph.op("Mul", &[&row, &scale], &[]))
    }

    /// A bias, scale or shift.
    pub fn vector(&mut self, source: Source, name: &str, width: usize) -> Result<Value, E> {
        let values = (self.tensors)(source, name, &[width])?;
        let stored = stored(source, name);
        Ok(self.graph.weights(&stored, &[width], &values))
    }
}

/// The name of a tensor in the file.
fn stored(source: Source, name: &str) -> String {
    match source {
        Source::Encoder | Source::File => name.to_owned(),
        Source::Module(folder) => format!("{folder}.{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{LARGEST_WEIGHT, steps, transposed};

    #[test]
    fn a_row_keeps_its_largest_number_and_rounds_the_others_to_its_own_steps() {
        let rows = [0.6, -1.0, 0.25, 0.0, 0.0, 0.0, 1e-3, 2e-3, -3e-3];
        let (values, scales) = steps(&rows, 3, LARGEST_WEIGHT);
        assert_eq!(values[..6], [38, -63, 16, 0, 0, 0]);
        for (place, exact) in rows.iter().enumerate() {
            let scale = scales[place / 3];
            let near = f32::from(values[place]) * scale;
            assert!((near - exact).abs() <= 0.5 * scale);
        }
        assert!(values.iter().all(|x| x.unsigned_abs() <= 63));
    }

    #[test]
    fn a_matrix_is_transposed() {
        assert_eq!(transposed(&[1, 2, 3, 4, 5, 6], 2, 3), [1, 4, 2, 5, 3, 6]);
    }
}
