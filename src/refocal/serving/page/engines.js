// What refocuses: the server by its API, or this browser. Both look at a small picture of the photo, and save the photo as it came.
import { isWide } from "./metadata.js";
import { depthInside } from "./portrait.js";

export class UserError extends Error {} // its message is shown as it is

// --- the server ---------------------------------------------------------------------------------------

export class ServerEngine {
  constructor(say, askToken) { Object.assign(this, { say, askToken, kind: "server" }); }
  async prepare() {}
  async space() { return "srgb"; }
  // What this browser cannot decode (TIFF, mostly HEIC) the server can.
  async readable(file) {
    const answer = await this.ask("refocus", { photo: file, focus: 0, aperture: 0, format: "jpeg", quality: 95, deblur: "never" });
    return createImageBitmap(await answer.blob());
  }
  async look(photo) {
    const answer = await this.ask("disparity", { photo: photo.preview, disparity: photo.map, view: "preview", deblur: photo.deblur });
    return { depth: await answer.blob(), sharpened: answer.headers.get("X-Refocal-Deblurred") === "yes" };
  }
  async refocus(photo, place, share) {
    const aperture = place.sharp ? 0 : share * photo.side;
    const answer = await this.ask("refocus", { photo: photo.preview, disparity: photo.map, ...place, aperture, quality: 90, deblur: photo.deblur, sharp: undefined });
    return { blob: await answer.blob(), focus: answer.headers.get("X-Refocal-Focus") };
  }
  async save(photo, kind, focus, share) {
    const [path, fields, small] = { picture: ["refocus", { focus }], living: ["living", { title: photo.name }], mp4: ["sweep", { format: "mp4", levels: 33 }, true], webp: ["sweep", { format: "webp", levels: 17 }, true], gif: ["sweep", { format: "gif", levels: 17 }, true] }[kind];
    const side = small ? photo.side : Math.max(photo.width, photo.height);
    const answer = await this.ask(path, { photo: small ? photo.preview : photo.file, disparity: photo.map, aperture: share * side, deblur: photo.deblur, ...fields });
    return answer.blob();
  }

  async ask(path, fields, tries = 4) {
    const body = new FormData();
    for (const [key, value] of Object.entries(fields)) if (value !== undefined && value !== null) body.append(key, value);
    const token = sessionStorage.getItem("token");
    let answer;
    try {
      answer = await fetch(path, { method: "POST", body, headers: token ? { Authorization: `Bearer ${token}` } : {} });
    } catch {
      throw new UserError("The server does not answer. Is it still running?");
    }
    if (answer.ok) return answer;
    if (answer.status === 401) return this.askToken().then(() => this.ask(path, fields, tries));
    if (answer.status === 503 && tries > 1) {
      this.say("Busy; trying again …");
      await new Promise((done) => setTimeout(done, 1000 * (Number(answer.headers.get("Retry-After")) || 1)));
      return this.ask(path, fields, tries - 1);
    }
    const problem = await answer.json().catch(() => ({}));
    throw Object.assign(new UserError(explain(answer.status, problem.error || "")), { status: answer.status, field: problem.field });
  }
}

function explain(status, line) {
  if (status === 413) return "This photo is too large for this server.";
  if (status === 415) return "This is not a photo that can be read: JPEG, PNG, WebP, TIFF, HEIC and AVIF can.";
  if (status === 400) return "This file is damaged, or no photo.";
  if (status === 503) return "The server has too much to do. Try again in a while.";
  return line ? line[0].toUpperCase() + line.slice(1) : "Something went wrong on the server.";
}

// --- this browser -------------------------------------------------------------------------------------

const SIMD = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11]; // i8x16.popcnt
export const runsHere = () => typeof WebAssembly === "object" && WebAssembly.validate(new Uint8Array(SIMD)) && typeof OffscreenCanvas === "function" && !(navigator.deviceMemory < 2);

export class BrowserEngine {
  constructor(say) { Object.assign(this, { say, kind: "browser", waiting: new Map(), count: 0, ready: null }); }

