//! A browser's worker as the host of an engine.

use std::cell::{Cell, RefCell};

use burn::tensor::Device;
use limbeck_engine::{Opened, World, heldout};
use limbeck_protocol::{Adapter, EngineInfo, EngineKind};
use limbeck_recipe::DeviceChoice;

use crate::js::scope;
use crate::turns::Turns;
use crate::{failure, gpu, lock, storage};

/// What the CPU is, for people.
fn cpu() -> &'static str {
    if limbeck_engine::relaxed_simd() {
        "1 thread of wasm with relaxed SIMD"
    } else {
        "1 thread of wasm with SIMD"
    }
}

/// This worker.
pub struct Browser {
    /// Asked for once: what it is stays, and asking takes a moment.
    adapter: RefCell<Option<Option<Adapter>>>,
    /// burn opens a GPU once in the life of a program.
    gpu: RefCell<Option<Device>>,
    claimed: Cell<bool>,
    turns: Turns,
}

impl Browser {
    /// With no device open yet.
    pub fn new() -> Self {
        Self {
            adapter: RefCell::default(),
            gpu: RefCell::default(),
            claimed: Cell::default(),
            turns: Turns::new(),
        }
    }

    async fn adapter(&self) -> Option<Adapter> {
        let known = self.adapter.borrow().clone();
        if let Some(adapter) = known {
            return adapter;
        }
        let adapter = gpu::adapter().await;
        self.adapter.replace(Some(adapter.clone()));
        adapter
    }

    async fn open_gpu(&self) -> Result<Device, String> {
        let open = self.gpu.borrow().clone();
        if let Some(device) = open {
            return Ok(device);
        }
        let (device, setup) = Device::wgpu_options()
            .init_with_setup_async()
            .await
            .map_err(|error| {
                format!(
                    "cannot open the GPU: {error}. Close other tabs that use it, restart the browser, update the \
                     graphics driver, or choose the CPU as the device"
                )
            })?;
        // burn has its own callback, which only makes later reads fail.
        setup
            .device
            .set_device_lost_callback(|_, message| failure::gpu_lost(&message));
        self.gpu.replace(Some(device.clone()));
        Ok(device)
    }
}

impl World for Browser {
    async fn info(&self) -> EngineInfo {
        EngineInfo {
            kind: EngineKind::Worker,
            software: format!("limbeck {}", env!("CARGO_PKG_VERSION")),
            adapter: self.adapter().await,
            cpu: cpu().to_owned(),
            keeps: "this browser's storage".to_owned(),
        }
    }

    async fn open(&self, choice: DeviceChoice) -> Result<Opened, String> {
        let adapter = match choice {
            DeviceChoice::Cpu => None,
            DeviceChoice::Auto => self.adapter().await.filter(|adapter| !adapter.software),
            DeviceChoice::Gpu => Some(self.adapter().await.ok_or_else(gpu::missing)?),
        };
        let Some(adapter) = adapter else {
            return Ok(Opened {
                device: Device::flex(),
                name: format!("CPU, {}", cpu()),
                on_gpu: false,
                largest_tensor: None,
                cooperative: false,
                heldout_lines: heldout::LINES_ON_ONE_THREAD,
            });
        };
        let software = if adapter.software { ", software" } else { "" };
        Ok(Opened {
            device: self.open_gpu().await?,
            name: format!("{} (WebGPU{software})", adapter.name),
            on_gpu: true,
            largest_tensor: gpu::largest_tensor(&adapter),
            // WebGPU has none.
            cooperative: false,
            heldout_lines: heldout::LINES,
        })
    }

    fn seconds(&self) -> f64 {
        scope().performance().now() / 1000.0
    }

    async fn breathe(&self) {
        self.turns.next().await;
    }

    async fn claim(&self) -> Result<(), String> {
        if !self.claimed.get() {
            lock::claim_run().await?;
            self.claimed.set(true);
        }
        Ok(())
    }

    async fn keep(&self, name: &str, bytes: &[u8]) -> Result<(), String> {
        storage::keep(name, bytes).await
    }

    async fn read(&self, name: &str) -> Result<Option<Vec<u8>>, String> {
        storage::read(name).await
    }

    async fn forget(&self) -> Result<(), String> {
        storage::forget().await
    }

    async fn space(&self) -> (u64, u64) {
        storage::space().await
    }
}
