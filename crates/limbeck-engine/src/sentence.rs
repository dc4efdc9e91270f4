//! The sentence that a page draws: what both models make of it, and how often a run may spend time on that.

use limbeck_model::{ModelError, Tokenizer, TokenizerError};
use limbeck_protocol::Event;
use limbeck_recipe::Plan;
use limbeck_recipe::batching::Batch;
use limbeck_train::{Run, TrainError};

/// Tokens of a sentence: a page draws the square of them.
const MOST_TOKENS: usize = 128;
/// Bytes of a sentence: it is tokenised whole, because a page says how much is left out.
const MOST_BYTES: usize = 100_000;
/// What sampling the student may cost, as a share of the time that steps take.
const SHARE: f64 = 0.04;

/// An event with its binary parts.
pub type EventParts = (Event, Vec<Vec<u8>>);

/// The tokens of a sentence.
pub struct Tokens {
    /// Special ones included: a batch of this sentence.
    pub of_one: Batch,
    /// How many were cut off.
    pub left_out: u64,
}

/// Tokens of a sentence that are drawn: both models must have positions for them.
pub fn most_tokens(plan: &Plan) -> usize {
    MOST_TOKENS.min(plan.positions())
}

/// A text in tokens, `most` at most. A longer one is cut as the tokenizer cuts: its last special token stays.
///
/// # Errors
/// It has no token but the special ones, or is no sentence at all: why, in words.
pub fn cut(tokenizer: &Tokenizer, text: &str, most: usize) -> Result<Tokens, String> {
    let wrong = |error: TokenizerError| error.to_string();
    if text.len() > MOST_BYTES {
        return Err(format!(
            "this text has {} bytes, and limbeck reads at most {MOST_BYTES} for {most} tokens; enter one sentence of it",
            text.len()
        ));
    }
    let tokens = encode(tokenizer, text).map_err(wrong)?;
    if tokens.ids.len() <= encode(tokenizer, "").map_err(wrong)?.ids.len() {
        return Err("this sentence has no tokens; enter at least one word".to_owned());
    }
    let all = tokens.ids.len();
    let kept = match all <= most {
        true => tokens,
        false => {
            let truncating = tokenizer.clone().truncating(most).map_err(wrong)?;
            encode(&truncating, text).map_err(wrong)?
        }
    };
    Ok(Tokens {
        left_out: (all - kept.ids.len()) as u64,
        of_one: Batch::of_one(&kept.ids, &kept.types),
    })
}

fn encode(tokenizer: &Tokenizer, text: &str) -> Result<limbeck_model::Tokens, TokenizerError> {
    Ok(tokenizer.encode(&[text])?.remove(0))
}

/// A sentence with what the models make of it.
pub struct Sentence {
    of_one: Batch,
    from_teacher: EventParts,
    /// With the number of steps before.
    from_student: Option<(u64, EventParts)>,
}

impl Sentence {
    /// Has the teacher read it. That never changes, so it is done once.
    ///
    /// # Errors
    /// The device fails.
    pub async fn read(
        run: &Run,
        tokenizer: &Tokenizer,
        tokens: Tokens,
    ) -> Result<Self, TrainError> {
        let Tokens { of_one, left_out } = tokens;
        let around = encode(tokenizer, "").map_err(ModelError::from)?.ids;
        let taps = run.teacher_taps(&of_one).await?;
        let ids = &of_one.ids;
        let config = &run.plan().teacher;
        let event = Event::Sentence {
            tokens: tokenizer.labels(ids),
            special: ids.iter().map(|id| around.contains(id)).collect(),
            left_out,
            attention_heads: config.num_attention_heads,
            key_value_heads: config.is_grouped().then(|| config.key_heads()),
        };
        Ok(Self {
            of_one,
            from_teacher: (event, blobs(&taps)),
            from_student: None,
        })
    }

    /// Has the student read it as it is now.
    ///
    /// # Errors
    /// The device fails.
    pub async fn sample(&mut self, run: &Run) -> Result<EventParts, TrainError> {
        let taps = run.student_taps(&self.of_one).await?;
        let step = run.steps_taken();
        let event = Event::Taps {
            step,
            attention_heads: run.plan().student.num_attention_heads,
        };
        let event = (event, blobs(&taps));
        self.from_student = Some((step, event.clone()));
        Ok(event)
    }

    /// The step after which the student was last sampled.
    pub fn sampled_at(&self) -> Option<u64> {
        self.from_student.as_ref().map(|(step, _)| *step)
    }

    /// The events for a page: `Sentence`, and the last `Taps` if there were any.
    pub fn events(&self) -> (EventParts, Option<EventParts>) {
        let from_student = self.from_student.as_ref().map(|(_, event)| event.clone());
        (self.from_teacher.clone(), from_student)
    }
}

/// Numbers as the binary parts of an event: f32, little endian.
pub fn blobs(layers: &[Vec<f32>]) -> Vec<Vec<u8>> {
    let bytes = |layer: &Vec<f32>| layer.iter().flat_map(|x| x.to_le_bytes()).collect();
    layers.iter().map(bytes).collect()
}

/// Where a run's time goes: seconds of steps, and of samples of the student between them.
#[derive(Default)]
pub struct Share {
    taken: u64,
    steps: f64,
    samples: f64,
    last_sample: f64,
}

impl Share {
    /// A step was taken. The first one counts for nothing: it may have compiled.
    pub fn stepped(&mut self, seconds: f64) {
        if self.taken > 0 {
            self.steps += seconds;
        }
        self.taken += 1;
    }

    /// The student was sampled.
    pub fn sampled(&mut self, seconds: f64) {
        self.samples += seconds;
        self.last_sample = seconds;
    }

    /// Whether another sample like the last keeps within the share; always after the first step.
    pub fn allows_a_sample(&self) -> bool {
        self.taken == 1 || self.samples + self.last_sample <= SHARE * self.steps
    }
}
