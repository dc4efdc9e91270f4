// Starts the page's wasm. Whatever keeps it from starting is said in the page, which would be blank otherwise.
const tell = (what) => {
  const place = document.getElementById("boot-state") ?? document.body.appendChild(document.createElement("p"));
  place.setAttribute("role", "alert");
  place.textContent = what;
};

// ?embed=maps: one view alone, in a frame of another page. The style sheet hides the rest, before anything is drawn.
const embed = new URLSearchParams(location.search).get("embed");
if (embed) document.documentElement.dataset.embed = embed;

try {
  const { default: init } = await import("./page.js");
  await init();
} catch (error) {
  console.error(error);
  const old = typeof WebAssembly !== "object" || error instanceof WebAssembly.CompileError;
  tell(
    old
      ? `This browser cannot run the page, which needs WebAssembly with SIMD: Chrome or Edge 91, Firefox 89, Safari 16.4, or later. (${error})`
      : `The page could not start: ${error}. Reload it; if that does not help, the browser's console says more.`,
  );
}
