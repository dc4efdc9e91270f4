//! What a person does on the page.

use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::{Browser, Site};

/// The engine is here and has teacher and texts.
const READY: &str = "document.querySelector('#main-action')?.getAttribute('aria-disabled') !== 'true' \
    && document.querySelector('#main-action')?.innerText.includes('Distil')";

/// Whether the run is in a state: the word that the page has for it.
pub fn run_is(word: &str) -> String {
    format!("document.querySelector('#run-state')?.innerText === '{word}'")
}

/// The address of the page with more in its query.
pub fn address(site: &Site, query: &str) -> String {
    let joint = if site.url.contains('?') { '&' } else { '?' };
    format!("{}{joint}{query}", site.url)
}

/// Opens the page and waits for its engine. A saved run is left alone.
pub async fn open(browser: &Browser, site: &Site, query: &str) {
    browser.open(&address(site, query)).await;
    let offered = "document.querySelector('#not-now')";
    browser
        .until("the engine is here", &format!("{offered} || {READY}"))
        .await;
    browser.value(&format!("{offered}?.click()")).await;
    browser.until("teacher and texts are here", READY).await;
}

/// Leaves the bundled texts out, so that the pasted one is all there is.
pub async fn only_own_text(browser: &Browser) {
    let own = "[...document.querySelectorAll('#texts .data-name')].some(e => e.innerText === 'pasted text')";
    browser.until("the pasted text is listed", own).await;
    browser
        .value("document.querySelectorAll('#texts input[type=checkbox]:checked').forEach(e => e.click())")
        .await;
    let left = "document.querySelectorAll('#texts input[type=checkbox]:checked').length === 0";
    browser.until("the bundled texts are left out", left).await;
}

/// Waits for a state of the run.
pub async fn wait(browser: &Browser, word: &str) {
    browser
        .until(&format!("the run is {word}"), &run_is(word))
        .await;
}

/// Starts a run and waits for its end.
pub async fn distil(browser: &Browser) -> Vec<f64> {
    browser.click("#main-action").await;
    wait(browser, "Finished").await;
    losses(browser).await
}

/// Presses a button of "Take away" and gives the file.
pub async fn take_away(browser: &Browser, button: &str) -> Vec<u8> {
    take_from(browser, "#out", button).await
}

/// Presses the button with this text, in what a selector finds, and gives the file.
pub async fn take_from(browser: &Browser, place: &str, button: &str) -> Vec<u8> {
    let before = browser.value("watched.blobs.length").await;
    let find = format!(
        "[...document.querySelectorAll('{place} button')].find(b => b.innerText === '{button}')"
    );
    browser
        .until(
            &format!("{button} can be pressed"),
            &format!("(b => b && !b.disabled)({find})"),
        )
        .await;
    browser.value(&format!("{find}.click()")).await;
    browser.downloaded(before.as_u64().unwrap()).await
}

/// Writes a zip's files into a folder and gives the folder of the model.
pub fn unpack(zip: &[u8], folder: &Path) -> PathBuf {
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

/// The metrics of the present run, from the file that a person would take away.
pub async fn metrics(browser: &Browser) -> Value {
    serde_json::from_slice(&take_away(browser, "JSON").await).unwrap()
}

/// The losses of the present run, by step.
pub async fn losses(browser: &Browser) -> Vec<f64> {
    let metrics = metrics(browser).await;
    let steps = metrics["steps"].as_array().unwrap().iter();
    steps.map(|step| step["loss"].as_f64().unwrap()).collect()
}

/// Waits until an element says something.
pub async fn said(browser: &Browser, selector: &str, words: &[&str]) {
    let text = format!("(document.querySelector('{selector}')?.textContent ?? '')");
    let all: Vec<_> = words
        .iter()
        .map(|word| format!("{text}.includes({})", Value::from(*word)))
        .collect();
    browser
        .until(&format!("{selector} says {words:?}"), &all.join(" && "))
        .await;
}

/// Pauses a run that was just started, somewhere.
pub async fn start_and_pause(browser: &Browser) {
    browser.click("#main-action").await;
    wait(browser, "Training").await;
    browser.click("#main-action").await;
    wait(browser, "Paused").await;
    let kept = "document.querySelector('#saved-step')?.innerText.includes(\
        `step ${document.querySelector('#figures dd').innerText.split(' / ')[0]}:`)";
    browser.until("the last step is kept", kept).await;
}

/// The longest task of the page so far, and all that were long, in milliseconds.
pub async fn longest_task(browser: &Browser) -> (f64, Value) {
    let tasks = browser.value("watched.tasks").await;
    let each = tasks.as_array().unwrap().iter().filter_map(Value::as_f64);
    (each.fold(0.0, f64::max), tasks)
}

/// The console has no error so far.
pub async fn no_errors(browser: &Browser) {
    let errors = browser.console_errors().await;
    assert!(errors.is_empty(), "the console has errors: {errors:?}");
}

/// Makes room for all of the panel: what is out of sight is not drawn.
pub async fn tall(browser: &Browser) {
    browser.resize(1200, 4000).await;
}

/// Writes a sentence and asks for its relations.
pub async fn ask(browser: &Browser, sentence: &str) {
    let text = Value::from(sentence);
    let write = format!(
        "(field => {{ field.value = {text}; field.dispatchEvent(new Event('input', {{ bubbles: true }})); \
         field.form.requestSubmit(); }})(document.querySelector('#maps-text'))"
    );
    browser.value(&write).await;
}
