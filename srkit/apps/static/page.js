// The page: what is chosen, what the worker answers, and the slider. The work itself is in worker.js and picture.js.

import { canvas, cut } from "./picture.js";
import slider from "./slider.js";

const PART = 64; // LR pixels a side of what is shown while alpha moves
const SIMD = new Uint8Array( // a module that uses it: one function, i8x16.splat and popcnt of 0
  [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11]);
const MOST = Math.min(navigator.deviceMemory ?? 2, 8) * 6e6; // SR pixels, some 40 bytes each: a quarter of the memory
const WORDS = { wasm: "WebAssembly", webgpu: "WebGPU" };

const at = Object.fromEntries([...document.querySelectorAll("[id]")].map((element) => [element.id, element]));
const chosen = { name: "", picture: null, truth: null }; // pictures as the browser decodes them
let networks, worker, result;
let asked = null; // what the worker is at
let job = 0;

const network = () => networks[at.network.value];

function say(words, wrong = false) {
  at.status.textContent = words;
  at.status.classList.toggle("wrong", wrong);
  at.enlarge.disabled = asked || !chosen.picture;
  at.stop.disabled = !asked;
  at.save.disabled = asked || !result;
}

// An action whose errors are sentences for the visitor.
const tried = (action) => async (event) => {
  try {
    await action(event);
  } catch (error) {
    asked = null;
    say(error.message, true);
  }
};

// A file as ImageData: upright, in sRGB, on white.
async function decoded(file) {
  const bitmap = await createImageBitmap(file).catch(() => {
    throw new Error(`${file.name} does not open as a picture in this browser: save it as PNG or JPEG.`);
  });
  const { width, height } = bitmap;
  const context = canvas(width, height);
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, width, height);
}

function middle(picture, side) {
  const [w, h] = [picture.width, picture.height].map((each) => Math.min(each, side));
  return cut(picture, Math.floor((picture.width - w) / 2), Math.floor((picture.height - h) / 2), w, h);
}

// What is to be enlarged, its HR where there is one, and the size of its SR. An Error where it would not fit.
function task(part) {
  const { scale } = network(), asHR = at.small.checked;
  const picture = part ? middle(chosen.picture, asHR ? PART * scale : PART) : chosen.picture;
  const whole = (side) => (asHR ? Math.floor(side / scale) : side) * scale;
  const [width, height] = [whole(picture.width), whole(picture.height)];
  const megapixels = (count) => `${(count / 1e6).toFixed(1)} megapixels`;
  if (!width || !height) throw new Error(`${chosen.name} has no ${scale} pixels a side: choose a larger picture.`);
  if (width * height > MOST)
    throw new Error(`${megapixels(width * height)} would come of it, and ${megapixels(MOST)} are safe in this browser: `
      + "choose a smaller picture or scale.");
  if (asHR) return { hr: cut(picture, 0, 0, width, height), width, height };
  const hr = part ? null : chosen.truth;
  if (hr && (hr.width !== width || hr.height !== height))
    throw new Error(`HR is ${hr.width} × ${hr.height}, not ${width} × ${height}: `
      + `leave it out, or take that of x${scale}.`);
  return { lr: picture, hr, width, height };
}

function start(part) {
  const { name, scale, mixes } = network(), alpha = mixes ? Number(at.alpha.value) : 0;
  const label = `${name} x${scale}` + (mixes ? `, alpha ${alpha.toFixed(2)}` : "");
  asked = { job: ++job, network: network(), alpha, label, part, ...task(part) };
  worker.postMessage(asked);
  at.progress.value = 0;
  if (part) return say("Mixing the weights ...");
  result = null;
  at.slider.hidden = at.scores.hidden = true;
  Object.assign(at.growing, { hidden: false, width: asked.width, height: asked.height });
  say("Enlarging ...");
}

function stop(words) {
  asked = null;
  worker.postMessage({ job: ++job });
  say(words);
}

function heard({ data }) {
  if (data.job !== asked?.job) return;
  if (data.error) throw new Error(data.error);
  at.progress.value = data.share ?? 1;
  if (data.pictures) finish(data);
  else if (!asked.part) at.growing.getContext("2d").putImageData(data.tile, ...data.place);
}

function finish({ pictures, seconds, where, table }) {
  const { label, part, width, height } = asked;
  asked = null;
  const stem = `${chosen.name.replace(/\.[^.]*$/, "")}_${label.replace(/[^a-z0-9.]+/gi, "_")}`;
  result = part ? null : { blob: pictures[label], name: `${stem}.png` };
  compare(pictures, width, height);
  at.growing.hidden = true;
  at.scores.hidden = !table;
  at.scores.tBodies[0].replaceChildren();
  for (const [method, [psnr, ssim]] of Object.entries(table ?? {})) {
    const row = at.scores.tBodies[0].insertRow();
    const numbers = [psnr.toFixed(2), Number.isNaN(ssim) ? "too small" : ssim.toFixed(4)];
    for (const text of [method === "network" ? label : method, ...numbers]) row.insertCell().textContent = text;
  }
  const pace = (seconds / (width * height / 1e6)).toFixed(1);
  say(part ? `The middle of the picture with ${label}: Enlarge does the whole.`
    : `${width} × ${height} pixels in ${seconds.toFixed(1)} s, ${pace} s a megapixel, by ${WORDS[where]}.`);
}

