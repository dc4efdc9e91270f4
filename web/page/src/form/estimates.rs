//! What a run will cost, while its recipe is edited.

use leptos::prelude::*;
use limbeck_recipe::{Estimate, Plan};

use super::cost::{self, amount, duration, memory};
use super::desk::Desk;
use crate::live::live;

/// The costs of the edited recipe.
pub fn estimates(desk: Desk) -> AnyView {
    let shown = move || {
        desk.page.plan.with(|plan| match plan {
            None => sentence("The cost of a run appears here once the teacher has loaded."),
            Some(Err(mistakes)) => sentence(match mistakes.len() {
                1 => "One thing must be changed before a run can start; it is marked below.",
                _ => "Some things must be changed before a run can start; they are marked below.",
            }),
            Some(Ok(plan)) => figures(desk, plan),
        })
    };
    view! { <div class="estimates" id="estimates">{live(shown)}</div> }.into_any()
}

fn sentence(text: &'static str) -> AnyView {
    view! { <p class="hint">{text}</p> }.into_any()
}

fn figures(desk: Desk, plan: &Plan) -> AnyView {
    let estimate = Estimate::of(plan);
    let speed = desk.speed(plan);
    let step = estimate.flops / speed.flops + speed.fixed * plan.recipe.accumulate as f64;
    let (kind, why) = if speed.measured {
        ("measured", "From the speed of the last run on this page.")
    } else {
        (
            "guess",
            "Based on a typical laptop, from ten times faster to thirty times slower; measured once a run has taken three steps.",
        )
    };
    let part = 100.0 * estimate.student_parameters as f64 / estimate.teacher_parameters as f64;
    let label = move || view! { <span class="chip" title=why>{kind}</span> };
    let steps = plan.recipe.steps;
    let time = move |seconds: f64| match speed.measured {
        true => duration(seconds),
        false => cost::between(seconds),
    };
    view! {
        <dl>
            <div>
                <dt>"Student"</dt>
                <dd>
                    <b>{amount(estimate.student_parameters)}</b>
                    <span class="hint">
                        {format!("parameters, {part:.0} % of the teacher's {}", amount(estimate.teacher_parameters))}
                    </span>
                </dd>
            </div>
            <div>
                <dt>"Memory"</dt>
                <dd>
                    <b>{memory(estimate.bytes)}</b>
                    <span class="hint">"while training, within a factor of two"</span>
                </dd>
            </div>
            <div>
                <dt>"A step"</dt>
                <dd>
                    <b>{time(step)}</b>
                    {label()}
                </dd>
            </div>
            <div>
                <dt>{format!("All {steps} steps")}</dt>
                <dd>
                    <b>{time(step * steps as f64)}</b>
                    {label()}
                </dd>
            </div>
        </dl>
    }
    .into_any()
}
