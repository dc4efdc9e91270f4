//! A browser over WebDriver, a page in it, and whatever serves the page: for the tests in `page.rs`. What a person does on
//! the page is in `acts`.
#![allow(
    clippy::unwrap_used,
    reason = "a test stops at the first thing that is not as it should be"
)]

pub mod acts;
pub mod hub;

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use base64::Engine as _;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long a page may say the same while a test waits, and a program nothing. Pipelines of a software GPU take most of it.
pub const PATIENCE: Duration = Duration::from_secs(180);
/// How long a test may wait for one thing, whatever else goes on in the page: a film that plays says something new for ever.
/// It is shorter than what the harness waits for a whole test, which names the test but not what it waited for.
const LONGEST: Duration = Duration::from_secs(900);

/// A path that the chore which starts the tests gives.
fn given(name: &str) -> PathBuf {
    match std::env::var_os(name) {
        Some(path) => path.into(),
        None => panic!("{name} is not set: start these tests with `cargo xtask browser`"),
    }
}

/// The project's folder: that of the tests that run, which another clone may have compiled.
pub fn root() -> &'static Path {
    static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
        let compiled = || env!("CARGO_MANIFEST_DIR").into();
        let here = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| compiled());
        Path::new(&here).ancestors().nth(2).unwrap().to_owned()
    });
    &ROOT
}

/// A program that ends with the test, and all that it has started.
pub struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        // A browser that a failed test leaves behind would slow the next ones.
        let group = format!("-{}", self.0.id());
        Command::new("kill")
            .args(["-KILL", "--", &group])
            .stderr(Stdio::null())
            .status()
            .ok();
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

impl Program {
    /// One that is over at once.
    pub fn idle() -> Self {
        Self(Command::new("true").spawn().unwrap())
    }

    /// Starts a command and reads its output until `find` finds something in a line. The rest is read and forgotten, so
    /// that the program never waits for a reader.
    pub fn start<T: Send + 'static>(
        command: &mut Command,
        find: impl Fn(&str) -> Option<T> + Send + 'static,
    ) -> (Self, T) {
        let command = command.stdout(Stdio::piped()).process_group(0);
        let mut child = command.spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (found, wait) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if let Some(value) = find(&line) {
                    found.send(value).ok();
                }
            }
        });
        let value = wait.recv_timeout(PATIENCE);
        let program = Self(child);
        (program, value.expect("the program told where it is"))
    }

    /// As ctrl-c does.
    pub fn interrupt(&self) {
        let id = self.0.id().to_string();
        Command::new("kill").args(["-INT", &id]).status().unwrap();
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> bool {
        self.0.wait().unwrap().success()
    }
}

/// What serves a page.
pub struct Site {
    /// Ends with the test.
    pub program: Program,
    /// Where the page is.
    pub url: String,
}

fn url_in(line: &str) -> Option<String> {
    let start = line.find("http://127.0.0.1:")?;
    let url = line[start..].split_whitespace().next()?;
    Some(url.trim_end_matches(['.', ',']).to_owned())
}

impl Site {
    /// The page as a static host would have it.
    pub fn hosted() -> Self {
        Self::hosted_under("/")
    }

    /// The same, in a folder of a site where nothing else is.
    pub fn hosted_under(folder: &str) -> Self {
        let mut command = Command::new(given("LIMBECK_XTASK"));
        command.args(["serve", "--port", "0", "--under", folder]);
        let (program, url) = Program::start(&mut command, url_in);
        Self { program, url }
    }

    /// The page inside `limbeck serve`, with its run kept in a folder.
    pub fn native(keep: &Path) -> Self {
        Self::native_with(keep, &[])
    }

    /// The same, with more in its environment.
    pub fn native_with(keep: &Path, environment: &[(&str, &str)]) -> Self {
        let mut command = limbeck();
        command
            .args(["serve", "--no-open", "--port", "0", "--keep"])
            .arg(keep)
            .envs(environment.iter().copied());
        let (program, url) = Program::start(&mut command, url_in);
        Self { program, url }
    }
}

/// The command line program.
pub fn limbeck() -> Command {
    Command::new(given("LIMBECK_BINARY"))
}

/// Runs a program to its end. A failure shows what it said.
pub fn ran(program: &mut Command) -> Output {
    let output = program.output().unwrap();
    let reported = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{reported}");
    output
}

