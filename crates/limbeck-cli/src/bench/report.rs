//! The report: one JSON object, or Markdown whose tables are aligned for whoever reads it as it is.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;
use serde_json::{Value, json};

use super::judging::Verdict;
use super::share::{Ceilings, Share};
use super::steps::PHASES;
use crate::device::Adapter;

/// All that was found. Names of fields are those of the JSON.
#[derive(Serialize)]
pub struct Report {
    /// The version of the program.
    pub limbeck: &'static str,
    pub quick: bool,
    pub budget_s: f64,
    /// What it took.
    pub seconds: f64,
    /// Whether somebody ended it early.
    pub stopped: bool,
    pub machine: Machine,
    pub ceilings: Ceilings,
    pub kernels: Vec<Kernel>,
    pub steps: Vec<Step>,
    pub left_out: Vec<LeftOut>,
}

/// Where it was measured.
#[derive(Serialize)]
pub struct Machine {
    /// Operating system and architecture.
    pub system: String,
    pub cpu: Option<String>,
    /// That compute on the CPU.
    pub threads: usize,
    /// `cpu` or `gpu`.
    pub device: &'static str,
    /// Of a GPU.
    pub adapter: Option<Value>,
}

/// A kernel on tensors of one size.
#[derive(Serialize)]
pub struct Kernel {
    pub name: &'static str,
    pub sizes: String,
    pub judged: Verdict,
    /// Milliseconds of a call.
    pub ms: f64,
    pub calls: usize,
    pub repeats: usize,
    pub gflops: Option<f64>,
    pub gb_per_s: f64,
    /// Whether it is in mixed precision, which has a ceiling of its own.
    #[serde(skip)]
    pub is_mixed: bool,
    pub of_ceiling: Option<Share>,
}

/// A whole step.
#[derive(Serialize)]
pub struct Step {
    /// With a word where the teacher is computed in mixed precision.
    pub name: String,
    /// Whether it is.
    #[serde(skip)]
    pub is_mixed: bool,
    /// What plain tensor operations compute, because the kernel failed the self-test.
    pub plain: Vec<&'static str>,
    pub ms: f64,
    pub repeats: usize,
    /// By phase; on a GPU each is waited for, and their sum is more than `ms`.
    pub phases_ms: BTreeMap<&'static str, f64>,
    pub tokens_per_s: f64,
    pub gflops: f64,
    pub of_ceiling: Option<Share>,
    /// Kernels launched; null on the CPU.
    pub launches: Option<u64>,
    /// The same, of each kernel.
    pub launches_by_kernel: BTreeMap<String, u64>,
    /// Every step is on the same batch, so the loss falls.
    pub first_loss: f64,
    pub last_loss: f64,
}

/// What was not measured.
#[derive(Serialize)]
pub struct LeftOut {
    pub name: String,
    pub reason: String,
    /// Whether something went wrong, and not only time ran out.
    pub failed: bool,
}

/// What an adapter says of itself, for programs.
pub fn described(adapter: &Adapter) -> Value {
    let limits = adapter
        .limits
        .iter()
        .map(|(name, most)| (name.clone(), json!(most)));
    let limits: serde_json::Map<String, Value> = limits.collect();
    json!({
        "name": adapter.name, "api": adapter.api, "driver": adapter.driver, "kind": adapter.kind,
        "software": !adapter.real, "f16": adapter.f16, "subgroups": adapter.subgroups,
        "cooperative_matrices": adapter.matrices, "limits": limits,
    })
}

impl Report {
    /// Sets everything beside the ceilings, which are known when all is measured.
    pub fn compare(&mut self) {
        for kernel in &mut self.kernels {
            let (gflops, gb_per_s) = (kernel.gflops, kernel.gb_per_s);
            kernel.of_ceiling = self.ceilings.of_kernel(gflops, gb_per_s, kernel.is_mixed);
        }
        for step in &mut self.steps {
            step.of_ceiling = self.ceilings.of_step(step.gflops, step.is_mixed);
        }
    }

