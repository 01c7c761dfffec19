// Numerics of refocusing without a network, as refocal's Python has them: a picture is { width, height, data, stride, white },
// RGBA of 8 bits (stride 4, white 255) or RGB of floats in [0, 1] (stride 3, white 1); a map is { width, height, data } of floats.

const LUMA = [0.2126, 0.7152, 0.0722]; // ITU-R BT.709-6, item 3.2
// Turbo by polynomials of degree 5 (Mikhailov & Tatarinov, Google 2019, Apache-2.0): red, green, blue.
const TURBO = [
  [0.13572138, 4.6153926, -42.66032258, 132.13108234, -152.94239396, 59.28637943],
  [0.09140261, 2.19418839, 4.84296658, -14.18503333, 4.27729857, 2.82956604],
  [0.1066733, 12.64194608, -60.58204836, 110.36276771, -89.90310912, 27.34824973],
];

export const clamp = (x, low, high) => Math.min(high, Math.max(low, x));
export function roundEven(x) { // as Python and NumPy round
  const near = Math.round(x);
  return Math.abs(x % 1) === 0.5 && near % 2 ? near - 1 : near;
}
export const bytes = (width, height, data) => ({ width, height, data, stride: 4, white: 255 });
export const floats = (width, height, data = new Float32Array(3 * width * height)) => ({ width, height, data, stride: 3, white: 1 });
export const like = (picture) => picture.stride === 4
  ? bytes(picture.width, picture.height, new Uint8ClampedArray(picture.data)) // alpha stays
  : floats(picture.width, picture.height);

const linear = (x) => (x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4); // IEC 61966-2-1:1999, 5.2
const coded = (x) => (x <= 0.0031308 ? x * 12.92 : 1.055 * x ** (1 / 2.4) - 0.055);
const LINEAR = Float32Array.from({ length: 256 }, (_, k) => linear(k / 255));

// --- sizes ---------------------------------------------------------------------------------------

// Weights of a triangle as wide as an output pixel: Pillow's antialiased BILINEAR.
function triangles(length, size) {
  const scale = length / size, wide = Math.max(scale, 1);
  return Array.from({ length: size }, (_, k) => {
    const centre = (k + 0.5) * scale, first = Math.max(0, Math.trunc(centre - wide + 0.5));
    const end = Math.min(length, Math.trunc(centre + wide + 0.5)), weights = new Float64Array(end - first);
    let sum = 0;
    for (let j = 0; j < weights.length; j++) sum += weights[j] = Math.max(0, 1 - Math.abs((j + first - centre + 0.5) / wide));
    return { first, weights: weights.map((weight) => weight / sum) };
  });
}

function resized(data, width, height, stride, channels, toWidth, toHeight, white) {
  const across = triangles(width, toWidth), down = triangles(height, toHeight);
  const tall = new Float32Array(height * toWidth * channels), out = new Float32Array(toHeight * toWidth * channels);
  for (let y = 0; y < height; y++) for (let x = 0; x < toWidth; x++) {
    const { first, weights } = across[x];
    for (let c = 0; c < channels; c++) {
      let sum = 0;
      for (let j = 0, from = (y * width + first) * stride + c; j < weights.length; j++, from += stride) sum += weights[j] * data[from];
      tall[(y * toWidth + x) * channels + c] = sum;
    }
  }
  const row = toWidth * channels;
  for (let y = 0; y < toHeight; y++) {
    const { first, weights } = down[y];
    for (let x = 0; x < row; x++) {
      let sum = 0;
      for (let j = 0; j < weights.length; j++) sum += weights[j] * tall[(first + j) * row + x];
      out[y * row + x] = clamp(Math.fround(sum) / white, white === 1 ? -1 : 0, 1);
    }
  }
  return out;
}

