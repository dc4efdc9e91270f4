//! Reloads, dead workers, lost GPUs, full and damaged storage, other tabs, lost connections: a run goes on exactly where
//! it was, or the page says what can be done.

use it_page::acts::{
    address, distil, losses, no_errors, open, run_is, said, start_and_pause, take_away, wait,
};
use it_page::hub::{Hub, MODEL};
use it_page::{Browser, Gpu, Site};
use serde_json::json;
use tempfile::TempDir;

use crate::{LONG, ONE};

/// Goes on with a run that waits, to its end.
async fn go_on(browser: &Browser) -> Vec<f64> {
    browser.click("#main-action").await;
    wait(browser, "Finished").await;
    losses(browser).await
}

/// Paused, reloaded, taken up, one step by hand and the rest: as if it had been left alone. And once more by a file.
#[tokio::test]
async fn a_reload_loses_nothing() {
    let _one = ONE.lock().await;
    let site = Site::hosted();
    let browser = Browser::chromium(Gpu::None).await;
    open(&browser, &site, LONG).await;
    let whole = distil(&browser).await;

    open(&browser, &site, LONG).await;
    start_and_pause(&browser).await;
    let checkpoint = take_away(&browser, "Checkpoint").await;
    browser.open(&address(&site, LONG)).await;
    browser.click("#restore").await;
    wait(&browser, "Paused").await;
    let before = losses(&browser).await.len();
    browser.click("#step").await;
    let steps = "document.querySelector('#figures dd')?.innerText";
    browser
        .until(
            "one step is taken",
            &format!("{steps}.startsWith('{} ')", before + 1),
        )
        .await;
    assert_eq!(losses(&browser).await.len(), before + 1);
    assert_eq!(go_on(&browser).await, whole);

    let folder = TempDir::new().unwrap();
    let file = folder.path().join("checkpoint.safetensors");
    std::fs::write(&file, checkpoint).unwrap();
    open(&browser, &site, LONG).await;
    browser.drop_files("#checkpoint .drop", &[file]).await;
    wait(&browser, "Paused").await;
    let rest = go_on(&browser).await;
    assert_eq!(rest, whole[before..], "the steps after those of the file");
    no_errors(&browser).await;
    browser.close().await;
}

/// A worker that ends for whatever reason is replaced, and the run goes on to the same losses.
#[tokio::test]
async fn a_dead_worker_is_replaced() {
    let _one = ONE.lock().await;
    let site = Site::hosted();
    let browser = Browser::chromium(Gpu::None).await;
    open(&browser, &site, LONG).await;
    browser.click("#main-action").await;
    said(&browser, "#saved-step", &["step 50"]).await;
    browser.value("watched.workers.at(-1).terminate()").await;
    browser
        .until("another worker is there", "watched.workers.length === 2")
        .await;
    said(&browser, "#run", &["The engine stopped unexpectedly"]).await;
    wait(&browser, "Finished").await;
    let replaced = losses(&browser).await;
    open(&browser, &site, LONG).await;
    assert_eq!(distil(&browser).await, replaced);
    browser.close().await;
}

/// The GPU's process ends, as it does when a driver fails.
#[tokio::test]
async fn a_lost_gpu_is_replaced() {
    let _one = ONE.lock().await;
    let site = Site::hosted();
    let browser = Browser::chromium(Gpu::Software).await;
    let query = "v=1&preset=tiny&steps=16&batch=2&max_length=8&heldout=0.0002&device=gpu&checkpoint_every=4\
        &student.hidden=32&student.heads=2";
    open(&browser, &site, query).await;
    browser.click("#main-action").await;
    said(&browser, "#saved-step", &["step 4"]).await;
    browser.devtools("Browser.crashGpuProcess", json!({})).await;
    said(&browser, "#run", &["The GPU was lost"]).await;
    wait(&browser, "Finished").await;
    assert_eq!(losses(&browser).await.len(), 16);
    browser.close().await;
}

/// A full storage is said with its numbers, and the run goes on in memory.
#[tokio::test]
async fn a_full_storage_does_not_end_a_run() {
    let _one = ONE.lock().await;
    let site = Site::hosted();
    let browser = Browser::chromium(Gpu::None).await;
    let origin = site.url.trim_end_matches('/');
    let quota = json!({ "origin": origin, "quotaSize": 15_000_000 });
    browser
        .devtools("Storage.overrideQuotaForOrigin", quota)
        .await;
    open(&browser, &site, LONG).await;
    assert_eq!(distil(&browser).await.len(), 300);
    let said_so = ["in memory only", "storage is full", "export the checkpoint"];
    said(&browser, "#saved-step", &said_so).await;
    assert!(take_away(&browser, "Checkpoint").await.len() > 100_000);
    no_errors(&browser).await;
    browser.close().await;
}