/// Which GPU a browser has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Gpu {
    /// WebGPU, emulated on the CPU.
    Software,
    /// No WebGPU.
    None,
}

/// A wait that lasts as long as the page makes progress, so that a slow machine passes, but not for ever.
struct Wait<'a> {
    what: &'a str,
    begun: Instant,
    since: Instant,
    said: Value,
}

impl<'a> Wait<'a> {
    fn new(what: &'a str) -> Self {
        let begun = Instant::now();
        Self {
            what,
            begun,
            since: begun,
            said: Value::Null,
        }
    }

    /// Panics if the page has said the same for [`PATIENCE`], or something else for [`LONGEST`].
    async fn go_on(&mut self, browser: &Browser) {
        if self.since.elapsed() < PATIENCE {
            return;
        }
        let text = browser.value("document.body.innerText").await;
        if self.is_in_vain(Instant::now(), &text) {
            if browser.watches {
                browser.picture("stuck", 1440, 2400, false).await;
            }
            panic!(
                "waited {} s in vain until {}; the page says:\n{}",
                self.begun.elapsed().as_secs(),
                self.what,
                text.as_str().unwrap_or("")
            );
        }
    }

    /// Whether nothing is to be hoped for from a page that says this, [`PATIENCE`] after it was looked at last.
    fn is_in_vain(&mut self, now: Instant, text: &Value) -> bool {
        if *text == self.said || now.duration_since(self.begun) >= LONGEST {
            return true;
        }
        self.said = text.clone();
        self.since = now;
        false
    }
}

/// A browser with a fresh profile.
pub struct Browser {
    /// The session.
    pub client: Client,
    watches: bool,
    _driver: Program,
    _profile: TempDir,
}

/// Keeps what a test wants to know later: blobs that are downloaded, workers that are started, tasks that block, and how far what
/// is seen was shifted without anybody's doing.
const WATCH: &str = "
    window.watched = { blobs: [], workers: [], tasks: [], shift: 0 };
    const create = URL.createObjectURL;
    URL.createObjectURL = blob => { watched.blobs.push(blob); return create.call(URL, blob); };
    const Plain = window.Worker;
    window.Worker = class extends Plain {
        constructor(...all) { super(...all); watched.workers.push(this); }
    };
    new PerformanceObserver(list => {
        watched.tasks.push(...list.getEntries().map(task => task.duration));
    }).observe({ type: 'longtask' });
    if (PerformanceObserver.supportedEntryTypes.includes('layout-shift')) new PerformanceObserver(list => {
        for (const shift of list.getEntries()) if (!shift.hadRecentInput) watched.shift += shift.value;
    }).observe({ type: 'layout-shift', buffered: true });
";

#[derive(Debug)]
struct Vendor(&'static str, Value);

impl WebDriverCompatibleCommand for Vendor {
    fn endpoint(
        &self,
        base: &url::Url,
        session: Option<&str>,
    ) -> Result<url::Url, url::ParseError> {
        base.join(&format!(
            "session/{}/{}",
            session.unwrap_or_default(),
            self.0
        ))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(self.1.to_string()))
    }
}

async fn session(port: u16, capabilities: &Value) -> Client {
    let mut builder = ClientBuilder::new(HttpConnector::new());
    let builder = builder.capabilities(capabilities.as_object().unwrap().clone());
    let client = builder.connect(&format!("http://127.0.0.1:{port}")).await;
    client.unwrap()
}

impl Browser {
    /// Starts Chromium.
    pub async fn chromium(gpu: Gpu) -> Self {
        let mut driver = Command::new(given("CHROMEDRIVER"));
        let (driver, port) = Program::start(driver.arg("--port=0"), |line| {
            let rest = line.split("successfully on port ").nth(1)?;
            rest.trim_end_matches('.').parse::<u16>().ok()
        });
        let profile = TempDir::new().unwrap();
        let mut args = vec![
            "--headless=new".to_owned(),
            "--no-sandbox".into(),
            "--disable-dev-shm-usage".into(),
            "--window-size=1440,1000".into(),
            format!("--user-data-dir={}", profile.path().display()),
        ];
        if gpu == Gpu::Software {
            let flags = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"];
            args.extend(flags.map(str::to_owned));
        }
        let options = json!({
            "goog:chromeOptions": { "args": args },
            "goog:loggingPrefs": { "browser": "ALL" },
            "unhandledPromptBehavior": "accept",
        });
        let browser = Self {
            client: session(port, &options).await,
            watches: true,
            _driver: driver,
            _profile: profile,
        };
        browser
            .devtools(
                "Page.addScriptToEvaluateOnNewDocument",
                json!({ "source": WATCH }),
            )
            .await;
        browser
    }