// A photo, of floats, whose short side is at most `side` pixels; 0: as it is.
export function reduced(picture, side) {
  const { width, height, data, stride, white } = picture, scale = side / Math.min(width, height);
  if (side === 0 || scale >= 1) {
    const out = floats(width, height);
    for (let k = 0, from = 0; k < out.data.length; k += 3, from += stride) for (let c = 0; c < 3; c++) out.data[k + c] = data[from + c] / white;
    return out;
  }
  const toWidth = Math.max(1, roundEven(width * scale)), toHeight = Math.max(1, roundEven(height * scale));
  return floats(toWidth, toHeight, resized(data, width, height, stride, 3, toWidth, toHeight, white));
}

// Which pixel stands at 0 … padded - 1 when `length` pixels are mirrored at the ends, again and again.
export function reflected(length, padded) {
  const period = Math.max(2 * (length - 1), 1);
  return Int32Array.from({ length: padded }, (_, k) => (length > 1 ? Math.min(k % period, period - (k % period)) : 0));
}

// Between which two of `length` pixels those of a larger side lie, and how far towards the second.
function between(count, scale, length) {
  const first = new Int32Array(count), second = new Int32Array(count), part = new Float32Array(count);
  for (let k = 0; k < count; k++) {
    const place = clamp((k + 0.5) * scale - 0.5, 0, length - 1);
    first[k] = Math.min(Math.floor(place), Math.max(length - 2, 0));
    second[k] = Math.min(first[k] + 1, length - 1);
    part[k] = place - first[k];
  }
  return { first, second, part };
}

// Add a change of floats, stretched over the picture by `scale` of its pixels to one of the picture's, in place.
export function addStretched(picture, change, scale = [change.height / picture.height, change.width / picture.width]) {
  stretched(change, scale, picture, { first: 0, end: picture.height }, { first: 0, end: picture.width }, (to, value) => store(picture.data, to, picture.data[to] / picture.white + value, picture.white));
  return picture;
}
// Rows and columns of a small picture enlarged bilinearly over another: use(place in its data, value).
export function stretched(small, [tall, wide], { width, height, stride }, row, column, use) {
  const rows = between(height, tall, small.height), columns = between(width, wide, small.width);
  for (let y = row.first; y < row.end; y++) {
    const up = rows.first[y] * small.width, down = rows.second[y] * small.width, along = rows.part[y];
    for (let x = column.first; x < column.end; x++) {
      const left = columns.first[x], right = columns.second[x], across = columns.part[x], to = (y * width + x) * stride;
      for (let c = 0; c < 3; c++) {
        const at = (start, k) => small.data[(start + k) * 3 + c];
        const start = at(up, left) * (1 - along) + at(down, left) * along, end = at(up, right) * (1 - along) + at(down, right) * along;
        use(to + c, start * (1 - across) + end * across);
      }
    }
  }
}
export function store(data, place, value, white) {
  const kept = clamp(value, 0, 1);
  data[place] = white === 1 ? kept : roundEven(kept * white);
}

// Half the size, each pixel the mean light of 2 x 2; of an odd side the last pixel is doubled.
export function halved({ width, height, data, stride, white }) {
  const out = floats(Math.ceil(width / 2), Math.ceil(height / 2));
  const light = white === 255 ? (value) => LINEAR[value] : linear;
  for (let y = 0; y < out.height; y++) for (let x = 0; x < out.width; x++) for (let c = 0; c < 3; c++) {
    let sum = 0;
    for (const row of [2 * y, Math.min(2 * y + 1, height - 1)]) for (const column of [2 * x, Math.min(2 * x + 1, width - 1)]) sum += light(data[(row * width + column) * stride + c]);
    out.data[(y * out.width + x) * 3 + c] = clamp(coded(sum / 4), 0, 1);
  }
  return out;
}
export function everySecond({ width, height, data }) {
  const out = { width: Math.ceil(width / 2), height: Math.ceil(height / 2), data: null };
  out.data = new Float32Array(out.width * out.height);
  for (let y = 0; y < out.height; y++) for (let x = 0; x < out.width; x++) out.data[y * out.width + x] = data[2 * y * width + 2 * x];
  return out;
}

