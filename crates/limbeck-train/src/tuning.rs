//! Fine-tuning as a state machine: batches with what is known of them in, losses and logits out.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Tensor, TensorData};
use limbeck_model::{Classifier, Dropout, ParameterMut, TokenBatch, to_host};
use limbeck_recipe::layout::Kind;
use limbeck_recipe::{Recipe, learning_rate};

use crate::TrainError;
use crate::gradients::{self, Gradients};
use crate::objective::Loss;
use crate::optimizer::{AdamW, Pace, clip_scale};

/// How a classifier is fine-tuned.
#[derive(Clone, Debug, PartialEq)]
pub struct TuningRecipe {
    /// Steps of the whole run.
    pub steps: u64,
    /// Steps of linear warm-up, after which the learning rate decays linearly to 0.
    pub warmup: u64,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Decoupled weight decay; not applied to biases and LayerNorms.
    pub weight_decay: f64,
    /// Maximum global norm of the gradient; 0 turns clipping off.
    pub clip: f64,
    /// Seed of dropout.
    pub seed: u64,
    /// The embeddings and so many of the first layers stay as they are; none: everything is trained.
    pub frozen_layers: Option<usize>,
}

/// What is known of the sequences of a batch, or of their tokens.
#[derive(Clone, Debug, PartialEq)]
pub enum Targets {
    /// The class of each row of logits; none of a row that does not count, such as a token that begins no word.
    Classes(Vec<Option<usize>>),
    /// The score of each.
    Scores(Vec<f32>),
}

/// The numbers of one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tuned {
    /// From 1.
    pub step: u64,
    /// Cross-entropy in nats, or the squared error; a mean over the batch.
    pub loss: f64,
    /// Learning rate of the step.
    pub learning_rate: f64,
    /// Norm of the gradient before clipping.
    pub gradient_norm: f64,
}

/// A fine-tuning run in progress.
pub struct Tuning {
    classifier: Classifier,
    recipe: TuningRecipe,
    /// The weight of each class in the loss; none: all are alike.
    class_weights: Option<Vec<f32>>,
    /// How many of the first parameters stay as they are.
    frozen: usize,
    optimizer: AdamW,
    step: u64,
}

impl Tuning {
    /// A new run; what it trains of the classifier is tracked from here on. The classifier is on a device with autodiff.
    pub fn new(
        classifier: Classifier,
        recipe: TuningRecipe,
        class_weights: Option<Vec<f32>>,
    ) -> Self {
        let layout = classifier.encoder().config().layout();
        let optimizer = AdamW::new(&Recipe {
            weight_decay: recipe.weight_decay,
            ..Recipe::default()
        });
        let mut tuning = Self {
            frozen: recipe
                .frozen_layers
                .map_or(0, |layers| layout.up_to(layers)),
            classifier,
            recipe,
            class_weights,
            optimizer,
            step: 0,
        };
        for (_, _, parameter) in tuning.trained() {
            gradients::replace(parameter, |values| values);
        }
        tuning
    }

    /// The classifier as it is now, for inference.
    pub fn classifier(&self) -> Classifier {
        self.classifier.without_autodiff()
    }

    /// The logits or scores of a batch, without dropout: those of the first sequence, or of its first token, first.
    ///
    /// # Errors
    /// A batch that does not fit the model, or the device fails.
    pub async fn predict(
        classifier: &Classifier,
        batch: &TokenBatch,
    ) -> Result<Vec<f32>, TrainError> {
        Ok(to_host(classifier.logits(batch, None)?).await?)
    }

    fn trained(&mut self) -> Vec<(String, Kind, ParameterMut<'_>)> {
        self.classifier.parameters_mut().split_off(self.frozen)
    }

    /// Takes one step. Waits for the device once.
    ///
    /// # Errors
    /// A batch that does not fit the model, or a loss or gradient that is not a number.
    pub async fn step(
        &mut self,
        batch: &TokenBatch,
        targets: &Targets,
    ) -> Result<Tuned, TrainError> {
        let step = self.step + 1;
        let mut dropout = Dropout::new(self.recipe.seed, step, 0);
        let logits = self.classifier.logits(batch, Some(&mut dropout))?;
        let total = self.loss(logits, targets);
        let loss = Loss {
            names: Vec::new(),
            parts: total.clone().without_autodiff(),
            total,
        };
        let kernels = self.classifier.encoder().kernels();
        let gradients = Gradients::of(&loss, kernels, self.trained());
        let (loss, norm) = gradients.loss_and_norm().await?;
        let loss: f64 = loss.iter().sum();
        if !(loss.is_finite() && norm.is_finite()) {
            return Err(TrainError::NotFinite {
                step,
                in_a_row: 1,
                lines: Vec::new(),
            });
        }
        let TuningRecipe {
            learning_rate: peak,
            warmup,
            steps,
            clip,
            ..
        } = self.recipe;
        let pace = Pace {
            learning_rate: learning_rate(step, peak, warmup, steps),
            gradient_scale: clip_scale(clip, norm),
        };
        let frozen = self.frozen;
        let parameters = self.classifier.parameters_mut().split_off(frozen);
        self.optimizer.step(&pace, parameters, gradients);
        self.step = step;
        Ok(Tuned {
            step,
            loss,
            learning_rate: pace.learning_rate,
            gradient_norm: norm,
        })
    }

    /// (1): as PyTorch's `CrossEntropyLoss` with the weights of the classes, or `MSELoss`.
    fn loss(&self, logits: Tensor<2>, targets: &Targets) -> Tensor<1> {
        let [b, outputs] = logits.dims();
        let device = logits.device();
        match targets {
            Targets::Classes(classes) => {
                let weight = |class: usize| match &self.class_weights {
                    Some(weights) => weights[class],
                    None => 1.0,
                };
                let sum: f32 = classes.iter().flatten().map(|class| weight(*class)).sum();
                let mut shares = vec![0.0; b * outputs];
                for (row, class) in classes.iter().enumerate() {
                    if let Some(class) = class {
                        shares[row * outputs + class] = weight(*class) / sum;
                    }
                }
                let shares = constant(shares, [b, outputs], &device);
                (log_softmax(logits, 1) * shares).sum().neg()
            }
            Targets::Scores(scores) => {
                let scores = constant(scores.clone(), [b, 1], &device);
                (logits - scores).square().mean()
            }
        }
    }
}

fn constant(values: Vec<f32>, shape: [usize; 2], device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values, shape), device)
}
