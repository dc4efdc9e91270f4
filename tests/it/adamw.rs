//! AdamW against the oracle: one parameter at a time, and all at once on a GPU.

use burn::tensor::{Device, Tensor, TensorData};
use it::{cpu, gpu, normals, read, wide};
use limbeck_kernels::testing::{
    buffers, fill_outputs_with, launches, limit_buffers, skip_launches,
};
use limbeck_kernels::{
    AdamWMoments, AdamWParameter, AdamWScalars, Check, Pack, adamw, adamw_all, pack, self_test,
};
use limbeck_oracle::adamw::{Parameter, Scalars, gather, squares, update};
use limbeck_oracle::judge::assert_as_good_as_within;
use limbeck_oracle::rng::Rng;
use limbeck_recipe::KernelChoice;
use wasm_bindgen_test::wasm_bindgen_test;

/// As for other kernels on a GPU whose multiply and add may or may not be one.
const GPU_FACTOR: f64 = 8.0;
/// Numbers of a block.
const BLOCK: usize = 1_024;
/// At and beside 1, 4, 256 and the 1,024 of a block; more than the six that a launch gathers.
const SHAPES: [[usize; 2]; 11] = [
    [1, 1],
    [3, 5],
    [1, 64],
    [1, 255],
    [1, 1_024],
    [1, 1_025],
    [7, 300],
    [1, 2],
    [1, 3],
    [65, 33],
    [1, 257],
];
/// Which gradients are missing in which of three updates.
const MISSING: [&[usize]; 3] = [&[0, 6], &[], &[1, 2, 3, 10]];
/// Blocks of a buffer at most: of one that holds all, and of some that hold a few tensors or one that is larger.
const LIMITS: [Option<usize>; 2] = [None, Some(2)];

fn scalars(gradient_scale: f64) -> AdamWScalars {
    AdamWScalars {
        learning_rate: 0.01,
        beta1: 0.9,
        beta2: 0.999,
        eps: 1e-6,
        weight_decay: 0.1,
        time: 1,
        gradient_scale,
    }
}

/// Those of one parameter, of which every other decays.
fn of(parameter: usize, time: u64, all: AdamWScalars) -> AdamWScalars {
    let weight_decay = match parameter.is_multiple_of(2) {
        true => all.weight_decay,
        false => 0.0,
    };
    AdamWScalars {
        time,
        weight_decay,
        ..all
    }
}

fn oracle(scalars: AdamWScalars) -> Scalars {
    Scalars {
        learning_rate: scalars.learning_rate,
        beta1: scalars.beta1,
        beta2: scalars.beta2,
        eps: scalars.eps,
        weight_decay: scalars.weight_decay,
        time: scalars.time,
        gradient_scale: scalars.gradient_scale,
    }
}

fn matrix(values: &[f32], shape: [usize; 2], device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), device)
}

fn random(rng: &mut Rng, shapes: &[[usize; 2]], size: f32) -> Vec<Vec<f32>> {
    let values = |shape: &[usize; 2]| normals(rng, shape[0] * shape[1]);
    let scaled = |values: Vec<f32>| values.into_iter().map(|x| size * x).collect();
    shapes.iter().map(values).map(scaled).collect()
}

fn packed(gradients: &[Option<Vec<f32>>], shapes: &[[usize; 2]], device: &Device) -> Pack {
    let tensors = gradients.iter().zip(shapes);
    let tensors = tensors.map(|(g, shape)| g.as_ref().map(|g| matrix(g, *shape, device)));
    match pack(KernelChoice::Fused, shapes, tensors.collect()) {
        Ok(pack) => pack,
        Err(_) => panic!("a GPU's tensors are packed"),
    }
}

/// Parameters of a GPU that are updated together.
struct Together {
    parameters: Vec<AdamWParameter>,
}

