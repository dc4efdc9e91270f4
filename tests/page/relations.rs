//! The relations of a sentence, seen every way that the page has.

use it_page::acts::{
    ask, distil, no_errors, open, said, start_and_pause, take_away, take_from, tall, unpack, wait,
};
use it_page::{Browser, Gpu, Site, limbeck, ran};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{LONG, ONE, QUICK};

/// The cell that a screen reader reads.
const CELL: &str = "#maps-grid [role=gridcell]";
const SENTENCE: &str = "The cat sat because she was tired.";

/// A browser whose page has distilled a student, and shows a sentence that came with the link; the film is of it.
async fn distilled(site: &Site) -> Browser {
    let browser = Browser::chromium(Gpu::None).await;
    let query = format!("{QUICK}&sentence={}", SENTENCE.replace(' ', "%20"));
    open(&browser, site, &query).await;
    tall(&browser).await;
    distil(&browser).await;
    browser
}

/// Everything that can be done with one sentence of a run; the numbers are those of the command line.
#[tokio::test]
async fn relations_are_seen_every_way() {
    let _one = ONE.lock().await;
    let site = Site::hosted();
    let browser = distilled(&site).await;
    said(&browser, CELL, &["teacher", "student", "difference"]).await;
    other_heads_are_not_compared(&browser).await;
    pairs_layers_and_heads(&browser).await;
    keys(&browser).await;
    same_numbers(&browser).await;
    lines_and_film(&browser).await;
    layers_and_roles(&browser).await;
    sentences(&browser).await;
    files(&browser).await;
    no_errors(&browser).await;
    browser.close().await;
}

/// A search by teacher and student, in the page's own worker; with a recorded run alone there is none.
#[tokio::test]
async fn teacher_and_student_search() {
    let _one = ONE.lock().await;
    let site = Site::hosted();
    let browser = Browser::chromium(Gpu::None).await;
    let query = LONG.replace("heldout=0.0008", "heldout=0.02");
    open(&browser, &site, &format!("{query}&see=view:sentences")).await;
    said(&browser, "#found-hint", &["start a run, or open a saved"]).await;
    let disabled = "document.querySelector('#found-text').disabled";
    assert_eq!(browser.value(disabled).await, true);
    searched(&browser, 64, 300).await;
    followed(&browser).await;
    for (name, width, height, dark) in [
        ("search-1440", 1440, 900, false),
        ("search-1440-dark", 1440, 900, true),
        ("search-390", 390, 844, false),
        ("search-390-dark", 390, 844, true),
    ] {
        browser.picture(name, width, height, dark).await;
        let into_view =
            "document.querySelector('#found-title').scrollIntoView({ behavior: 'instant' })";
        browser.value(into_view).await;
        browser.picture(name, width, height, dark).await;
        let over = "document.documentElement.scrollWidth - innerWidth";
        assert!(browser.value(over).await.as_i64().unwrap() <= 0, "{name}");
    }
    no_errors(&browser).await;
    browser.close().await;
}

/// The same with the engine of `limbeck serve`.
#[tokio::test]
async fn the_native_engine_searches() {
    let _one = ONE.lock().await;
    let keep = TempDir::new().unwrap();
    let site = Site::native(keep.path());
    let browser = Browser::chromium(Gpu::None).await;
    // Long enough to be paused, on any machine.
    let query = LONG
        .replace("heldout=0.0008", "heldout=0.02")
        .replace("steps=300", "steps=3000")
        .replace("checkpoint_every=50", "checkpoint_every=1000");
    open(&browser, &site, &format!("{query}&see=view:sentences")).await;
    searched(&browser, 128, 3000).await;
    no_errors(&browser).await;
    browser.close().await;
}

/// Distils, and searches by keys alone, while the run is paused and at its end: both columns, their places and lines agree with each
/// other, and follow the student. What is written into the field meanwhile is not searched for.
async fn searched(browser: &Browser, lines: usize, steps: u64) {
    start_and_pause(browser).await;
    browser.focus("#found-text").await;
    for key in "a small river".chars() {
        browser.key(&key.to_string()).await;
    }
    enter(browser).await;
    let among = format!("\u{201c}a small river\u{201d}\u{2069} among {lines} held-out lines");
    let share = ["of the first 10 are the same", &among, "at step"];
    said(browser, "#found-share", &share).await;
    let focused = "document.activeElement.id === 'found-text'";
    assert_eq!(browser.value(focused).await, true);
    set(browser, "#found-text", "something else", "input").await;
    browser.click("#main-action").await;
    wait(browser, "Finished").await;
    let last = format!("at step {steps}.");
    said(browser, "#found-share", &[&among, &last]).await;
    let column = |at: usize| {
        format!(
            "[...document.querySelectorAll('.found ol')[{at}].children].map(row => [row.querySelector('.found-line').textContent, \
            +row.querySelector('.found-figures .hint').textContent.split(': ')[1]])"
        )
    };
    let teacher = browser.value(&column(0)).await;
    let student = browser.value(&column(1)).await;
    let (teacher, student) = (teacher.as_array().unwrap(), student.as_array().unwrap());
    assert_eq!((teacher.len(), student.len()), (10, 10));
    let mut shared = 0;
    for (row, hit) in teacher.iter().enumerate() {
        let there = hit[1].as_u64().unwrap() as usize;
        assert!((1..=128).contains(&there), "{hit}");
        if let Some(other) = student.get(there - 1) {
            assert_eq!(
                (&other[0], other[1].as_u64()),
                (&hit[0], Some(row as u64 + 1))
            );
            shared += 1;
        }
    }
    let path = browser
        .value("document.querySelector('.found-lines path').getAttribute('d')")
        .await;
    assert_eq!(path.as_str().unwrap().matches('M').count(), shared);
    let words = format!("{shared} of the first 10 are the same ({} %)", 10 * shared);
    said(browser, "#found-share", &[&words]).await;
    set(browser, "#found-text", "  ", "input").await;
    browser.focus("#found-text").await;
    enter(browser).await;
    said(browser, "#found-mistakes", &["has no tokens"]).await;
    let invalid = "document.querySelector('#found-text').getAttribute('aria-invalid')";
    assert_eq!(browser.value(invalid).await, "true");
    let long = "the ".repeat(60);
    set(browser, "#found-text", long.trim(), "input").await;
    enter(browser).await;
    said(
        browser,
        "#found-share",
        &["\u{2026}", "tokens were not read"],
    )
    .await;
    assert_eq!(browser.value(invalid).await, "false");
}