// --- a small disparity map to the size of its photo, along the photo's edges -----------------------
// The fast guided filter (He & Sun, 2015, arXiv:1505.00996), as depth/upsampling.py has it.

const RADIUS = 2; // px of the small map
const EPSILON = 1e-3; // variance of the photo below which there is hardly an edge to follow

function box(values, width, height) {
  const wide = new Float64Array(values.length), out = new Float64Array(values.length);
  for (let x = 0; x < width; x++) for (let y = 0; y < height; y++) {
    const first = Math.max(y - RADIUS, 0), end = Math.min(y + RADIUS + 1, height);
    let sum = 0;
    for (let j = first; j < end; j++) sum += values[j * width + x];
    wide[y * width + x] = sum / (end - first);
  }
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) {
    const first = Math.max(x - RADIUS, 0), end = Math.min(x + RADIUS + 1, width);
    let sum = 0;
    for (let j = first; j < end; j++) sum += wide[y * width + j];
    out[y * width + x] = sum / (end - first);
  }
  return out;
}

function extreme(values, width, height, pick) {
  const wide = new Float64Array(values.length), out = new Float64Array(values.length);
  const window = (place, length, at) => { let found = at(place); for (let step = -RADIUS; step <= RADIUS; step++) found = pick(found, at(clamp(place + step, 0, length - 1))); return found; };
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) wide[y * width + x] = window(y, height, (row) => values[row * width + x]);
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) out[y * width + x] = window(x, width, (column) => wide[y * width + column]);
  return out;
}

function meansOf(picture, width, height) { // mean colours on a coarse grid: three planes
  const { data, stride, white } = picture, planes = [0, 1, 2].map(() => new Float64Array(width * height));
  const ends = (count, side) => Array.from({ length: count + 1 }, (_, k) => (k === count ? side : Math.floor((k * side) / count)));
  const rows = ends(height, picture.height), columns = ends(width, picture.width);
  for (let y = 0; y < height; y++) for (let row = rows[y]; row < rows[y + 1]; row++) for (let x = 0; x < width; x++) for (let column = columns[x]; column < columns[x + 1]; column++) {
    const from = (row * picture.width + column) * stride;
    for (let c = 0; c < 3; c++) planes[c][y * width + x] += data[from + c];
  }
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) {
    const count = (rows[y + 1] - rows[y]) * (columns[x + 1] - columns[x]) * white;
    for (const plane of planes) plane[y * width + x] /= count;
  }
  return planes;
}

// Fit disparity = a . colour + b around each pixel: a (three), b, the lowest and the highest value around.
function fitted(target, colour, width, height) {
  const mean = colour.map((plane) => box(plane, width, height)), meanTarget = box(target, width, height), n = width * height;
  const product = (p, q) => p.map((value, k) => value * q[k]);
  const shared = colour.map((plane, c) => box(product(plane, target), width, height).map((value, k) => value - mean[c][k] * meanTarget[k]));
  const spread = [[0, 0], [1, 1], [2, 2], [0, 1], [0, 2], [1, 2]].map(([p, q]) => box(product(colour[p], colour[q]), width, height).map((value, k) => value - mean[p][k] * mean[q][k]));
  const a = [0, 1, 2].map(() => new Float64Array(n)), b = new Float64Array(n);
  for (let k = 0; k < n; k++) { // a symmetric system of three, by its adjoint
    const [r, g, u] = [0, 1, 2].map((c) => spread[c][k] + EPSILON), [rg, ru, gu] = [3, 4, 5].map((c) => spread[c][k]);
    const [x, y, z] = shared.map((plane) => plane[k]);
    const A = g * u - gu * gu, B = ru * gu - rg * u, C = rg * gu - ru * g, det = r * A + rg * B + ru * C;
    a[0][k] = (A * x + B * y + C * z) / det;
    a[1][k] = (B * x + (r * u - ru * ru) * y + (rg * ru - r * gu) * z) / det;
    a[2][k] = (C * x + (rg * ru - r * gu) * y + (r * g - rg * rg) * z) / det;
    b[k] = meanTarget[k] - a[0][k] * mean[0][k] - a[1][k] * mean[1][k] - a[2][k] * mean[2][k];
  }
  const smooth = a.map((plane) => box(plane, width, height)), offset = box(b, width, height);
  const trace = box(spread[0].map((value, k) => value + spread[1][k] + spread[2][k]), width, height);
  for (let k = 0; k < n; k++) { // where the photo is flat it says nothing: there the map itself stays
    const flat = EPSILON / (Math.max(trace[k], 0) + EPSILON);
    offset[k] += flat * (target[k] - smooth[0][k] * colour[0][k] - smooth[1][k] * colour[1][k] - smooth[2][k] * colour[2][k] - offset[k]);
  }
  return [...smooth, offset, extreme(target, width, height, Math.min), extreme(target, width, height, Math.max)].map((plane) => Float32Array.from(plane));
}