impl Together {
    fn new(values: &[Vec<f32>], shapes: &[[usize; 2]], device: &Device) -> Self {
        let of = |(at, (values, shape)): (usize, (&Vec<f32>, &[usize; 2]))| AdamWParameter {
            values: matrix(values, *shape, device),
            moments: None,
            time: 1,
            decays: at.is_multiple_of(2),
        };
        Self {
            parameters: values.iter().zip(shapes).enumerate().map(of).collect(),
        }
    }

    fn update(&mut self, gradients: Pack, scalars: AdamWScalars) {
        let present = gradients.present();
        let facts: Vec<(u64, bool)> = self.parameters.iter().map(|p| (p.time, p.decays)).collect();
        let updated = adamw_all(std::mem::take(&mut self.parameters), gradients, scalars);
        let updated = updated.into_iter().zip(facts).zip(present);
        self.parameters = updated
            .map(
                |(((values, moments), (time, decays)), present)| AdamWParameter {
                    values,
                    moments: Some(moments),
                    time: time + u64::from(present),
                    decays,
                },
            )
            .collect();
    }

    /// Values, first and second moments.
    async fn read(&self, at: usize) -> [Vec<f32>; 3] {
        let parameter = self.parameters[at].clone();
        let moments = parameter.moments.unwrap();
        [
            read(parameter.values).await,
            read(moments.first).await,
            read(moments.second).await,
        ]
    }
}

/// A parameter on the CPU, updated by itself: what the others are judged by.
struct Alone {
    values: Tensor<2>,
    moments: AdamWMoments<2>,
}

impl Alone {
    fn new(values: &[f32], shape: [usize; 2], device: &Device) -> Self {
        let values = matrix(values, shape, device);
        let moments = AdamWMoments {
            first: values.zeros_like(),
            second: values.zeros_like(),
        };
        Self { values, moments }
    }

    fn update(&mut self, gradient: Tensor<2>, scalars: AdamWScalars) {
        let (values, moments) = (self.values.clone(), self.moments.clone());
        (self.values, self.moments) = adamw(values, gradient, moments, scalars);
    }

    async fn read(&self) -> [Vec<f32>; 3] {
        [
            read(self.values.clone()).await,
            read(self.moments.first.clone()).await,
            read(self.moments.second.clone()).await,
        ]
    }
}

/// Three updates of one parameter, wherever it is.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn adamw_follows_its_formula() {
    let mut rng = Rng::new(7);
    let shape = [1, 1_000];
    let start = normals(&mut rng, 1_000);
    let mut exact = Parameter::new(wide(&start));
    let mut alone = [cpu(), gpu().await].map(|device| Alone::new(&start, shape, &device));
    for time in 1..=3 {
        let gradient = random(&mut rng, &[shape], 0.1).remove(0);
        let scalars = of(0, time, scalars(0.5));
        exact = update(&exact, &wide(&gradient), &oracle(scalars));
        for parameter in &mut alone {
            let gradient = matrix(&gradient, shape, &parameter.values.device());
            parameter.update(gradient, scalars);
        }
    }
    let [on_cpu, on_gpu] = [alone[0].read().await, alone[1].read().await];
    let exact = [exact.values, exact.first, exact.second];
    for part in 0..3 {
        let off = limbeck_oracle::judge::relative_l2(&on_cpu[part], &exact[part]);
        assert!(off < 1e-6, "part {part} is off by {off:e}");
        let (got, naive) = (&on_gpu[part], &on_cpu[part]);
        assert_as_good_as_within(GPU_FACTOR, "composition", got, naive, &exact[part]);
    }
}