/// The newest of two searches counts, also where the student is measured between them; and what was searched for is there again, and
/// is searched for again, after another view was looked at while the student learnt on.
async fn followed(browser: &Browser) {
    start_and_pause(browser).await;
    for text in ["a house", "the sea"] {
        set(browser, "#found-text", text, "input").await;
        browser.focus("#found-text").await;
        enter(browser).await;
    }
    said(
        browser,
        "#found-share",
        &["\u{201c}the sea\u{201d}", "at step"],
    )
    .await;
    press(browser, "Maps").await;
    browser.click("#main-action").await;
    wait(browser, "Finished").await;
    press(browser, "Sentences").await;
    said(
        browser,
        "#found-share",
        &["\u{201c}the sea\u{201d}", "at step 300."],
    )
    .await;
    let text = "document.querySelector('#found-text').value";
    assert_eq!(browser.value(text).await, "the sea");
}

/// Presses Enter as it sends a form.
async fn enter(browser: &Browser) {
    let press = json!({ "type": "keyDown", "key": "Enter", "text": "\r" });
    browser.devtools("Input.dispatchKeyEvent", press).await;
}

/// Presses a button of the panel by its text.
async fn press(browser: &Browser, text: &str) {
    let press = format!(
        "[...document.querySelectorAll('#relations button')].find(b => b.innerText === '{text}').click()"
    );
    browser.value(&press).await;
}

async fn title_says(browser: &Browser, words: &[&str]) {
    said(browser, "#maps-now", words).await;
}

/// Moves a slider, or chooses of a list.
async fn set(browser: &Browser, selector: &str, value: &str, event: &str) {
    let set = format!(
        "(e => {{ e.value = '{value}'; e.dispatchEvent(new Event('{event}', {{ bubbles: true }})); }})(document.querySelector('{selector}'))"
    );
    browser.value(&set).await;
}

/// Whose maps these are.
const NOTE: &str = "#maps-whose-note";
/// What is said where maps of two runs would be false.
const WHY_NOT: &str = "#relations p.mistake[role=status]";

/// The recorded run has 16 relation heads, this one 8.
async fn other_heads_are_not_compared(browser: &Browser) {
    press(browser, "Recorded run | this run").await;
    let why = [
        "16 relation heads (A_r) and this run 8",
        "cannot be compared",
    ];
    said(browser, WHY_NOT, &why).await;
    title_says(browser, &["teacher layer 4"]).await;
    let asks = "!document.querySelector('#maps-elsewhere').hidden";
    assert_eq!(browser.value(asks).await, false, "no sentence would help");
    press(browser, "Teacher | this run").await;
    let silent = format!("document.querySelector('{WHY_NOT}').hidden");
    browser.until("nothing is wrong any more", &silent).await;
}

