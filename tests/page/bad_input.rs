//! What is wrong is said where it is fixed, and nothing of it ends the page.

use std::fs::File;
use std::io::{Cursor, Seek, Write};
use std::path::{Path, PathBuf};

use it_page::acts::{distil, no_errors, only_own_text, open, said};
use it_page::{Browser, Gpu, Site};
use tempfile::TempDir;

use crate::{ONE, QUICK};

/// In the address.
#[tokio::test]
async fn a_link_with_nonsense_is_named() {
    let _one = ONE.lock().await;
    let site = Site::hosted();
    let browser = Browser::chromium(Gpu::None).await;
    let nonsense = "v=1&preset=tiny&stepps=3&batch=many&device=cpu&hide=forrm";
    open(&browser, &site, nonsense).await;
    said(
        &browser,
        "#address-warnings",
        &["`stepps`", "`many`", "`forrm`"],
    )
    .await;
    let query = "v=1&preset=tiny&student.heads=5&relation_heads=7";
    open(&browser, &site, query).await;
    said(
        &browser,
        "#form",
        &["5 attention heads", "7 relation heads"],
    )
    .await;
    no_errors(&browser).await;
    browser.close().await;
}

/// In numbers that are typed: what is none, or none that a recipe can hold.
#[tokio::test]
async fn a_number_of_no_use_is_named() {
    let _one = ONE.lock().await;
    let site = Site::hosted();
    let browser = Browser::chromium(Gpu::None).await;
    open(&browser, &site, QUICK).await;
    for (text, words) in [
        ("0x10", "`0x10` is not a number"),
        ("1e", "`1e` is not a number"),
        ("1e999", "`1e999` is not a finite number"),
        ("1,5", "use a decimal point"),
        ("Infinity", "`Infinity` is not a number"),
    ] {
        write(&browser, text).await;
        said(&browser, "#field-learning-rate-mistake", &[words]).await;
    }
    write(&browser, " 1.5e-3 ").await;
    let right = "document.querySelector('#field-learning-rate-mistake').textContent === '' \
        && document.querySelector('#field-learning-rate').value === '0.0015'";
    browser.until("a number is taken", right).await;
    no_errors(&browser).await;
    browser.close().await;
}

/// Types a learning rate.
async fn write(browser: &Browser, text: &str) {
    let write = format!(
        "(e => {{ e.value = '{text}'; for (const kind of ['input', 'change']) e.dispatchEvent(new Event(kind, {{ bubbles: true }})); }})\
         (document.querySelector('#field-learning-rate'))"
    );
    browser.value(&write).await;
}

/// A teacher in a zip is unpacked by the browser, also where its sizes follow its files; and one that is damaged is no teacher.
#[tokio::test]
async fn a_teacher_in_a_zip_is_read() {
    let _one = ONE.lock().await;
    let site = Site::hosted();
    let browser = Browser::chromium(Gpu::None).await;
    let folder = TempDir::new().unwrap();
    let files = Files(folder.path());
    open(&browser, &site, QUICK).await;
    let packed = packed(zip::ZipWriter::new(Cursor::new(Vec::new()))).into_inner();
    let streamed = packed_as_a_stream();
    // A header that says that the sizes come behind.
    assert_eq!((packed[6] & 8, streamed[6] & 8), (0, 8));
    let mut damaged = packed.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0x10;
    for (name, bytes) in [("deflated", &packed), ("streamed", &streamed)] {
        let file = files.write(&format!("{name}.zip"), bytes);
        browser.drop_files("#teacher .drop", &[file]).await;
        said(&browser, "#teacher .data-name", &[name]).await;
    }
    let file = files.write("damaged.zip", &damaged);
    browser.drop_files("#teacher .drop", &[file]).await;
    let words = ["in damaged.zip", "Make or download the zip again"];
    said(&browser, "#teacher .mistake", &words).await;
    said(&browser, "#teacher .data-name", &["streamed"]).await;
    assert_eq!(distil(&browser).await.len(), 24);
    no_errors(&browser).await;
    browser.close().await;
}

/// The bundled teacher, deflated.
fn packed<W: Write + Seek>(mut zip: zip::ZipWriter<W>) -> W {
    let options = zip::write::SimpleFileOptions::default()
        .compression_method(zip::CompressionMethod::Deflated);
    for name in ["config.json", "model.safetensors", "tokenizer.json"] {
        zip.start_file(format!("teacher/{name}"), options).unwrap();
        let path = it_page::root().join("assets/teacher").join(name);
        zip.write_all(&std::fs::read(path).unwrap()).unwrap();
    }
    zip.finish().unwrap()
}