/// Three updates of many parameters at once are those of each by itself, whatever size gradients have, and parameters without
/// one are left as they are, bit for bit. What a kernel forgets to write is a NaN.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn an_update_of_all_is_that_of_each() {
    let (device, mut rng) = (gpu().await, Rng::new(8));
    // The square of 1e-22 is no normal number of f32, that of 1e15 is a large one.
    let sizes = [(0.1, 0.5), (0.0, 1.0), (1e-22, 1.0), (1e15, 1e-14)];
    for (limit, (size, scale)) in LIMITS
        .into_iter()
        .flat_map(|limit| sizes.map(|size| (limit, size)))
    {
        limit_buffers(limit);
        let start = random(&mut rng, &SHAPES, 1.0);
        let mut exact: Vec<Parameter> = start.iter().map(|v| Parameter::new(wide(v))).collect();
        let naive = start.iter().zip(SHAPES);
        let mut naive: Vec<Alone> = naive.map(|(v, s)| Alone::new(v, s, &cpu())).collect();
        let mut together = Together::new(&start, &SHAPES, &device);
        for missing in MISSING {
            let values = random(&mut rng, &SHAPES, size).into_iter().enumerate();
            let gradients: Vec<Option<Vec<f32>>> = values
                .map(|(at, g)| (!missing.contains(&at)).then_some(g))
                .collect();
            let mut before = Vec::new();
            for at in missing.iter().copied() {
                if together.parameters[at].moments.is_some() {
                    before.push((at, together.read(at).await));
                }
            }
            for (at, gradient) in gradients.iter().enumerate() {
                let Some(gradient) = gradient else { continue };
                let own = of(at, together.parameters[at].time, scalars(scale));
                exact[at] = update(&exact[at], &wide(gradient), &oracle(own));
                naive[at].update(matrix(gradient, SHAPES[at], &cpu()), own);
            }
            fill_outputs_with(Some(f32::NAN));
            together.update(packed(&gradients, &SHAPES, &device), scalars(scale));
            fill_outputs_with(None);
            for (at, before) in before {
                assert!(together.read(at).await == before, "{at} was not left alone");
            }
        }
        for (at, exact) in exact.iter().enumerate() {
            let (got, naive) = (together.read(at).await, naive[at].read().await);
            let exact = [&exact.values, &exact.first, &exact.second];
            for part in 0..3 {
                let name = format!("part {part} of {:?}, {size}, {limit:?}", SHAPES[at]);
                assert_as_good_as_within(GPU_FACTOR, &name, &got[part], &naive[part], exact[part]);
            }
        }
    }
    limit_buffers(None);
}

/// Tensors lie where they should, also those that lie across in memory, with zeros after them and where one is missing.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn tensors_are_gathered_with_zeros_between() {
    let (device, mut rng) = (gpu().await, Rng::new(9));
    let values = random(&mut rng, &SHAPES, 1.0);
    for (limit, missing) in [(None, &[0, 9][..]), (Some(2), &[]), (Some(3), &[4, 5, 10])] {
        limit_buffers(limit);
        let of_each = values.iter().zip(SHAPES).enumerate();
        let tensors = of_each.map(|(at, (values, [rows, columns]))| {
            let across: Vec<f32> = (0..values.len())
                .map(|n| values[n % rows * columns + n / rows])
                .collect();
            let tensor = matrix(&across, [columns, rows], &device).transpose();
            (!missing.contains(&at)).then_some(tensor)
        });
        let tensors = tensors.collect();
        fill_outputs_with(Some(f32::NAN));
        let Ok(pack) = pack(KernelChoice::Fused, &SHAPES, tensors) else {
            panic!("a GPU's tensors are packed")
        };
        fill_outputs_with(None);
        let of_each: Vec<Vec<f64>> = values.iter().map(|values| wide(values)).collect();
        let of_each = of_each.iter().enumerate();
        let of_each: Vec<(usize, Option<&[f64]>)> = of_each
            .map(|(at, v)| (v.len(), (!missing.contains(&at)).then_some(&v[..])))
            .collect();
        let exact = gather(&of_each, BLOCK);
        let mut got = Vec::new();
        for buffer in buffers(&pack) {
            got.extend(wide(&read(buffer).await));
        }
        assert!(got == exact, "{limit:?}");
        for (at, tensor) in pack.tensors().into_iter().enumerate() {
            match tensor {
                Some(tensor) => assert_eq!(read(tensor).await, values[at], "{at}"),
                None => assert!(missing.contains(&at)),
            }
        }
    }
    limit_buffers(None);
}

