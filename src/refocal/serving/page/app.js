// The page: a photo is made small here for quick looks, and worked on whole only for what is saved.
import { BrowserEngine, ServerEngine, UserError, runsHere } from "./engines.js";
import { readMap } from "./maps.js";

const PREVIEW = 1024; // px, long side
const FRAMES = 13; // of the sweep that is played
const WIDEST = 0.08; // blur diameter at the slider's end, of the photo's long side
const by = (id) => document.getElementById(id);
const [stage, picture, before, depth, ring, cross, status, room, welcome] =
  ["stage", "picture", "before", "depth", "ring", "cross", "status", "room", "welcome"].map(by);
const sliders = { focus: by("focus"), aperture: by("aperture"), split: by("split").querySelector("input") };

const limits = { bytes: Number(document.body.dataset.maxBytes) || Infinity, pixels: Number(document.body.dataset.maxPixels) || Infinity };

let photo = null; // { file, name, preview, url, width, height, side, knowsDepth, deblur }: the one that is open
let opened = 0; // counts photos, so that what comes late for an earlier one is dropped
let playing = 0;
const spot = { x: 0.5, y: 0.5 };

// --- what refocuses, and what is said ------------------------------------------------------------

const asked = document.body.dataset.engine, here = asked === "browser" || (asked === "auto" && runsHere());
const engine = here ? new BrowserEngine(say) : new ServerEngine(say, askToken);
document.documentElement.dataset.engine = engine.kind;
for (const part of document.querySelectorAll("[data-for]")) part.hidden = part.dataset.for !== engine.kind;

function askToken() {
  const dialog = by("token"), input = dialog.querySelector("input");
  input.value = "";
  dialog.showModal();
  return new Promise((done, fail) => {
    dialog.onclose = () => {
      if (!input.value) return fail(new UserError("Without the token this server does nothing."));
      sessionStorage.setItem("token", input.value);
      done();
    };
  });
}

function say(text, bad = false) {
  status.textContent = text;
  status.classList.toggle("bad", bad);
}
const fail = (error) => {
  if (!(error instanceof UserError)) console.error(error);
  say(error instanceof UserError ? error.message : "Something went wrong on this page.", true);
};
let works = 0;
async function busy(work) {
  document.body.classList.toggle("busy", ++works > 0);
  try { return await work; } finally { document.body.classList.toggle("busy", --works > 0); }
}

// --- opening a photo ---------------------------------------------------------------------------

async function open(file) {
  const mine = ++opened;
  stopPlaying();
  say("Opening …");
  try {
    if (!here && file.size > limits.bytes) throw new UserError(`This photo is too large for this server: ${million(file.size)} MB, up to ${million(limits.bytes)} can be sent.`);
    const [bitmap, space] = await Promise.all([busy(readable(file)), engine.space(file)]);
    if (mine !== opened) return;
    const { width, height } = bitmap, scale = Math.min(1, PREVIEW / Math.max(width, height));
    const canvas = Object.assign(document.createElement("canvas"), { width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)) });
    const context = canvas.getContext("2d", { colorSpace: space, willReadFrequently: true });
    context.imageSmoothingQuality = "high";
    context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    bitmap.close();
    const preview = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.93));
    forget();
    const pixels = () => context.getImageData(0, 0, canvas.width, canvas.height, { colorSpace: space });
    photo = { file, name: (file.name || "photo").replace(/\.\w+$/, ""), preview, pixels, space, url: URL.createObjectURL(preview), width, height, side: Math.max(canvas.width, canvas.height), knowsDepth: true, deblur: "auto", frames: new Map() };
    show(photo.url);
    before.src = photo.url;
    for (const [button, shown] of [["compare", by("split")], ["see", by("legend")]]) { by(button).setAttribute("aria-pressed", "false"); shown.hidden = true; }
    before.hidden = depth.hidden = true;
    depth.removeAttribute("src");
    by("deblur").disabled = false;
    toggle(by("deblur"), false);
    stage.classList.remove("touched", "comparing");
    sliders.focus.value = 0;
    sliders.aperture.value = 50;
    welcome.hidden = true;
    room.hidden = by("another").hidden = false;
    stage.focus({ preventScroll: true });
    await lookAtDepth(mine);
    if (mine === opened && photo.deblur === "always") focusOn({ focus: 0, sharp: true });
    if (!here && mine === opened && width * height > limits.pixels) say(`This photo is too large to be saved here: ${million(width * height)} megapixels, up to ${million(limits.pixels)} are. It can be looked at.`, true);
  } catch (error) {
    if (mine === opened) fail(error);
  }
}
const million = (number) => (number / 1e6).toLocaleString(undefined, { maximumFractionDigits: number < 1e7 ? 1 : 0 });
if (here) by("formats").textContent = "JPEG, PNG, WebP or AVIF; sharp all over works best";
else if (limits.bytes < Infinity) by("formats").textContent += `; up to ${million(limits.bytes)} MB and ${million(limits.pixels)} megapixels`;

