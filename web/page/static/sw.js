// Keeps the page for the next time without a network.
//
// Three groups of files: the shell is there before this worker is installed; the engine, the teacher and the texts follow
// when that is done; the recorded run's student is kept once somebody asks for it. A file is kept under its path and a hash of its contents, so a new version of the page takes over
// from the old one what has not changed. Tells every open page {type: "cached"} when all is kept; a page that sends any
// message is told, too.

// `cargo xtask web` writes the lists here: pairs of a path and a hash of its contents.
const BUILD = { version: "", shell: [], later: [], asked: [] };

const NAME = `limbeck-${BUILD.version}`;
const HOME = new URL("./", self.location).href;
const HASHES = new Map([...BUILD.shell, ...BUILD.later, ...BUILD.asked]);
/** Milliseconds until a network that does not answer counts as none. */
const PATIENCE = 5000;

const keyOf = (path) => `${HOME}${path}?${HASHES.get(path)}`;

const fetchAndKeep = async (path) => {
  const cache = await caches.open(NAME);
  const key = keyOf(path);
  if (await cache.match(key)) return;
  // An unnamed version of a file with a fixed name may lie in the browser's own cache.
  const response = (await caches.match(key)) ?? (await fetch(`${HOME}${path}`, { cache: "no-cache" }));
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  await cache.put(key, response);
};

const underWay = new Map();

/** The same file is never fetched twice at once. */
const keep = (path) => {
  if (!underWay.has(path)) {
    underWay.set(path, fetchAndKeep(path).finally(() => underWay.delete(path)));
  }
  return underWay.get(path);
};

/** One after the other: the page itself may be loading. */
const keepAll = async (list) => {
  for (const [path] of list) await keep(path);
};

let filling;

const fill = () => {
  filling ??= keepAll(BUILD.later).catch((error) => {
    // No network, or no space left. The next use of the page tries again.
    filling = undefined;
    throw error;
  });
  return filling;
};

const fillAndTell = async () => {
  try {
    await fill();
  } catch {
    return;
  }
  for (const page of await self.clients.matchAll({ type: "window", includeUncontrolled: true })) {
    page.postMessage({ type: "cached", version: BUILD.version });
  }
};

const takeOver = async () => {
  const cache = await caches.open(NAME);
  for (const [path] of [...BUILD.later, ...BUILD.asked]) {
    const same = await caches.match(keyOf(path));
    if (same) await cache.put(keyOf(path), same);
  }
  const old = (await caches.keys()).filter((name) => name.startsWith("limbeck-") && name !== NAME);
  await Promise.all(old.map((name) => caches.delete(name)));
  await self.clients.claim();
  // A message is an event of its own: it keeps this worker alive while the large files come, and holds up no page.
  self.registration.active?.postMessage("fill");
};

/** What was kept, as an answer to this very address: a worker reads its name from the query of its address. */
const answerFor = (request, kept) =>
  ["document", "script", "worker"].includes(request.destination)
    ? new Response(kept.body, { status: kept.status, statusText: kept.statusText, headers: kept.headers })
    : kept;

const fromCache = async (request, path) => {
  const find = async () => (await caches.open(NAME)).match(keyOf(path));
  let kept = await find();
  if (!kept) {
    try {
      await keep(path);
      kept = await find();
    } catch {
      // No space left, perhaps: the network can still serve it.
    }
  }
  return kept ? answerFor(request, kept) : fetch(request);
};

const newestPage = async (request, path) => {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), PATIENCE);
  try {
    const response = await fetch(request, { signal: late.signal });
    if (response.status < 500) return response;
  } catch {
    // Offline: the kept page is as good.
  } finally {
    clearTimeout(timer);
  }
  const kept = await (await caches.open(NAME)).match(keyOf(path));
  return kept ? answerFor(request, kept) : Response.error();
};

self.addEventListener("install", (event) => event.waitUntil(keepAll(BUILD.shell)));
self.addEventListener("activate", (event) => event.waitUntil(takeOver()));
self.addEventListener("message", (event) => event.waitUntil(fillAndTell()));
self.addEventListener("fetch", (event) => {
  const { request } = event;
  const address = request.url.split(/[?#]/)[0];
  // A part of a file cannot be kept; what is not listed (the address of a native engine, too) is none of our business.
  if (request.method !== "GET" || request.headers.has("range") || !address.startsWith(HOME)) return;
  const path = address.slice(HOME.length) || "index.html";
  if (!HASHES.has(path)) return;
  event.respondWith(request.mode === "navigate" ? newestPage(request, path) : fromCache(request, path));
  event.waitUntil(fillAndTell());
});
