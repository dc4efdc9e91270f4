//! Whole runs, and what is taken away from them.

use std::path::Path;

use it_page::acts::{
    distil, longest_task, losses, no_errors, only_own_text, open, said, take_away, unpack, wait,
};
use it_page::{Browser, Gpu, Site, limbeck, ran};
use serde_json::Value;
use tempfile::TempDir;

use crate::{ONE, QUICK};

/// Longest that the page may block, in milliseconds: what a browser calls a long task, so that it lists none that is shorter.
const LONGEST_TASK: f64 = 50.0;

/// In the page's own worker: pictures, files, and the same numbers from the command line.
#[tokio::test]
async fn a_student_is_distilled_and_taken_away() {
    let _one = ONE.lock().await;
    let site = Site::hosted();
    let browser = Browser::chromium(Gpu::Software).await;
    open(&browser, &site, QUICK).await;
    browser.value("watched.tasks.length = 0").await;
    let page = distil(&browser).await;
    let (longest, tasks) = longest_task(&browser).await;
    assert!(longest <= LONGEST_TASK, "the page was blocked: {tasks} ms");

    file_by_file(&browser).await;
    pictures(&browser).await;
    taken_away(&browser, &page).await;
    no_errors(&browser).await;
    browser.close().await;
}

/// A pasted text whose lines are pairs; the bundled texts have none, which is said before step 1.
#[tokio::test]
async fn a_text_of_pairs_is_distilled() {
    let _one = ONE.lock().await;
    let site = Site::hosted();
    let browser = Browser::chromium(Gpu::None).await;
    let query = QUICK.replace("heldout=0.0008", "heldout=0.2&corpus_pairs=pairs");
    open(&browser, &site, &query).await;
    browser.click("#main-action").await;
    said(&browser, "#texts .mistake", &["none has a tab"]).await;

    let pairs: String = (1..=40)
        .map(|n| {
            format!("How old is the tower number {n}?\\tThe tower was built {n} years ago.\\n")
        })
        .collect();
    browser
        .value("document.querySelector('#texts details').open = true")
        .await;
    let write = format!(
        "(e => {{ e.value = '{pairs}'; e.dispatchEvent(new Event('input')); }})(document.querySelector('#paste'))"
    );
    browser.value(&write).await;
    browser.click("#texts details button").await;
    only_own_text(&browser).await;
    assert_eq!(distil(&browser).await.len(), 24);
    no_errors(&browser).await;
    browser.close().await;
}

/// In `limbeck serve`, from the same page.
#[tokio::test]
async fn the_native_engine_distils_the_same_student() {
    let _one = ONE.lock().await;
    let keep = TempDir::new().unwrap();
    let site = Site::native(keep.path());
    let browser = Browser::chromium(Gpu::None).await;
    open(&browser, &site, QUICK).await;
    let page = distil(&browser).await;
    taken_away(&browser, &page).await;
    no_errors(&browser).await;
    browser.close().await;
}

/// On WebGPU, with keys alone.
#[tokio::test]
async fn a_gpu_trains_by_keyboard_alone() {
    let _one = ONE.lock().await;
    let site = Site::hosted();
    let browser = Browser::chromium(Gpu::Software).await;
    let query = "v=1&preset=tiny&steps=4&batch=2&max_length=8&heldout=0.0002&device=gpu&checkpoint_every=100\
        &student.hidden=32&student.heads=2";
    open(&browser, &site, query).await;
    browser.focus("#main-action").await;
    browser.key(" ").await;
    wait(&browser, "Finished").await;
    assert_eq!(losses(&browser).await.len(), 4);
    browser.key("?").await;
    browser
        .until(
            "the keys are listed",
            "document.querySelector('#keys')?.open",
        )
        .await;
    browser.key("Escape").await;
    browser.click("#numbers button").await;
    let report = [
        "self-test of the kernels",
        "google swiftshader",
        "maxBufferSize",
        "Browser",
    ];
    said(&browser, "#numbers table", &report).await;
    no_errors(&browser).await;
    browser.close().await;
}