/// The student of the recorded run beside this run's, this run's beside that of the run before, and the recorded run alone: with
/// names, on one sentence, or not at all.
#[tokio::test]
async fn students_of_two_runs_stand_side_by_side() {
    let _one = ONE.lock().await;
    let site = Site::hosted();
    let browser = Browser::chromium(Gpu::None).await;
    let query = format!("{QUICK}&relation_heads=16");
    open(&browser, &site, &query).await;
    tall(&browser).await;
    let hidden = "document.querySelector('#maps-whose').hidden";
    assert_eq!(browser.value(hidden).await, true, "there is one run only");
    distil(&browser).await;
    said(&browser, CELL, &["teacher", "student"]).await;

    press(&browser, "Recorded run | this run").await;
    let why = ["The recorded run was last seen on", "the engineer gave"];
    said(&browser, WHY_NOT, &why).await;
    said(&browser, CELL, &["teacher", "student"]).await;
    browser.focus("#maps-elsewhere").await;
    browser.key(" ").await;
    let both = [
        "recorded run, layer 2 at step 1200",
        "this run, layer 2 at step 24",
    ];
    title_says(&browser, &both).await;
    focused(&browser, "maps-text").await;
    said(&browser, CELL, &["recorded run", "this run", "difference"]).await;
    let note = ["the recorded run at step 1,200", "steps 1200", "this run"];
    said(&browser, NOTE, &note).await;
    let label = "document.querySelector('#maps-grid').ariaLabel";
    let named = format!("{label}.startsWith('Recorded run, this run and difference')");
    browser.until("a screen reader hears both", &named).await;
    let maps = maps_of(&browser).await;
    assert_eq!(maps["recorded_layer"], 2);
    let pair = &maps["pairs"]["qq"];
    assert!(pair["recorded_run"].is_array() && pair["teacher"].is_null());
    assert_ne!(pair["recorded_run"], pair["student"]);
    for (name, width, height) in [("beside-1440", 1440, 2600), ("beside-390", 390, 5200)] {
        browser.picture(name, width, height, false).await;
        let over = "document.documentElement.scrollWidth - innerWidth";
        assert!(browser.value(over).await.as_i64().unwrap() <= 0, "{name}");
    }
    tall(&browser).await;

    let offered = "!document.querySelector('#maps-recorded').hidden";
    browser.until("the recorded run is offered", offered).await;
    browser.focus("#maps-recorded").await;
    said(&browser, "#maps-recorded", &["Back to the recorded run"]).await;
    browser.key(" ").await;
    title_says(&browser, &["teacher layer 4, student layer 2 at step 1200"]).await;
    said(&browser, CELL, &["teacher"]).await;
    let newest = ["step 1200, the newest"];
    said(&browser, ".maps-film output", &newest).await;
    said(&browser, "#maps-recorded", &["Back to this run"]).await;
    browser.key(" ").await;
    title_says(&browser, &["student layer 2 at step 24"]).await;

    // The same recipe and sentence again: a seed means one run.
    browser.click("#main-action").await;
    wait(&browser, "Training").await;
    wait(&browser, "Finished").await;
    press(&browser, "Earlier run | this run").await;
    let both = [
        "earlier run, layer 2 at step 24",
        "this run, layer 2 at step 24",
    ];
    title_says(&browser, &both).await;
    said(&browser, NOTE, &["the same recipe"]).await;
    let maps = maps_of(&browser).await;
    let pair = &maps["pairs"]["qq"];
    assert!(pair["student"].is_array());
    assert_eq!(pair["earlier_run"], pair["student"]);
    no_errors(&browser).await;
    browser.close().await;
}

/// The maps that are seen, from their file.
async fn maps_of(browser: &Browser) -> Value {
    let json = take_from(browser, "#relations", "JSON").await;
    serde_json::from_slice(&json).unwrap()
}

/// Nine pairs, any layer, any cut; a click on a small map locks its head, a double click shows it alone.
async fn pairs_layers_and_heads(browser: &Browser) {
    let pairs = "document.querySelectorAll('.maps-pairs button').length";
    assert_eq!(browser.value(pairs).await, 9);
    press(browser, "K-Q").await;
    title_says(browser, &["K-Q", "mean of"]).await;
    set(browser, ".maps-selects select", "2", "change").await;
    title_says(browser, &["K-Q", "teacher layer 2"]).await;
    set(browser, "#maps-heads", "0", "input").await;
    title_says(browser, &["the only head"]).await;
    set(browser, "#maps-heads", "2", "input").await;
    title_says(browser, &["mean of 4 heads"]).await;
    said(
        browser,
        ".maps-cut output",
        &["4; the models' own attention heads: teacher 4 (this split)"],
    )
    .await;
    // The third of the small maps is head 2.
    let at = |kind: &str| {
        format!(
            "(c => {{ const r = c.getBoundingClientRect(); c.dispatchEvent(new {kind}, {{ clientX: r.x + 115, clientY: r.y + 20, bubbles: true }})); }})(document.querySelector('.maps-strip canvas'))"
        )
    };
    browser.value(&at("PointerEvent('pointermove'")).await;
    title_says(browser, &["head 2 of 4"]).await;
    browser.value(&at("PointerEvent('pointerleave'")).await;
    title_says(browser, &["mean of 4 heads"]).await;
    browser.value(&at("MouseEvent('click'")).await;
    title_says(browser, &["head 2 of 4"]).await;
    browser.value(&at("MouseEvent('dblclick'")).await;
    let alone = "document.querySelector('.maps-strip').closest('[hidden]')";
    browser.until("the head is alone", alone).await;
    press(browser, "Show all heads").await;
    browser
        .until("all heads are back", &format!("!{alone}"))
        .await;
}

