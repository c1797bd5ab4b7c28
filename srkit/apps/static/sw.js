// Keeps the page's files, so that it works offline after the first load, and marks them as isolated from other sites,
// which gives WebAssembly threads from the second load on. @VERSION@: a digest of all files, written as they are built.

const OURS = self.registration.scope; // other pages of this site keep files, too
const NOW = `${OURS} @VERSION@`;
const ISOLATED = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };

async function keep() {
  const files = await (await fetch("files.json", { cache: "no-cache" })).json();
  await (await caches.open(NOW)).addAll(["./", ...files].map((file) => new Request(file, { cache: "no-cache" })));
  await self.skipWaiting();
}

async function forget() {
  for (const name of await caches.keys())
    if (name.startsWith(`${OURS} `) && name !== NOW) await caches.delete(name);
  await self.clients.claim();
}

async function answer(request) {
  const known = await (await caches.open(NOW)).match(request, { ignoreSearch: true });
  const { body, status, statusText, headers } = known ?? await fetch(request);
  return new Response(body, { status, statusText, headers: { ...Object.fromEntries(headers), ...ISOLATED } });
}

self.oninstall = (event) => event.waitUntil(keep());
self.onactivate = (event) => event.waitUntil(forget());
self.onfetch = (event) => {
  const own = new URL(event.request.url).origin === self.location.origin;
  if (own && event.request.method === "GET") event.respondWith(answer(event.request));
};