    /// Starts Firefox. It has no developer tools for [`Browser::devtools`], pictures and the console.
    pub async fn firefox(gpu: Gpu) -> Self {
        let mut driver = Command::new(given("GECKODRIVER"));
        let (driver, port) = Program::start(driver.arg("--port=0"), |line| {
            let rest = line.split("Listening on 127.0.0.1:").nth(1)?;
            rest.trim().parse::<u16>().ok()
        });
        let on = gpu == Gpu::Software;
        let prefs = json!({ "dom.webgpu.enabled": on, "gfx.webgpu.ignore-blocklist": on });
        let options = json!({
            "moz:firefoxOptions": { "args": ["-headless"], "prefs": prefs },
            "unhandledPromptBehavior": "accept",
        });
        Self {
            client: session(port, &options).await,
            watches: false,
            _driver: driver,
            _profile: TempDir::new().unwrap(),
        }
    }

    /// A command of the developer tools.
    pub async fn devtools(&self, name: &str, parameters: Value) -> Value {
        let body = json!({ "cmd": name, "params": parameters });
        self.client
            .issue_cmd(Vendor("goog/cdp/execute", body))
            .await
            .unwrap()
    }

    /// Errors in the console since the last call.
    pub async fn console_errors(&self) -> Vec<String> {
        let log = self
            .client
            .issue_cmd(Vendor("se/log", json!({ "type": "browser" })));
        let log = log.await.unwrap();
        let entries = log.as_array().unwrap().iter();
        let errors = entries.filter(|entry| entry["level"] == "SEVERE");
        errors.map(|entry| entry["message"].to_string()).collect()
    }

    /// Opens a page.
    pub async fn open(&self, url: &str) {
        self.client.goto(url).await.unwrap();
        if !self.watches {
            // Later than Chromium's: what happened until now is missed.
            self.client.execute(WATCH, Vec::new()).await.unwrap();
        }
    }

    /// The value of a JavaScript expression.
    pub async fn value(&self, expression: &str) -> Value {
        let script = format!("return ({expression});");
        self.client.execute(&script, Vec::new()).await.unwrap()
    }

    /// The value that a JavaScript promise gives.
    pub async fn promised(&self, expression: &str) -> Value {
        let script = format!(
            "const done = arguments[arguments.length - 1]; \
             Promise.resolve({expression}).then(done, e => done('error: ' + e));"
        );
        self.client
            .execute_async(&script, Vec::new())
            .await
            .unwrap()
    }

    /// Waits until an expression is true.
    pub async fn until(&self, what: &str, expression: &str) {
        let mut wait = Wait::new(what);
        while self.value(&format!("!!({expression})")).await != Value::Bool(true) {
            wait.go_on(self).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until a promise gives true.
    pub async fn until_promised(&self, what: &str, expression: &str) {
        let mut wait = Wait::new(what);
        while self.promised(expression).await != Value::Bool(true) {
            wait.go_on(self).await;
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }

    /// Drops files or folders of the disk on what a CSS selector finds, as the mouse does. What it lies in is opened first.
    pub async fn drop_files(&self, selector: &str, paths: &[PathBuf]) {
        let quoted = json!(selector);
        let middle = format!(
            "(e => {{ for (let d = e; d = d.parentElement?.closest('details');) d.open = true; \
             e.scrollIntoView({{ block: 'center', behavior: 'instant' }}); const r = e.getBoundingClientRect(); \
             return [r.x + r.width / 2, r.y + r.height / 2]; }})(document.querySelector({quoted}))"
        );
        self.until(
            &format!("{selector} is there"),
            &format!("document.querySelector({quoted})"),
        )
        .await;
        let middle = self.value(&middle).await;
        for kind in ["dragEnter", "dragOver", "drop"] {
            let data = json!({ "items": [], "files": paths, "dragOperationsMask": 1 });
            let event = json!({ "type": kind, "x": middle[0], "y": middle[1], "data": data });
            self.devtools("Input.dispatchDragEvent", event).await;
        }
    }

    /// Makes the window this large, as on a screen of one pixel a CSS pixel.
    pub async fn resize(&self, width: u32, height: u32) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500 });
        self.devtools("Emulation.setDeviceMetricsOverride", metrics)
            .await;
    }