/// What something else has written over a checkpoint is not taken for one; another run can be started.
#[tokio::test]
async fn a_damaged_checkpoint_is_refused() {
    let _one = ONE.lock().await;
    let site = Site::hosted();
    let browser = Browser::chromium(Gpu::None).await;
    open(&browser, &site, LONG).await;
    start_and_pause(&browser).await;
    let damage = "(async () => {
        const root = await navigator.storage.getDirectory();
        const folder = await root.getDirectoryHandle('limbeck-run');
        let damaged = 0;
        for await (const [name, file] of folder.entries()) {
            if (!name.startsWith('checkpoint')) continue;
            const size = (await file.getFile()).size;
            const writable = await file.createWritable({ keepExistingData: true });
            await writable.write({ type: 'write', position: 24, data: new Uint8Array(4096).fill(0xff) });
            await writable.close();
            damaged += (await file.getFile()).size === size;
        }
        return damaged > 0;
    })()";
    browser
        .until_promised("the checkpoint is damaged", damage)
        .await;
    browser.open(&address(&site, LONG)).await;
    browser.click("#restore").await;
    said(&browser, "#checkpoint .mistake", &["checkpoint"]).await;
    browser.click("#discard").await;
    assert_eq!(distil(&browser).await.len(), 300);
    no_errors(&browser).await;
    browser.close().await;
}

/// Two tabs do not train on one storage.
#[tokio::test]
async fn a_second_tab_is_told_and_takes_over() {
    let _one = ONE.lock().await;
    let site = Site::hosted();
    let browser = Browser::chromium(Gpu::None).await;
    open(&browser, &site, LONG).await;
    start_and_pause(&browser).await;
    let first = browser.client.window().await.unwrap();
    let tab = browser.client.new_window(true).await.unwrap().handle;
    browser.client.switch_to_window(tab.clone()).await.unwrap();
    browser.open(&address(&site, LONG)).await;
    browser.click("#restore").await;
    let reported = ["Another tab of this browser has the saved run open"];
    said(&browser, "#run", &reported).await;

    browser.client.switch_to_window(first).await.unwrap();
    browser.client.close_window().await.unwrap();
    browser.client.switch_to_window(tab).await.unwrap();
    browser.click("#restore").await;
    wait(&browser, "Paused").await;
    let reported = format!(
        "document.querySelector('#run').textContent.includes('{}')",
        reported[0]
    );
    assert_eq!(browser.value(&reported).await, false);
    browser.close().await;
}

/// A download that breaks off goes on where it was, after a reload too, and can be cleared.
#[tokio::test]
async fn a_broken_download_goes_on() {
    let _one = ONE.lock().await;
    let (site, hub) = (Site::hosted(), Hub::start());
    let browser = Browser::chromium(Gpu::None).await;
    let query = format!("{LONG}&hub={}&teacher={MODEL}", hub.url);
    open(&browser, &site, &query).await;
    browser.click("#hub form button").await;
    said(&browser, "#hub .data-card", &[MODEL, "Download 10.2 MB"]).await;
    browser.click("#hub .data-card button").await;
    said(
        &browser,
        "#hub .mistake",
        &["the connection", "what has arrived is saved"],
    )
    .await;

    hub.mend();
    open(&browser, &site, &query).await;
    said(
        &browser,
        "#hub .data-list",
        &[MODEL, " of 10.2 MB", "Resume"],
    )
    .await;
    browser.click("#hub .data-list button").await;
    said(&browser, "#teacher > .data-card", &[MODEL]).await;
    let first = hub.ranges().iter().filter(|range| range.start == 0).count();
    assert_eq!(
        first,
        1,
        "what had come is not fetched again: {:?}",
        hub.ranges()
    );
    assert_eq!(
        hub.ranges().iter().map(|range| range.end).max(),
        Some(weights())
    );
    said(&browser, "#hub .data-list", &["cached ✓"]).await;
    browser.click("#hub .data-list button:last-child").await;
    let empty = "document.querySelector('#hub .data-list').innerText === ''";
    browser.until("the download is cleared", empty).await;
    browser.close().await;
}

/// Bytes of the weights on the hub.
fn weights() -> usize {
    let file = it_page::root().join("assets/teacher/model.safetensors");
    std::fs::metadata(file).unwrap().len() as usize
}

/// A run of `limbeck serve` is the program's: it outlives the page, is watched by two, and by a page that lost its way.
#[tokio::test]
async fn the_native_engine_outlives_the_page() {
    let _one = ONE.lock().await;
    let keep = TempDir::new().unwrap();
    let mut site = Site::native(keep.path());
    let browser = Browser::chromium(Gpu::None).await;
    let endless = LONG.replace("steps=300", "steps=20000");
    open(&browser, &site, &endless).await;
    browser.click("#main-action").await;
    wait(&browser, "Training").await;
    browser.open("about:blank").await;
    browser.open(&site.url).await;
    wait(&browser, "Training").await;

    let offline = |on| json!({ "offline": on, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1 });
    let first = browser.client.window().await.unwrap();
    let tab = browser.client.new_window(true).await.unwrap().handle;
    browser.client.switch_to_window(tab).await.unwrap();
    browser.open(&site.url).await;
    wait(&browser, "Training").await;
    browser
        .devtools("Network.emulateNetworkConditions", offline(true))
        .await;
    browser.click("#main-action").await;
    browser
        .devtools("Network.emulateNetworkConditions", offline(false))
        .await;
    wait(&browser, "Paused").await;
    browser.client.switch_to_window(first).await.unwrap();
    wait(&browser, "Paused").await;
    assert!(browser.value(&run_is("Paused")).await.as_bool().unwrap());
    no_errors(&browser).await;
    browser.close().await;
    site.program.interrupt();
    assert!(site.program.wait(), "the program ends well by ctrl-c");

    let site = Site::native(keep.path());
    let browser = Browser::chromium(Gpu::None).await;
    browser.open(&site.url).await;
    browser.click("#restore").await;
    wait(&browser, "Paused").await;
    assert!(!losses(&browser).await.is_empty());
    browser.close().await;
}
