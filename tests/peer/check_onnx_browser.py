"""Opens a folder that `limbeck export` has been run on with transformers.js in headless Chromium, and compares its vectors with those of
`limbeck encode`.

By hand: npm install @huggingface/transformers, then
         python check_onnx_browser.py --limbeck PROGRAM --model DIR --texts FILE --modules node_modules [--chromium PROGRAM]

The folder must pool by the mean and normalise. Prints a JSON object a file, as check_onnx.mjs does: `dtype`, the largest |difference| of
a number, and the smallest cosine of two vectors of a line. Exit code 1 if f32 differs by more than 1e-5, f16 by more than 2e-3, a cosine
of int8 is below 0.99, or the page has not come to its end within ten minutes.
"""

import argparse
import functools
import http.server
import json
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from exported import FILES, encoded, read_lines

SECONDS = 600

PAGE = """<script type="module">
const told = [];
try {
    const { env, pipeline } = await import("/modules/@huggingface/transformers/dist/transformers.min.js");
    const { compare } = await import("/compare.mjs");
    env.allowRemoteModels = false;
    env.allowLocalModels = true;
    env.localModelPath = "/";
    env.backends.onnx.wasm.wasmPaths = "/modules/onnxruntime-web/dist/";
    const { dtypes, texts, exact } = await (await fetch("/task.json")).json();
    for (const dtype of dtypes) {
        const extract = await pipeline("feature-extraction", "model", { dtype, device: "wasm" });
        const settings = { pooling: "mean", normalize: true };
        told.push({ dtype, ...(await compare(extract, texts, exact, settings)) });
    }
} catch (error) {
    told.push({ error: String(error) });
}
await fetch("/told", { method: "POST", body: JSON.stringify(told) });
</script>"""


def main():
    options = parse_options()
    texts = read_lines(options.texts)
    exact = encoded(options.limbeck, options.model, texts)
    dtypes = [dtype for dtype, (name, _, _) in FILES.items() if (options.model / "onnx" / name).exists()]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "model").symlink_to(options.model.resolve())
        (root / "modules").symlink_to(options.modules.resolve())
        (root / "compare.mjs").symlink_to(Path(__file__).resolve().with_name("compare.mjs"))
        (root / "index.html").write_text(PAGE)
        (root / "task.json").write_text(json.dumps({"dtypes": dtypes, "texts": texts, "exact": exact}))
        told = visit(root, options.chromium)
    for line in told:
        print(json.dumps(line))
    failed = [line for line in told if "error" in line or not within(line)]
    sys.exit(bool(failed) or len(told) < len(dtypes))


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limbeck", required=True, help="the program")
    parser.add_argument("--model", type=Path, required=True, help="folder that limbeck export has been run on")
    parser.add_argument("--texts", type=Path, required=True, help="one text a line")
    parser.add_argument("--modules", type=Path, required=True, help="node_modules with @huggingface/transformers")
    parser.add_argument("--chromium", default="chromium", help="the browser")
    return parser.parse_args()


def visit(root, chromium):
    """What the page tells at its end."""
    told = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        extensions_map = http.server.SimpleHTTPRequestHandler.extensions_map | {".mjs": "text/javascript", ".wasm": "application/wasm"}

        def log_message(self, *_):
            pass

        def do_POST(self):
            told.extend(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(204)
            self.end_headers()
            threading.Thread(target=self.server.shutdown).start()

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=root))
    late = threading.Timer(SECONDS, server.shutdown)
    late.start()
    page = f"http://127.0.0.1:{server.server_port}/"
    browser = subprocess.Popen([chromium, "--headless", "--no-sandbox", "--disable-gpu", page], stderr=subprocess.DEVNULL)
    try:
        server.serve_forever()
    finally:
        late.cancel()
        browser.kill()
    return told


def within(line):
    _, most, least = FILES[line["dtype"]]
    return line["difference"] <= most and line["cosine"] >= least


if __name__ == "__main__":
    main()