/// By keys alone: heads, layers, pairs, cells, lock and zoom.
async fn keys(browser: &Browser) {
    browser
        .value("document.querySelector('.maps-strip').focus()")
        .await;
    browser.key("ArrowRight").await;
    title_says(browser, &["head 3 of 4", "teacher layer 2"]).await;
    browser.key("ArrowUp").await;
    title_says(browser, &["teacher layer 3"]).await;
    browser.key("PageDown").await;
    title_says(browser, &["K-K, head 3 of 4"]).await;
    said(browser, "#announcer", &["K-K, head 3 of 4"]).await;
    browser.key("Escape").await;
    title_says(browser, &["mean of 4 heads"]).await;
    // There is nothing to the left, which is said.
    browser.key("ArrowLeft").await;
    let again =
        "/mean of 4 heads.* nats\u{a0}$/.test(document.querySelector('#announcer').textContent)";
    browser.until("the mean is said again", again).await;
    browser.key("ArrowRight").await;
    title_says(browser, &["head 1 of 4"]).await;

    browser.focus("#maps-strip").await;
    browser.key("ArrowLeft").await;
    title_says(browser, &["mean of 4 heads"]).await;
    // All within one frame: the picture of the new head is not drawn yet when the crosshair is moved.
    let quick =
        "((at, key) => at.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true })))";
    let (strip, grid) = ["#maps-strip", "#maps-grid"]
        .map(|at| format!("document.querySelector('{at}')"))
        .into();
    browser
        .value(&format!(
            "[[{strip}, 'ArrowRight'], [{grid}, 'PageUp'], [{grid}, 'Home']].map(([at, key]) => {quick}(at, key)).length"
        ))
        .await;
    title_says(browser, &["head 1 of 4"]).await;
    browser.focus("#maps-grid").await;
    said(
        browser,
        CELL,
        &["\u{201c}[CLS]\u{201d} to \u{201c}[CLS]\u{201d}"],
    )
    .await;
    browser.key("ArrowDown").await;
    browser.key("ArrowRight").await;
    browser.key("ArrowRight").await;
    said(
        browser,
        CELL,
        &["\u{201c}the\u{201d} to \u{201c}cat\u{201d}"],
    )
    .await;
    said(browser, "#announcer", &["to \u{201c}cat\u{201d}: teacher"]).await;
    said(browser, ".maps-cell", &["p ln(p / q)", "exp(s)", "D = 32"]).await;
    browser.key("Enter").await;
    said(browser, ".maps-cell", &["locked"]).await;
    browser.key("+").await;
    browser
        .until(
            "the maps are zoomed",
            "document.querySelector('#maps-grid canvas.zoomed')",
        )
        .await;
    browser.key("-").await;
    let id = "document.activeElement.getAttribute('aria-activedescendant')";
    assert_eq!(browser.value(id).await, "maps-cell-2-3");

    // One head alone, and back, without losing the focus.
    browser.focus("#maps-strip").await;
    browser.key("Enter").await;
    focused(browser, "maps-all").await;
    press(browser, "Lines").await;
    said(browser, "#maps-all", &["Show all heads"]).await;
    browser.focus("#maps-all").await;
    browser.key("Escape").await;
    focused(browser, "maps-strip").await;
    press(browser, "Maps").await;
}

/// What is drawn is there for a screen reader in browse mode, where the arrow keys are its own: what takes them has a role that it hands
/// them on to, and says where it is.
#[tokio::test]
async fn a_screen_reader_finds_what_is_drawn() {
    let _one = ONE.lock().await;
    let site = Site::hosted();
    let browser = Browser::chromium(Gpu::None).await;
    browser.prefer("prefers-reduced-motion", "reduce").await;
    browser.open(&site.url).await;
    tall(&browser).await;
    said(&browser, "#now", &["All 1,200 steps are done"]).await;

    // Where nobody has moved a crosshair, a chart that has the focus does not read each step of a run.
    browser.focus(".plot-large canvas").await;
    value_text(&browser, "^the newest step$").await;
    browser.key("ArrowLeft").await;
    browser.key("ArrowLeft").await;
    value_text(&browser, "^step 1,199: sum .*, Q-Q .*, learning rate ").await;
    browser.focus(".plots-small canvas").await;
    value_text(&browser, r"^step 1,199: learning rate \S+$").await;

    browser.focus("#maps-strip").await;
    points_to(&browser, "option", "Q-Q, mean of 16 heads, ", "1 of 17").await;
    browser.key("ArrowRight").await;
    points_to(&browser, "option", "Q-Q, head 1 of 16, ", "2 of 17").await;
    browser.focus("#maps-grid").await;
    browser.key("PageUp").await;
    browser.key("Home").await;
    points_to(
        &browser,
        "gridcell",
        " to \u{201c}[CLS]\u{201d}: teacher ",
        "1 of 16",
    )
    .await;
    press(&browser, "Lines").await;
    browser.focus("#maps-tokens").await;
    browser.key("ArrowDown").await;
    points_to(&browser, "option", ": teacher ", "2 of 16").await;
    browser.key("Enter").await;
    let selected = format!("{POINTED_TO}.ariaSelected === 'true'");
    browser.until("the token is locked", &selected).await;
    no_errors(&browser).await;
    browser.close().await;
}

/// Waits until the value of a slider that has the focus is this in words.
async fn value_text(browser: &Browser, pattern: &str) {
    let is = format!(
        "(e => e.getAttribute('role') === 'slider' && RegExp({}).test(e.ariaValueText))(document.activeElement)",
        Value::from(pattern)
    );
    browser.until(&format!("it reads {pattern}"), &is).await;
}

/// What the focused element names as the place where a screen reader is.
const POINTED_TO: &str =
    "document.getElementById(document.activeElement.getAttribute('aria-activedescendant'))";

/// Waits until a screen reader is at something that says this, at this place of so many. It must have a size: Firefox says of what is
/// lower than 12 pixels that it is out of sight, and Orca reads no cell then.
async fn points_to(browser: &Browser, role: &str, words: &str, place: &str) {
    let is = format!(
        "(e => {{ const r = e?.getBoundingClientRect(), host = document.activeElement; return e?.getAttribute('role') === '{role}' && \
         host.contains(e) && r.width >= 12 && r.height >= 12 && e.textContent.includes({}) && '{place}' === \
         [e.ariaPosInSet ?? e.ariaColIndex, 'of', e.ariaSetSize ?? host.ariaColCount].join(' '); }})({POINTED_TO})",
        Value::from(words)
    );
    let what = format!("a screen reader is at {role} {words}, {place}");
    browser.until(&what, &is).await;
}

async fn focused(browser: &Browser, id: &str) {
    let focused = format!("document.activeElement.id === '{id}'");
    browser
        .until(&format!("{id} has the focus"), &focused)
        .await;
}

