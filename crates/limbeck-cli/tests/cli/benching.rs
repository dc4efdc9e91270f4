//! `limbeck bench`: a report that is whole whatever time it gets, and says what it lacks.

use serde_json::Value;

use crate::scene::{Outcome, Scene};
use crate::share::{Ceilings, Share};

/// Kernels and steps of `--quick`.
const MEASUREMENTS: usize = 30;

fn bench(flags: &[&str]) -> Outcome {
    Scene::new().run(&[&["bench", "--quick"], flags].concat())
}

/// The report of a run that has ended well, or of one that has not.
#[track_caller]
fn report(outcome: &Outcome) -> Value {
    let mut objects = outcome.objects();
    assert_eq!(objects.len(), 1, "{outcome:?}");
    objects.remove(0)
}

fn list<'a>(report: &'a Value, name: &str) -> &'a Vec<Value> {
    report[name].as_array().expect("a list")
}

#[track_caller]
fn positive(object: &Value, names: &[&str]) {
    for name in names {
        let number = object[name].as_f64();
        assert!(
            number.is_some_and(|number| number > 0.0),
            "{name} of {object}"
        );
    }
}

#[test]
fn every_kernel_and_a_step_are_measured() {
    // As long as a busy machine needs: it ends when there is nothing more to measure.
    let outcome = bench(&["--device", "cpu", "--json", "--budget", "100"]).done();
    let report = report(&outcome);
    assert_eq!(report["left_out"], Value::Array(Vec::new()), "{outcome:?}");
    positive(&report["machine"], &["threads"]);
    assert_eq!(report["machine"]["device"], "cpu");
    positive(
        &report["ceilings"],
        &[
            "copy_gb_per_s",
            "matmul_gflops",
            "launch_us",
            "launch_and_wait_us",
        ],
    );
    let (kernels, steps) = (list(&report, "kernels"), list(&report, "steps"));
    assert_eq!((kernels.len(), steps.len()), (MEASUREMENTS - 1, 1));
    for kernel in kernels {
        positive(kernel, &["ms", "calls", "repeats", "gb_per_s"]);
        positive(&kernel["of_ceiling"], &["share"]);
        assert_eq!(kernel["judged"]["verdict"], "reference");
        let name = kernel["name"].as_str().expect("a name");
        let multiplies = ["linear", "attention", "feed-forward", "relation"]
            .iter()
            .any(|of| name.starts_with(of));
        assert_eq!(kernel["gflops"].is_f64(), multiplies, "{kernel}");
        // The fastest of them is the ceiling, if no square is.
        let share = kernel["of_ceiling"]["share"].as_f64();
        assert!(
            !name.starts_with("linear") || share <= Some(1.0),
            "{kernel}"
        );
    }
    let step = &steps[0];
    positive(step, &["ms", "repeats", "tokens_per_s", "gflops"]);
    positive(
        &step["phases_ms"],
        &["teacher", "student", "loss", "backward", "optimizer"],
    );
    assert!(
        step["last_loss"].as_f64() < step["first_loss"].as_f64(),
        "{step}"
    );
    // The phases of the CPU are parts of the step.
    let phases = step["phases_ms"].as_object().expect("phases").values();
    let sum: f64 = phases.filter_map(Value::as_f64).sum();
    let whole = step["ms"].as_f64().expect("a number");
    assert!((0.5..1.5).contains(&(sum / whole)), "{sum} of {whole} ms");
}

/// Its teacher may multiply faster than anything in f32 does, its student not.
#[test]
fn a_step_in_two_precisions_is_set_beside_no_ceiling() {
    let mut ceilings = Ceilings::default();
    ceilings.raise(Some(100.0), "1024 x 1024 x 1024");
    ceilings.raise_mixed(Some(400.0));
    let told = |share: Option<Share>| share.map(|share| (share.ceiling, share.share));
    assert_eq!(told(ceilings.of_step(150.0, true)), None);
    assert_eq!(told(ceilings.of_step(50.0, false)), Some(("matmul", 0.5)));
    let mixed = ceilings.of_kernel(Some(200.0), 1.0, true);
    assert_eq!(told(mixed), Some(("mixed matmul", 0.5)));
    assert_eq!(ceilings.seconds(Some(1e11), 0.0), Some(1.0));
}

#[test]
fn what_the_budget_does_not_hold_is_left_out_with_its_reason() {
    let outcome = bench(&["--device", "cpu", "--json", "--budget", "0.05"]).done();
    let report = report(&outcome);
    let left_out = list(&report, "left_out");
    let measured = list(&report, "kernels").len() + list(&report, "steps").len();
    assert!(measured < MEASUREMENTS / 2, "{report}");
    for left in left_out {
        let reason = left["reason"].as_str().expect("a reason");
        let is_time = reason == "no time was left" || reason.contains(" s were left");
        assert!(is_time && left["failed"] == false, "{left}");
    }
    let named = left_out.iter().filter(|left| {
        let name = left["name"].as_str().expect("a name");
        ["copying", "matmul", "smallest"]
            .iter()
            .all(|of| !name.starts_with(of))
    });
    assert_eq!(measured + named.count(), MEASUREMENTS);
}

