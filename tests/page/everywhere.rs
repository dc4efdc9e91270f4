//! Browsers without WebGPU, and without a network.

use it_page::acts::{address, distil, open, said, take_away, wait};
use it_page::{Browser, Gpu, Site};

use crate::ONE;

const SHORT: &str = "v=1&preset=tiny&steps=6&batch=2&heldout=0.0003&max_length=12";

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
    browser.close().await;
}

/// Firefox as Debian has it: no WebGPU, another engine for everything else. A reload takes the run up there, too.
#[tokio::test]
async fn firefox_trains_on_the_cpu() {
    let _one = ONE.lock().await;
    let site = Site::hosted();
    let browser = Browser::firefox().await;
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