async function readable(file) {
  try {
    return await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    return engine.readable(file);
  }
}

async function lookAtDepth(mine) {
  say("Looking at what is near and what is far …");
  try {
    const { depth: blob, sharpened } = await busy(engine.look(photo));
    if (mine !== opened) return;
    const found = photo.deblur === "auto" && sharpened;
    photo.deblur = sharpened ? "always" : "never";
    toggle(by("deblur"), sharpened);
    depth.src = URL.createObjectURL(blob);
    by("see").disabled = false;
    say(found ? "This photo is blurred in part; it was made sharp first. Press “Make sharp” to leave it as it is." : "");
  } catch (error) {
    if (mine !== opened) return;
    if (error.status !== 409 || error.field === "deblur") throw error;
    photo.knowsDepth = false;
    by("see").disabled = true;
    stage.classList.add("touched");
    say("This server's model does not know depth: use the sliders.");
  }
}

function forget() {
  if (!photo) return;
  for (const url of photo.frames.values()) URL.revokeObjectURL(url);
  for (const url of [photo.url, photo.shown, depth.src]) if (url?.startsWith("blob:")) URL.revokeObjectURL(url);
}

// --- focusing: of many requests, as a slider sends them, the last one counts ---------------------

const fraction = () => WIDEST * (sliders.aperture.value / 100) ** 1.5;
let wanted = null, working = false;

function focusOn(place) {
  wanted = place;
  if (!working) work();
}

async function work() {
  working = true;
  while (wanted) {
    const place = wanted, mine = opened;
    wanted = null;
    try {
      const { blob, focus } = await busy(engine.refocus(photo, place, fraction()));
      if (mine !== opened) continue;
      if (place.x !== undefined) sliders.focus.value = focus;
      photo.focused ||= !place.sharp;
      show(URL.createObjectURL(blob));
      if (!place.sharp) describe();
    } catch (error) {
      if (mine === opened) fail(error);
    }
  }
  working = false;
}

function show(url) {
  const old = photo.shown;
  photo.shown = url;
  picture.src = url;
  if (old && old !== photo.url && ![...photo.frames.values()].includes(old)) setTimeout(() => URL.revokeObjectURL(old), 1000);
}

function describe() {
  const focus = Number(sliders.focus.value);
  const words = focus < -0.6 ? "far away" : focus < -0.2 ? "towards the back" : focus <= 0.2 ? "in the middle" : focus <= 0.6 ? "towards the front" : "near";
  sliders.focus.setAttribute("aria-valuetext", words);
  say(`Focused ${words}.`);
}

function choose(x, y) {
  Object.assign(spot, { x, y });
  stage.style.setProperty("--x", `${x * 100}%`);
  stage.style.setProperty("--y", `${y * 100}%`);
}