export function enlarge(map, picture) {
  const width = Math.min(map.width, picture.width), height = Math.min(map.height, picture.height);
  let small = map.data.map((value) => clamp(value, -1, 1));
  if (width !== map.width || height !== map.height) small = resized(small, map.width, map.height, 1, 1, width, height, 1);
  if (width === picture.width && height === picture.height) return { width, height, data: small };
  const maps = fitted(Float64Array.from(small), meansOf(picture, width, height), width, height);
  const rows = between(picture.height, height / picture.height, height), columns = between(picture.width, width / picture.width, width);
  const { data, stride, white } = picture, out = new Float32Array(picture.width * picture.height), row = maps.map(() => new Float32Array(width));
  for (let y = 0; y < picture.height; y++) {
    const up = rows.first[y] * width, down = rows.second[y] * width, along = rows.part[y];
    maps.forEach((plane, m) => { for (let x = 0; x < width; x++) row[m][x] = plane[up + x] + along * (plane[down + x] - plane[up + x]); });
    for (let x = 0; x < picture.width; x++) {
      const left = columns.first[x], right = columns.second[x], across = columns.part[x], from = (y * picture.width + x) * stride;
      const at = (m) => row[m][left] + across * (row[m][right] - row[m][left]);
      const fit = (at(0) * data[from] + at(1) * data[from + 1] + at(2) * data[from + 2]) / white + at(3);
      out[y * picture.width + x] = clamp(fit, at(4), at(5));
    }
  }
  return { width: picture.width, height: picture.height, data: out };
}

// --- what a disparity says -------------------------------------------------------------------------

export function ends(values) {
  let low = Infinity, high = -Infinity;
  for (const value of values) { if (value < low) low = value; if (value > high) high = value; }
  return [low, high];
}

// The focus of what lies at a point: the median of a small window around it.
export function focusAt({ width, height, data }, x, y) {
  const column = Math.min(Math.trunc(x * width), width - 1), row = Math.min(Math.trunc(y * height), height - 1);
  const reach = Math.max(1, roundEven(0.006 * Math.max(width, height))), found = [];
  for (let j = Math.max(0, row - reach); j <= Math.min(height - 1, row + reach); j++) for (let k = Math.max(0, column - reach); k <= Math.min(width - 1, column + reach); k++) found.push(data[j * width + k]);
  found.sort((p, q) => p - q);
  const half = found.length >> 1;
  return clamp(found.length % 2 ? found[half] : (found[half - 1] + found[half]) / 2, -1, 1);
}

