// Refocusing with the networks, as refocal's Python does it: the disparity of the whole photo, then tiles. `run(part, inputs)` runs a
// network on planes (3, h, w) and gives planes; `model` is models.json: the conventions of the networks, by part.
import { addStretched, clamp, ends, enlarge, everySecond, floats, halved, isBlurred, like, reduced, reflected, store, stretched } from "./numerics.js";

const SIDE = 232; // px of a tile: it stays in a core's cache
const MARGINS = 8; // how many times as wide as its margin a tile is, at least
const LEAST = 64; // px that a tile gives, whatever lies around it
const SMALLEST = 16; // px: smaller pictures are not halved
const COARSE = 7; // px: what is blurred more all around is enlarged from the half picture
const SHARP_SIDE = 640, SHARP_TILE = 1024, SHARP_OVERLAP = 192; // px, of deblurring

const up = (value, multiple) => Math.ceil(value / multiple) * multiple;
export class Cancelled extends Error {}

function planes({ width, data, stride, white }, rows, columns) {
  const n = rows.length * columns.length, out = new Float32Array(3 * n);
  for (let y = 0, to = 0; y < rows.length; y++) for (let x = 0; x < columns.length; x++, to++) {
    const from = (rows[y] * width + columns[x]) * stride;
    for (let c = 0; c < 3; c++) out[c * n + to] = data[from + c] / white;
  }
  return out;
}

// How near each pixel is, -1 the farthest to 1: from the whole photo at the size that the network was trained at.
export async function analyse(picture, model, run) {
  const { analysis_side: side, size_multiple: multiple } = model.analyse;
  const small = reduced(picture, side), { width, height } = small;
  const rows = reflected(height, up(height, multiple)), columns = reflected(width, up(width, multiple));
  const found = await run("analyse", { photo: [planes(small, rows, columns), [1, 3, rows.length, columns.length]] });
  const map = { width, height, data: new Float32Array(width * height) };
  for (let y = 0; y < height; y++) map.data.set(found.subarray(y * columns.length, y * columns.length + width), y * width);
  return enlarge(map, picture);
}

// Refocus by a known disparity; `progress(share)` may throw Cancelled.
export async function render(picture, disparity, focus, aperture, model, run, progress = () => {}) {
  const [low, high] = ends(disparity.data), widest = (Math.max(focus - low, high - focus) / 2) * aperture;
  let total = 0;
  for (let pixels = picture.width * picture.height, wide = widest; ; pixels /= 4, wide /= 2) { total += pixels; if (wide <= model.render.blur_limit) break; }
  let done = 0;
  const step = (pixels) => progress(Math.min(1, (done += pixels) / total));
  return wideBlur(picture, disparity, focus, aperture, widest, model, run, step);
}

// Blurs wider than the renderer's widest: what is coarse comes from a picture of half the size (render/wide_blur.py).
async function wideBlur(picture, disparity, focus, aperture, widest, model, run, step) {
  if (widest <= model.render.blur_limit || Math.min(picture.width, picture.height) < SMALLEST) return byTiles(picture, disparity, focus, aperture, null, model, run, step);
  const half = await wideBlur(halved(picture), everySecond(disparity), focus, aperture / 2, widest / 2, model, run, step);
  const full = await byTiles(picture, disparity, focus, aperture, half, model, run, step), had = halved(full);
  for (let k = 0; k < had.data.length; k++) had.data[k] = half.data[k] - had.data[k];
  return addStretched(full, had, [0.5, 0.5]);
}

async function byTiles(picture, disparity, focus, aperture, half, model, run, step) {
  const widestOf = (data) => { const [low, high] = ends(data); return (Math.max(focus - low, high - focus) / 2) * aperture; };
  const { reach, size_multiple: multiple } = model.render, reachOf = (widest) => reach.find(([blur]) => widest <= blur) || reach[reach.length - 1];
  const [, margin, grid] = reachOf(widestOf(disparity.data));
  const side = Math.min(1024, Math.max(SIDE, MARGINS * margin)), out = like(picture);
  const [rows, height] = cut(picture.height, side, margin, grid, multiple), [columns, width] = cut(picture.width, side, margin, grid, multiple);
  const down = reflected(picture.height, up(picture.height, multiple)), across = reflected(picture.width, up(picture.width, multiple));
  const nearness = (y, x) => { const near = new Float32Array(y.length * x.length); for (let j = 0, to = 0; j < y.length; j++) for (let k = 0; k < x.length; k++, to++) near[to] = disparity.data[y[j] * disparity.width + x[k]]; return near; };
  for (const row of rows) for (const column of columns) {
    const all = nearness(down.subarray(row.start, row.start + height), across.subarray(column.start, column.start + width));
    if (half && (all.reduce((least, near) => Math.min(least, Math.abs(focus - near)), Infinity) * aperture) / 2 > COARSE) {
      stretched(half, [0.5, 0.5], picture, row, column, (to, value) => store(out.data, to, value, picture.white));
    } else {
      const [, own] = reachOf(widestOf(all)), [top, bottom] = seen(row, height, own, multiple), [left, right] = seen(column, width, own, multiple);
      const y = down.subarray(top, bottom), x = across.subarray(left, right), size = [1, y.length, x.length], n = y.length * x.length;
      const made = await run("render", { photo: [planes(picture, y, x), [1, 3, y.length, x.length]], disparity: [nearness(y, x), [1, ...size]], focus: [[focus], [1]], aperture: [[aperture], [1]] });
      for (let j = row.first; j < row.end; j++) for (let k = column.first; k < column.end; k++) {
        const from = (j - top) * x.length + (k - left), to = (j * picture.width + k) * picture.stride;
        for (let c = 0; c < 3; c++) store(out.data, to + c, made[c * n + from], picture.white);
      }
    }
    await step((row.end - row.first) * (column.end - column.first));
  }
  return out;
}
// What of a tile's side a margin of its own needs.
function seen(part, size, margin, multiple) {
  const start = part.start + Math.floor(Math.max(part.first - margin - part.start, 0) / multiple) * multiple;
  return [start, Math.min(start + up(part.end + margin - start, multiple), part.start + size)];
}