/// The file of the page holds the numbers of the command line for the student that the page gives away.
async fn same_numbers(browser: &Browser) {
    let folder = TempDir::new().unwrap();
    let zip = take_away(browser, "Student (.zip)").await;
    let student = unpack(&zip, folder.path());
    let out = folder.path().join("relations.json");
    let run = &mut limbeck();
    run.current_dir(it_page::root())
        .args([
            "relations",
            "--teacher",
            "assets/teacher",
            "--text",
            SENTENCE,
        ])
        .args([
            "--pairs", "kk", "--heads", "4", "--layer", "3", "--device", "cpu",
        ])
        .arg("--student")
        .arg(&student)
        .arg("-o")
        .arg(&out);
    ran(run);
    let there: Value = serde_json::from_slice(&std::fs::read(out).unwrap()).unwrap();
    let here = take_from(browser, "#relations", "JSON").await;
    let here: Value = serde_json::from_slice(&here).unwrap();
    for key in [
        "tokens",
        "special",
        "relation_heads",
        "teacher_layer",
        "student_layer",
    ] {
        assert_eq!(here[key], there[key], "{key}");
    }
    let (here, there) = (
        numbers(&here["pairs"]["kk"]),
        numbers(&there["pairs"]["kk"]),
    );
    // Teacher and student (4, 10, 10) and a KL for each row.
    assert_eq!(
        (here.len(), there.len()),
        (2 * 4 * 100 + 4 * 10, here.len())
    );
    for (a, b) in here.iter().zip(&there) {
        assert!((a - b).abs() <= 2e-5, "{a} here, {b} on the command line");
    }
}

fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(all) => all.iter().flat_map(numbers).collect(),
        Value::Object(all) => all.values().flat_map(numbers).collect(),
        other => other.as_f64().into_iter().collect(),
    }
}

/// Whether a canvas has drawn anything.
fn drawn(selector: &str) -> String {
    format!(
        "(c => c && c.width > 0 && c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(v => v > 0))(document.querySelector('{selector}'))"
    )
}

async fn lines_and_film(browser: &Browser) {
    press(browser, "Lines").await;
    browser
        .until("lines are drawn", &drawn("#maps-lines"))
        .await;
    browser.focus("#maps-tokens").await;
    browser.key("ArrowDown").await;
    browser.key("Enter").await;
    browser.key("ArrowDown").await;
    browser.key("Enter").await;
    said(
        browser,
        "#announcer",
        &["\u{201c}cat\u{201d}: teacher", "student", ", locked"],
    )
    .await;
    let unlock = "[...document.querySelectorAll('#relations button')].find(b => b.innerText === 'Unlock all tokens' && getComputedStyle(b).visibility === 'visible')";
    browser.until("tokens are locked", unlock).await;
    let svg = take_from(browser, "#relations", "SVG").await;
    let svg = String::from_utf8(svg).unwrap();
    assert!(svg.contains("<path") && svg.contains("the marked tokens together"));

    press(browser, "Film").await;
    browser
        .until("steps are side by side", &drawn("#maps-multiples"))
        .await;
    said(
        browser,
        "#maps-film-note",
        &["steps are stored in", "by more than"],
    )
    .await;
    set(browser, ".maps-film input[type=range]", "0", "input").await;
    let past = "!document.querySelector('.maps-film output').innerText.includes('newest')";
    browser.until("an earlier step is shown", past).await;
    browser.click(".maps-film input[type=checkbox]").await;
    said(browser, CELL, &["student now"]).await;
    title_says(browser, &["compared with the current student"]).await;
    let beside = take_from(browser, "#relations", "JSON").await;
    let beside: Value = serde_json::from_slice(&beside).unwrap();
    let maps = &beside["pairs"]["kk"];
    assert!(maps["student_now"].is_array() && maps["teacher"].is_null());
    assert_eq!(beside["step"], 0);
    browser.click(".maps-film input[type=checkbox]").await;
    press(browser, "Play").await;
    said(browser, ".maps-film output", &["step 24, the newest"]).await;
}

async fn layers_and_roles(browser: &Browser) {
    press(browser, "Layers").await;
    let cells = "document.querySelectorAll('.maps-layer').length";
    browser
        .until("all layers are compared", &format!("{cells} === 36"))
        .await;
    browser
        .click(".maps-layers tr:nth-child(2) td:last-child button")
        .await;
    said(browser, "#announcer", &["the next run learns from layer 3"]).await;
    browser
        .until(
            "the recipe has it",
            "location.search.includes('teacher_layer=3')",
        )
        .await;
    browser
        .click(".maps-layers tr:nth-child(4) .maps-layer")
        .await;
    title_says(browser, &["Q-Q", "teacher layer 1"]).await;

    press(browser, "Roles of heads").await;
    said(
        browser,
        "#maps-why",
        &["is farthest from the teacher. Most of that is in the row of"],
    )
    .await;
    press(browser, "See its maps").await;
    title_says(browser, &["head "]).await;
    press(browser, "Q-Q").await;
    press(browser, "Roles of heads").await;
    set(browser, "#maps-parse", "2 3 0", "input").await;
    said(
        browser,
        "#maps-parse-mistake",
        &["the sentence has 8 words", "3 heads"],
    )
    .await;
    set(browser, "#maps-parse", "2 3 0 3 7 7 3 3", "input").await;
    browser
        .until(
            "the parse is taken",
            "document.querySelector('#maps-parse-mistake').hidden",
        )
        .await;
    press(browser, "Maps").await;
}

