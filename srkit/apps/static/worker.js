// The network, beside the page so that the page stays responsive. It is told {job, network, alpha, lr or hr, ...}, or
// another {job} to stop, and answers {job, tile, place, share}, then {job, pictures, ...}; or {job, error}, a sentence.

import { canvas, cut, png, resized, scoreBoth } from "./picture.js";

const TILE = 128; // LR pixels, without what the network sees around them

let latest; // the network that was used last, as ONNX Runtime Web opened it
let job; // the number of the work that may go on
let queue = Promise.resolve(); // one work at a time

async function openedBy(where, file) {
  const ort = await import(`./ort/ort.${where}.min.mjs`);
  ort.env.wasm.wasmPaths = new URL("ort/", import.meta.url).href;
  ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency, 8) : 1;
  const options = { executionProviders: [where], logSeverityLevel: 3 };
  const session = await ort.InferenceSession.create(new URL(file, import.meta.url).href, options);
  await latest?.session.release();
  return (latest = { file, session, ort, where });
}

async function opened(file) {
  if (latest?.file === file) return latest;
  const gpu = await navigator.gpu?.requestAdapter().catch(() => null);
  const software = gpu?.isFallbackAdapter ?? gpu?.info.isFallbackAdapter; // far slower than WebAssembly
  if (!gpu || software) return openedBy("wasm", file);
  return openedBy("webgpu", file).catch(() => openedBy("wasm", file)); // which is there offline, too
}

// In tiles, each padded by what the network sees, so that all is as if done at once.
async function enlarge({ hr, lr, width, height, network, alpha, label }, tell) {
  const { scale, overlap } = network;
  lr ??= resized(hr, 1 / scale);
  const { session, ort, where } = await opened(network.file);
  const mixture = network.mixes ? { alpha: new ort.Tensor("float32", [alpha], [1]) } : {};
  const whole = canvas(width, height);
  const edges = (side) => Array.from({ length: Math.ceil(side / TILE) }, (_, n) => n * TILE);
  const corners = edges(lr.height).flatMap((top) => edges(lr.width).map((left) => [left, top]));
  const around = (edge, side) => [Math.max(edge - overlap, 0), Math.min(edge + TILE + overlap, side)];
  const began = performance.now();
  for (const [n, [left, top]] of corners.entries()) {
    await new Promise((rest) => setTimeout(rest)); // so that "stop" is heard
    if (tell.over()) return;
    const [[x, right], [y, bottom]] = [around(left, lr.width), around(top, lr.height)];
    const input = await ort.Tensor.fromImage(cut(lr, x, y, right - x, bottom - y)); // (1, 3, H, W) in [0, 1]
    const { sr: output } = await session.run({ lr: input, ...mixture });
    const tile = output.toImageData();
    output.dispose();
    const place = [x, y, left - x, top - y, TILE, TILE].map((side) => side * scale); // as putImageData takes it
    whole.putImageData(tile, ...place);
    tell({ tile, place, share: (n + 1) / corners.length });
  }
  const seconds = (performance.now() - began) / 1000;
  const sr = whole.getImageData(0, 0, width, height);
  const pictures = { bicubic: await png(resized(lr, scale)), [label]: await png(sr), ...(hr && { HR: await png(hr) }) };
  tell({ pictures, seconds, where, table: hr && scoreBoth(sr, hr, scale) });
}

self.onmessage = ({ data }) => {
  job = data.job; // a newer work, or none, ends the one that goes on
  const tell = (words) => data.job === job && self.postMessage({ job, ...words });
  tell.over = () => data.job !== job;
  const excuse = ({ message }) => tell({ error: `The network does not work here (${message}): reload the page, `
    + "choose a smaller picture, or try another browser." });
  queue = queue.then(() => data.network && !tell.over() && enlarge(data, tell)).catch(excuse);
};
