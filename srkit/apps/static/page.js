// The page: what is chosen, what the worker answers, and the slider. The work itself is in worker.js and picture.js.

import slider from "./slider.js";

const PART = 64; // LR pixels a side of what is shown while alpha moves
const SIMD = new Uint8Array( // a module that uses it: one function, i8x16.splat and popcnt of 0
  [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11]);
const MOST = Math.min(navigator.deviceMemory ?? 2, 8) * 6e6; // SR pixels: some 40 bytes each, in a quarter of the memory
const PIXELS = (count) => `${(count / 1e6).toFixed(1)} megapixels`;

const at = Object.fromEntries([...document.querySelectorAll("[id]")].map((element) => [element.id, element]));
const chosen = { name: "", picture: null, truth: null }; // pictures as the browser decodes them
let networks, worker, result;
let job = 0;

function say(words, wrong = false) {
  at.status.textContent = words;
  at.status.classList.toggle("wrong", wrong);
}

// An <img>'s worth of a file as ImageData: upright, in sRGB, on white.
async function decoded(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    throw new Error(`${file.name} does not open as a picture in this browser: save it as PNG or JPEG.`);
  }
  const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d", { willReadFrequently: true });
  if (!context) throw new Error(`${file.name}, ${bitmap.width} × ${bitmap.height}, is too large for this browser.`);
  context.fillStyle = "white";
  context.fillRect(0, 0, bitmap.width, bitmap.height);
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, bitmap.width, bitmap.height);
}

function cut({ data, width }, left, top, w, h) {
  const part = new ImageData(w, h);
  for (let y = 0; y < h; y++) {
    const start = 4 * ((top + y) * width + left);
    part.data.set(data.subarray(start, start + 4 * w), 4 * y * w);
  }
  return part;
}

const network = () => networks[at.network.value];
const alpha = () => (network().weights.length > 1 ? Number(at.alpha.value) : 0);

function label() {
  const { name, scale, weights } = network();
  return weights.length > 1 ? `${name} x${scale}, alpha ${alpha().toFixed(2)}` : `${name} x${scale}`;
}

// What is to be enlarged, and its truth where there is one. An Error where it would not fit.
function task() {
  const { scale } = network();
  let { picture: lr, truth: hr } = chosen;
  if (at.small.checked) {
    const [w, h] = [lr.width, lr.height].map((side) => Math.floor(side / scale) * scale);
    if (!w || !h) throw new Error(`${chosen.name} has no ${scale} pixels a side: choose a larger picture.`);
    [lr, hr] = [null, cut(lr, 0, 0, w, h)];
  } else if (hr && (hr.width !== lr.width * scale || hr.height !== lr.height * scale)) {
    const wanted = `${lr.width * scale} × ${lr.height * scale}`;
    throw new Error(`HR is ${hr.width} × ${hr.height}, not ${wanted}: leave it out, or choose that of x${scale}.`);
  }
  const pixels = hr ? hr.width * hr.height : lr.width * lr.height * scale ** 2;
  if (pixels > MOST)
    throw new Error(`${PIXELS(pixels)} would come of it, and ${PIXELS(MOST)} are safe in this browser: `
      + "choose a smaller picture or scale.");
  return { lr, hr };
}

function busy(yes) {
  at.enlarge.disabled = yes || !chosen.picture;
  at.stop.disabled = !yes;
  at.save.disabled = yes || !result;
}

function start(words, part) {
  let work;
  try {
    work = task();
  } catch (error) {
    return say(error.message, true);
  }
  if (part) {
    const whole = work.lr ?? work.hr, unit = work.lr ? 1 : network().scale;
    const [w, h] = [whole.width, whole.height].map((side) => Math.min(side, PART * unit));
    const [left, top] = [whole.width - w, whole.height - h].map((rest) => Math.floor(rest / 2 / unit) * unit);
    work = { [work.lr ? "lr" : "hr"]: cut(whole, left, top, w, h) };
  } else {
    result = null;
    at.slider.hidden = true;
    at.scores.hidden = true;
    const { width, height } = work.hr ?? { width: work.lr.width * network().scale, height: work.lr.height * network().scale };
    Object.assign(at.growing, { hidden: false, width, height });
  }
  at.progress.value = 0;
  say(words);
  busy(true);
  const message = { job: ++job, network: network(), alpha: alpha(), ...work };
  worker.postMessage(message);
  worker.waiting = { ...message, part, label: label(), stem: chosen.name.replace(/\.[^.]*$/, "") };
}

async function png(picture) {
  const canvas = new OffscreenCanvas(picture.width, picture.height);
  canvas.getContext("2d").putImageData(picture, 0, 0);
  return canvas.convertToBlob({ type: "image/png" });
}

const listeners = {};
const state = { position: 50, zoom: 1, centre: [0.5, 0.5], left: 0, right: 1, loupe: false, cropping: false };
const model = {
  get: (name) => state[name], set: (name, value) => { state[name] = value; }, save_changes() {}, off() {},
  on: (event, action) => { (listeners[event] ??= []).push(action); },
};

function compare(pictures, { width, height }) {
  const fit = Math.min(960 / width, 640 / height);
  Object.assign(state, {
    labels: Object.keys(pictures), _pictures: Object.values(pictures).map((blob) => URL.createObjectURL(blob)),
    width: Math.round(width * (fit >= 1 ? Math.floor(fit) : fit)), left: 0, right: 1,
  });
  at.slider.hidden = false;
  if (at.slider.childElementCount) listeners["change:_pictures"].forEach((action) => action());
  else slider.render({ model, el: at.slider });
}

