//! The relation loss of MiniLMv2 on tensors of your own, and its gradient with respect to the student's queries.
//! `cargo run --release --package it --example relation_loss`
use burn::tensor::{Device, Distribution, Tensor};
use limbeck_kernels::{Lengths, Taps, relation_loss};
use limbeck_recipe::{KernelChoice, Pair};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = Device::flex().autodiff();
    // (B, S, H): H may differ between the two models; the number of relation heads is the same for both.
    let random = |h| Tensor::<3>::random([2, 5, h], Distribution::Default, &device);
    let taps = |h| Taps {
        q: random(h),
        k: random(h),
        v: random(h),
    };
    let (mut student, teacher, heads) = (taps(12), taps(24), 6);
    student.q = student.q.require_grad();

    // The second sequence has 3 tokens; the rest of its row is padding, which nothing reads.
    let lengths = Lengths::new(&[5, 3], 5, &device)?;
    let pairs = [(Pair::QQ, 1.0), (Pair::KK, 1.0), (Pair::VV, 0.5)];
    let kernel = KernelChoice::Fused;
    let loss = relation_loss(kernel, &student, &teacher, &pairs, &lengths, heads)?;

    println!("loss: {:.6} nats", loss.total.clone().into_scalar::<f32>());
    for ((pair, _), kl) in pairs.iter().zip(loss.by_pair.into_data().iter::<f32>()) {
        println!("{pair}: {kl:.6} nats");
    }
    let gradients = loss.total.backward();
    let of_q = student.q.grad(&gradients).ok_or("queries: no gradient")?;
    println!("gradient of the queries: {:?}", of_q.dims());
    Ok(())
}
