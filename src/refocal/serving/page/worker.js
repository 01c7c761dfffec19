// The engine in this browser: a worker that holds the networks and the photo that is looked at, so that the page never waits.
import { analyse, Cancelled, deblur, render } from "./rendering.js";
import { bytes, enlarge, focusAt, roundEven, toFocus, turbo } from "./numerics.js";
import { withExif } from "./metadata.js";

const STEP = 250; // ms between reports of progress
let ort = null, model = null, space = "srgb", photo = null; // photo: { sharp, disparity } of the preview
const sessions = {}, cancelled = new Set();

self.onmessage = async ({ data: { id, op, told } }) => {
  if (op === "cancel") return cancelled.add(told);
  const report = (progress) => self.postMessage({ id, progress });
  try {
    const [result, passed] = await OPERATIONS[op](told, report, id);
    self.postMessage({ id, result }, passed || []);
  } catch (error) {
    const memory = error instanceof RangeError || /memory|allocat/i.test(error.message);
    self.postMessage({ id, error: error instanceof Cancelled ? "cancelled" : memory ? "memory" : String(error.message || error) });
  } finally {
    cancelled.delete(id);
  }
};

// --- loading ------------------------------------------------------------------------------------------

async function fetched(name, got) {
  const answer = await fetch(new URL(name, import.meta.url));
  if (!answer.ok) throw new Error(`${name} is not there (${answer.status})`);
  const parts = [];
  for await (const part of chunks(answer.body)) { parts.push(part); got(part.length); }
  const whole = new Blob(parts), head = new Uint8Array(await whole.slice(0, 2).arrayBuffer());
  const packed = name.endsWith(".gz") && head[0] === 0x1f && head[1] === 0x8b; // some hosts unpack it themselves
  return new Uint8Array(await new Response(packed ? whole.stream().pipeThrough(new DecompressionStream("gzip")) : whole).arrayBuffer());
}
async function* chunks(stream) { // Safari cannot iterate streams
  const reader = stream.getReader();
  for (let read = await reader.read(); !read.done; read = await reader.read()) yield read.value;
}

async function opened(part, got = () => {}) {
  if (!sessions[part]) {
    const file = await fetched(`models/${part}.onnx`, got);
    sessions[part] = ort.InferenceSession.create(file, { executionProviders: [model.provider], graphOptimizationLevel: "all", logSeverityLevel: 4 });
    sessions[part].catch(() => { delete sessions[part]; });
  }
  return sessions[part];
}

async function prepare({ provider, threads }, report) {
  if (model) return [model.about];
  const told = await (await fetch(new URL("models/models.json", import.meta.url))).json();
  const gpu = provider === "webgpu", kind = gpu ? "webgpu" : "wasm", wasm = `runtime/ort-wasm-simd-threaded.${gpu ? "asyncify." : ""}wasm.gz`;
  const total = told.bytes[wasm] + told.bytes["models/analyse.onnx"] + told.bytes["models/render.onnx"];
  let loaded = 0;
  const got = (count) => report({ loaded: (loaded += count), total });
  ort = await import(`./runtime/ort.${kind}.min.mjs`);
  Object.assign(ort.env.wasm, { numThreads: self.crossOriginIsolated ? threads : 1, wasmBinary: await fetched(wasm, got), wasmPaths: new URL("runtime/", import.meta.url).href });
  ort.env.logLevel = "error";
  model = { ...told, provider };
  try {
    await Promise.all(["analyse", "render"].map((part) => opened(part, got)));
    photo = await looked(bytes(64, 64, new Uint8ClampedArray(4 * 64 * 64).fill(128)), "never"); // a network that cannot run fails now
    await render(photo.sharp, photo.disparity, 0.5, 4, model, run);
  } catch (error) {
    model = null;
    for (const part of Object.keys(sessions)) delete sessions[part];
    throw error;
  }
  photo = null;
  model.about = { provider, threads: ort.env.wasm.numThreads, bytes: loaded, deblurs: Boolean(model.deblur), aperture: model.render.aperture_fraction };
  return [model.about];
}

