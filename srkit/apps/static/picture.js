// Pictures: the papers' bicubic resize, luma, PSNR and SSIM, as srkit.resize and srkit.metrics have them. A picture is
// an opaque ImageData, a plane {width, height, data} of grey levels, data a Float64Array, row by row.

const SSIM_WINDOW = 11;

export function canvas(width, height) {
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  if (!context) throw new Error(`${width} × ${height} pixels are too many for this browser: choose a smaller picture.`);
  return context;
}

export function cut(picture, left, top, width, height) {
  const context = canvas(width, height);
  context.putImageData(picture, -left, -top);
  return context.getImageData(0, 0, width, height);
}

export function png(picture) {
  const context = canvas(picture.width, picture.height);
  context.putImageData(picture, 0, 0);
  return context.canvas.convertToBlob();
}

// Each new row is a weighted sum of rows, and becomes a column. `taps`: of each, the rows that it is taken from and
// what they count for, [row, weight]. So twice filtered is both axes.
function filtered({ width, height, data }, taps) {
  const result = new Float64Array(width * taps.length), row = new Float64Array(width);
  taps.forEach((each, n) => {
    row.fill(0);
    for (const [y, weight] of each)
      for (let x = 0; x < width; x++) row[x] += weight * data[y * width + x];
    for (let x = 0; x < width; x++) result[x * taps.length + n] = row[x];
  });
  return { width: taps.length, height: width, data: result };
}

const onBothAxes = (plane, taps) => filtered(filtered(plane, taps(plane.height)), taps(plane.width));

// Keys 1981, a = -0.5
function cubic(x) {
  const d = Math.abs(x);
  if (d < 1) return 1.5 * d ** 3 - 2.5 * d ** 2 + 1;
  return d < 2 ? -0.5 * d ** 3 + 2.5 * d ** 2 - 4 * d + 2 : 0;
}

const levels = (value) => Math.min(Math.max(Math.floor(value + 0.5), 0), 255);

// MATLAB's imresize, antialiased. scale: 2, 3, 4 ... or one divided by it. Neither clipped nor rounded.
export function imresize(plane, scale) {
  const stretch = Math.min(scale, 1);
  return onBothAxes(plane, (length) => Array.from({ length: Math.round(length * scale) }, (_, out) => {
    const centre = (out + 0.5) / scale - 0.5;
    const first = Math.ceil(centre - 2 / stretch), last = Math.floor(centre + 2 / stretch);
    const taps = [];
    for (let place = first; place <= last; place++) {
      const inside = ((place % (2 * length)) + 2 * length) % (2 * length); // edges mirrored: 1 0 | 0 1 2
      taps.push([Math.min(inside, 2 * length - 1 - inside), cubic(stretch * (centre - place))]);
    }
    const sum = taps.reduce((total, [, weight]) => total + weight, 0);
    return taps.map(([place, weight]) => [place, weight / sum]);
  }));
}

function planeOf({ width, height, data }, value) {
  const plane = { width, height, data: new Float64Array(width * height) };
  for (let n = 0; n < width * height; n++) plane.data[n] = value(data[4 * n], data[4 * n + 1], data[4 * n + 2]);
  return plane;
}

// The papers' bicubic of a picture, in colour.
export function resized(picture, scale) {
  const planes = [(r) => r, (r, g) => g, (r, g, b) => b].map((channel) => imresize(planeOf(picture, channel), scale));
  const result = new ImageData(planes[0].width, planes[0].height);
  result.data.fill(255);
  planes.forEach(({ data }, channel) => data.forEach((value, n) => { result.data[4 * n + channel] = levels(value); }));
  return result;
}

// BT.601 on 16..235, rounded, as MATLAB's rgb2ycbcr.
const luma = (picture) => planeOf(picture, (r, g, b) => levels(16 + (r * 65.481 + g * 128.553 + b * 24.966) / 255));

// Of two lumas, with peak 255.
function psnr(a, b) {
  const error = a.data.reduce((sum, value, n) => sum + (value - b.data[n]) ** 2, 0) / a.data.length;
  return 10 * Math.log10(255 ** 2 / error);
}

// For onBothAxes: means under a Gaussian of sigma 1.5, where it fits whole.
function gaussian(length) {
  const middle = (SSIM_WINDOW - 1) / 2;
  const bell = Array.from({ length: SSIM_WINDOW }, (_, n) => Math.exp(-((n - middle) ** 2) / (2 * 1.5 ** 2)));
  const sum = bell.reduce((total, value) => total + value, 0);
  const places = Math.max(length - SSIM_WINDOW + 1, 0);
  return Array.from({ length: places }, (_, first) => bell.map((weight, n) => [first + n, weight / sum]));
}

// Wang et al. 2004, equation 13. NaN where the window does not fit.
function ssim(a, b) {
  const product = (p, q) => ({ ...a, data: p.data.map((value, n) => value * q.data[n]) });
  const means = [a, b, product(a, a), product(b, b), product(a, b)].map((plane) => onBothAxes(plane, gaussian).data);
  const [c1, c2] = [(0.01 * 255) ** 2, (0.03 * 255) ** 2];
  const places = means[0].map((_, n) => {
    const [x, y, xx, yy, xy] = means.map((data) => data[n]);
    const brightness = (2 * x * y + c1) / (x ** 2 + y ** 2 + c1);
    return brightness * ((2 * (xy - x * y) + c2) / (xx - x ** 2 + yy - y ** 2 + c2));
  });
  return places.reduce((sum, value) => sum + value, 0) / places.length;
}

// PSNR-Y and SSIM-Y of two lumas, `border` pixels shaved.
function scores(a, b, border) {
  const inside = (length) => Array.from({ length: Math.max(length - 2 * border, 0) }, (_, n) => [[border + n, 1]]);
  const [shavedA, shavedB] = [a, b].map((plane) => onBothAxes(plane, inside));
  return [psnr(shavedA, shavedB), ssim(shavedA, shavedB)];
}

// By the papers' protocol: of a network's SR, and of the papers' bicubic, whose LR is not rounded.
export function scoreBoth(sr, hr, scale) {
  const truth = luma(hr), bicubic = imresize(imresize(truth, 1 / scale), scale);
  bicubic.data = bicubic.data.map(levels);
  return { bicubic: scores(bicubic, truth, scale), network: scores(luma(sr), truth, scale) };
}
