//! How fast the browser's engine is beside the native one: the page has both train the same recipe, one after the other.
//! `cargo xtask bench browser` prints a JSON object a device: milliseconds of a step (median) and their ratio; and one of how
//! long the page takes to show relations.
#![allow(
    clippy::unwrap_used,
    reason = "a benchmark stops at the first thing that is not as it should be"
)]

mod drawing;

use it_page::acts::{metrics, open, wait};
use it_page::{Browser, Gpu, Site};
use serde_json::json;
use tempfile::TempDir;

/// Steps that are left out: the first ones still fill memory pools.
const WARM_UP: usize = 3;

/// Where Chromium's own Vulkan driver lies, so that both sides compute on the same adapter.
const SWIFTSHADER: &str = "/usr/lib/chromium/vk_swiftshader_icd.json";

/// A device, the recipe for it, and what makes the native engine like the browser's.
const DEVICES: [(&str, &str, (&str, &str)); 2] = [
    (
        "cpu",
        "v=1&preset=tiny&device=cpu&steps=40&batch=8&max_length=64&heldout=0.0008&checkpoint_every=1000\
            &student.hidden=32&student.heads=2",
        ("RAYON_NUM_THREADS", "1"),
    ),
    (
        "gpu",
        "v=1&preset=tiny&device=gpu&steps=13&batch=4&max_length=32&heldout=0.0002&checkpoint_every=1000\
            &student.hidden=32&student.heads=2",
        ("VK_DRIVER_FILES", SWIFTSHADER),
    ),
];

#[tokio::main(flavor = "current_thread")]
async fn main() {
    drawing::bench().await;
    for (device, recipe, like_the_browser) in DEVICES {
        let page = {
            let site = Site::hosted();
            time(&site, Gpu::Software, recipe).await
        };
        let native = {
            let keep = TempDir::new().unwrap();
            let site = Site::native_with(keep.path(), &[like_the_browser]);
            time(&site, Gpu::None, recipe).await
        };
        let ratio = native.0 / page.0;
        let line = json!({
            "bench": "browser", "device": device, "recipe": recipe,
            "browser_ms": page.0, "browser_on": page.1, "native_ms": native.0, "native_on": native.1,
            "browser_speed_of_native": (ratio * 1000.0).round() / 1000.0,
        });
        println!("{line}");
    }
}

/// Milliseconds of a step (median), and the device as the page names it.
async fn time(site: &Site, gpu: Gpu, recipe: &str) -> (f64, String) {
    let browser = Browser::chromium(gpu).await;
    open(&browser, site, recipe).await;
    browser.click("#main-action").await;
    wait(&browser, "Finished").await;
    let metrics = metrics(&browser).await;
    let steps = metrics["steps"].as_array().unwrap().iter().skip(WARM_UP);
    let mut seconds: Vec<f64> = steps.map(|s| s["seconds"].as_f64().unwrap()).collect();
    seconds.sort_by(f64::total_cmp);
    let device = metrics["device"].as_str().unwrap_or_default().to_owned();
    browser.close().await;
    let milliseconds = seconds[seconds.len() / 2] * 1e3;
    ((milliseconds * 100.0).round() / 100.0, device)
}