  // Load the networks, with WebGPU where it works; again where that failed.
  prepare() {
    this.ready ||= this.start().catch((error) => { this.ready = null; throw error; });
    return this.ready;
  }
  async start() {
    if (!runsHere()) throw new UserError("This browser cannot refocus: it needs WebAssembly with SIMD, and 2 GB of memory.");
    const threads = Math.min(8, navigator.hardwareConcurrency || 1), loading = ({ loaded, total }) => this.say(`Loading, once: ${(loaded / 1e6).toFixed(1)} of ${(total / 1e6).toFixed(1)} MB …`);
    const providers = (await usableGpu()) ? ["webgpu", "wasm"] : ["wasm"];
    for (const provider of providers) {
      this.worker?.terminate();
      this.worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
      this.worker.onmessage = ({ data }) => this.hear(data);
      this.worker.onerror = (event) => { for (const { fail } of this.waiting.values()) fail(new Error(event.message || "the worker stopped")); this.waiting.clear(); };
      try {
        this.about = await this.tell("prepare", { provider, threads }, { progress: loading });
        Object.assign(document.documentElement.dataset, { provider, threads: this.about.threads, bytes: this.about.bytes });
        this.say("");
        return;
      } catch (error) {
        if (provider === providers[providers.length - 1]) throw error instanceof UserError ? error : new UserError(`The networks cannot be loaded: ${error.message}.`);
      }
    }
  }

  hear({ id, result, error, progress }) {
    const told = this.waiting.get(id);
    if (!told) return;
    if (progress) return told.progress?.(progress);
    this.waiting.delete(id);
    if (error === "memory") told.fail(new UserError("This browser has not enough memory for this photo."));
    else if (error === "cancelled") told.fail(new UserError("Stopped."));
    else if (error) told.fail(new Error(error));
    else told.done(result);
  }
  tell(op, told, { passed = [], progress, signal } = {}) {
    const id = ++this.count;
    signal?.addEventListener("abort", () => this.worker.postMessage({ op: "cancel", told: id }));
    return new Promise((done, fail) => {
      this.waiting.set(id, { done, fail, progress });
      this.worker.postMessage({ id, op, told }, passed);
    });
  }

  async space(file) { return (await isWide(file)) ? "display-p3" : "srgb"; }
  async readable(file) {
    const name = (file.name || "").toLowerCase();
    if (/\.hei[cf]$/.test(name)) throw new UserError("This browser cannot read HEIC. Send the photo as JPEG, as phones do when they share it.");
    if (/\.tiff?$/.test(name)) throw new UserError("This browser cannot read TIFF: save the photo as PNG or JPEG first.");
    throw new UserError("This is not a photo that this browser can read: JPEG, PNG, WebP and AVIF are.");
  }
  async look(photo) {
    await this.prepare();
    photo.given ??= await depthInside(photo.file).catch(() => null);
    const { width, height, data } = photo.pixels();
    return this.tell("look", { width, height, data, when: photo.deblur, given: photo.given, colours: photo.space }, { passed: [data.buffer] });
  }
  async refocus(photo, place, share) {
    return this.tell("refocus", { place, aperture: share * photo.side });
  }
  async save(photo, kind, focus, share, { progress, signal }) {
    const shown = { progress: (told) => progress(told.share), signal }, aperture = share * photo.side;
    if (kind === "living") return (await this.tell("living", { levels: 17, aperture, title: photo.name }, shown)).blob;
    if (kind !== "picture") return (await this.tell("film", { format: kind, levels: kind === "gif" ? 13 : 25, aperture }, shown)).blob;
    const type = ["image/png", "image/webp"].includes(photo.file.type) ? photo.file.type : "image/jpeg";
    return (await this.tell("save", { file: photo.file, place: { focus }, share, when: photo.deblur, given: photo.given, type }, shown)).blob;
  }
}

async function usableGpu() {
  try { return Boolean(navigator.gpu && (await navigator.gpu.requestAdapter())); } catch { return false; }
}
