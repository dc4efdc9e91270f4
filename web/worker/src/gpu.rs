//! The GPU of the browser: what it is, and what to do where there is none.

use limbeck_protocol::Adapter;

use crate::js::{self, GpuAdapter, Navigator, options, scope, settled};

/// The limits that our kernels meet; the first two are those of buffers.
const LIMITS: [&str; 5] = [
    "maxStorageBufferBindingSize",
    "maxBufferSize",
    "maxStorageBuffersPerShaderStage",
    "maxComputeWorkgroupStorageSize",
    "maxComputeInvocationsPerWorkgroup",
];

/// Parts of the names of software GPUs, in lower case.
const SOFTWARE: [&str; 3] = ["swiftshader", "llvmpipe", "microsoft basic render"];

/// The adapter that the browser gives when asked for its fastest; none without WebGPU.
pub async fn adapter() -> Option<Adapter> {
    let gpu = scope().navigator().gpu()?;
    let fastest = options(&[("powerPreference", "high-performance".into())]);
    let found: Option<GpuAdapter> = settled::<wasm_bindgen::JsValue>(gpu.request_adapter(&fastest))
        .await
        .ok()
        .filter(|adapter| !adapter.is_null() && !adapter.is_undefined())
        .map(wasm_bindgen::JsCast::unchecked_into);
    found.as_ref().map(described)
}

fn described(adapter: &GpuAdapter) -> Adapter {
    let info = adapter.info();
    let texts = info.as_ref().map_or_else(Vec::new, |info| {
        vec![
            info.description(),
            info.vendor(),
            info.architecture(),
            info.device(),
        ]
    });
    let texts: Vec<String> = texts
        .into_iter()
        .flatten()
        .filter(|text| !text.trim().is_empty())
        .collect();
    let name = if texts.is_empty() {
        "a GPU that this browser does not name".to_owned()
    } else {
        texts.join(" ")
    };
    let lower = name.to_lowercase();
    let fallback = info.and_then(|info| info.is_fallback_adapter());
    let limits = adapter.limits();
    Adapter {
        software: fallback
            .or_else(|| adapter.is_fallback_adapter())
            .unwrap_or_default()
            || SOFTWARE.iter().any(|text| lower.contains(text)),
        f16: adapter.features().has("shader-f16"),
        limits: LIMITS
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), js::number(&limits, name)?)))
            .collect(),
        name,
    }
}

/// Bytes of the largest tensor that it holds: a tensor is one buffer.
pub fn largest_tensor(adapter: &Adapter) -> Option<u64> {
    let buffers = LIMITS[..2].iter().filter_map(|name| {
        let limit = adapter.limits.iter().find(|(of, _)| of == name);
        limit.map(|(_, bytes)| *bytes)
    });
    buffers.min()
}

/// Why there is no GPU, and what to do about it in this browser and system.
pub fn missing() -> String {
    let navigator: Navigator = scope().navigator();
    let advice = advice(
        &navigator.user_agent(),
        scope().is_secure_context(),
        navigator.gpu().is_some(),
    );
    format!("This browser offers no GPU. {advice} Or choose the CPU as the device.")
}

fn advice(user_agent: &str, secure: bool, has_webgpu: bool) -> &'static str {
    let is = |text: &str| user_agent.contains(text);
    if !secure {
        return "WebGPU needs a secure page: open this one at https://, or at http://localhost or http://127.0.0.1.";
    }
    if is("Firefox") {
        return "Firefox: update it (Windows needs 141, macOS on Apple silicon 145). On other systems set dom.webgpu.enabled to \
             true in about:config, or use Chrome or Edge.";
    }
    if is("Android") {
        return "Android: update Chrome and the system (Chrome 121 and Android 12 at least).";
    }
    let chromium = is("Chrome") || is("Chromium");
    if is("Safari") && !chromium {
        return "Safari has WebGPU from version 26 on (macOS 26, iOS 26): update the system, or use Chrome on a Mac.";
    }
    if chromium && is("Linux") {
        return "Chrome on Linux: open chrome://flags/#enable-unsafe-webgpu and chrome://flags/#enable-vulkan, enable both, \
             restart the browser, and see chrome://gpu for what is missing (usually a Vulkan driver).";
    }
    if has_webgpu {
        return "Switch on graphics acceleration in the browser's system settings, update the graphics driver, and see \
             chrome://gpu for what is missing.";
    }
    "Update the browser: Chrome and Edge have WebGPU from version 113 on."
}