// Cut a side of a photo into tiles that follow each other, each with its margins (model/rendering.py).
export function cut(length, side, reach, grid, multiple) {
  const padded = up(length, multiple), margin = up(reach, grid);
  const count = padded > side ? Math.ceil(padded / Math.max(side - 2 * margin, LEAST)) : 1;
  const step = Math.ceil(padded / (count * grid)) * grid, size = Math.min(up(step + 2 * margin, multiple), padded), parts = [];
  for (let first = 0; first < length; first += step) parts.push({ start: Math.min(Math.max(first - margin, 0), padded - size), first, end: Math.min(first + step, length) });
  return [parts, size];
}

// Make a photo sharp; `when` is always, never, or auto: where many of its edges are soft. Gives the picture itself where it stays.
export async function deblur(picture, when, model, run) {
  if (when === "never" || !model.deblur || (when === "auto" && !isBlurred(picture))) return picture;
  const small = reduced(picture, SHARP_SIDE), made = await blended(small, model.deblur.size_multiple, (tile) => run("deblur", { photo: tile }));
  for (let k = 0; k < made.data.length; k++) made.data[k] -= small.data[k];
  return addStretched({ ...picture, data: picture.data.slice() }, made);
}

// Overlapping tiles, blended by raised cosines (render/tiles.py).
async function blended(picture, multiple, network) {
  const rows = overlapping(picture.height, multiple), columns = overlapping(picture.width, multiple), out = floats(picture.width, picture.height);
  for (const [i, top] of rows.starts.entries()) for (const [j, left] of columns.starts.entries()) {
    const y = rows.index.subarray(top, top + rows.size), x = columns.index.subarray(left, left + columns.size), n = rows.size * columns.size;
    const made = await network([planes(picture, y, x), [1, 3, rows.size, columns.size]]);
    for (let row = 0; row < Math.min(rows.size, picture.height - top); row++) for (let column = 0; column < Math.min(columns.size, picture.width - left); column++) {
      const weight = rows.weights[i][row] * columns.weights[j][column], to = ((top + row) * picture.width + left + column) * 3;
      for (let c = 0; c < 3; c++) out.data[to + c] += weight * made[c * n + row * columns.size + column];
    }
  }
  out.data.forEach((value, k) => { out.data[k] = clamp(value, 0, 1); });
  return out;
}

function overlapping(length, multiple) {
  const blocks = Math.ceil(length / multiple), most = Math.max(Math.floor(SHARP_TILE / multiple), 2);
  let count = 1, size = blocks;
  if (length > SHARP_TILE && blocks > most) {
    const lap = Math.min(Math.ceil(SHARP_OVERLAP / multiple), Math.floor(most / 2));
    count = Math.ceil((blocks - lap) / (most - lap));
    size = Math.ceil((blocks + (count - 1) * lap) / count);
  }
  const starts = Array.from({ length: count }, (_, k) => Math.round(count > 1 ? (k * (blocks - size)) / (count - 1) : 0) * multiple), padded = blocks * multiple, wide = size * multiple;
  const weights = starts.map(() => new Float64Array(wide).fill(1)), total = new Float64Array(padded);
  for (let k = 1; k < count; k++) {
    const lap = starts[k - 1] + wide - starts[k];
    for (let j = 0; j < lap; j++) {
      const rise = (1 - Math.cos(Math.PI * clamp((j + 0.5 - lap / 4) / (lap / 2), 0, 1))) / 2;
      weights[k][j] *= rise;
      weights[k - 1][wide - 1 - (lap - 1 - j)] *= 1 - rise;
    }
  }
  starts.forEach((start, k) => weights[k].forEach((weight, j) => { total[start + j] += weight; }));
  starts.forEach((start, k) => weights[k].forEach((weight, j) => { weights[k][j] = weight / total[start + j]; }));
  return { index: reflected(length, padded), starts, size: wide, weights };
}
