//! The page as a person uses it, in headless Chromium: on a static host and from `limbeck serve`. One browser at a time.
#![allow(
    clippy::unwrap_used,
    reason = "a test stops at the first thing that is not as it should be"
)]

use std::io::{Cursor, Read};
use std::path::Path;

use it_page::{Browser, Gpu, Site, limbeck};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Mutex;

/// Two browsers at once would only wait for each other.
static ONE: Mutex<()> = Mutex::const_new(());

/// A run that is over in seconds, dropout and all.
const QUICK: &str = "v=1&preset=tiny&steps=24&batch=4&max_length=16&checkpoint_every=8&heldout=0.0008&device=cpu\
    &student.dropout=0.1&learning_rate=0.002";

const LOADED: &str = "document.querySelector('#main-action')?.getAttribute('aria-disabled') !== 'true' \
    && document.querySelector('#main-action')?.innerText.includes('Distil')";

/// The state of the run as the page names it.
fn state(name: &str) -> String {
    format!("document.querySelector('#run-state')?.innerText.includes('{name}')")
}

async fn open(browser: &Browser, site: &Site, query: &str) {
    let joint = if site.url.contains('?') { '&' } else { '?' };
    browser.open(&format!("{}{joint}{query}", site.url)).await;
    browser.until("the engine is ready", LOADED).await;
}

/// The losses of the present run, by step, from the file that a person would take away.
async fn losses(browser: &Browser) -> Vec<f64> {
    let before = browser.blobs().await;
    let json = "[...document.querySelectorAll('#out button')].find(b => b.innerText === 'JSON')";
    browser
        .until("metrics can be had", &format!("!{json}.disabled"))
        .await;
    browser.value(&format!("{json}.click()")).await;
    let metrics: Value = serde_json::from_slice(&browser.downloaded(before).await).unwrap();
    let steps = metrics["steps"].as_array().unwrap().iter();
    steps.map(|step| step["loss"].as_f64().unwrap()).collect()
}

async fn out(browser: &Browser, button: &str) -> Vec<u8> {
    let before = browser.blobs().await;
    let find = format!(
        "[...document.querySelectorAll('#out button')].find(b => b.innerText === '{button}')"
    );
    browser.until(button, &format!("!{find}.disabled")).await;
    browser.value(&format!("{find}.click()")).await;
    browser.downloaded(before).await
}

async fn no_errors(browser: &Browser) {
    let errors = browser.console_errors().await;
    // What a static host answers where `limbeck serve` would say that it is there.
    let errors: Vec<_> = errors
        .iter()
        .filter(|e| !e.contains("engine.json"))
        .collect();
    assert!(errors.is_empty(), "the console has errors: {errors:?}");
}

/// A whole run, its pictures, its files, and the same numbers from the command line.
#[tokio::test]
async fn a_student_is_distilled_and_taken_away() {
    let _one = ONE.lock().await;
    let site = Site::hosted();
    let browser = Browser::chromium(Gpu::Software).await;
    open(&browser, &site, QUICK).await;
    browser.value("watched.longest = 0").await;
    browser.click("#main-action").await;
    browser.until("the run is over", &state("inished")).await;
    let longest = browser.value("watched.longest").await.as_f64().unwrap();
    eprintln!("longest task of the page while training: {longest} ms");
    let page = losses(&browser).await;
    assert_eq!(page.len(), 24);
    let mean = |some: &[f64]| some.iter().sum::<f64>() / some.len() as f64;
    assert!(
        mean(&page[18..]) < mean(&page[..6]),
        "the loss does not fall: {page:?}"
    );

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

    let folder = TempDir::new().unwrap();
    let zip = out(&browser, "Student (.zip)").await;
    let student = unpack(&zip, folder.path());
    let inspected = limbeck().arg("inspect").arg(&student).output().unwrap();
    assert!(
        inspected.status.success(),
        "{}",
        String::from_utf8_lossy(&inspected.stderr)
    );

    let recipe = out(&browser, "Recipe (TOML)").await;
    let native = command_line_losses(folder.path(), &recipe);
    for (step, (a, b)) in page.iter().zip(&native).enumerate() {
        assert!(
            (a - b).abs() <= 1e-5 * b,
            "step {}: {a} here, {b} on the command line",
            step + 1
        );
    }
    no_errors(&browser).await;
    browser.close().await;
}