let turn = Promise.resolve(); // a session runs one thing at a time
function run(part, inputs) {
  const next = turn.then(async () => {
    const session = await opened(part);
    const feed = Object.fromEntries(Object.entries(inputs).map(([name, [data, shape]]) => [name, new ort.Tensor("float32", Float32Array.from(data), shape)]));
    const answer = await session.run(feed), tensor = answer[session.outputNames[0]], data = await tensor.getData();
    for (const value of [data[0], data[data.length >> 1]]) if (!Number.isFinite(value)) throw new Error("the network gave no numbers");
    return data;
  });
  turn = next.catch(() => {});
  return next;
}

// --- photos -------------------------------------------------------------------------------------------

async function looked(picture, when, given) {
  const sharp = await deblur(picture, when, model, run);
  return { sharp, sharpened: sharp !== picture, disparity: given ? enlarge(toFocus(given), sharp) : await analyse(sharp, model, run) };
}

async function look({ width, height, data, when, given, colours }) {
  space = colours;
  photo = null;
  photo = await looked(bytes(width, height, data), when, given);
  return [{ depth: await blobOf(turbo(photo.disparity), "image/png"), sharpened: photo.sharpened }];
}

async function refocus({ place, aperture }) {
  const focus = place.x === undefined ? Number(place.focus) : focusAt(photo.disparity, place.x, place.y);
  const made = place.sharp ? photo.sharp : await render(photo.sharp, photo.disparity, focus, aperture, model, run);
  return [{ blob: await blobOf(made, "image/jpeg", 0.93), focus }];
}

function canvasOf(picture, colours = space) {
  const canvas = new OffscreenCanvas(picture.width, picture.height);
  canvas.getContext("2d", { colorSpace: colours }).putImageData(new ImageData(picture.data, picture.width, picture.height, { colorSpace: colours }), 0, 0);
  return canvas;
}
async function blobOf(picture, type, quality) {
  return canvasOf(picture).convertToBlob({ type, quality });
}

// The photo as it came, at full size: read and written here, in tiles, so that the page stays free.
async function save({ file, place, share, when, given, type }, report, id) {
  const picture = await decoded(file), side = Math.max(picture.width, picture.height);
  report({ share: 0.02 });
  const whole = await looked(picture, when, given), made = await render(whole.sharp, whole.disparity, place.focus, share * side, model, run, pace(report, id));
  const blob = await blobOf(made, type, 0.95);
  return [{ blob: type === "image/jpeg" ? await withExif(blob, file) : blob }];
}

