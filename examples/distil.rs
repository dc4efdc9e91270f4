//! Distils a student of 2 layers and 64 dimensions from the bundled teacher. In the folder of the workspace:
//! `cargo run --release --package it --example distil`
use burn::tensor::Device;
use limbeck_model::{Encoder, Folder};
use limbeck_recipe::batching::Batch;
use limbeck_recipe::{Plan, Recipe};
use limbeck_train::{Event, Run};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let corpus = "assets/glosses.txt";
    let mut recipe = Recipe {
        corpus: vec![corpus.into()],
        max_length: 32,
        steps: 40,
        learning_rate: 2e-3,
        ..Recipe::default()
    };
    recipe.student.layers = 2;
    recipe.student.hidden = 64;
    recipe.student.heads = 4;
    let folder = Folder::read("assets/teacher".as_ref())?;
    let plan = Plan::new(&recipe, &folder.config()?)?.pooled(&folder.sentence_head()?.pooling);
    let tokenizer = folder.tokenizer()?.truncating(recipe.max_length)?;
    let teacher = Encoder::from_folder(&folder, &Device::flex())?;
    let mut run = pollster::block_on(Run::new(plan, teacher))?;

    let text = std::fs::read_to_string(corpus)?;
    let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    for lines in lines.chunks(recipe.batch).take(40) {
        let tokens = tokenizer.encode(lines)?;
        let ids: Vec<&[u32]> = tokens.iter().map(|line| line.ids.as_slice()).collect();
        let sources = (1..=lines.len() as u64).map(|line| (0, line)).collect();
        let batch = Batch::pad(&ids, sources, 0, 8, recipe.max_length);
        if let Event::Step(step) = pollster::block_on(run.step(&[batch]))? {
            println!("step {:>2}: {:.4} nats", step.step, step.loss);
        }
    }
    Ok(())
}
