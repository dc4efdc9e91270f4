//! Browsers without WebGPU, without a network, with a WebGPU of another make; and pages that nobody sees.

use it_page::acts::{address, distil, metrics, no_errors, open, said, take_away, wait};
use it_page::{Browser, Gpu, Site};

use serde_json::json;

use crate::ONE;

const SHORT: &str = "v=1&preset=tiny&steps=6&batch=2&heldout=0.0003&max_length=12&student.hidden=32&student.heads=2\
    &learning_rate=0.002";

/// Without WebGPU the page says so and trains on the CPU; with the network off it still opens and trains.
#[tokio::test]
async fn without_gpu_and_without_network() {
    let _one = ONE.lock().await;
    let site = Site::hosted();
    let browser = Browser::chromium(Gpu::None).await;
    open(&browser, &site, SHORT).await;
    said(&browser, "#no-gpu", &["CPU", "chrome://flags"]).await;
    let cached = "caches.keys().then(async names => { for (const name of names) { const cache = await caches.open(name); \
        const keys = await cache.keys(); if (keys.some(k => k.url.includes('model.safetensors')) && \
        keys.some(k => k.url.includes('worker') && k.url.includes('.wasm'))) return true; } return false; })";
    browser
        .until_promised("the page is kept for work without network", cached)
        .await;
    let there = address(&site, SHORT);
    let Site { program, url } = site;
    drop(program);
    browser.open(&there).await;
    let gone = Site {
        program: it_page::Program::idle(),
        url,
    };
    open(&browser, &gone, SHORT).await;
    assert_eq!(distil(&browser).await.len(), 6);
    browser.open(&format!("{}teach.html", gone.url)).await;
    said(&browser, "h1", &["Six experiments"]).await;
    browser.close().await;
}

/// Any folder of any host will do: nothing is asked for outside of it, engine, worker, data and the sheet of experiments included.
#[tokio::test]
async fn a_page_lies_in_any_folder_of_a_site() {
    let _one = ONE.lock().await;
    let folder = "/some/sub/path/";
    let site = Site::hosted_under(folder);
    assert!(site.url.ends_with(folder));
    let browser = Browser::chromium(Gpu::None).await;
    open(&browser, &site, SHORT).await;
    assert_eq!(distil(&browser).await.len(), 6);
    let kept =
        format!("navigator.serviceWorker.ready.then(worker => worker.scope.endsWith('{folder}'))");
    browser
        .until_promised("the folder is kept for work without network", &kept)
        .await;
    let elsewhere = format!(
        "performance.getEntriesByType('resource').map(one => one.name) \
         .filter(name => name.startsWith(location.origin) && !name.startsWith(location.origin + '{folder}'))"
    );
    assert_eq!(browser.value(&elsewhere).await, json!([]));
    browser.click(".lead a").await;
    said(&browser, "h1", &["Six experiments"]).await;
    assert_eq!(browser.value(&elsewhere).await, json!([]));
    no_errors(&browser).await;
    browser.close().await;
}

/// Firefox without WebGPU: another engine for everything. A reload takes the run up there, too.
#[tokio::test]
async fn firefox_trains_on_the_cpu() {
    let _one = ONE.lock().await;
    let site = Site::hosted();
    let browser = Browser::firefox(Gpu::None).await;
    open(&browser, &site, SHORT).await;
    said(&browser, "#no-gpu", &["CPU", "Firefox"]).await;
    let losses = distil(&browser).await;
    assert_eq!(losses.len(), 6);
    assert!(take_away(&browser, "Student (.zip)").await.len() > 100_000);
    browser.open(&address(&site, SHORT)).await;
    browser.click("#restore").await;
    wait(&browser, "Finished").await;
    assert_eq!(it_page::acts::losses(&browser).await, losses);
    browser.close().await;
}

/// Firefox's WebGPU is another than Chromium's: other limits, another translation of shaders. Its losses are those of the CPU.
#[tokio::test]
async fn firefox_trains_on_webgpu() {
    let _one = ONE.lock().await;
    let site = Site::hosted();
    let browser = Browser::firefox(Gpu::Software).await;
    let mut losses = Vec::new();
    for device in ["cpu", "gpu"] {
        open(&browser, &site, &format!("{SHORT}&device={device}")).await;
        losses.push(distil(&browser).await);
        let metrics = metrics(&browser).await;
        let named = metrics["device"].as_str().unwrap();
        assert_eq!(named.contains("WebGPU"), device == "gpu", "{named}");
    }
    assert_eq!(losses[0].len(), 6);
    for (cpu, gpu) in losses[0].iter().zip(&losses[1]) {
        assert!((cpu - gpu).abs() < 1e-4 * cpu, "{losses:?}");
    }
    browser.close().await;
}

/// Stands in for the browser's screen lock, which a machine without a screen does not give, and counts what is held. It takes
/// its time.
const SCREEN: &str = "window.asked = window.given = window.held = 0, navigator.wakeLock.request = () => { asked++; \
    return new Promise(give => setTimeout(() => { given++; held++; \
    give({ release() { held--; return Promise.resolve(); } }); }, 400)); }";

/// While a run goes on the screen stays on and leaving is asked about; not when it rests. A page that is hidden says so.
#[tokio::test]
async fn a_run_is_guarded() {
    let _one = ONE.lock().await;
    let site = Site::hosted();
    let browser = Browser::chromium(Gpu::None).await;
    open(&browser, &site, &SHORT.replace("steps=6", "steps=5000")).await;
    browser.value(SCREEN).await;
    let asks = "!dispatchEvent(new Event('beforeunload', { cancelable: true }))";
    assert_eq!(browser.value(asks).await, false);
    browser.click("#main-action").await;
    wait(&browser, "Training").await;
    browser.until("the screen stays on", "held === 1").await;
    assert_eq!(browser.value(asks).await, true);

    let turn = |state: &str| {
        format!(
            "Object.defineProperty(document, 'visibilityState', {{ configurable: true, get: () => '{state}' }}), \
             document.dispatchEvent(new Event('visibilitychange', {{ bubbles: true }}))"
        )
    };
    browser.value(&turn("hidden")).await;
    said(&browser, "#was-hidden", &["hidden while it trained"]).await;
    browser.value(&turn("visible")).await;
    // Paused before the browser has answered: what it gives late is given back.
    browser.click("#main-action").await;
    wait(&browser, "Paused").await;
    let off = "asked === 2 && given === asked && held === 0";
    browser.until("the screen may go off", off).await;
    assert_eq!(browser.value(asks).await, false);

    // A frozen tab: the browser stops it where it is, and wakes it.
    browser.click("#main-action").await;
    wait(&browser, "Training").await;
    for state in ["frozen", "active"] {
        let state = json!({ "state": state });
        browser.devtools("Page.setWebLifecycleState", state).await;
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    }
    let step = "parseInt(document.querySelector('#figures dd').innerText.replace(',', ''))";
    browser.value(&format!("window.woken = {step}")).await;
    browser
        .until("steps are taken again", &format!("{step} > woken"))
        .await;
    browser.close().await;
}
