//! Sentences without a run: a teacher and a student that has learnt from it.

use limbeck_model::{Encoder, Folder, Tokenizer};
use limbeck_protocol::Control;
use limbeck_recipe::{DeviceChoice, Plan, Pooling, Recipe};
use limbeck_train::Run;

use crate::look::Look;
use crate::sentence::{EventParts, cut, most_tokens};
use crate::trouble::{RunError, Troubles, of_device};
use crate::{Front, start};

/// Both models, on the CPU: a few sentences are not worth the shaders of a GPU.
pub struct Reader {
    run: Run,
    tokenizer: Tokenizer,
    pooling: Pooling,
    /// None before the first sentence.
    look: Option<Look>,
}

impl Reader {
    /// Reads the models of a run that is over.
    ///
    /// # Errors
    /// They are not those of the recipe, or damaged.
    pub async fn open(
        recipe: &Recipe,
        teacher: &Folder,
        student: &Folder,
        front: &impl Front,
    ) -> Result<Self, RunError> {
        let pooling = teacher.sentence_head()?.pooling;
        let plan = Plan::new(recipe, &teacher.config()?)?.pooled(&pooling);
        let tokenizer = teacher.tokenizer()?;
        teacher.require_rows(&tokenizer)?;
        let opened = front.open(DeviceChoice::Cpu).await;
        let device = opened.map_err(RunError::Device)?.device;
        let weights = start::weights(&plan, student, &device)?;
        Ok(Self {
            run: Run::finished(plan, Encoder::from_folder(teacher, &device)?, weights),
            tokenizer,
            pooling,
            look: None,
        })
    }

    /// What both models make of a sentence, and of those before it.
    ///
    /// # Errors
    /// It has no token but the special ones, or the device fails.
    pub async fn read(&mut self, text: &str) -> Result<Vec<EventParts>, Troubles> {
        let (run, tokenizer) = (&self.run, &self.tokenizer);
        let tokens = cut(tokenizer, text, most_tokens(run.plan()));
        let tokens = tokens.map_err(|message| (Control::Sentence, message))?;
        let look = match &mut self.look {
            Some(look) => {
                let chosen = look.choose(run, tokenizer, (tokens, text)).await;
                chosen.map_err(of_device)?;
                look
            }
            none => {
                let beside = (Vec::new(), vec![text.trim().to_owned()]);
                let read = Look::read(run, tokenizer, tokens, beside, self.pooling.clone()).await;
                none.insert(read.map_err(of_device)?)
            }
        };
        look.sample(run).await.map_err(of_device)?;
        Ok(look.events())
    }
}
