// Pictures as planes of numbers: the papers' bicubic resize, luma, PSNR and SSIM, as srkit.resize and srkit.metrics have
// them. A plane is {width, height, data}, data a Float64Array of grey levels, row by row; a picture is an ImageData.

const SSIM_WINDOW = 11;

// Keys 1981, a = -0.5
function cubic(x) {
  const d = Math.abs(x);
  if (d < 1) return 1.5 * d ** 3 - 2.5 * d ** 2 + 1;
  return d < 2 ? -0.5 * d ** 3 + 2.5 * d ** 2 - 4 * d + 2 : 0;
}

const levels = (value) => Math.min(Math.max(Math.floor(value + 0.5), 0), 255);

// For each new pixel of a line: where it is taken from, and how much each place counts (MATLAB's imresize, antialiased).
function contributions(length, scale) {
  const stretch = Math.min(scale, 1);
  return Array.from({ length: Math.round(length * scale) }, (_, out) => {
    const centre = (out + 0.5) / scale - 0.5;
    const first = Math.ceil(centre - 2 / stretch), last = Math.floor(centre + 2 / stretch);
    const taps = [];
    for (let place = first; place <= last; place++) {
      const inside = ((place % (2 * length)) + 2 * length) % (2 * length); // edges mirrored: 1 0 | 0 1 2
      taps.push([Math.min(inside, 2 * length - 1 - inside), cubic(stretch * (centre - place))]);
    }
    const sum = taps.reduce((total, [, weight]) => total + weight, 0);
    return taps.map(([place, weight]) => [place, weight / sum]);
  });
}

// scale: 2, 3, 4 ... or one divided by it. Neither clipped nor rounded.
export function imresize({ width, height, data }, scale) {
  const [columns, rows] = [contributions(width, scale), contributions(height, scale)];
  const wide = new Float64Array(columns.length * height);
  for (let y = 0; y < height; y++)
    columns.forEach((taps, x) => {
      for (const [place, weight] of taps) wide[y * columns.length + x] += weight * data[y * width + place];
    });
  const result = new Float64Array(columns.length * rows.length);
  rows.forEach((taps, y) => {
    for (const [place, weight] of taps)
      for (let x = 0; x < columns.length; x++)
        result[y * columns.length + x] += weight * wide[place * columns.length + x];
  });
  return { width: columns.length, height: rows.length, data: result };
}

export function plane({ width, height, data }, channel) {
  return { width, height, data: Float64Array.from({ length: width * height }, (_, n) => data[4 * n + channel]) };
}

export function rounded({ width, height, data }) {
  return { width, height, data: data.map(levels) };
}

// The papers' bicubic of a picture, in colour.
export function resized(picture, scale) {
  const planes = [0, 1, 2].map((channel) => imresize(plane(picture, channel), scale));
  const result = new ImageData(planes[0].width, planes[0].height);
  result.data.fill(255);
  planes.forEach(({ data }, channel) => data.forEach((value, n) => { result.data[4 * n + channel] = levels(value); }));
  return result;
}

// BT.601 on 16..235, rounded, as MATLAB's rgb2ycbcr.
export function luma({ width, height, data }) {
  const y = (n) => 16 + (data[4 * n] * 65.481 + data[4 * n + 1] * 128.553 + data[4 * n + 2] * 24.966) / 255;
  return { width, height, data: Float64Array.from({ length: width * height }, (_, n) => levels(y(n))) };
}

export function shaved({ width, height, data }, border) {
  const [w, h] = [width - 2 * border, height - 2 * border];
  const place = (n) => (border + Math.floor(n / w)) * width + border + (n % w);
  return { width: w, height: h, data: Float64Array.from({ length: w * h }, (_, n) => data[place(n)]) };
}

// Of two lumas, shaved: PSNR with peak 255; SSIM of Wang et al. 2004, equation 13, where the window fits whole.
export function psnr(a, b) {
  const error = a.data.reduce((sum, value, n) => sum + (value - b.data[n]) ** 2, 0) / a.data.length;
  return 10 * Math.log10(255 ** 2 / error);
}

export function ssim(a, b) {
  const product = (p, q) => ({ ...a, data: p.data.map((value, n) => value * q.data[n]) });
  const [ma, mb, aa, bb, ab] = [a, b, product(a, a), product(b, b), product(a, b)].map((each) => windowed(each).data);
  const [c1, c2] = [(0.01 * 255) ** 2, (0.03 * 255) ** 2];
  const places = ma.map((x, n) => {
    const y = mb[n];
    const brightness = (2 * x * y + c1) / (x ** 2 + y ** 2 + c1);
    return brightness * ((2 * (ab[n] - x * y) + c2) / (aa[n] - x ** 2 + bb[n] - y ** 2 + c2));
  });
  return places.reduce((sum, value) => sum + value, 0) / places.length;
}

// Means under a Gaussian of sigma 1.5.
function windowed({ width, height, data }) {
  const half = (SSIM_WINDOW - 1) / 2;
  const bell = Array.from({ length: SSIM_WINDOW }, (_, n) => Math.exp(-((n - half) ** 2) / (2 * 1.5 ** 2)));
  const sum = bell.reduce((total, value) => total + value, 0);
  const [w, h] = [width - 2 * half, height - 2 * half];
  const wide = new Float64Array(w * height), result = new Float64Array(w * h);
  bell.forEach((weight, tap) => {
    for (let y = 0; y < height; y++)
      for (let x = 0; x < w; x++) wide[y * w + x] += (weight / sum) * data[y * width + x + tap];
  });
  bell.forEach((weight, tap) => {
    for (let n = 0; n < w * h; n++) result[n] += (weight / sum) * wide[n + tap * w];
  });
  return { width: w, height: h, data: result };
}

// PSNR-Y and SSIM-Y of pictures of one size, `border` pixels shaved. SSIM is NaN where its window does not fit.
export function scores(sr, hr, border) {
  const [a, b] = [shaved(sr, border), shaved(hr, border)];
  return { psnr: psnr(a, b), ssim: Math.min(a.width, a.height) < SSIM_WINDOW ? NaN : ssim(a, b) };
}