function focusHere() {
  if (!photo.knowsDepth) return say("This server's model does not know depth: use the slider.");
  stopPlaying();
  stage.classList.add("touched");
  ring.classList.remove("on");
  void ring.offsetWidth; // starts the animation anew
  ring.classList.add("on");
  focusOn({ ...spot });
}

stage.addEventListener("click", (event) => {
  const box = stage.getBoundingClientRect();
  cross.hidden = true;
  choose(Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)), Math.min(1, Math.max(0, (event.clientY - box.top) / box.height)));
  focusHere();
});
stage.addEventListener("keydown", (event) => {
  const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] || [0, 0];
  if (dx || dy) {
    event.preventDefault();
    cross.hidden = false;
    const clip = (value) => Math.min(1, Math.max(0, value)), step = event.shiftKey ? 0.1 : 0.03;
    choose(clip(spot.x + dx * step), clip(spot.y + dy * step));
  } else if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    focusHere();
  }
});
stage.addEventListener("blur", () => { cross.hidden = true; });
for (const slider of [sliders.focus, sliders.aperture]) {
  slider.addEventListener("input", () => {
    stopPlaying();
    stage.classList.add("touched");
    focusOn({ focus: sliders.focus.value });
  });
}

// --- the other views ---------------------------------------------------------------------------

function toggle(button, on = button.getAttribute("aria-pressed") !== "true") {
  button.setAttribute("aria-pressed", String(on));
  return on;
}
by("compare").addEventListener("click", (event) => {
  const on = toggle(event.currentTarget);
  before.hidden = by("split").hidden = !on;
  stage.classList.toggle("comparing", on);
});
sliders.split.addEventListener("input", () => stage.style.setProperty("--split", `${100 - sliders.split.value}%`));
by("see").addEventListener("click", (event) => {
  const on = toggle(event.currentTarget);
  depth.hidden = by("legend").hidden = !on;
});

// Whether the photo is made sharp first: what was made of it before no longer holds.
by("deblur").addEventListener("click", async (event) => {
  const mine = opened, ours = photo, earlier = ours.deblur;
  stopPlaying();
  ours.deblur = toggle(event.currentTarget) ? "always" : "never";
  for (const url of ours.frames.values()) URL.revokeObjectURL(url);
  ours.frames.clear();
  try {
    await lookAtDepth(mine);
    if (mine !== opened) return;
    focusOn(ours.focused ? { focus: sliders.focus.value } : { focus: 0, sharp: true });
  } catch (error) {
    if (mine !== opened) return;
    ours.deblur = earlier;
    toggle(by("deblur"), earlier === "always");
    by("deblur").disabled = error.field === "deblur";
    fail(error);
  }
});

// The first time round the frames are made one by one; from then on they are here.
by("play").addEventListener("click", () => (playing ? stopPlaying() : play().catch((error) => { stopPlaying(); fail(error); })));
async function play() {
  const mine = ++playing, ours = photo, opening = fraction();
  by("play").textContent = "Stop";
  toggle(by("play"), true);
  stage.classList.add("touched");
  for (let k = 0; mine === playing; k++) {
    const turn = k % (2 * FRAMES - 2), place = turn < FRAMES ? turn : 2 * FRAMES - 2 - turn;
    const focus = (place / (FRAMES - 1)) * 2 - 1, key = `${focus} ${opening}`;
    if (!ours.frames.has(key)) {
      say(k < FRAMES ? `Making the sweep: ${k + 1} of ${FRAMES} …` : "");
      ours.frames.set(key, URL.createObjectURL((await busy(engine.refocus(ours, { focus }, opening))).blob));
    } else {
      if (k === FRAMES) say("");
      await new Promise((done) => setTimeout(done, 90));
    }
    if (mine !== playing || photo !== ours) return;
    sliders.focus.value = focus;
    show(ours.frames.get(key));
  }
}
function stopPlaying() {
  if (!playing) return;
  playing = 0;
  by("play").textContent = "Play";
  toggle(by("play"), false);
  say("");
}