    /// Whether every kernel that was tried is right, and nothing failed or was stopped.
    pub fn is_sound(&self) -> bool {
        let right = |kernel: &Kernel| matches!(kernel.judged, Verdict::Right | Verdict::Reference);
        !self.stopped
            && self.kernels.iter().all(right)
            && self.steps.iter().all(|step| step.plain.is_empty())
            && !self.left_out.iter().any(|left| left.failed)
    }

    /// For an issue.
    pub fn markdown(&self, adapter: Option<&Adapter>) -> String {
        let mut text = format!(
            "### limbeck bench {}{}\n\n{} s of {}{}\n\n",
            self.limbeck,
            if self.quick { " --quick" } else { "" },
            figure(self.seconds),
            figure(self.budget_s),
            if self.stopped { ", stopped" } else { "" },
        );
        text += &table(&["machine", ""], &[], self.machine.rows(adapter));
        text += &table(
            &["ceiling", "measured", "by"],
            &[1],
            self.ceilings.rows(adapter.is_some()),
        );
        let titles = [
            "kernel",
            "tensors",
            "judged",
            "ms",
            "GFLOP/s",
            "GB/s",
            "of the ceiling",
        ];
        let kernels = self.kernels.iter().map(Kernel::cells).collect();
        text += &table(&titles, &[3, 4, 5, 6], kernels);
        let mut titles = vec!["step", "plain", "ms"];
        titles.extend(PHASES);
        titles.extend(["tokens/s", "GFLOP/s", "of the ceiling", "launches"]);
        let numbers: Vec<usize> = (2..titles.len()).collect();
        text += &table(
            &titles,
            &numbers,
            self.steps.iter().map(Step::cells).collect(),
        );
        if !self.left_out.is_empty() {
            let left_out = self.left_out.iter();
            let rows = left_out.map(|left| vec![left.name.clone(), left.reason.clone()]);
            text += &table(&["left out", "because"], &[], rows.collect());
        }
        text.truncate(text.trim_end().len());
        text
    }
}

impl Machine {
    fn rows(&self, adapter: Option<&Adapter>) -> Vec<Vec<String>> {
        let cpu = self.cpu.as_deref().unwrap_or("unknown");
        let mut rows = vec![
            ("system", self.system.clone()),
            (
                "processor",
                format!("{cpu}, threads used: {}", self.threads),
            ),
        ];
        match adapter {
            None => rows.push(("measured on", "the processor".to_owned())),
            Some(adapter) => {
                let kind = if adapter.real {
                    &adapter.kind
                } else {
                    "software"
                };
                let name = format!("{} ({}, {kind})", adapter.name, adapter.api);
                rows.push(("measured on", name));
                rows.push(("driver", adapter.driver.clone()));
            }
        }
        let mut rows: Vec<Vec<String>> = rows
            .into_iter()
            .map(|(a, b)| vec![a.to_owned(), b])
            .collect();
        if let Some(adapter) = adapter {
            let limits = adapter.limits.iter();
            rows.extend(limits.map(|(name, most)| vec![name.clone(), most.to_string()]));
            let yes = |has: bool| (if has { "yes" } else { "no" }).to_owned();
            let subgroups = adapter.subgroups;
            let subgroups = subgroups.map_or_else(
                || yes(false),
                |[least, most]| format!("of {least} to {most}"),
            );
            let matrices = match adapter.matrices.is_empty() {
                true => yes(false),
                false => adapter.matrices.join(", "),
            };
            rows.extend([
                vec!["shader-f16".to_owned(), yes(adapter.f16)],
                vec!["subgroups".to_owned(), subgroups],
                vec!["cooperative matrices".to_owned(), matrices],
            ]);
        }
        rows
    }
}

