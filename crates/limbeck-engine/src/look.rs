//! What a page looks at: one sentence and those beside it, as both models of a run read them.

use limbeck_model::Tokenizer;
use limbeck_recipe::Pooling;
use limbeck_train::{Run, TrainError};

use crate::sentence::{EventParts, Sentence, Tokens};
use crate::similarity::Similarity;

/// The sentence that is drawn, and those that are compared.
pub struct Look {
    sentence: Sentence,
    /// The sentences side by side.
    pub similarity: Similarity,
}

impl Look {
    /// Has the teacher read the sentence in tokens, and beside it held-out lines and sentences of the reader's own.
    ///
    /// # Errors
    /// There is nothing beside it, or the device fails.
    pub async fn read(
        run: &Run,
        tokenizer: &Tokenizer,
        tokens: Tokens,
        beside: (Vec<String>, Vec<String>),
        pooling: Pooling,
    ) -> Result<Self, TrainError> {
        Ok(Self {
            sentence: Sentence::read(run, tokenizer, tokens).await?,
            similarity: Similarity::read(run, tokenizer, beside, pooling).await?,
        })
    }

    /// The same of another sentence, given in tokens and as text; beside it is the same and that text, or nothing of the reader's
    /// own if that is empty.
    ///
    /// # Errors
    /// The device fails; then the sentence stays as it was.
    pub async fn choose(
        &mut self,
        run: &Run,
        tokenizer: &Tokenizer,
        (tokens, text): (Tokens, &str),
    ) -> Result<(), TrainError> {
        let sentence = Sentence::read(run, tokenizer, tokens).await?;
        self.similarity = self.similarity.with(run, tokenizer, text).await?;
        self.sentence = sentence;
        Ok(())
    }

    /// The step after which the student was last sampled.
    pub fn sampled_at(&self) -> Option<u64> {
        self.sentence.sampled_at()
    }

    /// Has the student read all of it as it is now.
    ///
    /// # Errors
    /// The device fails.
    pub async fn sample(&mut self, run: &Run) -> Result<Vec<EventParts>, TrainError> {
        let similarity = self.similarity.sample(run).await?;
        Ok(vec![similarity, self.sentence.sample(run).await?])
    }

    /// The sentence's tokens with the teacher's projections; and when the student was last sampled, the sentences side by side and
    /// the student's projections.
    pub fn events(&self) -> Vec<EventParts> {
        let (sentence, taps) = self.sentence.events();
        let similarity = self.similarity.event().filter(|_| taps.is_some());
        [sentence]
            .into_iter()
            .chain(similarity)
            .chain(taps)
            .collect()
    }
}