/// The same, written to where nobody can go back.
fn packed_as_a_stream() -> Vec<u8> {
    packed(zip::ZipWriter::new_stream(Vec::new())).into_inner()
}

/// In files that are dropped and texts that are pasted. The page is as good as before afterwards.
#[tokio::test]
async fn a_file_of_no_use_is_named() {
    let _one = ONE.lock().await;
    let site = Site::hosted();
    let browser = Browser::chromium(Gpu::None).await;
    let folder = TempDir::new().unwrap();
    let files = Files(folder.path());
    open(&browser, &site, QUICK).await;

    for (files, words) in files.of_teacher() {
        browser.drop_files("#teacher .drop", &files).await;
        said(&browser, "#teacher .mistake", &words).await;
    }
    let texts = [
        (
            files.of("large.txt", 2 << 30),
            ["large.txt is 2.1 GB large", "command line"],
        ),
        (files.of("empty.txt", 0), ["empty.txt", "it is empty"]),
        (
            files.write("bad.txt", b"caf\xe9"),
            ["bad.txt is not UTF-8", "byte 4"],
        ),
    ];
    for (file, words) in texts {
        browser.drop_files("#texts .drop", &[file]).await;
        said(&browser, "#texts .mistake", &words).await;
    }
    for (text, words) in [
        ("   ", "it is blank"),
        ("😀 😀\n🎉🎉", "does not know most of the text"),
    ] {
        browser
            .value("document.querySelector('#texts details').open = true")
            .await;
        let write = format!(
            "(e => {{ e.value = {}; e.dispatchEvent(new Event('input')); }})(document.querySelector('#paste'))",
            serde_json::json!(text)
        );
        browser.value(&write).await;
        browser.click("#texts details button").await;
        if text.contains('😀') {
            only_own_text(&browser).await;
            browser.click("#main-action").await;
        }
        said(&browser, "#texts .mistake", &[words]).await;
    }
    let model = files.write("weights.safetensors", b"\x02\0\0\0\0\0\0\0{}");
    browser.drop_files("#checkpoint .drop", &[model]).await;
    said(&browser, "#checkpoint .mistake", &["not a run of limbeck"]).await;
    no_errors(&browser).await;

    open(&browser, &site, QUICK).await;
    assert_eq!(distil(&browser).await.len(), 24);
    browser.close().await;
}

/// Files that a test makes.
struct Files<'a>(&'a Path);

impl Files<'_> {
    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// A file of zeros that takes no room.
    fn of(&self, name: &str, bytes: u64) -> PathBuf {
        let path = self.0.join(name);
        File::create(&path).unwrap().set_len(bytes).unwrap();
        path
    }

    fn zip(&self, name: &str) -> PathBuf {
        let path = self.0.join(name);
        let mut zip = zip::ZipWriter::new(File::create(&path).unwrap());
        let options = zip::write::SimpleFileOptions::default();
        zip.start_file("holiday.jpg", options).unwrap();
        zip.write_all(b"no picture either").unwrap();
        zip.finish().unwrap();
        path
    }

    /// What is no teacher, and what the page says of it.
    fn of_teacher(&self) -> Vec<(Vec<PathBuf>, Vec<&'static str>)> {
        let bundled = it_page::root().join("assets/teacher");
        let read = |name: &str| std::fs::read(bundled.join(name)).unwrap();
        let (config, weights) = (read("config.json"), read("model.safetensors"));
        let cut = &weights[..weights.len() / 2];
        self.write("cut/config.json", &config);
        self.write("cut/tokenizer.json", &read("tokenizer.json"));
        self.write("cut/model.safetensors", cut);
        self.write(
            "other/config.json",
            br#"{"model_type": "t5", "d_model": 512}"#,
        );
        self.write("other/tokenizer.json", b"{}");
        self.write("other/model.safetensors", cut);
        vec![
            (
                vec![self.zip("holiday.zip")],
                vec!["holiday.zip", "is not a model", "holiday.jpg"],
            ),
            (
                vec![self.of("large.safetensors", 2 << 30)],
                vec!["large.safetensors"],
            ),
            (
                vec![self.0.join("cut")],
                vec!["model.safetensors is truncated"],
            ),
            (vec![self.0.join("other")], vec!["t5"]),
        ]
    }
}