// --- saving: from the photo as it came ---------------------------------------------------------

const SUFFIXES = { "image/png": "png", "image/webp": "webp", "image/tiff": "tif", "image/gif": "gif", "video/mp4": "mp4", "text/html": "html" };
let saving = null;
by("stop").addEventListener("click", () => saving?.abort());
by("save").addEventListener("click", async (event) => {
  const kind = event.target.closest("[data-save]")?.dataset.save;
  if (!kind) return;
  by("save").open = false;
  stopPlaying();
  const what = kind === "picture" ? "Making it at full size …" : "Making it; this takes a while …";
  const progress = (share) => say(`${what} ${Math.round(100 * share)} %`), mine = (saving = new AbortController());
  say(what);
  by("stop").hidden = !here;
  try {
    const blob = await busy(engine.save(photo, kind, Number(sliders.focus.value), fraction(), { progress, signal: mine.signal }));
    const suffix = SUFFIXES[blob.type.split(";")[0]] || "jpg";
    const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: `${photo.name} refocused.${suffix}` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    say(`Saved: ${link.download}, ${(blob.size / 1e6).toFixed(1)} MB.`);
  } catch (error) {
    fail(error);
  } finally {
    by("stop").hidden = true;
  }
});
document.addEventListener("click", (event) => { if (!by("save").contains(event.target)) by("save").open = false; });
document.addEventListener("keydown", (event) => { if (event.key === "Escape") by("save").open = false; });

// A depth map of one's own, in place of the model's.
by("map").addEventListener("change", async (event) => {
  const [file] = event.target.files, mine = opened, ours = photo;
  event.target.value = "";
  if (!file) return;
  stopPlaying();
  try {
    ours.given = here ? await readMap(file) : null;
    ours.map = here ? null : file;
    ours.frames.clear();
    await lookAtDepth(mine);
    if (mine === opened) focusOn({ focus: sliders.focus.value });
  } catch (error) {
    ours.given = ours.map = undefined;
    if (mine === opened) fail(error);
  }
});

// --- ways in -----------------------------------------------------------------------------------

by("file").addEventListener("change", (event) => { const [file] = event.target.files; event.target.value = ""; if (file) open(file); });
by("another").addEventListener("click", () => by("file").click());
document.addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("dragging"); });
document.addEventListener("dragleave", () => document.body.classList.remove("dragging"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dragging");
  const [file] = event.dataTransfer.files;
  if (file) open(file); else say("Drop a file: a picture of another page cannot be read from here.", true);
});
document.addEventListener("paste", (event) => { const [file] = event.clipboardData.files; if (file) open(file); });
for (const button of document.querySelectorAll("[data-example]")) {
  button.addEventListener("click", async () => {
    const name = button.dataset.example;
    try { open(new File([await (await fetch(`static/${name}.jpg`)).blob()], `${name}.jpg`, { type: "image/jpeg" })); } catch { fail(new UserError("The photo cannot be loaded. Are you connected?")); }
  });
}

// --- in this browser: load ahead, and work without a network from then on --------------------------------

const LATER = ["models/deblur.onnx", "models/living.html", "runtime/gifenc.esm.js", "runtime/mediabunny.min.mjs"];
async function loadAhead() {
  const kept = document.body.dataset.offline && navigator.serviceWorker; // plain HTTP has none
  if (kept) {
    await navigator.serviceWorker.register("offline.js").then(() => navigator.serviceWorker.ready).catch(() => {});
    if (!crossOriginIsolated && !photo && !sessionStorage.getItem("reloaded")) { // under its headers WebAssembly has threads
      sessionStorage.setItem("reloaded", "yes");
      location.reload();
      return;
    }
  }
  await engine.prepare();
  if (kept) for (const name of LATER) await fetch(`static/${name}`).catch(() => {});
  document.documentElement.dataset.loaded = "all";
}
if (here) loadAhead().catch(fail);
