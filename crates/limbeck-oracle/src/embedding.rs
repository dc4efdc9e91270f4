//! Rows of tables by ids, added up, the gradient of a table, and mistakes in either.

/// The sum over tables, (rows, width) each, of the rows that their ids take: (places, width). Twin of `embedding_forward.wgsl`.
///
/// # Panics
/// If the lengths do not fit, or an id has no row.
pub fn forward(tables: &[(Vec<f64>, Vec<u32>)], width: usize) -> Vec<f64> {
    let places = tables.first().map_or(0, |(_, ids)| ids.len());
    let mut sum = vec![0.0; places * width];
    for (table, ids) in tables {
        assert_eq!(ids.len(), places, "ids of the same places");
        for place in 0..places {
            for at in 0..width {
                sum[place * width + at] += table[ids[place] as usize * width + at];
            }
        }
    }
    sum
}

/// The gradient of a table of so many rows, (rows, width): that of each place, (places, width), added to the row of its
/// id. Twin of `embedding_backward.wgsl`.
///
/// # Panics
/// If the lengths do not fit, or an id has no row.
pub fn backward(ids: &[u32], gradient: &[f64], rows: usize) -> Vec<f64> {
    let width = gradient.len() / ids.len();
    assert_eq!(gradient.len(), ids.len() * width, "whole rows");
    let mut table = vec![0.0; rows * width];
    for place in 0..ids.len() {
        for at in 0..width {
            table[ids[place] as usize * width + at] += gradient[place * width + at];
        }
    }
    table
}

/// What sums over the places of an id get wrong when they are wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// An id has the gradient of its last place alone: writes that do not add up.
    LastPlaceOnly,
    /// The last place of each id is missing.
    LastPlaceMissing,
    /// An id that stands in one place only has none.
    SinglesMissing,
    /// A row has the sum of the next one.
    Shifted,
    /// Places beyond the first 32 of an id are missing: the first of several sums.
    FirstPartOnly,
}

impl Defect {
    /// Every one.
    pub const ALL: [Self; 5] = [
        Self::LastPlaceOnly,
        Self::LastPlaceMissing,
        Self::SinglesMissing,
        Self::Shifted,
        Self::FirstPartOnly,
    ];

    /// The gradient with this mistake.
    ///
    /// # Panics
    /// As [`backward`].
    pub fn gradient(self, ids: &[u32], gradient: &[f64], rows: usize) -> Vec<f64> {
        let width = gradient.len() / ids.len();
        let mut left = gradient.to_vec();
        for place in 0..ids.len() {
            let before = ids[..place].iter().filter(|id| **id == ids[place]).count();
            let after = ids[place + 1..].contains(&ids[place]);
            let forgotten = match self {
                Self::LastPlaceOnly => after,
                Self::LastPlaceMissing => !after,
                Self::SinglesMissing => before == 0 && !after,
                Self::FirstPartOnly => before >= 32,
                Self::Shifted => false,
            };
            if forgotten {
                left[place * width..(place + 1) * width].fill(0.0);
            }
        }
        let mut table = backward(ids, &left, rows);
        if self == Self::Shifted {
            table.rotate_left(width);
        }
        table
    }
}

/// What a sum over tables gets wrong when it is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SumDefect {
    /// The last table is missing.
    LastMissing,
    /// The last table is read by the ids of the first.
    OneList,
    /// The last table is read as if it were the first.
    OneTable,
}

impl SumDefect {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::LastMissing, Self::OneList, Self::OneTable];

    /// The sum with this mistake, of several tables with rows for all ids.
    ///
    /// # Panics
    /// As [`forward`].
    pub fn sum(self, tables: &[(Vec<f64>, Vec<u32>)], width: usize) -> Vec<f64> {
        let mut tables = tables.to_vec();
        let first = tables[0].clone();
        if let Some((table, ids)) = tables.last_mut() {
            match self {
                Self::LastMissing => table.fill(0.0),
                Self::OneList => *ids = first.1,
                Self::OneTable => *table = first.0,
            }
        }
        forward(&tables, width)
    }
}

#[cfg(test)]
mod tests {
    use super::{Defect, SumDefect, backward, forward};
    use crate::judge::verdict_with_factor;
    use crate::rng::Rng;

    #[test]
    fn rows_of_tables_add_up() {
        let words = (vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0], vec![2, 0]);
        let types = (vec![10.0, 20.0], vec![0, 0]);
        assert_eq!(forward(&[words, types], 2), [15.0, 26.0, 11.0, 22.0]);
    }

    #[test]
    fn places_of_an_id_add_up() {
        let gradient = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let table = backward(&[2, 0, 2], &gradient, 4);
        assert_eq!(table, [3.0, 4.0, 0.0, 0.0, 6.0, 8.0, 0.0, 0.0]);
    }

    /// It is linear, so a step of any size along any direction gives the slope.
    #[test]
    fn backward_is_the_gradient_of_taking_rows() {
        let mut rng = Rng::new(8);
        let ids = [3, 1, 3, 0];
        let mut random = |count: usize| (0..count).map(|_| rng.normal()).collect::<Vec<f64>>();
        let (upstream, table) = (random(8), random(10));
        let taken = ids.iter().flat_map(|id| &table[id * 2..id * 2 + 2]);
        let value: f64 = taken.zip(&upstream).map(|(x, w)| x * w).sum();
        let gradient = backward(&ids.map(|id| id as u32), &upstream, 5);
        let slope: f64 = gradient.iter().zip(&table).map(|(g, x)| g * x).sum();
        assert!((value - slope).abs() < 1e-13);
    }

    #[test]
    fn the_judge_sees_every_defect_of_a_sum() {
        let mut rng = Rng::new(10);
        let mut table = |rows: u32| -> (Vec<f64>, Vec<u32>) {
            let numbers = (0..rows * 4).map(|_| rng.normal()).collect();
            (numbers, (0..40).map(|n| n * n % rows).collect())
        };
        let tables = [table(11), table(13), table(12)];
        let exact = forward(&tables, 4);
        let narrow = |values: &[f64]| values.iter().map(|x| *x as f32).collect::<Vec<f32>>();
        let plain = narrow(&exact);
        for defect in SumDefect::ALL {
            let wrong = narrow(&defect.sum(&tables, 4));
            let verdict = verdict_with_factor(8.0, "sum", &wrong, &plain, &exact);
            assert!(verdict.is_err(), "{defect:?} passes");
        }
    }

    #[test]
    fn the_judge_sees_every_defect() {
        let mut rng = Rng::new(9);
        // One id in 70 places, some in a few, and one in a single one.
        let ids: Vec<u32> = (0..140)
            .map(|n| if n < 70 { 5 } else { 6 + n % 9 })
            .collect();
        let ids = [ids, vec![1]].concat();
        let gradient: Vec<f64> = (0..ids.len() * 3).map(|_| rng.normal()).collect();
        let exact = backward(&ids, &gradient, 20);
        let narrow = |values: &[f64]| values.iter().map(|x| *x as f32).collect::<Vec<f32>>();
        let plain = narrow(&exact);
        let verdict = |got: &[f32]| verdict_with_factor(8.0, "rows", got, &plain, &exact);
        assert_eq!(verdict(&plain), Ok(()));
        for defect in Defect::ALL {
            let wrong = narrow(&defect.gradient(&ids, &gradient, 20));
            assert!(verdict(&wrong).is_err(), "{defect:?} passes");
        }
    }
}
