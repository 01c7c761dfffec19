// Depth maps from files, larger = nearer: grey PNG of 8 and 16 bits, NPY, PFM.
import { UserError } from "./engines.js";

export async function readMap(file) {
  const data = new Uint8Array(await file.arrayBuffer()), head = String.fromCharCode(...data.subarray(0, 6));
  try {
    if (head.startsWith("\x89PNG")) return await png(data);
    if (head.startsWith("\x93NUMPY")) return npy(data);
    if (/^P[fF]\s/.test(head)) return pfm(data);
  } catch (error) {
    throw new UserError(`This depth map cannot be read: ${error.message}.`);
  }
  throw new UserError("This is no depth map that can be read: grey PNG, NPY and PFM are.");
}

// PNG (ISO/IEC 15948): not by the browser, which makes 16 bits 8.
async function png(data) {
  const view = new DataView(data.buffer), parts = [];
  const width = view.getUint32(16), height = view.getUint32(20), bits = data[24], colour = data[25], channels = { 0: 1, 2: 3, 4: 2, 6: 4 }[colour];
  if (!channels || ![8, 16].includes(bits) || data[28]) throw new Error("grey PNG of 8 or 16 bits, not interlaced, is wanted");
  for (let place = 8; place + 8 <= data.length; place += 12 + view.getUint32(place)) {
    if (view.getUint32(place + 4) === 0x49444154) parts.push(data.subarray(place + 8, place + 8 + view.getUint32(place)));
  }
  const raw = new Uint8Array(await new Response(new Blob(parts).stream().pipeThrough(new DecompressionStream("deflate"))).arrayBuffer());
  const step = (channels * bits) / 8, row = width * step, out = new Float32Array(width * height);
  if (raw.length < (row + 1) * height) throw new Error("it is cut short");
  let above = new Uint8Array(row);
  for (let y = 0; y < height; y++) {
    const kind = raw[y * (row + 1)], line = raw.subarray(y * (row + 1) + 1, (y + 1) * (row + 1));
    for (let x = 0; x < row; x++) {
      const left = x >= step ? line[x - step] : 0, up = above[x], corner = x >= step ? above[x - step] : 0;
      line[x] += [0, left, up, (left + up) >> 1, paeth(left, up, corner)][kind];
    }
    for (let x = 0; x < width; x++) out[y * width + x] = bits === 16 ? 256 * line[x * step] + line[x * step + 1] : line[x * step];
    above = line;
  }
  return { width, height, data: out };
}
function paeth(left, up, corner) {
  const guess = left + up - corner, [p, q, r] = [left, up, corner].map((value) => Math.abs(guess - value));
  return p <= q && p <= r ? left : q <= r ? up : corner;
}

// NumPy's format 1 and 2: a header in Python, then the values.
function npy(data) {
  const view = new DataView(data.buffer), long = data[6] > 1, start = (long ? 12 : 10) + (long ? view.getUint32(8, true) : view.getUint16(8, true));
  const header = new TextDecoder().decode(data.subarray(10, start)), kind = /'descr': '([<|][fui]\d)'/.exec(header)?.[1], shape = /\((\d+), *(\d+)\)/.exec(header);
  if (!kind || !shape || /'fortran_order': True/.test(header)) throw new Error("an array (H, W) of numbers is wanted");
  const Kind = { f4: Float32Array, f8: Float64Array, u1: Uint8Array, u2: Uint16Array, i2: Int16Array, i4: Int32Array }[kind.slice(1)], [height, width] = [Number(shape[1]), Number(shape[2])];
  if (!Kind) throw new Error(`numbers of kind ${kind} are not read`);
  return { width, height, data: Float32Array.from(new Kind(data.slice(start).buffer, 0, width * height)) };
}

// Portable float map: rows from the bottom up; a negative scale means little-endian.
function pfm(data) {
  const found = /^(P[fF])\s+(\d+)\s+(\d+)\s+(-?[\d.eE+-]+)\s/.exec(new TextDecoder("latin1").decode(data.subarray(0, 100)));
  if (!found) throw new Error("its header is damaged");
  const [head, kind, width, height, scale] = [found[0], found[1], Number(found[2]), Number(found[3]), Number(found[4])];
  const view = new DataView(data.buffer, head.length), channels = kind === "PF" ? 3 : 1, out = new Float32Array(width * height);
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) out[(height - 1 - y) * width + x] = view.getFloat32(4 * channels * (y * width + x), scale < 0);
  return { width, height, data: out };
}
