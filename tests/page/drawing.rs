//! How long the page takes to show relations: 128 tokens, 12 relation heads, nine pairs, a teacher of 12 layers.

use std::path::Path;

use it_page::acts::{ask, distil, open, said, tall};
use it_page::{Browser, Gpu, Site, limbeck, ran, root};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Two steps: what is drawn does not depend on what was learnt.
const RECIPE: &str = "v=1&preset=tiny&device=cpu&steps=2&batch=4&max_length=32&heldout=0.0002&student.hidden=96\
    &student.heads=12&relation_heads=12";

/// Words of one token each; with the two special tokens there are 128.
const WORDS: [&str; 9] = [
    "the", "teacher", "gave", "her", "book", "to", "a", "small", "child",
];
const TOKENS: usize = 128;

/// Milliseconds that something takes the page's thread until the picture is drawn: in the event's own task, and in the frame
/// that follows, but not the wait for that frame. The first callback of a frame is ours, the page's own come next, and then
/// ours again.
const TIMED: &str = "window.timed = async act => {
    await new Promise(done => requestAnimationFrame(() => setTimeout(done)));
    let begin;
    requestAnimationFrame(() => { begin = performance.now(); });
    const start = performance.now();
    act();
    for (let i = 0; i < 20; i++) await null;
    const task = performance.now() - start;
    const frame = await new Promise(done => requestAnimationFrame(() => done(performance.now() - begin)));
    return task + frame;
}";

/// From the message that brings vectors to the end of the frame that draws them, its wait included: the longest of all.
const PICTURES: &str = "window.pictures = [];
    watched.workers.at(-1).addEventListener('message', () => {
        const start = performance.now();
        setTimeout(() => requestAnimationFrame(() => pictures.push(performance.now() - start)));
    }, true);";

/// Prints how long the first picture takes, and every way to another one.
pub async fn bench() {
    let folder = TempDir::new().unwrap();
    let teacher = teacher_of_twelve_layers(folder.path());
    let site = Site::hosted();
    let browser = Browser::chromium(Gpu::None).await;
    open(&browser, &site, RECIPE).await;
    let files = ["config.json", "model.safetensors", "tokenizer.json"];
    let files = files.map(|name| teacher.join(name));
    browser.drop_files("#teacher .drop", &files).await;
    said(&browser, "#teacher", &["12 \u{d7} 192"]).await;
    tall(&browser).await;
    distil(&browser).await;
    for script in [TIMED, PICTURES] {
        browser.value(&format!("(() => {{ {script} }})()")).await;
    }
    let first = first_picture(&browser).await;
    let strip = async |key: &str| turn(&browser, "#maps-strip", key, 12).await;
    let line = json!({
        "bench": "relations", "tokens": TOKENS, "relation_heads": 12, "teacher_layers": 12,
        "first_picture_ms": first,
        "head_ms": strip("ArrowRight").await,
        "layer_ms": strip("ArrowDown").await,
        "pair_ms": strip("PageDown").await,
        "cell_ms": turn(&browser, "#maps-grid", "ArrowDown", 12).await,
    });
    println!("{line}");
    browser.close().await;
}

/// A student of one step, as deep and as wide as a teacher.
fn teacher_of_twelve_layers(folder: &Path) -> std::path::PathBuf {
    let out = folder.join("teacher");
    let run = &mut limbeck();
    run.current_dir(root())
        .args(["distill", "--config", "assets/demo.toml", "--device", "cpu"])
        .args(
            [
                "steps=1",
                "heldout=0",
                "student.layers=12",
                "student.hidden=192",
                "student.heads=12",
                "student.init=random",
            ]
            .map(|set| format!("--set={set}")),
        )
        .arg("--out")
        .arg(&out);
    ran(run);
    out
}

async fn first_picture(browser: &Browser) -> f64 {
    let words: Vec<&str> = WORDS.into_iter().cycle().take(TOKENS - 2).collect();
    browser.value("pictures.length = 0").await;
    ask(browser, &words.join(" ")).await;
    let all = format!("document.querySelector('#maps-grid').ariaRowCount === '{TOKENS}'");
    browser.until("all tokens are shown", &all).await;
    let longest = browser
        .promised("new Promise(done => setTimeout(() => done(Math.max(...pictures)), 500))")
        .await;
    rounded(longest.as_f64().unwrap())
}

/// Presses a key some times: the median and the longest time.
async fn turn(browser: &Browser, at: &str, key: &str, times: usize) -> Value {
    let mut all = Vec::new();
    for _ in 0..times {
        let press = format!(
            "timed(() => document.querySelector('{at}').dispatchEvent(new KeyboardEvent('keydown', {{ key: '{key}', bubbles: true }})))"
        );
        all.push(browser.promised(&press).await.as_f64().unwrap());
    }
    all.sort_by(f64::total_cmp);
    json!({ "median": rounded(all[times / 2]), "longest": rounded(all[times - 1]) })
}

fn rounded(milliseconds: f64) -> f64 {
    (milliseconds * 100.0).round() / 100.0
}
