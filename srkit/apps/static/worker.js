// The network, beside the page so that the page stays responsive. It is told {job, network, alpha, lr or hr or both}, or
// another {job} to stop, and answers {job, tile, x, y, share}, then {job, done, ...}; or {job, error}, a sentence.

import { imresize, luma, resized, rounded, scores } from "./picture.js";

const TILE = 128; // LR pixels, without what the network sees around them
const WORDS = { wasm: "WebAssembly", webgpu: "WebGPU" };

let running; // ONNX Runtime Web, and where it works
const files = new Map(); // by address: what was fetched
let latest = {}; // the session that was used last, and what it was made of
let job; // the number of the work that may go on
let queue = Promise.resolve(); // one work at a time

async function runtime() {
  if (running) return running;
  const gpu = await navigator.gpu?.requestAdapter().catch(() => null);
  const real = gpu && !gpu.isFallbackAdapter && !gpu.info?.isFallbackAdapter; // one in software is far slower
  const where = real ? "webgpu" : "wasm";
  const ort = await import(`./ort/ort.${where}.min.mjs`);
  ort.env.wasm.wasmPaths = new URL("ort/", import.meta.url).href;
  ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency, 8) : 1;
  return (running = { ort, where });
}

async function fetched(address) {
  if (!files.has(address)) {
    const answer = await fetch(new URL(address, import.meta.url));
    if (!answer.ok) throw new Error(`${address} answers ${answer.status}`);
    files.set(address, await answer.arrayBuffer());
  }
  return files.get(address);
}

// Every weight is (1 - alpha) PSNR + alpha GAN: network interpolation, Wang et al. 2018, arXiv:1809.00219, section 3.4.
async function mixed([psnr, gan], alpha) {
  const first = new Float32Array(await fetched(psnr));
  if (!gan) return first;
  const last = new Float32Array(await fetched(gan));
  return first.map((weight, n) => (1 - alpha) * weight + alpha * last[n]);
}

async function sessionOf(network, alpha) {
  const key = `${network.graph} ${alpha}`;
  if (latest.key === key) return latest;
  try {
    const { ort, where } = await runtime();
    const data = new Uint8Array((await mixed(network.weights, alpha)).buffer);
    const options = { executionProviders: [where], logSeverityLevel: 3, externalData: [{ path: "weights", data }] };
    const graph = new Uint8Array(await fetched(network.graph));
    const session = await ort.InferenceSession.create(graph, options);
    await latest.session?.release();
    latest = { key, session, ort, where };
  } catch (error) {
    throw new Error(`The network does not load (${error.message}): reload the page, or try another browser.`);
  }
  return latest;
}

// A rectangle of a picture as (1, 3, H, W) in [0, 1].
function tensorOf({ width, data }, [left, top, right, bottom], ort) {
  const [w, h] = [right - left, bottom - top];
  const values = new Float32Array(3 * w * h);
  for (let y = 0; y < h; y++)
    for (let x = 0; x < w; x++)
      for (let c = 0; c < 3; c++)
        values[(c * h + y) * w + x] = data[4 * ((top + y) * width + left + x) + c] / 255;
  return new ort.Tensor("float32", values, [1, 3, h, w]);
}

// The part of an answer that begins at (left, top), as a picture.
function pictureOf({ dims: [, , h, w], data }, left, top, width, height) {
  const picture = new ImageData(width, height);
  picture.data.fill(255);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++)
      for (let c = 0; c < 3; c++)
        picture.data[4 * (y * width + x) + c] = Math.round(data[(c * h + top + y) * w + left + x] * 255);
  return picture;
}

async function run(session, lr) {
  try {
    return (await session.run({ lr })).sr;
  } catch (error) {
    throw new Error(`The network stopped (${error.message ?? error}): choose a smaller picture, or reload the page.`);
  }
}

// In tiles, each padded by what the network sees, so that all is as if done at once.
async function enlarge({ hr, lr, network, alpha }, tell) {
  const { scale, overlap } = network;
  lr ??= resized(hr, 1 / scale);
  const { session, ort, where } = await sessionOf(network, alpha);
  const began = performance.now();
  const sr = new ImageData(lr.width * scale, lr.height * scale);
  const [columns, rows] = [lr.width, lr.height].map((side) => Math.ceil(side / TILE));
  const edge = (side, n, pieces) => Math.floor((side * n) / pieces);
  for (let n = 0; n < columns * rows; n++) {
    await new Promise((rest) => setTimeout(rest)); // so that "stop" is heard
    if (tell.over()) return;
    const [column, row] = [n % columns, Math.floor(n / columns)];
    const [left, right] = [0, 1].map((more) => edge(lr.width, column + more, columns));
    const [top, bottom] = [0, 1].map((more) => edge(lr.height, row + more, rows));
    const seen = [Math.max(left - overlap, 0), Math.max(top - overlap, 0),
      Math.min(right + overlap, lr.width), Math.min(bottom + overlap, lr.height)];
    const input = tensorOf(lr, seen, ort);
    const output = await run(session, input);
    const at = [(left - seen[0]) * scale, (top - seen[1]) * scale];
    const tile = pictureOf(output, ...at, (right - left) * scale, (bottom - top) * scale);
    output.dispose();
    for (let y = 0; y < tile.height; y++)
      sr.data.set(tile.data.subarray(4 * y * tile.width, 4 * (y + 1) * tile.width),
        4 * ((top * scale + y) * sr.width + left * scale));
    tell({ tile, x: left * scale, y: top * scale, share: (n + 1) / (columns * rows) });
  }
  const seconds = (performance.now() - began) / 1000;
  const table = hr && { network: scores(luma(sr), luma(hr), scale), bicubic: scores(bicubicLuma(hr, scale), luma(hr), scale) };
  tell({ done: sr, bicubic: resized(lr, scale), seconds, where: WORDS[where], table });
}

// The papers' bicubic row: the luma shrunk and enlarged, the LR not rounded.
function bicubicLuma(hr, scale) {
  return rounded(imresize(imresize(luma(hr), 1 / scale), scale));
}

self.onmessage = ({ data }) => {
  job = data.job; // a newer work, or none, ends the one that goes on
  const tell = (words) => data.job === job && self.postMessage({ job, ...words });
  tell.over = () => data.job !== job;
  queue = queue.then(() => data.network && !tell.over() && enlarge(data, tell)).catch((error) => tell({ error: error.message }));
};
