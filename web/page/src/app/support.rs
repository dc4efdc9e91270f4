//! What to do for a GPU, by browser and system.

/// The advice for a browser that names itself so.
pub fn advice(user_agent: &str) -> &'static str {
    let has = |name: &str| user_agent.contains(name);
    let linux = has("Linux") && !has("Android");
    if has("Firefox") && linux {
        "Firefox on Linux has WebGPU in Nightly; elsewhere turn on dom.webgpu.enabled in about:config and reload this page. \
         Chrome or Chromium may have it here, too."
    } else if has("Firefox") && has("Android") {
        "Firefox on Android has no WebGPU; Chrome 121 or later has it on most phones."
    } else if has("Firefox") {
        "Firefox has WebGPU from 141 on Windows and from 145 on Macs with Apple's chips: update it, or use Chrome or Edge."
    } else if has("Chrome") && has("Android") {
        "Chrome has WebGPU from 121 on most phones with Android 12 or later: update it."
    } else if has("Chrome") && linux {
        "Chrome on Linux has WebGPU from 144 for recent Intel and from 147 for NVIDIA. For other GPUs and earlier versions switch \
         on chrome://flags/#enable-unsafe-webgpu and chrome://flags/#enable-vulkan, and restart the browser."
    } else if has("Chrome") {
        "Chrome and Edge have WebGPU from 113: update, and see in chrome://gpu that hardware acceleration is on."
    } else if has("Safari") {
        "Safari has WebGPU from 26 on: update the system, or use Chrome."
    } else {
        "Chrome and Edge 113, Firefox 141 (Windows) and Safari 26 have WebGPU."
    }
}

/// The whole table: browser and system, from which version.
pub const TABLE: [(&str, &str); 7] = [
    ("Chrome, Edge on Windows, Mac, ChromeOS", "113"),
    ("Chrome on Android 12", "121"),
    (
        "Chrome on Linux",
        "144 (Intel), 147 (NVIDIA); else chrome://flags/#enable-unsafe-webgpu",
    ),
    ("Firefox on Windows", "141"),
    ("Firefox on Macs with Apple's chips", "145"),
    (
        "Firefox on Linux",
        "Nightly; else about:config, dom.webgpu.enabled",
    ),
    ("Safari on Mac, iPhone, iPad", "26"),
];

#[cfg(test)]
mod tests {
    use super::advice;

    #[test]
    fn advice_fits_the_browser() {
        let of = |system: &str, browser: &str| advice(&format!("Mozilla/5.0 ({system}) {browser}"));
        assert!(of("X11; Linux x86_64", "Chrome/130.0 Safari/537.36").contains("unsafe-webgpu"));
        assert!(of("Linux; Android 14", "Chrome/118.0 Mobile Safari/537.36").contains("121"));
        assert!(of("X11; Linux x86_64; rv:140.0", "Firefox/140.0").contains("about:config"));
        assert!(of("Macintosh", "Version/17.4 Safari/605.1.15").contains("26"));
        assert!(of("Windows NT 10.0", "Chrome/130.0 Safari/537.36 Edg/130.0").contains("113"));
    }
}
