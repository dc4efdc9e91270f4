// Starts the engine's wasm in a worker.
import init from "./worker.js";
await init();