/// Held-out sentences and the own one, side by side: by keys, in files, and in a link that is copied twice.
async fn sentences(browser: &Browser) {
    press(browser, "Sentences").await;
    let count = browser
        .value("document.querySelector('#maps-sentences').ariaRowCount")
        .await;
    let count: usize = count.as_str().unwrap().parse().unwrap();
    assert!((3..=13).contains(&count), "{count}");
    let title = format!("{count} sentences, student at step 24");
    title_says(browser, &[&title, "mean absolute difference"]).await;
    browser
        .until("sentences are drawn", &drawn("#maps-sentences canvas"))
        .await;
    let cell = "#maps-sentences [role=gridcell]";
    browser.focus("#maps-sentences").await;
    // A cell that was locked in the maps is locked here, too.
    browser.key("Escape").await;
    browser.key("PageDown").await;
    browser.key("End").await;
    let same = format!("\u{201c}{SENTENCE}\u{201d} to \u{201c}{SENTENCE}\u{201d}");
    said(
        browser,
        cell,
        &[&same, "cosine of the teacher 1.00", "difference"],
    )
    .await;
    browser.key("ArrowLeft").await;
    browser.key("Enter").await;
    said(browser, "#maps-sentence", &["locked", SENTENCE]).await;
    let id = "document.activeElement.getAttribute('aria-activedescendant')";
    let before = count - 1;
    assert_eq!(
        browser.value(id).await,
        format!("maps-sentence-{count}-{before}")
    );
    let text = async |kind: &str| {
        let bytes = take_from(browser, "#relations", kind).await;
        String::from_utf8(bytes).unwrap()
    };
    let svg = text("SVG").await;
    let numbers = format!("{count} and {before}: teacher ");
    assert!(svg.contains(&numbers) && svg.contains(SENTENCE));
    let csv = text("CSV").await;
    assert!(
        csv.starts_with("row,column,from,to,teacher") && csv.lines().count() == 1 + count * count
    );
    let json: Value = serde_json::from_str(&text("JSON").await).unwrap();
    assert_eq!(json["sentences"][before], SENTENCE);
    assert_eq!(json["step"], 24);
    let png = take_from(browser, "#relations", "PNG").await;
    assert!(png.starts_with(b"\x89PNG") && png.len() > 5_000);
    let link = copied_link(browser).await;
    let locked = format!("cell:{count}+{before}");
    assert!(
        link.contains("view:sentences") && link.contains(&locked),
        "{link}"
    );
    assert_eq!(copied_link(browser).await, link);
    browser.focus("#maps-sentences").await;
    browser.key("Escape").await;
    press(browser, "Maps").await;
}

async fn copied_link(browser: &Browser) -> String {
    let copied = "window.copied = null; navigator.clipboard.writeText = text => { window.copied = text; return Promise.resolve(); }";
    browser.value(&format!("(() => {{ {copied} }})()")).await;
    press(browser, "Copy link to this view").await;
    browser.until("the link is copied", "window.copied").await;
    let link = browser.value("window.copied").await;
    link.as_str().unwrap().to_owned()
}

/// Files of every kind, and the same view behind a link.
async fn files(browser: &Browser) {
    let place = "#relations";
    let png = take_from(browser, place, "PNG").await;
    assert!(png.starts_with(b"\x89PNG") && png.len() > 5_000);
    let text = async |kind: &str| String::from_utf8(take_from(browser, place, kind).await).unwrap();
    let svg = text("SVG").await;
    assert!(svg.starts_with("<svg") && svg.contains("cat") && svg.trim_end().ends_with("</svg>"));
    let csv = text("CSV").await;
    assert!(csv.starts_with("pair,head,row") && csv.lines().count() == 1 + 400);
    let html = text("HTML").await;
    assert!(html.contains("<svg") && html.contains("see=") && !html.contains("<script"));

    let link = copied_link(browser).await;
    assert!(
        link.contains("pair:qq") && link.contains("sentence=The%20cat"),
        "{link}"
    );
    browser.open(&link).await;
    said(browser, NOTE, &["from the link itself"]).await;
    browser.click("#restore").await;
    wait(browser, "Finished").await;
    let silent = format!("document.querySelector('{NOTE}').textContent === ''");
    browser.until("the run itself is shown", &silent).await;
    title_says(browser, &["Q-Q", "of 4", "teacher layer 1"]).await;
    said(browser, CELL, &["to"]).await;
    let field = "document.querySelector('#maps-text').value";
    assert_eq!(browser.value(field).await, SENTENCE);
}

