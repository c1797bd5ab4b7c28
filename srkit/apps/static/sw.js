// Keeps the page's files, so that it works offline after the first load, and marks them as isolated from other sites,
// which gives WebAssembly threads from the second load on. VERSION is a digest of all files, written when they are built.

const VERSION = "@VERSION@";
const ISOLATED = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };

self.addEventListener("install", (event) => {
  const keep = async () => {
    const files = await (await fetch("files.json", { cache: "no-cache" })).json();
    await (await caches.open(VERSION)).addAll(["./", ...files].map((file) => new Request(file, { cache: "no-cache" })));
    await self.skipWaiting();
  };
  event.waitUntil(keep());
});

self.addEventListener("activate", (event) => {
  const forget = async () => {
    for (const name of await caches.keys()) if (name !== VERSION) await caches.delete(name);
    await self.clients.claim();
  };
  event.waitUntil(forget());
});

self.addEventListener("fetch", (event) => {
  if (event.request.method !== "GET" || new URL(event.request.url).origin !== self.location.origin) return;
  const answer = async () => {
    const known = await (await caches.open(VERSION)).match(event.request, { ignoreSearch: true });
    const { body, status, statusText, headers } = known ?? await fetch(event.request);
    const marked = new Headers(headers);
    for (const [name, value] of Object.entries(ISOLATED)) marked.set(name, value);
    return new Response(body, { status, statusText, headers: marked });
  };
  event.respondWith(answer());
});