/// The sum of all squares, with a NaN where a kernel forgets to write. A square that f32 has no number for is infinite, or 0, as
/// in PyTorch: there norms of 1e25 are infinite, and those of 1e-30 are 0.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn squares_add_up() {
    let (device, mut rng) = (gpu().await, Rng::new(10));
    for limit in LIMITS {
        limit_buffers(limit);
        for (shapes, missing) in [(&SHAPES[..], &[2, 6][..]), (&[[1, 1]], &[])] {
            for size in [0.0, 1.0, 1e-17, 1e17, 1e25, 1e-30] {
                let values = random(&mut rng, shapes, size).into_iter().enumerate();
                let gradients: Vec<Option<Vec<f32>>> = values
                    .map(|(at, g)| (!missing.contains(&at)).then_some(g))
                    .collect();
                fill_outputs_with(Some(f32::NAN));
                let parts = packed(&gradients, shapes, &device).squares();
                fill_outputs_with(None);
                let parts = read(Tensor::cat(parts, 0)).await;
                let got = parts.iter().map(|x| f64::from(*x)).sum::<f64>();
                let there: Vec<f32> = gradients.into_iter().flatten().flatten().collect();
                let exact = squares(&wide(&there));
                match size {
                    1e25 => assert_eq!(got, f64::INFINITY),
                    _ => {
                        let naive = there.iter().fold(0.0, |sum: f32, x| sum + x * x);
                        let name = format!("squares of {size}");
                        let got = [got as f32];
                        assert_as_good_as_within(GPU_FACTOR, &name, &got, &[naive], &[exact]);
                    }
                }
            }
        }
    }
    limit_buffers(None);
}

/// Packs add and scale as their tensors do; what is missing on one side is that of the other.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn packs_add_and_scale() {
    let device = gpu().await;
    let shapes = [[1, 3], [2, 2], [1, 1]];
    let ours = [Some(vec![1.0, -2.0, 3.0]), None, None];
    let theirs = [Some(vec![0.5, 0.5, 0.5]), Some(vec![4.0; 4]), None];
    let [ours, theirs] = [ours, theirs].map(|tensors| packed(&tensors, &shapes, &device));
    let sum = (ours + theirs).scale(0.5);
    assert_eq!(sum.present(), [true, true, false]);
    let tensors: Vec<Tensor<2>> = sum.tensors().into_iter().flatten().collect();
    assert_eq!(read(tensors[0].clone()).await, [0.75, -0.75, 1.75]);
    assert_eq!(read(tensors[1].clone()).await, [2.0; 4]);
    assert_eq!(tensors.len(), 2);
}

/// Whoever holds a parameter or a moment from before an update has it as it was; nothing that burn computes from a view, in its
/// place or not, reaches the parameter beside it.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn an_update_changes_nothing_that_others_hold() {
    let (device, mut rng) = (gpu().await, Rng::new(11));
    let shapes = [[1, 5], [3, 400], [1, 7]];
    let start = random(&mut rng, &shapes, 1.0);
    let gradients = || -> Vec<Option<Vec<f32>>> { start.iter().cloned().map(Some).collect() };
    let mut held = Together::new(&start, &shapes, &device);
    let mut free = Together::new(&start, &shapes, &device);
    for together in [&mut held, &mut free] {
        together.update(packed(&gradients(), &shapes, &device), scalars(1.0));
    }
    let before = [held.read(0).await, held.read(1).await, held.read(2).await];
    let clone = Together {
        parameters: held.parameters.clone(),
    };
    for together in [&mut held, &mut free] {
        together.update(packed(&gradients(), &shapes, &device), scalars(1.0));
    }
    for (at, before) in before.iter().enumerate() {
        assert!(clone.read(at).await == *before);
        let after = held.read(at).await;
        assert!(after == free.read(at).await && after != *before);
    }
    drop(clone);
    let neighbours = [free.read(0).await, free.read(2).await];
    let middle = std::mem::replace(
        &mut free.parameters[1].values,
        Tensor::zeros([3, 400], &device),
    );
    let doubled: Vec<f32> = read(middle.clone()).await.iter().map(|x| 2.0 * x).collect();
    assert_eq!(read(middle * 2.0).await, doubled);
    assert!([free.read(0).await, free.read(2).await] == neighbours);
}