/// Another browser shows what a link was copied from: pair, layers, step, cell and numbers, and the recorded run at a press. Of a
/// link that was cut off the page says so, and locks the cell in no other sentence.
#[tokio::test]
async fn a_link_carries_what_was_seen() {
    let _one = ONE.lock().await;
    let site = Site::hosted();
    let browser = distilled(&site).await;
    let cell = "\u{201c}the\u{201d} to \u{201c}cat\u{201d}";
    press(&browser, "K-Q").await;
    let title = "K-Q, mean of 8 heads, teacher layer 4, student layer 2 at step 24";
    title_says(&browser, &[title]).await;
    browser.focus("#maps-grid").await;
    said(&browser, CELL, &["teacher"]).await;
    let keys = ["PageUp", "Home", "ArrowDown", "ArrowRight", "ArrowRight"];
    for key in keys.into_iter().chain(["Enter"]) {
        browser.key(key).await;
    }
    said(&browser, CELL, &[cell]).await;
    let size = ["kB long", "the queries, keys and values of this sentence"];
    said(&browser, "#maps-link", &size).await;
    let was = maps_of(&browser).await;
    let link = copied_link(&browser).await;
    assert!(
        link.contains("pair:kq") && link.contains("cell:2+3"),
        "{link}"
    );
    assert!(link.contains("#seen=") && link.len() < 11_000, "{link}");
    no_errors(&browser).await;
    browser.close().await;

    let browser = Browser::chromium(Gpu::None).await;
    browser.open(&link).await;
    tall(&browser).await;
    title_says(&browser, &[title]).await;
    said(&browser, NOTE, &["from the link itself"]).await;
    said(&browser, CELL, &[cell, "teacher", "student"]).await;
    said(&browser, "#maps-cell", &["locked"]).await;
    let is = maps_of(&browser).await;
    assert_eq!((&is["tokens"], &is["step"]), (&was["tokens"], &was["step"]));
    let both = [&was, &is].map(|maps| numbers(&maps["pairs"]["kq"]["student"]));
    assert_eq!((both[0].len(), both[1].len()), (8 * 10 * 10, 8 * 10 * 10));
    let off = both[0].iter().zip(&both[1]).map(|(a, b)| (a - b).abs());
    assert!(off.fold(0.0, f64::max) < 0.01);
    press(&browser, "Layers").await;
    said(&browser, "#relations", &["The link holds only one layer"]).await;
    press(&browser, "Maps").await;

    let offered = "!document.querySelector('#maps-recorded').hidden";
    browser.until("the recorded run is offered", offered).await;
    browser.focus("#maps-recorded").await;
    browser.key(" ").await;
    let there = ["Back to what the link shows"];
    said(&browser, "#maps-recorded", &there).await;
    let free = "!document.querySelector('#maps-cell').textContent.includes('locked')";
    browser.until("another sentence has no lock", free).await;
    browser.key(" ").await;
    title_says(&browser, &[title]).await;
    said(&browser, NOTE, &["from the link itself"]).await;

    // Only what follows `#` would differ, and then a browser loads nothing.
    browser.open("about:blank").await;
    browser.open(&link[..link.len() - 100]).await;
    tall(&browser).await;
    said(&browser, "#address-warnings", &["cut off after"]).await;
    let absent = ["at step 24 of a run that this browser does not have"];
    said(&browser, "#maps-absent", &absent).await;
    said(&browser, CELL, &["teacher", "student"]).await;
    assert_eq!(browser.value(free).await, true);
    no_errors(&browser).await;
    browser.close().await;
}

