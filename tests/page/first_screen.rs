//! What a visitor sees before anything else: the picture, and no forms.

use std::time::Duration;

use it_page::acts::{no_errors, said};
use it_page::{Browser, Gpu, Site};

use crate::ONE;

/// Milliseconds from the navigation to the first picture. An idle machine takes about one second; this one may have other work.
const SOON: f64 = 15_000.0;
/// What may be shifted, as browsers measure it: above it, people lose their place.
const SHIFT: f64 = 0.05;

/// The pixels of the picture, in short.
const PIXELS: &str = "(c => { const data = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; \
    let sum = 0; for (let i = 0; i < data.length; i += 4) sum = (sum * 31 + data[i] + data[i + 1] * 3 + data[i + 2] * 7) % 1e9; \
    return sum; })(document.querySelector('#front-maps canvas'))";

/// When the first picture was drawn.
const MARK: &str = "performance.getEntriesByName('limbeck-first-picture')[0]?.startTime";

/// On a wide and a narrow screen: the maps, filling in, the loss beneath, a sentence and one button; nothing jumps, and the forms
/// wait in a panel.
#[tokio::test]
async fn the_picture_comes_first() {
    let _one = ONE.lock().await;
    for (width, height) in [(1440, 900), (390, 844)] {
        let site = Site::hosted();
        let browser = Browser::chromium(Gpu::None).await;
        browser.resize(width, height).await;
        browser.open(&site.url).await;
        browser.until("the picture is drawn", MARK).await;
        let took = browser.value(MARK).await.as_f64().unwrap();
        println!("first picture at {width} x {height}: {took:.0} ms");
        assert!(took < SOON, "{took} ms");
        said(&browser, "#run-title", &["The recorded run"]).await;
        let before = browser.value(PIXELS).await;
        let changed = format!("{PIXELS} !== {before}");
        browser.until("the student's map fills in", &changed).await;
        said(
            &browser,
            "#now",
            &[" of 1,200: on this sentence", "down from"],
        )
        .await;
        for part in ["#main-action", "#now", "#front-maps", ".front-plot"] {
            let seen = format!(
                "document.querySelector('{part}').getBoundingClientRect().bottom <= innerHeight"
            );
            assert!(
                browser.value(&seen).await.as_bool().unwrap(),
                "{part} is out of sight"
            );
        }
        said(&browser, "#recipe > summary", &["Next run"]).await;
        assert_eq!(
            browser
                .value("document.querySelector('#recipe').open")
                .await,
            false
        );
        // Until the engine is here and the recording has ended: that is when things would move.
        browser
            .until(
                "the engine is here",
                "document.querySelector('#engine').dataset.state === 'ok'",
            )
            .await;
        said(&browser, "#player", &["Play again"]).await;
        said(&browser, "#now", &["All 1,200 steps are done"]).await;
        let shift = browser.value("watched.shift").await.as_f64().unwrap();
        println!("shift at {width} x {height}: {shift:.4}");
        assert!(shift <= SHIFT, "{shift}");
        for dark in [false, true] {
            let name = format!("first-{width}{}", if dark { "-dark" } else { "" });
            browser.picture(&name, width, height, dark).await;
        }
        no_errors(&browser).await;
        browser.close().await;
    }
}

/// Who wants no motion sees the end of the recorded run, and plays it if they like.
#[tokio::test]
async fn nothing_plays_by_itself_for_those_who_want_no_motion() {
    let _one = ONE.lock().await;
    let site = Site::hosted();
    let browser = Browser::chromium(Gpu::None).await;
    browser.prefer("prefers-reduced-motion", "reduce").await;
    browser.open(&site.url).await;
    browser.until("the picture is drawn", MARK).await;
    said(&browser, "#now", &["All 1,200 steps are done"]).await;
    said(&browser, "#player", &["Play again"]).await;
    let before = browser.value(PIXELS).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(browser.value(PIXELS).await, before);
    browser.click("#player").await;
    said(&browser, "#now", &["Step "]).await;
    browser.close().await;
}

/// Data and recipe are there for the keyboard, and open by themselves when something in them is wrong.
#[tokio::test]
async fn the_next_run_is_a_panel_that_opens() {
    let _one = ONE.lock().await;
    let site = Site::hosted();
    let browser = Browser::chromium(Gpu::None).await;
    browser.open(&site.url).await;
    said(&browser, "#recipe > summary", &["Next run"]).await;
    let open = "document.querySelector('#recipe')?.open";
    browser.focus("#recipe > summary").await;
    browser.key(" ").await;
    browser.until("the panel is open", open).await;
    browser.focus("#form input").await;
    let inside = "!!document.activeElement.closest('#form')";
    assert_eq!(browser.value(inside).await, true);
    let wrong = it_page::acts::address(&site, "v=1&preset=tiny&relation_heads=7");
    browser.open(&wrong).await;
    browser.until("a mistake opens it", open).await;
    browser.close().await;
}
