//! What people stumble over in the first hour: keys, panels out of sight, a resume, a slow pause, high contrast, a long text.

use it_page::acts::{address, distil, longest_task, open, run_is, said, start_and_pause, wait};
use it_page::{Browser, Gpu, Site};

use crate::{LONG, ONE, QUICK};

/// Longest that the page may block while a long text comes in, in milliseconds. The clipboard itself takes a part of it.
const LONGEST_PASTE: f64 = 2_000.0;

/// A key that is pressed while the page is read is the browser's: Space scrolls. Shortcuts can be switched off, for good.
#[tokio::test]
async fn keys_belong_to_the_reader() {
    let _one = ONE.lock().await;
    let site = Site::hosted();
    let browser = Browser::chromium(Gpu::None).await;
    open(&browser, &site, QUICK).await;
    let listed = "document.querySelector('#keys').open";
    browser.value("document.activeElement.blur()").await;
    for key in [" ", ".", "?"] {
        browser.key(key).await;
    }
    assert_eq!(browser.value(&run_is("Recorded")).await, true);
    assert_eq!(browser.value(listed).await, false);
    browser.focus("#main-action").await;
    browser.key("?").await;
    browser.until("the keys are listed", listed).await;
    browser.click("#shortcuts").await;
    browser.click("#keys form button").await;
    browser
        .until("the list is closed", &format!("!{listed}"))
        .await;
    browser.open(&address(&site, QUICK)).await;
    browser
        .until("the page is here", "document.querySelector('#main-action')")
        .await;
    browser.focus("#main-action").await;
    browser.key("?").await;
    assert_eq!(browser.value(listed).await, false);
    browser.close().await;
}

/// Below the screen, too, everything is of the last step, and is there on paper.
#[tokio::test]
async fn what_is_out_of_sight_is_up_to_date() {
    let _one = ONE.lock().await;
    let site = Site::hosted();
    let browser = Browser::chromium(Gpu::None).await;
    browser.resize(1440, 900).await;
    open(&browser, &site, QUICK).await;
    distil(&browser).await;
    assert_eq!(browser.value("scrollY").await, 0);
    said(&browser, "#maps-now", &["at step 24"]).await;
    let rate = "document.querySelector('.plots-small figcaption b').textContent";
    browser
        .until("the last learning rate is shown", &format!("{rate} !== ''"))
        .await;
    // What would be printed of a run that has just gone on.
    browser.click("#main-action").await;
    wait(&browser, "Training").await;
    wait(&browser, "Finished").await;
    let drawn =
        "(c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(v => v > 0))";
    browser
        .value("dispatchEvent(new Event('beforeprint'))")
        .await;
    for canvas in [
        "#maps-grid canvas",
        "#maps-strip canvas",
        ".plots-small canvas",
    ] {
        let printed = format!("{drawn}(document.querySelector('{canvas}'))");
        assert_eq!(browser.value(&printed).await, true, "{canvas} is empty");
    }
    browser.close().await;
}

/// One press after a reload, and the texts of the run are listed.
#[tokio::test]
async fn a_saved_run_goes_on_with_one_press() {
    let _one = ONE.lock().await;
    let site = Site::hosted();
    let browser = Browser::chromium(Gpu::None).await;
    open(&browser, &site, LONG).await;
    start_and_pause(&browser).await;
    browser.open(&address(&site, LONG)).await;
    browser.click("#go-on").await;
    wait(&browser, "Finished").await;
    let texts = "document.querySelectorAll('#texts .data-list li input:checked').length";
    browser
        .until("both texts are listed", &format!("{texts} === 2"))
        .await;
    browser.close().await;
}

/// A step may take long: that it is the last one before the pause is said at once.
#[tokio::test]
async fn a_pause_is_answered_at_once() {
    let _one = ONE.lock().await;
    let site = Site::hosted();
    let browser = Browser::chromium(Gpu::None).await;
    open(&browser, &site, &LONG.replace("steps=300", "steps=20000")).await;
    browser.click("#main-action").await;
    wait(&browser, "Training").await;
    // As slow as can be: the engine hears nothing.
    browser
        .value("watched.workers.at(-1).postMessage = () => {}")
        .await;
    browser.click("#main-action").await;
    said(&browser, "#now", &["Pausing after this step"]).await;
    said(&browser, "#main-action", &["Pausing"]).await;
    said(&browser, "#why-not", &["pauses after this step"]).await;
    browser.close().await;
}

/// High contrast takes backgrounds away; what is chosen differs by what it leaves.
#[tokio::test]
async fn high_contrast_shows_what_is_chosen() {
    let _one = ONE.lock().await;
    let site = Site::hosted();
    let browser = Browser::chromium(Gpu::None).await;
    open(&browser, &site, QUICK).await;
    browser
        .value("document.querySelector('#recipe').open = true")
        .await;
    browser.prefer("forced-colors", "active").await;
    let looks = |chosen: &str, other: &str| {
        format!(
            "(([a, b]) => a !== b)(['{chosen}', '{other}'].map(at => (s => \
             [s.backgroundColor, s.color, s.outlineStyle, s.outlineColor].join())(getComputedStyle(document.querySelector(at)))))"
        )
    };
    for (chosen, other) in [
        (
            ".charts .switch [aria-pressed=true]",
            ".charts .switch [aria-pressed=false]",
        ),
        (
            ".maps-pairs [aria-pressed=true]",
            ".maps-pairs [aria-pressed=false]",
        ),
        (".preset.chosen", ".preset:not(.chosen)"),
    ] {
        let both = format!("['{chosen}', '{other}'].every(at => document.querySelector(at))");
        browser.until("both are there", &both).await;
        let differ = browser.value(&looks(chosen, other)).await;
        assert_eq!(differ, true, "{chosen} looks like {other}");
    }
    browser.close().await;
}

/// A text of 13 MB is taken without going through the field, and the page answers meanwhile.
#[tokio::test]
async fn a_long_text_is_pasted_without_a_stop() {
    let _one = ONE.lock().await;
    let site = Site::hosted();
    let browser = Browser::chromium(Gpu::None).await;
    open(&browser, &site, QUICK).await;
    browser
        .value("document.querySelectorAll('#recipe, #texts details').forEach(d => d.open = true)")
        .await;
    let paste = "(() => { const data = new DataTransfer(); data.setData('text/plain', 'the teacher gave her a book\\n'.repeat(470000)); \
        watched.tasks.length = 0; const field = document.querySelector('#paste'); field.focus(); \
        const event = new ClipboardEvent('paste', { clipboardData: data, bubbles: true, cancelable: true }); \
        window.taken = !field.dispatchEvent(event); })()";
    browser.value(paste).await;
    assert_eq!(browser.value("taken").await, true, "the field would get it");
    said(
        &browser,
        "#texts .data-list",
        &["pasted text", "13.2 MB, 470,000 lines"],
    )
    .await;
    let (longest, tasks) = longest_task(&browser).await;
    println!("longest task: {longest:.0} ms");
    assert!(longest <= LONGEST_PASTE, "the page was blocked: {tasks} ms");
    browser.close().await;
}