async function decoded(file) {
  const bitmap = await createImageBitmap(file, { imageOrientation: "from-image" }), { width, height } = bitmap;
  const canvas = new OffscreenCanvas(width, height), context = canvas.getContext("2d", { colorSpace: space, willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return bytes(width, height, context.getImageData(0, 0, width, height, { colorSpace: space }).data);
}

// Reports of progress, between which a message that cancels is heard.
function pace(report, id, first = 0.05) {
  let last = 0;
  return async (share) => {
    const now = performance.now();
    if (now - last < STEP) return;
    last = now;
    report({ share: first + (1 - first) * share });
    await new Promise((done) => setTimeout(done));
    if (cancelled.has(id)) throw new Cancelled();
  };
}

async function frames({ sharp, disparity }, levels, aperture, report, id, use) {
  const step = pace(report, id);
  for (let k = 0; k < levels; k++) {
    const focus = levels > 1 ? (2 * k) / (levels - 1) - 1 : 0;
    await use(await render(sharp, disparity, focus, aperture, model, run), k);
    await step((k + 1) / levels);
  }
}

async function film({ format, levels, aperture }, report, id) {
  const made = [];
  await frames(photo, levels, aperture, report, id, (frame) => made.push(frame));
  const there = [...made, ...made.slice(1, -1).reverse()];
  return [{ blob: format === "gif" ? await gif(there) : await video(there) }];
}

async function gif(pictures) {
  const { GIFEncoder, quantize, applyPalette } = await import("./runtime/gifenc.esm.js"), encoder = GIFEncoder();
  const palette = quantize(pictures[pictures.length >> 2].data, 256);
  for (const { width, height, data } of pictures) encoder.writeFrame(applyPalette(data, palette), width, height, { palette, delay: 80 });
  encoder.finish();
  return new Blob([encoder.bytes()], { type: "image/gif" });
}

async function video(pictures) {
  const { BufferTarget, CanvasSource, Mp4OutputFormat, Output, QUALITY_HIGH, getFirstEncodableVideoCodec } = await import("./runtime/mediabunny.min.mjs");
  const even = (side) => side - (side % 2), width = even(pictures[0].width), height = even(pictures[0].height);
  const format = new Mp4OutputFormat(), codec = await getFirstEncodableVideoCodec(format.getSupportedVideoCodecs(), { width, height });
  if (!codec) throw new Error("this browser writes no films; take the GIF");
  const canvas = new OffscreenCanvas(width, height), context = canvas.getContext("2d", { colorSpace: space });
  const output = new Output({ format, target: new BufferTarget() }), source = new CanvasSource(canvas, { codec, bitrate: QUALITY_HIGH });
  output.addVideoTrack(source, { frameRate: 12 });
  await output.start();
  for (const [k, picture] of pictures.entries()) {
    context.putImageData(new ImageData(picture.data, picture.width, picture.height, { colorSpace: space }), 0, 0);
    await source.add(k / 12, 1 / 12);
  }
  await output.finalize();
  return new Blob([output.target.buffer], { type: "video/mp4" });
}

// What model/living.py puts into a living picture: the photo, its disparity, what renders them, and small frames.
const FRAME_SIDE = 480, MAP_SIDE = 320;
async function living({ levels, aperture, title }, report, id) {
  const { sharp, disparity } = photo, { width, height } = sharp, { renderer } = model, long = Math.max(width, height);
  const grey = new Uint8ClampedArray(4 * width * height).fill(255);
  disparity.data.forEach((value, k) => { grey.fill(roundEven((value + 1) * 127.5), 4 * k, 4 * k + 3); });
  const map = bytes(width, height, grey), part = renderer ? Math.min(1, FRAME_SIDE / long) : 1, small = resized(sharp, part), near = resized(map, part);
  const made = [], nearness = { ...near, data: Float32Array.from({ length: near.width * near.height }, (_, k) => near.data[4 * k] / 127.5 - 1) };
  await frames({ sharp: small, disparity: nearness }, levels, part * aperture, report, id, async (frame) => made.push(await inside(frame, "image/webp", 0.84)));
  const sorted = Float32Array.from(disparity.data).sort(), content = { frames: made, size: [width, height], start: Number(sorted[Math.floor(0.9 * (sorted.length - 1))].toFixed(2)) };
  if (renderer) Object.assign(content, { photo: await inside(sharp, "image/webp", 0.9), depth: await inside(map, "image/jpeg", 0.92), aperture, renderer });
  else content.depth = await inside(resized(map, Math.min(1, MAP_SIDE / long)), "image/png");
  const template = await (await fetch(new URL("models/living.html", import.meta.url))).text();
  const escaped = title.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`), text = JSON.stringify(content).replaceAll("<", "\\u003c");
  return [{ blob: new Blob([template.replace("$data", () => text).replaceAll("$title", () => escaped)], { type: "text/html" }) }];
}
async function inside(picture, type, quality) {
  const blob = await blobOf(picture, type, quality);
  return new Promise((done) => { const reader = new FileReader(); reader.onload = () => done(reader.result); reader.readAsDataURL(blob); });
}
function resized(picture, part) {
  if (part === 1) return picture;
  const size = [picture.width, picture.height].map((side) => Math.max(1, roundEven(side * part))), canvas = new OffscreenCanvas(...size), context = canvas.getContext("2d", { colorSpace: space });
  context.imageSmoothingQuality = "high";
  context.drawImage(canvasOf(picture), 0, 0, ...size);
  return bytes(...size, context.getImageData(0, 0, ...size, { colorSpace: space }).data);
}

const OPERATIONS = { prepare, look, refocus, save, film, living };