    /// Has a media feature, such as the scheme of colours, be as a person's system has it.
    pub async fn prefer(&self, feature: &str, value: &str) {
        let features = json!([{ "name": feature, "value": value }]);
        self.devtools(
            "Emulation.setEmulatedMedia",
            json!({ "features": features }),
        )
        .await;
    }

    /// Gives what a CSS selector finds the focus.
    pub async fn focus(&self, selector: &str) {
        self.value(&format!("document.querySelector('{selector}').focus()"))
            .await;
    }

    /// Presses a key, wherever the focus is.
    pub async fn key(&self, key: &str) {
        let text = if key.chars().count() == 1 { key } else { "" };
        for (kind, text) in [("keyDown", text), ("keyUp", "")] {
            let event = json!({ "type": kind, "key": key, "text": text });
            self.devtools("Input.dispatchKeyEvent", event).await;
        }
    }

    /// Clicks what a CSS selector finds.
    pub async fn click(&self, selector: &str) {
        let quoted = json!(selector);
        self.until(
            &format!("{selector} can be clicked"),
            &format!("(e => e && !e.disabled && e.ariaDisabled !== 'true')(document.querySelector({quoted}))"),
        )
        .await;
        self.value(&format!("document.querySelector({quoted}).click()"))
            .await;
    }

    /// The bytes of the last blob that the page has made a link to, once there are more than `before`.
    pub async fn downloaded(&self, before: u64) -> Vec<u8> {
        self.until(
            "a file is downloaded",
            &format!("watched.blobs.length > {before}"),
        )
        .await;
        let text = self
            .promised(
                "new Promise(done => { const reader = new FileReader(); reader.onload = () => done(reader.result); \
                 reader.readAsDataURL(watched.blobs.at(-1)); })",
            )
            .await;
        let (_, data) = text.as_str().unwrap().split_once("base64,").unwrap();
        base64::engine::general_purpose::STANDARD
            .decode(data)
            .unwrap()
    }

    /// Writes a picture of the page into the folder for pictures, and checks that it is not blank.
    pub async fn picture(&self, name: &str, width: u32, height: u32, dark: bool) {
        let scheme = if dark { "dark" } else { "light" };
        self.prefer("prefers-color-scheme", scheme).await;
        self.resize(width, height).await;
        tokio::time::sleep(Duration::from_millis(600)).await;
        let shot = self
            .devtools("Page.captureScreenshot", json!({ "format": "png" }))
            .await;
        let data = shot["data"].as_str().unwrap();
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(data)
            .unwrap();
        assert!(
            bytes.len() > 20_000,
            "{name} is blank: {} bytes",
            bytes.len()
        );
        let folder = given("LIMBECK_PICTURES");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("{name}.png")), bytes).unwrap();
    }

    /// Ends the browser.
    pub async fn close(self) {
        self.client.close().await.ok();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{LONGEST, PATIENCE, Wait};

    #[test]
    fn a_wait_ends_when_the_page_says_the_same() {
        let mut wait = Wait::new("anything");
        let at = |times| wait.begun + PATIENCE * times;
        let (first, second) = (at(1), at(2));
        assert!(!wait.is_in_vain(first, &json!("step 1")));
        assert!(wait.is_in_vain(second, &json!("step 1")));
    }

    /// As a page does that plays a film.
    #[test]
    fn a_wait_ends_although_the_page_goes_on() {
        let mut wait = Wait::new("anything");
        let begun = wait.begun;
        let looks = (1..).map(|times| begun + PATIENCE * times);
        let last = looks
            .zip(0..)
            .find(|(now, step)| wait.is_in_vain(*now, &json!(format!("step {step}"))));
        let (end, _) = last.expect("an end");
        assert_eq!(end - begun, LONGEST);
    }
}