// Map a disparity of any unit, larger = nearer, to focus units by its percentiles 1 and 99.
export function toFocus({ width, height, data }) {
  const sorted = Float64Array.from(data).filter(Number.isFinite).sort();
  if (!sorted.length) throw new Error("the map holds no known values");
  const percentile = (share) => { const place = share * (sorted.length - 1), low = Math.floor(place), high = Math.min(low + 1, sorted.length - 1); return sorted[low] + (place - low) * (sorted[high] - sorted[low]); };
  let [far, near] = [percentile(0.01), percentile(0.99)];
  if (!(far < near)) [far, near] = [sorted[0], sorted[sorted.length - 1]];
  const place = far < near ? (value) => clamp(2 * ((clamp(value, far, near) - far) / (near - far)) - 1, -1, 1) : () => 0;
  return { width, height, data: Float32Array.from(data, (value) => place(Number.isFinite(value) ? value : far)) };
}

export function turbo({ width, height, data }) {
  const out = new Uint8ClampedArray(4 * data.length);
  data.forEach((value, k) => {
    const x = clamp((value + 1) / 2, 0, 1);
    TURBO.forEach((powers, c) => { out[4 * k + c] = 255 * powers.reduceRight((sum, power) => sum * x + power, 0); });
    out[4 * k + 3] = 255;
  });
  return bytes(width, height, out);
}

// --- whether a photo is sharp (images/sharpness.py) -------------------------------------------------

export function isBlurred(picture) {
  const share = softShare(picture);
  return share !== null && share > 0.25;
}

export function softShare(picture) {
  const { width, height, data } = reduced(picture, 540), grey = new Float32Array(width * height);
  for (let k = 0; k < grey.length; k++) grey[k] = LUMA[0] * data[3 * k] + LUMA[1] * data[3 * k + 1] + LUMA[2] * data[3 * k + 2];
  if (Math.min(width, height) < 12) return null;
  const little = gradient(blurred(grey, width, height, 1), width, height), more = gradient(blurred(grey, width, height, 2), width, height);
  let edges = 0, soft = 0;
  const limit = (1.5 ** 2 + 2 ** 2) / (1.5 ** 2 + 1 ** 2);
  for (let y = 1; y < height - 1; y++) for (let x = 1; x < width - 1; x++) {
    const k = y * width + x, size = little.size[k], step = Math.abs(little.down[k]) > Math.abs(little.right[k]) ? width : 1;
    if (size <= 0.02 || !(size > little.size[k - step] && size >= little.size[k + step])) continue;
    edges++;
    if ((size / Math.max(more.size[k], 1e-6)) ** 2 < limit) soft++;
  }
  return edges < 200 ? null : soft / edges;
}

function blurred(values, width, height, sigma) {
  const radius = Math.round(3 * sigma), weights = Array.from({ length: 2 * radius + 1 }, (_, k) => Math.exp(-0.5 * ((k - radius) / sigma) ** 2));
  const sum = weights.reduce((p, q) => p + q), mirror = (k, length) => (k < 0 ? -k : k >= length ? 2 * (length - 1) - k : k);
  const tall = new Float32Array(values.length), out = new Float32Array(values.length);
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) { let total = 0; weights.forEach((weight, k) => { total += weight * values[mirror(y + k - radius, height) * width + x]; }); tall[y * width + x] = total / sum; }
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) { let total = 0; weights.forEach((weight, k) => { total += weight * tall[y * width + mirror(x + k - radius, width)]; }); out[y * width + x] = total / sum; }
  return out;
}

function gradient(values, width, height) {
  const down = new Float32Array(values.length), right = new Float32Array(values.length), size = new Float32Array(values.length);
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) {
    const k = y * width + x, up = Math.max(y - 1, 0), low = Math.min(y + 1, height - 1), left = Math.max(x - 1, 0), far = Math.min(x + 1, width - 1);
    down[k] = (values[low * width + x] - values[up * width + x]) / (low - up);
    right[k] = (values[y * width + far] - values[y * width + left]) / (far - left);
    size[k] = Math.hypot(down[k], right[k]);
  }
  return { down, right, size };
}