/// An allocation that fails would end it without a word.
#[cfg(target_os = "linux")]
#[test]
fn what_the_memory_does_not_hold_is_left_out_with_its_reason() {
    let flags = ["bench", "--device", "cpu", "--json", "--budget", "8"];
    let flags = [&flags[..], &["--only", "A 48 B 128 S 128"]].concat();
    let report = report(&Scene::new().run_within(1_000_000, &flags).done());
    let left_out = list(&report, "left_out");
    let step = left_out
        .iter()
        .find(|left| left["name"] == "step 12x768 -> 6x384 A 48 B 128 S 128");
    let reason = step.expect("the step")["reason"]
        .as_str()
        .expect("a reason");
    assert!(
        reason.contains("GB of memory, and ") && reason.contains(" are free here"),
        "{reason}"
    );
}

#[test]
fn the_report_is_markdown_whose_tables_are_aligned() {
    let outcome = bench(&["--device", "cpu", "--only", "layernorm", "--budget", "60"]).done();
    let text = &outcome.stdout;
    assert!(text.starts_with("### limbeck bench "), "{text}");
    let rows = |start: &str| text.lines().filter(|line| line.starts_with(start)).count();
    assert_eq!(
        (rows("| LayerNorm forward "), rows("| step ")),
        (2, 0),
        "{text}"
    );
    assert_eq!((rows("| kernel "), rows("| left out ")), (1, 0), "{text}");
    assert_eq!(text.matches(" | the reference ").count(), 2, "{text}");
    for table in text.split("\n\n").filter(|part| part.starts_with('|')) {
        let widths: Vec<usize> = table
            .trim_end()
            .lines()
            .map(|line| line.chars().count())
            .collect();
        assert!(widths.iter().all(|width| *width == widths[0]), "{table}");
    }
    // Who waits sees what is being measured.
    assert!(outcome.stderr.contains("copying memory\n"), "{outcome:?}");
}

#[test]
fn flags_that_make_no_sense_are_refused() {
    for budget in ["0", "-1", "inf", "1e300", "soon"] {
        let budget_flag = format!("--budget={budget}");
        bench(&[&budget_flag]).misused(&format!(
            "invalid value '{budget}' for '--budget <SECONDS>': `{budget}` is not a number of seconds above 0 and up to 86400"
        ));
    }
    // Whether there is such a device does not matter.
    for device in ["auto", "cpu", "gpu"] {
        bench(&["--only", "softmax", "--device", device]).refused(
            2,
            "--only softmax: no measurement has that in its name. Names are those of the report, such as linear, mixed precision, \
             attention, relation loss, projections, feed-forward part, GELU, rotary positions, LayerNorm, embedding, AdamW or step",
        );
    }
    bench(&["--only", "mixed precision", "--device", "cpu"]).refused(
        2,
        "--only mixed precision: that is mixed precision, which only a GPU has. Leave it out, or use --device gpu",
    );
    bench(&["--budget", "-1"])
        .misused("invalid value '-1' for '--budget <SECONDS>': `-1` is not a number of seconds above 0 and up to 86400");
}

#[cfg(unix)]
#[test]
fn an_interrupt_ends_it_with_what_there_is() {
    use std::io::{BufRead, BufReader};

    use crate::running::Running;

    let scene = Scene::new();
    let flags = [
        "bench", "--quick", "--device", "cpu", "--json", "--budget", "600",
    ];
    let mut run = Running::start(scene.command(&flags));
    let stderr = run.child.stderr.take().expect("a piped output");
    let mut lines = BufReader::new(stderr).lines().map_while(Result::ok);
    let begun = lines.find(|line| line.starts_with("relation loss"));
    assert!(begun.is_some(), "it ended without a kernel");
    run.signal("-INT");
    let said = lines.find(|line| line.starts_with("Stopping"));
    assert!(said.is_some(), "nobody heard of the signal");
    let outcome = run.end();
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    let report = report(&outcome);
    assert_eq!(report["stopped"], true);
    let left_out = list(&report, "left_out");
    let (kernels, steps) = (list(&report, "kernels"), list(&report, "steps"));
    assert!(kernels.len() >= 14, "{report}");
    assert_eq!(kernels.len() + steps.len() + left_out.len(), MEASUREMENTS);
    assert!(
        left_out
            .iter()
            .all(|left| left["reason"] == "it was stopped"),
        "{report}"
    );
    assert!(!left_out.is_empty(), "{report}");
}

/// A software adapter counts where a GPU is asked for.
#[cfg(feature = "gpu")]
#[test]
fn kernels_of_a_gpu_are_judged_by_the_cpu() {
    let outcome = bench(&[
        "--device",
        "gpu",
        "--json",
        "--only",
        "LayerNorm",
        "--budget",
        "60",
    ])
    .done();
    let report = report(&outcome);
    let adapter = &report["machine"]["adapter"];
    assert!(
        adapter["name"].is_string() && adapter["software"].is_boolean(),
        "{adapter}"
    );
    positive(
        &adapter["limits"],
        &[
            "maxBufferSize",
            "maxComputeWorkgroupStorageSize",
            "maxStorageBuffersPerShaderStage",
        ],
    );
    positive(
        &report["ceilings"],
        &["copy_gb_per_s", "matmul_gflops", "launch_us"],
    );
    let kernels = list(&report, "kernels");
    assert_eq!(kernels.len(), 2, "{report}");
    for kernel in kernels {
        assert_eq!(kernel["judged"]["verdict"], "right", "{kernel}");
        positive(kernel, &["ms", "gb_per_s"]);
    }
}