/// The losses fall, the command line's own run of the recipe has the same, and the command line opens the student.
async fn taken_away(browser: &Browser, page: &[f64]) {
    assert_eq!(page.len(), 24);
    let mean = |some: &[f64]| some.iter().sum::<f64>() / some.len() as f64;
    assert!(
        mean(&page[18..]) < mean(&page[..6]),
        "the loss does not fall: {page:?}"
    );
    let folder = TempDir::new().unwrap();
    let zip = take_away(browser, "Student (.zip)").await;
    let student = unpack(&zip, folder.path());
    ran(limbeck().arg("inspect").arg(&student));
    with_onnx(browser, &student).await;
    let recipe = take_away(browser, "Recipe (TOML)").await;
    let native = command_line_losses(folder.path(), &recipe);
    for (step, (a, b)) in page.iter().zip(&native).enumerate() {
        assert!(
            (a - b).abs() <= 1e-5 * b,
            "step {}: {a} here, {b} on the command line",
            step + 1
        );
    }
}

/// The same student with ONNX files, which are those that the command line writes of it.
async fn with_onnx(browser: &Browser, student: &Path) {
    browser.click("#out-onnx").await;
    let zip = take_away(browser, "Student (.zip)").await;
    let folder = TempDir::new().unwrap();
    let with = unpack(&zip, folder.path());
    let files = ["model.onnx", "model_fp16.onnx", "model_quantized.onnx"];
    let out = folder.path().join("exported");
    ran(limbeck()
        .args(["export", "--model"])
        .arg(student)
        .arg("--out")
        .arg(&out));
    for file in files {
        let here = std::fs::read(with.join("onnx").join(file)).unwrap();
        assert!(here == std::fs::read(out.join(file)).unwrap(), "{file}");
    }
    let weights = |folder: &Path| std::fs::read(folder.join("model.safetensors")).unwrap();
    assert!(weights(&with) == weights(student));
    browser.click("#out-onnx").await;
}

/// The bundled texts are measured by themselves, too: together they have all held-out lines.
async fn file_by_file(browser: &Browser) {
    let cells = "[...document.querySelectorAll('#evaluation-files tbody tr')].map(row => [...row.cells].map(cell => cell.textContent))";
    let rows = browser.value(cells).await;
    let rows: Vec<Vec<String>> = serde_json::from_value(rows).unwrap();
    let note = browser
        .value("document.querySelector('#evaluation caption').textContent")
        .await;
    let mut lines = 0;
    for (row, name) in rows.iter().zip(["wiki.txt", "glosses.txt"]) {
        assert_eq!(row[0], name);
        lines += row[1].parse::<usize>().unwrap();
        // Of each part what it is now, and how far it is from what it was.
        assert!(row[2..].iter().all(|part| part.ends_with(" %")), "{row:?}");
    }
    let note = note.as_str().unwrap();
    assert_eq!(rows.len(), 2);
    assert!(
        note.contains(&format!("on {lines} held-out lines")),
        "{note}"
    );
}

/// On wide and narrow screens, in both schemes; nothing is wider than the screen.
async fn pictures(browser: &Browser) {
    for (name, width, height, dark) in [
        ("run-wide", 1440, 2200, false),
        ("run-dark", 1440, 2200, true),
        ("run-narrow", 360, 4200, false),
    ] {
        browser.picture(name, width, height, dark).await;
        let overflow = browser
            .value("document.documentElement.scrollWidth - innerWidth")
            .await;
        assert!(
            overflow.as_i64().unwrap() <= 0,
            "{name} is {overflow} px too wide"
        );
    }
}

/// The losses that `limbeck distill` gives for a recipe of the page.
fn command_line_losses(folder: &Path, recipe: &[u8]) -> Vec<f64> {
    let file = folder.join("recipe.toml");
    // Its paths lead from its folder; those of the page, from the checkout.
    let assets = format!("\"{}/assets/", it_page::root().display());
    let recipe = String::from_utf8_lossy(recipe).replace("\"assets/", &assets);
    std::fs::write(&file, recipe).unwrap();
    let student = folder.join("from-the-command-line");
    let mut command = limbeck();
    command
        .current_dir(it_page::root())
        .arg("distill")
        .arg("--config")
        .arg(&file);
    ran(command.arg("--out").arg(&student));
    let metrics = std::fs::read_to_string(student.join("metrics.jsonl")).unwrap();
    let lines = metrics
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let steps = lines.filter(|line| line["event"] == "step");
    steps.map(|step| step["loss"].as_f64().unwrap()).collect()
}