const state = { position: 50, zoom: 1, centre: [0.5, 0.5], loupe: false, cropping: false };
const listeners = {};
const model = { // the slider's, without a kernel
  get: (name) => state[name], set: (name, value) => { state[name] = value; }, save_changes() {},
  on: (event, action) => { listeners[event] = action; },
};

function compare(pictures, width, height) {
  const fit = Math.min(960 / width, 640 / height);
  Object.assign(state, {
    labels: Object.keys(pictures), _pictures: Object.values(pictures).map((blob) => URL.createObjectURL(blob)),
    width: Math.round(width * (fit >= 1 ? Math.floor(fit) : fit)), left: 0, right: 1,
  });
  at.slider.hidden = false;
  if (at.slider.childElementCount) listeners["change:_pictures"]();
  else slider.render({ model, el: at.slider });
}

async function take(file, into) {
  if (into === "picture") {
    Object.assign(chosen, { name: file.name, truth: null });
    at.truth.value = "";
  }
  result = chosen[into] = null;
  stop(`Opening ${file.name} ...`);
  chosen[into] = await decoded(file);
  say(`${file.name}: ${chosen[into].width} × ${chosen[into].height}.`);
  if (chosen.picture) task();
}

function choose() {
  const { about, mixes } = network();
  at.about.textContent = about;
  at.mixing.hidden = !mixes;
  at.known.hidden = at.small.checked;
}

// A visitor's own picture is rarely a clean bicubic LR, and the course's are. The scale stays if it has such a network.
function receive(file, real) {
  const same = networks.filter(({ scale }) => scale === network().scale);
  const best = [network(), ...same, ...networks].find((each) => each.real === real) ?? network();
  at.network.value = networks.indexOf(best);
  choose();
  return take(file, "picture");
}

at.file.onchange = tried(() => {
  const [file] = at.file.files; // chosen, or dropped on it
  if (!file) return;
  if (at.sample.value) at.small.checked = false; // the course's are HR, a visitor's rarely
  at.sample.value = "";
  return receive(file, true);
});
at.sample.onchange = tried(async () => {
  const name = at.sample.value;
  if (!name) return;
  at.file.value = "";
  at.small.checked = true; // they are HR
  const answer = await fetch(`pictures/${name}`);
  return receive(new File([await answer.blob()], name), false);
});
// Beside the fields, too: a browser would leave the page for a picture that is dropped on it.
document.ondragover = (event) => event.target.type === "file" || event.preventDefault();
document.ondrop = (event) => {
  if (event.target.type === "file" || !event.dataTransfer.files.length) return;
  event.preventDefault();
  at.file.files = event.dataTransfer.files;
  at.file.dispatchEvent(new Event("change"));
};
at.truth.onchange = tried(() => at.truth.files[0] && take(at.truth.files[0], "truth"));
at.network.onchange = at.small.onchange = choose;
at.alpha.oninput = tried(() => {
  at.mixed.textContent = Number(at.alpha.value).toFixed(2);
  if (chosen.picture) start(true);
});
at.form.onsubmit = tried((event) => {
  event.preventDefault();
  start(false);
});
at.stop.onclick = () => stop("Stopped: what was done is shown.");
at.save.onclick = () => {
  const href = URL.createObjectURL(result.blob);
  Object.assign(document.createElement("a"), { href, download: result.name }).click();
  setTimeout(() => URL.revokeObjectURL(href), 60_000);
};

await tried(async () => {
  if (!WebAssembly.validate(SIMD)) throw new Error("This browser has no WebAssembly SIMD: take a newer one.");
  const list = await fetch("site.json");
  if (!list.ok) throw new Error(`The list of networks does not load (${list.status}): build the page anew.`);
  const site = await list.json();
  networks = site.networks;
  networks.forEach(({ name, scale, kind }, n) => at.network.add(new Option(`${name} x${scale}: ${kind}`, n)));
  for (const name of site.pictures) at.sample.add(new Option(name, name));
  worker = new Worker("worker.js", { type: "module" });
  worker.onmessage = tried(heard);
  worker.onerror = tried(() => {
    throw new Error("The worker does not start: reload the page, or try another browser.");
  });
  choose();
  at.form.inert = false;
  say("Choose a picture.");
  navigator.serviceWorker?.register("sw.js").catch(() => {}); // without it the page works all the same
})();