/// What lies in one buffer is bound once, and each tensor is found there.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn tensors_of_one_buffer_are_gathered_at_once() {
    let device = gpu().await;
    let values = random(&mut Rng::new(9), &SHAPES, 1.0);
    let all: Vec<Option<Vec<f32>>> = values.iter().cloned().map(Some).collect();
    let views = packed(&all, &SHAPES, &device).tensors();
    // Each goes to another place than it has.
    let (shapes, views) = (&SHAPES[1..], views[1..].to_vec());
    fill_outputs_with(Some(f32::NAN));
    let before = launches();
    let gathered = pack(KernelChoice::Fused, shapes, views);
    let count = launches() - before;
    fill_outputs_with(None);
    let Ok(gathered) = gathered else {
        panic!("a GPU's tensors are packed")
    };
    assert_eq!(count, 1);
    for (tensor, values) in gathered.tensors().into_iter().zip(&values[1..]) {
        assert_eq!(read(tensor.unwrap()).await, *values);
    }
}

/// Once parameters lie side by side, a step is a launch for every six buffers of gradients (here each has its own), one for the norm
/// and one for the update, however many parameters there are.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn launches_do_not_grow_with_parameters() {
    let (device, mut rng) = (gpu().await, Rng::new(12));
    for count in [1, 6, 7, 40] {
        let shapes = vec![[1, 9]; count];
        let mut together = Together::new(&random(&mut rng, &shapes, 1.0), &shapes, &device);
        for update in 0..3 {
            let gradients = random(&mut rng, &shapes, 1.0).into_iter().map(Some);
            let gradients: Vec<_> = gradients.collect();
            let before = launches();
            let pack = packed(&gradients, &shapes, &device);
            let gathered = launches() - before;
            assert_eq!(gathered, count.div_ceil(6) as u64);
            pack.squares();
            together.update(pack, scalars(1.0));
            if update > 0 {
                assert_eq!(launches() - before, gathered + 2, "{count} parameters");
            }
        }
    }
}

/// Tensors of a CPU, and all where the plain composition is asked for, come back as they are.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn what_is_not_on_a_gpu_is_not_packed() {
    for (device, kernel) in [
        (cpu(), KernelChoice::Fused),
        (gpu().await, KernelChoice::Naive),
    ] {
        let tensors = vec![None, Some(matrix(&[1.0, 2.0], [1, 2], &device))];
        let Err(tensors) = pack(kernel, &[[1, 1], [1, 2]], tensors) else {
            panic!("packed on {device:?}")
        };
        assert!(tensors[0].is_none());
        assert_eq!(read(tensors[1].clone().unwrap()).await, [1.0, 2.0]);
    }
}

/// Before a run, a GPU whose shaders do nothing is found out.
#[wasm_bindgen_test(unsupported = pollster::test)]
async fn the_self_test_sees_an_update_that_does_not_happen() {
    let device = gpu().await;
    assert_eq!(self_test(&device, Check::AdamW).await, Ok(()));
    fill_outputs_with(Some(0.5));
    skip_launches(Some(""));
    let verdict = self_test(&device, Check::AdamW).await;
    skip_launches(None);
    fill_outputs_with(None);
    let error = verdict.unwrap_err().to_string();
    assert!(
        error.contains("norm of gradients of AdamW differs"),
        "{error}"
    );
}
