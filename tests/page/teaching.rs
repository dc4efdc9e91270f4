//! Views in the frame of another page, and the sheet of experiments that shows one.

use it_page::acts::{address, no_errors, said};
use it_page::{Browser, Gpu, Site};
use serde_json::{Value, json};

use crate::ONE;

/// What can be seen of the page's parts, by the class that tells them apart.
const SEEN: &str = "[...document.querySelectorAll('.head, .panel, .foot-line, .next, .notice')] \
    .filter(part => part.checkVisibility()).map(part => part.classList[part.classList.length - 1])";

/// One view alone, as wide as its frame, and an engine only where a run can be started.
#[tokio::test]
async fn a_view_is_embedded_alone() {
    let _one = ONE.lock().await;
    let site = Site::hosted();
    let browser = Browser::chromium(Gpu::None).await;
    for (view, runs) in [("maps", false), ("charts", false), ("front", true)] {
        browser.resize(800, 600).await;
        browser
            .open(&address(&site, &format!("embed={view}")))
            .await;
        let drawn = format!("document.querySelector('.{view} canvas')?.width > 300");
        browser.until("the view is drawn", &drawn).await;
        assert_eq!(browser.value(SEEN).await, json!([view]));
        let place = format!(
            "(box => [box.left, box.top, document.documentElement.clientWidth - box.right])(document.querySelector('.{view}').getBoundingClientRect())"
        );
        assert_eq!(browser.value(&place).await, json!([0, 0, 0]), "{view}");
        if runs {
            browser
                .until("an engine is started", "watched.workers.length === 1")
                .await;
        } else {
            said(&browser, ".chart-text, #maps-now, .charts", &["step"]).await;
            assert_eq!(browser.value("watched.workers.length").await, 0, "{view}");
        }
        browser
            .picture(&format!("embed-{view}"), 800, 1040, false)
            .await;
    }
    // Nothing can be searched where no run can be started.
    let sentences = "embed=maps&see=view:sentences";
    browser.open(&address(&site, sentences)).await;
    let form = "document.querySelector('.found-form')";
    browser.until("the search is there", form).await;
    let seen = format!("{form}.checkVisibility()");
    assert_eq!(browser.value(&seen).await, false);
    browser.open(&address(&site, "embed=pie")).await;
    said(
        &browser,
        "#address-warnings",
        &["`pie`", "front, maps, charts"],
    )
    .await;
    no_errors(&browser).await;
    browser.close().await;
}

/// Every link of the sheet opens the page at its top with the recipe, the pair and the picture that the link names.
#[tokio::test]
async fn experiments_open_what_they_say() {
    let _one = ONE.lock().await;
    let site = Site::hosted();
    let browser = Browser::chromium(Gpu::None).await;
    // Otherwise each opening plays 25 s of the recorded run first.
    browser.prefer("prefers-reduced-motion", "reduce").await;
    let sheet = format!("{}teach.html", site.url);
    browser.open(&sheet).await;
    let links = browser
        .value("[...document.querySelectorAll('.try a')].map(link => link.href)")
        .await;
    let links: Vec<&str> = links
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert_eq!(links.len(), 12);
    for link in links {
        browser.open(link).await;
        browser
            .until(
                "the relations are drawn",
                "document.querySelector('#maps-now')?.innerText",
            )
            .await;
        assert_eq!(browser.value("scrollY").await, 0, "{link}");
        assert_eq!(
            browser
                .value("!document.querySelector('#address-warnings')")
                .await,
            true,
            "{link}"
        );
        for (name, value) in url::Url::parse(link).unwrap().query_pairs() {
            let shown = match &*name {
                "v" => continue,
                "preset" => {
                    format!("document.querySelector('.presets input:checked').value === '{value}'")
                }
                "pairs" => "document.querySelector('#pair-qk').checked".to_owned(),
                "see" => value.split(',').map(seen).collect::<Vec<_>>().join(" && "),
                field => {
                    let id = field.replace(['.', '_'], "-");
                    format!("document.querySelector('#field-{id}').value === '{value}'")
                }
            };
            browser
                .until(&format!("{link} shows {name}={value}"), &shown)
                .await;
        }
    }
    no_errors(&browser).await;
    browser.close().await;
}

/// What shows that a part of a view is chosen.
fn seen(part: &str) -> String {
    let now = "document.querySelector('#maps-now').innerText";
    match part.split_once(':').unwrap() {
        ("pair", pair) => {
            let (row, column) = pair.split_at(1);
            format!(
                "{now}.startsWith('{}-{}')",
                row.to_uppercase(),
                column.to_uppercase()
            )
        }
        ("view", picture) => {
            format!("document.querySelector('#maps-{picture}-view').ariaPressed === 'true'")
        }
        ("heads", heads) => {
            format!("document.querySelector('.maps-cut').innerText.includes('{heads}')")
        }
        ("head", head) => format!("{now}.includes('head {head}')"),
        other => panic!("{other:?} is not looked at"),
    }
}

/// The sheet holds a live view, fits every screen, and prints without the answers that nobody has opened.
#[tokio::test]
async fn the_sheet_is_read_and_printed() {
    let _one = ONE.lock().await;
    let site = Site::hosted();
    let browser = Browser::chromium(Gpu::None).await;
    browser.open(&format!("{}teach.html", site.url)).await;
    browser
        .value("document.querySelector('iframe').scrollIntoView()")
        .await;
    let framed = "document.querySelector('iframe').contentDocument.querySelector('#maps-now')?.innerText.startsWith('Q-K, ')";
    browser.until("the frame shows Q-K", framed).await;
    let numbered = "[...document.querySelectorAll('.answer table')].every(table => table.caption && table.tBodies[0].rows.length > 1)";
    assert_eq!(browser.value(numbered).await, true);
    let gone = "[...document.querySelectorAll('a[href^=\"#\"]')].filter(link => !document.querySelector(link.hash)).length";
    assert_eq!(browser.value(gone).await, 0);
    for open in [false, true] {
        let turn =
            format!("document.querySelectorAll('details').forEach(answer => answer.open = {open})");
        browser.value(&turn).await;
        for (name, width, height, dark) in [
            ("teach-1440", 1440, 900, false),
            ("teach-1440-dark", 1440, 900, true),
            ("teach-390", 390, 844, false),
            ("teach-360-dark", 360, 800, true),
        ] {
            browser.picture(name, width, height, dark).await;
            let over = browser
                .value(
                    "document.documentElement.scrollWidth - document.documentElement.clientWidth",
                )
                .await;
            assert_eq!(over, 0, "{name}");
        }
    }
    browser
        .value(
            "document.querySelectorAll('details').forEach((answer, at) => answer.open = at === 0)",
        )
        .await;
    browser
        .devtools("Emulation.setEmulatedMedia", json!({ "media": "print" }))
        .await;
    let printed = "[...document.querySelectorAll('.answer')].filter(answer => answer.checkVisibility()).length";
    assert_eq!(browser.value(printed).await, 1);
    let lines = "[...document.querySelectorAll('.line')].every(line => line.checkVisibility()) && !document.querySelector('iframe').checkVisibility()";
    assert_eq!(browser.value(lines).await, true);
    no_errors(&browser).await;
    browser.close().await;
}