/// The recorded run can be looked at without an engine; the tour leads through it, and each of its steps has a link.
#[tokio::test]
async fn the_tour_leads_through_the_recorded_run() {
    let _one = ONE.lock().await;
    let site = Site::hosted();
    let browser = Browser::chromium(Gpu::None).await;
    browser
        .open(&it_page::acts::address(&site, "tour=3&see=pair:zz"))
        .await;
    said(
        &browser,
        "body",
        &["the page does not know `pair:zz`, which the link asks to see"],
    )
    .await;
    said(&browser, "#tour h3", &["3 of 8"]).await;
    browser
        .until("the step is shown", "document.querySelector('#maps-lines')")
        .await;
    tall(&browser).await;
    browser
        .until("the lines are drawn", &drawn("#maps-lines"))
        .await;
    for step in 4..=8 {
        press_in_tour(&browser, "Next").await;
        said(&browser, "#tour h3", &[&format!("{step} of 8")]).await;
        focused(&browser, "tour").await;
        let role = "document.activeElement.getAttribute('role')";
        assert_eq!(browser.value(role).await, "dialog", "it is read out");
        let kept = format!("location.search.includes('tour={step}')");
        browser.until("the address has the step", &kept).await;
    }
    browser
        .until(
            "the last step shows what is not trained",
            "document.querySelector('#maps-now').innerText.startsWith('Q-K, ')",
        )
        .await;
    press_in_tour(&browser, "Back").await;
    said(&browser, "#tour h3", &["7 of 8"]).await;
    press_in_tour(&browser, "End the tour").await;
    focused(&browser, "tour-begin").await;
    let before = "document.querySelector('#maps-maps-view').ariaPressed === 'true'";
    browser.until("the view is as it was before", before).await;
    browser
        .until(
            "the tour has ended",
            "document.querySelector('#tour').hidden && !location.search.includes('tour')",
        )
        .await;
    for (name, width, height, dark) in [
        ("relations-1440", 1440, 2600, false),
        ("relations-1440-dark", 1440, 2600, true),
        ("relations-1024", 1024, 2800, false),
        ("relations-360", 360, 5200, false),
        ("relations-360-dark", 360, 5200, true),
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
    no_errors(&browser).await;
    browser.close().await;
}

/// Before any run the recorded run's student reads a sentence of the reader's own. It is fetched when somebody writes; a network that
/// fails is told, and the next try succeeds. Two sentences stand side by side, the film plays on, and a run that begins has its own models.
#[tokio::test]
async fn a_sentence_is_read_before_any_run() {
    let _one = ONE.lock().await;
    let site = Site::hosted();
    let browser = Browser::chromium(Gpu::None).await;
    open(&browser, &site, QUICK).await;
    tall(&browser).await;
    let hint = "#maps-before";
    said(
        &browser,
        hint,
        &["without a run of your own", "downloads the student (2."],
    )
    .await;
    let fetched = "performance.getEntriesByType('resource').some(file => file.name.includes('data/student/'))";
    assert_eq!(browser.value(fetched).await, false);
    browser
        .value(
            "(real => { window.fetch = (...all) => String(all[0]).includes('data/student/') \
             ? Promise.reject(new TypeError('no network')) : real(...all); window.mend = () => { window.fetch = real; }; })(window.fetch)",
        )
        .await;
    ask(&browser, SENTENCE).await;
    said(
        &browser,
        "#maps-text-mistakes",
        &["no network", "try again"],
    )
    .await;
    browser.value("mend()").await;
    browser
        .value("document.querySelector('.maps-words summary').click()")
        .await;
    ask(&browser, SENTENCE).await;
    said(&browser, ".maps-words ul", &["tired"]).await;
    said(
        &browser,
        hint,
        &["that the recorded run ended with reads your sentence"],
    )
    .await;
    said(&browser, "#now", &["All 1,200 steps are done"]).await;
    said(&browser, "#player", &["Play again"]).await;
    assert_eq!(browser.value(fetched).await, true);
    let mistakes = "document.querySelector('#maps-text-mistakes').innerText.trim()";
    assert_eq!(browser.value(mistakes).await, "");
    ask(&browser, "A dog barked at the moon.").await;
    said(&browser, ".maps-words ul", &["barked"]).await;
    for (name, width, height) in [
        ("before-a-run-1440", 1440, 2600),
        ("before-a-run-390", 390, 5200),
    ] {
        browser.picture(name, width, height, false).await;
        let over = "document.documentElement.scrollWidth - innerWidth";
        assert!(browser.value(over).await.as_i64().unwrap() <= 0, "{name}");
    }
    tall(&browser).await;
    press(&browser, "Sentences").await;
    let rows = "document.querySelector('#maps-sentences').ariaRowCount === '2'";
    browser
        .until("both sentences stand side by side", rows)
        .await;
    press(&browser, "Maps").await;
    ask(&browser, " \u{7} ").await;
    said(&browser, "#maps-text-mistakes", &["has no tokens"]).await;
    browser.click("#player").await;
    said(&browser, ".maps-words ul", &["engineer"]).await;
    said(&browser, "#now", &["of 1,200"]).await;
    ask(&browser, SENTENCE).await;
    said(&browser, ".maps-words ul", &["tired"]).await;
    ask(&browser, "").await;
    said(&browser, ".maps-words ul", &["engineer"]).await;
    ask(&browser, SENTENCE).await;
    said(&browser, ".maps-words ul", &["tired"]).await;
    distil(&browser).await;
    said(&browser, "#now", &["All 24 steps are done"]).await;
    said(&browser, ".maps-words ul", &["tired"]).await;
    no_errors(&browser).await;
    browser.close().await;
}

async fn press_in_tour(browser: &Browser, text: &str) {
    let press = format!(
        "[...document.querySelectorAll('#tour button')].find(b => b.innerText === '{text}').click()"
    );
    browser.value(&press).await;
}

/// Markup, control characters, other scripts, nothing, one token, too much: shown as they are or named at the field.
#[tokio::test]
async fn any_sentence_is_shown_or_named() {
    let _one = ONE.lock().await;
    let site = Site::hosted();
    let browser = Browser::chromium(Gpu::None).await;
    open(&browser, &site, QUICK).await;
    distil(&browser).await;
    tall(&browser).await;
    said(&browser, CELL, &["teacher"]).await;
    browser.focus("#maps-grid").await;
    browser.key("Enter").await;
    said(&browser, "#maps-cell", &["locked"]).await;
    press(&browser, "Roles of heads").await;
    browser
        .value("document.querySelector('.maps-words summary').click()")
        .await;
    for (sentence, shown) in [
        ("<img src=x onerror=alert(1)> & \u{7} bell", "alert"),
        (
            "\u{5e9}\u{5dc}\u{5d5}\u{5dd} \u{5e2}\u{5d5}\u{5dc}\u{5dd} here",
            "here",
        ),
        ("\u{6771}\u{4eac} \u{1f408} cat", "cat"),
        ("tea", "tea"),
    ] {
        ask(&browser, sentence).await;
        said(&browser, ".maps-words ul", &[shown]).await;
    }
    let free = "!document.querySelector('#maps-cell').textContent.includes('locked')";
    browser.until("another sentence has no lock", free).await;
    ask(&browser, &"word ".repeat(10_000)).await;
    said(
        &browser,
        ".maps-sentence",
        &["too long to draw: its last 9,874 tokens"],
    )
    .await;
    browser
        .until(
            "128 tokens are shown",
            "document.querySelectorAll('.maps-words li').length === 128",
        )
        .await;
    press(&browser, "Maps").await;
    browser
        .until("128 tokens are drawn", &drawn("#maps-grid canvas"))
        .await;
    ask(&browser, " \u{7} ").await;
    said(&browser, "#maps-text-mistakes", &["has no tokens"]).await;
    ask(&browser, "").await;
    browser
        .until(
            "the held-out sentence is back",
            "document.querySelectorAll('.maps-words li').length < 40",
        )
        .await;
    assert_eq!(
        browser
            .value("document.querySelectorAll('#relations img').length")
            .await,
        0
    );
    no_errors(&browser).await;
    browser.close().await;
}