impl Ceilings {
    fn rows(&self, on_gpu: bool) -> Vec<Vec<String>> {
        let number = |value: Option<f64>, unit: &str| {
            value.map_or_else(
                || NONE.to_owned(),
                |value| format!("{} {unit}", figure(value)),
            )
        };
        let [copied, multiplied] = match on_gpu {
            true => ["a kernel", "limbeck's kernel"],
            false => ["all threads", "the gemm that training uses"],
        };
        let of = self.matmul_of.as_ref();
        let of = of.map_or_else(String::new, |of| format!("; best: {of}"));
        let row = |what: &str, value: String, by: String| vec![what.to_owned(), value, by];
        let mixed = self.mixed_gflops.map(|_| {
            row(
                "matmul, mixed precision",
                number(self.mixed_gflops, "GFLOP/s"),
                "the best below".to_owned(),
            )
        });
        let mut rows = vec![
            row(
                "copying memory",
                number(self.copy_gb_per_s, "GB/s"),
                format!("{copied}; {} MB read and written", self.copy_bytes >> 20),
            ),
            row(
                "matmul, f32",
                number(self.matmul_gflops, "GFLOP/s"),
                format!("{multiplied}{of}"),
            ),
            row(
                "smallest operation",
                number(self.launch_us, "us"),
                "one of many on one number".to_owned(),
            ),
            row(
                "the same, waited for",
                number(self.launch_and_wait_us, "us"),
                "one alone".to_owned(),
            ),
        ];
        rows.extend(mixed);
        rows
    }
}

impl Kernel {
    fn cells(&self) -> Vec<String> {
        vec![
            self.name.to_owned(),
            self.sizes.clone(),
            self.judged.in_words(),
            figure(self.ms),
            self.gflops.map_or_else(|| NONE.to_owned(), figure),
            figure(self.gb_per_s),
            percent(self.of_ceiling),
        ]
    }
}

impl Step {
    fn cells(&self) -> Vec<String> {
        let plain = match self.plain.is_empty() {
            true => NONE.to_owned(),
            false => self.plain.join(", "),
        };
        let mut cells = vec![self.name.clone(), plain, figure(self.ms)];
        cells.extend(PHASES.map(|phase| figure(self.phases_ms[phase])));
        cells.extend([
            figure(self.tokens_per_s),
            figure(self.gflops),
            percent(self.of_ceiling),
            self.launches
                .map_or_else(|| NONE.to_owned(), |count| count.to_string()),
        ]);
        cells
    }
}

/// What stands where there is no number.
const NONE: &str = "-";

fn percent(share: Option<Share>) -> String {
    share.map_or_else(
        || NONE.to_owned(),
        |Share { ceiling, share }| format!("{:.0} % of {ceiling}", 100.0 * share),
    )
}

/// Three digits that count.
fn figure(value: f64) -> String {
    let decimals = match value {
        v if v >= 99.95 => 0,
        v if v >= 9.995 => 1,
        v if v >= 0.9995 => 2,
        v if v >= 0.09995 => 3,
        _ => 4,
    };
    format!("{value:.decimals$}")
}

/// A table of Markdown, its columns aligned with spaces; those of these places hold numbers. Nothing without a row.
fn table(titles: &[&str], numbers: &[usize], rows: Vec<Vec<String>>) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let rows: Vec<Vec<String>> = rows
        .into_iter()
        .map(|row| row.iter().map(|cell| cell.replace('|', "\\|")).collect())
        .collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let cells = cells.map(|cell| cell.chars().count());
        cells.fold(titles[column].len().max(3), usize::max)
    };
    let widths: Vec<usize> = (0..titles.len()).map(width).collect();
    let mut text = String::new();
    let mut line = |cells: &mut dyn Iterator<Item = &str>| {
        for (column, (cell, width)) in cells.zip(&widths).enumerate() {
            let _ = match numbers.contains(&column) {
                true => write!(text, "| {cell:>width$} "),
                false => write!(text, "| {cell:<width$} "),
            };
        }
        text += "|\n";
    };
    line(&mut titles.iter().copied());
    let rule = |(column, width): (usize, &usize)| match numbers.contains(&column) {
        true => format!("{}:", "-".repeat(width - 1)),
        false => "-".repeat(*width),
    };
    let rules: Vec<String> = widths.iter().enumerate().map(rule).collect();
    line(&mut rules.iter().map(String::as_str));
    for row in &rows {
        line(&mut row.iter().map(String::as_str));
    }
    text + "\n"
}