async function finish({ done, bicubic, seconds, where, table }) {
  const { hr, part, label, stem } = worker.waiting, mine = job;
  const blobs = await Promise.all([bicubic, done, ...(hr ? [hr] : [])].map(png));
  if (job !== mine) return;
  const pictures = { bicubic: blobs[0], [label]: blobs[1], ...(hr && { HR: blobs[2] }) };
  compare(pictures, done);
  at.growing.hidden = true;
  result = part ? null : { blob: blobs[1], name: `${stem}_${label.replace(/[^a-z0-9.]+/gi, "_")}.png` };
  at.scores.hidden = !table;
  at.scores.tBodies[0].replaceChildren(...Object.entries(table ?? {}).reverse().map(([name, { psnr, ssim }]) => {
    const row = document.createElement("tr");
    const cells = [name === "network" ? label : name, psnr.toFixed(2), Number.isNaN(ssim) ? "too small" : ssim.toFixed(4)];
    for (const text of cells) row.insertCell().textContent = text;
    return row;
  }));
  const pace = `${seconds.toFixed(1)} s, ${(seconds / (done.width * done.height / 1e6)).toFixed(1)} s a megapixel, by ${where}`;
  say(part ? `The middle of the picture with ${label}: Enlarge does the whole.` : `${done.width} × ${done.height} pixels in ${pace}.`);
  at.progress.value = 1;
  busy(false);
}

function heard({ data }) {
  if (data.job !== job) return;
  if (data.error) {
    say(data.error, true);
    busy(false);
  } else if (data.tile) {
    at.progress.value = data.share;
    if (!worker.waiting.part) at.growing.getContext("2d").putImageData(data.tile, data.x, data.y);
  } else finish(data);
}

function stop() {
  worker.postMessage({ job: ++job });
  say("Stopped: what was done is shown.");
  busy(false);
}

async function take(file, into) {
  stop();
  try {
    chosen[into] = await decoded(file);
    if (into === "picture") Object.assign(chosen, { name: file.name, truth: null });
    if (into === "picture") at.truth.value = "";
    const { width, height } = chosen[into];
    result = null;
    say(`${file.name}: ${width} × ${height}.`);
    task();
  } catch (error) {
    say(error.message, true);
  }
  busy(false);
}

function choose() {
  const { about, weights } = network();
  at.about.textContent = about;
  at.mixing.hidden = weights.length < 2;
  at.known.hidden = at.small.checked;
}

// A visitor's own picture is rarely a clean bicubic LR, and the course's are: the scale stays where it has such a network.
function prefer(real) {
  if (Boolean(network().real) === real) return;
  const fit = networks.filter((each) => Boolean(each.real) === real);
  const best = fit.find(({ scale }) => scale === network().scale) ?? fit[0];
  if (best) at.network.value = networks.indexOf(best);
  choose();
}

function receive(file) {
  if (at.sample.value) at.small.checked = false; // the course's are HR, a visitor's rarely
  at.sample.value = "";
  prefer(true);
  take(file, "picture");
}

at.file.onchange = () => {
  if (at.file.files[0]) receive(at.file.files[0]);
};
at.truth.onchange = () => at.truth.files[0] && take(at.truth.files[0], "truth");
at.sample.onchange = async () => {
  if (!at.sample.value) return;
  const blob = await (await fetch(`pictures/${at.sample.value}`)).blob();
  at.file.value = "";
  at.small.checked = true; // they are HR
  prefer(false);
  choose();
  take(new File([blob], at.sample.value), "picture");
};
at.drop.ondragover = (event) => { event.preventDefault(); at.drop.classList.add("over"); };
at.drop.ondragleave = () => at.drop.classList.remove("over");
at.drop.ondrop = (event) => {
  event.preventDefault();
  at.drop.classList.remove("over");
  const [file] = event.dataTransfer.files;
  if (file) receive(file);
};
at.network.onchange = at.small.onchange = choose;
at.alpha.oninput = () => {
  at.mixed.textContent = Number(at.alpha.value).toFixed(2);
  if (chosen.picture) start("Mixing the weights ...", true);
};
at.form.onsubmit = (event) => { event.preventDefault(); start("Enlarging ..."); };
at.stop.onclick = stop;
at.save.onclick = () => {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(result.blob), download: result.name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
};

try {
  if (!WebAssembly.validate(SIMD)) throw new Error("This browser has no WebAssembly SIMD: take a newer one.");
  const list = await fetch("site.json");
  if (!list.ok) throw new Error(`The list of networks does not load (${list.status}): build the page anew.`);
  const site = await list.json();
  networks = site.networks;
  networks.forEach(({ name, scale }, n) => at.network.add(new Option(`${name} x${scale}`, n)));
  for (const name of site.pictures) at.sample.add(new Option(name, name));
  worker = new Worker("worker.js", { type: "module" });
  worker.onmessage = heard;
  worker.onerror = () => { say("The worker does not start: reload the page, or try another browser.", true); busy(false); };
  choose();
  say("Choose a picture.");
  navigator.serviceWorker?.register("sw.js").catch(() => {}); // without it the page works all the same
} catch (error) {
  say(error.message, true);
}