/// Writes a zip's files into a folder and gives the folder of the model.
fn unpack(zip: &[u8], folder: &Path) -> std::path::PathBuf {
    let mut archive = zip::ZipArchive::new(Cursor::new(zip)).unwrap();
    let mut root = None;
    for index in 0..archive.len() {
        let mut file = archive.by_index(index).unwrap();
        let path = folder.join(file.enclosed_name().unwrap());
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        std::fs::write(&path, bytes).unwrap();
        if path.ends_with("config.json") && !path.to_string_lossy().contains("1_Pooling") {
            root = path.parent().map(Path::to_owned);
        }
    }
    root.unwrap()
}

/// The losses that `limbeck distill` gives for a recipe, run where its teacher and texts are.
fn command_line_losses(folder: &Path, recipe: &[u8]) -> Vec<f64> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .unwrap();
    let file = folder.join("recipe.toml");
    std::fs::write(&file, recipe).unwrap();
    let student = folder.join("from-the-command-line");
    let mut command = limbeck();
    command
        .current_dir(root)
        .arg("distill")
        .arg("--config")
        .arg(&file);
    let run = command.arg("--out").arg(&student).output().unwrap();
    assert!(
        run.status.success(),
        "{}",
        String::from_utf8_lossy(&run.stderr)
    );
    let metrics = std::fs::read_to_string(student.join("metrics.jsonl")).unwrap();
    let lines = metrics
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let steps = lines.filter(|line| line["event"] == "step");
    steps.map(|step| step["loss"].as_f64().unwrap()).collect()
}

/// On WebGPU, with keys alone.
#[tokio::test]
async fn a_gpu_trains_by_keyboard_alone() {
    let _one = ONE.lock().await;
    let site = Site::hosted();
    let browser = Browser::chromium(Gpu::Software).await;
    let query = "v=1&preset=tiny&steps=4&batch=2&max_length=8&heldout=0.0002&device=gpu&checkpoint_every=100";
    open(&browser, &site, query).await;
    key(&browser, " ").await;
    browser
        .until(
            "it runs or has run",
            &format!("{} || {}", state("raining"), state("inished")),
        )
        .await;
    browser.until("the run is over", &state("inished")).await;
    assert_eq!(losses(&browser).await.len(), 4);
    key(&browser, "?").await;
    browser
        .until(
            "the keys are listed",
            "document.querySelector('#keys')?.open",
        )
        .await;
    no_errors(&browser).await;
    browser.close().await;
}

async fn key(browser: &Browser, key: &str) {
    for kind in ["keyDown", "keyUp"] {
        let event =
            json!({ "type": kind, "key": key, "text": if kind == "keyDown" { key } else { "" } });
        browser.devtools("Input.dispatchKeyEvent", event).await;
    }
}

/// What is wrong is said where it is fixed, and nothing of it ends the page.
#[tokio::test]
async fn bad_input_is_named_at_its_control() {
    let _one = ONE.lock().await;
    let site = Site::hosted();
    let browser = Browser::chromium(Gpu::None).await;
    let nonsense = "v=1&preset=tiny&stepps=3&batch=many&device=cpu&hide=forrm";
    open(&browser, &site, nonsense).await;
    let warned = "(t => t.includes('stepps') && t.includes('many') && t.includes('forrm'))\
        (document.querySelector('#address-warnings')?.innerText ?? '')";
    browser
        .until("the address's nonsense is named", warned)
        .await;
    open(
        &browser,
        &site,
        "v=1&preset=tiny&student.heads=5&relation_heads=7",
    )
    .await;
    let mistakes =
        "[...document.querySelectorAll('#form .mistake')].map(e => e.innerText).join(' ')";
    browser.until("the fields say what is wrong", &format!("{mistakes}.includes('5 attention heads') && {mistakes}.includes('7 relation heads')")).await;
    no_errors(&browser).await;
    browser.close().await;
}
