// Two or more pictures of one size in one frame, with a handle between two of them. The model holds the state, and this
// file draws it: as an anywidget, or in a page of its own with a plain object for a model (see slider.py).

const LENS = 15; // picture pixels on each side of the loupe
const MOST = 32; // times that the wheel enlarges
const HELP = "Drag the handle or use ← →; wheel or + − zooms at the pointer, dragging then moves the pictures. ";

const clip = (value, least, most) => Math.min(Math.max(value, least), most);

function add(parent, tag, name, attributes = {}, text = "") {
  const element = parent.appendChild(document.createElement(tag));
  element.className = name;
  element.textContent = text;
  element.dataset.lmSuppressShortcuts = "true"; // JupyterLab's one-letter keys stay away while it has the focus
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

function render({ model, el }) {
  const root = add(el, "div", "srkit-slider", { role: "group" });
  const frame = add(root, "div", "frame");
  const stack = add(frame, "div", "stack");
  const handle = add(frame, "div", "handle", {
    role: "slider", tabindex: 0, "aria-orientation": "horizontal", "aria-valuemin": 0, "aria-valuemax": 100,
  });
  add(handle, "span", "grip", { "aria-hidden": "true" }, "◂▸");
  const outline = add(frame, "div", "box");
  const sides = Object.fromEntries(["left", "right"].map((side) => {
    const corner = add(frame, "div", `corner ${side}`);
    const select = add(corner, "select", "", { "aria-label": `Picture on the ${side}` });
    select.onchange = () => choose(side, Number(select.value));
    return [side, { select, save: add(corner, "a", "save", {}, "⤓") }];
  }));
  const lens = add(root, "div", "lens", { "aria-hidden": "true" });
  const tiles = ["left", "right"].map(() => {
    const tile = add(lens, "div", "tile");
    return { canvas: add(tile, "canvas", "", { width: LENS, height: LENS }), name: add(tile, "span", "") };
  });
  const bar = add(root, "div", "bar");
  const button = (text, title, action) => {
    const made = add(bar, "button", "", { type: "button", title, "aria-label": title }, text);
    made.onclick = action;
    return made;
  };
  button("−", "Zoom out (−)", () => zoomAt(1 / 1.5));
  const scale = button("", "Show the whole pictures (0)", () => look(1, 0.5, 0.5));
  button("+", "Zoom in (+)", () => zoomAt(1.5));
  button("swap", "Swap left and right (s)", swap);
  const loupe = button("loupe", "Loupe: single pixels under the pointer (l)", () => toggleLoupe());
  const crop = button("crop", "Draw a crop; c takes what is shown", () => setDrawing(!drawing));
  const help = add(root, "div", "help");

  let images = []; // one <img> a picture, all in the frame, at most two of them shown
  let drawing = false; // whether the next drag draws a crop
  let drag = null; // what the pointer holds: "divider", "pan" or "box"
  let from = [0, 0]; // where a crop began, in shares of the picture
  let at = [0.5, 0.5]; // where the pointer was last, in shares of the frame
  let saving, loading;
  const pointers = new Map();

  const get = (...names) => names.map((name) => model.get(name));

  function change(values) {
    for (const [name, value] of Object.entries(values)) model.set(name, value);
    draw();
    clearTimeout(saving);
    saving = setTimeout(() => model.save_changes(), 60); // a drag is told to Python when it rests
  }

  function look(zoom, x, y) {
    const half = 0.5 / zoom;
    change({ zoom, centre: [clip(x, half, 1 - half), clip(y, half, 1 - half)] });
  }

  function zoomAt(factor, [px, py] = [0.5, 0.5]) {
    const [old, [x, y]] = get("zoom", "centre");
    const zoom = clip(old * factor, 1, MOST);
    const shift = 1 / old - 1 / zoom; // what is under the pointer stays under it
    look(zoom, x + (px - 0.5) * shift, y + (py - 0.5) * shift);
  }

  function choose(side, number) {
    if (number >= images.length) return;
    const other = side === "left" ? "right" : "left";
    const [mine, theirs] = get(side, other);
    change(number === theirs ? { [side]: number, [other]: mine } : { [side]: number });
  }

  function swap() {
    const [left, right] = get("left", "right");
    change({ left: right, right: left });
  }

  function toggleLoupe() {
    change({ loupe: !model.get("loupe") });
  }

  function setDrawing(on) {
    drawing = on;
    draw();
  }

  function inFrame(event) {
    const place = frame.getBoundingClientRect();
    return [(event.clientX - place.left) / place.width, (event.clientY - place.top) / place.height];
  }

  function inPicture([px, py]) {
    const [zoom, [x, y]] = get("zoom", "centre");
    return [clip(x + (px - 0.5) / zoom, 0, 1), clip(y + (py - 0.5) / zoom, 0, 1)];
  }

  function boxBetween([x0, y0], [x1, y1]) {
    const { naturalWidth: width, naturalHeight: height } = images[0];
    const [left, right] = [x0, x1].sort((a, b) => a - b).map((x) => Math.round(x * width));
    const [top, bottom] = [y0, y1].sort((a, b) => a - b).map((y) => Math.round(y * height));
    return [top, left, bottom - top, right - left];
  }

  function setBox(box) {
    if (box[2] > 0 && box[3] > 0) change({ box });
    setDrawing(false);
  }

  function draw() {
    const [position, zoom, centre, left, right, labels] = get("position", "zoom", "centre", "left", "right", "labels");
    if (!images.length) return;
    const [x, y] = centre.map((c) => (0.5 - c * zoom) * 100);
    const size = (frame.clientWidth * zoom) / images[0].naturalWidth; // CSS pixels a picture pixel
    root.classList.toggle("pixels", size * devicePixelRatio >= 2);
    root.classList.toggle("near", zoom > 1);
    root.classList.toggle("drawing", drawing);
    images.forEach((image, n) => {
      image.style.transform = `translate(${x}%, ${y}%) scale(${zoom})`;
      image.parentNode.hidden = n !== left && n !== right;
      image.parentNode.style.clipPath = n === left ? "none" : `inset(0 0 0 ${position}%)`;
      image.parentNode.style.zIndex = Number(n !== left);
    });
    handle.style.left = `${position}%`;
    handle.setAttribute("aria-valuenow", Math.round(position));
    handle.setAttribute("aria-label", `Border between ${labels[left]} and ${labels[right]}`);
    handle.setAttribute("aria-valuetext", `${Math.round(position)} % ${labels[left]}, the rest ${labels[right]}`);
    for (const [side, n] of [["left", left], ["right", right]]) {
      const { select, save } = sides[side];
      select.value = n;
      Object.assign(save, { href: images[n].src, title: `Save ${labels[n]} as PNG` });
      save.download = `${labels[n].replace(/[^\p{L}\p{N}.]+/gu, "_")}.png`;
      save.setAttribute("aria-label", save.title);
    }
    scale.textContent = `${Math.round(size * 100)} %`;
    crop.hidden = !model.get("cropping");
    crop.setAttribute("aria-pressed", drawing);
    loupe.setAttribute("aria-pressed", model.get("loupe"));
    drawLens(left, right, labels);
  }

  function drawLens(left, right, labels) {
    lens.hidden = !model.get("loupe");
    if (lens.hidden) return;
    const { naturalWidth: width, naturalHeight: height } = images[0];
    const [x, y] = inPicture(at).map((share, n) => Math.min(Math.floor(share * [width, height][n]), [width, height][n] - 1));
    [left, right].forEach((n, side) => {
      const context = tiles[side].canvas.getContext("2d");
      const half = (LENS - 1) / 2;
      context.clearRect(0, 0, LENS, LENS);
      context.drawImage(images[n], x - half, y - half, LENS, LENS, 0, 0, LENS, LENS);
      tiles[side].name.textContent = labels[n];
    });
    lens.dataset.at = `${x},${y}`;
    const [width_, height_] = [frame.clientWidth, frame.clientHeight]; // beside the pointer, towards the middle
    lens.style.left = `${clip(at[0] * width_ + (at[0] < 0.5 ? 24 : -24 - lens.offsetWidth), 0, width_ - lens.offsetWidth)}px`;
    lens.style.top = `${at[1] * height_ + (at[1] < 0.5 ? 24 : -24 - lens.offsetHeight)}px`;
  }

  async function load() {
    const urls = model.get("_pictures").map((png) =>
      typeof png === "string" ? png : URL.createObjectURL(new Blob([png], { type: "image/png" })));
    const made = urls.map((src) => Object.assign(new Image(), { src, draggable: false }));
    loading = made;
    await Promise.all(made.map((image) => image.decode()));
    if (loading !== made) return urls.forEach((url) => URL.revokeObjectURL(url)); // newer ones are on their way
    const labels = model.get("labels");
    root.setAttribute("aria-label", `Comparison of ${labels.join(", ")}`);
    frame.style.aspectRatio = `${made[0].naturalWidth} / ${made[0].naturalHeight}`;
    root.style.width = `${model.get("width")}px`;
    stack.replaceChildren();
    made.forEach((image, n) => add(stack, "div", "pane").append(Object.assign(image, { alt: labels[n] })));
    for (const { select } of Object.values(sides)) {
      select.replaceChildren();
      labels.forEach((label, n) => add(select, "option", "", { value: n }, label));
    }
    const keys = labels.length > 2 ? `1 to ${labels.length} choose the right picture, with Shift the left; ` : "";
    help.textContent = `${HELP}${keys}s swaps, l is the loupe, 0 shows all.`;
    images.forEach((image) => URL.revokeObjectURL(image.src));
    images = made;
    draw();
  }

  frame.onpointerdown = (event) => {
    if (event.button || event.target.closest("select, a")) return;
    event.preventDefault();
    frame.setPointerCapture(event.pointerId);
    handle.focus({ preventScroll: true });
    at = inFrame(event);
    pointers.set(event.pointerId, at);
    const held = event.target.closest(".handle") || model.get("zoom") === 1;
    drag = drawing ? "box" : held ? "divider" : "pan";
    from = inPicture(at);
    if (drag === "divider" && pointers.size === 1) change({ position: clip(at[0], 0, 1) * 100 });
  };

  frame.onpointermove = (event) => {
    const before = pointers.get(event.pointerId);
    at = inFrame(event);
    if (!images.length) return;
    if (before) pointers.set(event.pointerId, at);
    if (before && pointers.size === 2) {
      const [other] = [...pointers].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
      const apart = (place) => Math.hypot((place[0] - other[0]) * frame.clientWidth, (place[1] - other[1]) * frame.clientHeight);
      zoomAt(apart(at) / Math.max(apart(before), 1), [(at[0] + other[0]) / 2, (at[1] + other[1]) / 2]);
    } else if (before && drag === "divider") {
      change({ position: clip(at[0], 0, 1) * 100 });
    } else if (before && drag === "pan") {
      const [zoom, [x, y]] = get("zoom", "centre");
      look(zoom, x - (at[0] - before[0]) / zoom, y - (at[1] - before[1]) / zoom);
    } else if (before && drag === "box") {
      const [ends, [zoom, centre]] = [[from, inPicture(at)], get("zoom", "centre")];
      const [[l, r], [t, b]] = [0, 1].map((n) =>
        ends.map((end) => (0.5 + (end[n] - centre[n]) * zoom) * 100).sort((p, q) => p - q));
      Object.assign(outline.style, { left: `${l}%`, top: `${t}%`, width: `${r - l}%`, height: `${b - t}%` });
      outline.classList.add("shown");
    } else {
      draw();
    }
  };

  frame.onpointerup = frame.onpointercancel = (event) => {
    if (!pointers.delete(event.pointerId)) return;
    outline.classList.remove("shown");
    if (drag === "box" && event.type === "pointerup") setBox(boxBetween(from, inPicture(inFrame(event))));
    drag = null;
  };

  frame.ondblclick = (event) => event.target.closest("select, a") || look(1, 0.5, 0.5);

  const onWheel = (event) => {
    const lines = event.deltaMode === 1 ? 16 : 1;
    if (event.deltaY > 0 && model.get("zoom") === 1) return; // nothing to zoom out of: the page scrolls
    event.preventDefault();
    zoomAt(Math.exp(-clip(event.deltaY * lines, -200, 200) * (event.ctrlKey ? 0.01 : 0.002)), inFrame(event));
  };
  frame.addEventListener("wheel", onWheel, { passive: false });

  root.onkeydown = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("select, a, button")) return;
    const [position, zoom, [x, y]] = get("position", "zoom", "centre");
    const to = (value) => change({ position: clip(value, 0, 100) });
    const pan = (dx, dy) => look(zoom, x + (0.1 * dx) / zoom, y + (0.1 * dy) / zoom);
    const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const actions = {
      ArrowLeft: () => to(position - 1), ArrowRight: () => to(position + 1), Home: () => to(0), End: () => to(100),
      ArrowDown: () => to(position - 1), ArrowUp: () => to(position + 1),
      PageDown: () => to(position - 10), PageUp: () => to(position + 10),
      "+": () => zoomAt(1.5), "=": () => zoomAt(1.5), "-": () => zoomAt(1 / 1.5), 0: () => look(1, 0.5, 0.5),
      s: swap, l: toggleLoupe, Escape: () => setDrawing(false),
      c: () => model.get("cropping") && setBox(boxBetween(inPicture([0, 0]), inPicture([1, 1]))),
    };
    const digit = /^(?:Digit|Numpad)([1-9])$/.exec(event.code); // the key itself: with Shift it types another sign
    const action = digit ? () => choose(event.shiftKey ? "left" : "right", digit[1] - 1)
      : event.shiftKey && arrows[event.key] ? () => pan(...arrows[event.key])
        : actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!action || !images.length) return;
    event.preventDefault();
    event.stopPropagation();
    action();
  };

  const resized = new ResizeObserver(draw);
  resized.observe(frame);
  const watched = ["position", "zoom", "centre", "left", "right", "loupe", "cropping"].map((name) => `change:${name}`);
  for (const name of watched) model.on(name, draw);
  const contents = ["change:_pictures", "change:labels"]; // equal pictures may have new labels
  for (const name of contents) model.on(name, load);
  load();
  return () => {
    resized.disconnect();
    for (const name of watched) model.off(name, draw);
    for (const name of contents) model.off(name, load);
    images.forEach((image) => URL.revokeObjectURL(image.src));
  };
}

export default { render };
