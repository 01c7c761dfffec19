// The page: a photo is made small here for quick looks, and sent whole only for what is saved.
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

// --- talking to the server ---------------------------------------------------------------------

class UserError extends Error {} // its message is shown as it is

async function ask(path, fields, tries = 4) {
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
  if (answer.status === 401) return askToken().then(() => ask(path, fields, tries));
  if (answer.status === 503 && tries > 1) {
    say("Busy; trying again …");
    await new Promise((done) => setTimeout(done, 1000 * (Number(answer.headers.get("Retry-After")) || 1)));
    return ask(path, fields, tries - 1);
  }
  const problem = await answer.json().catch(() => ({}));
  const error = new UserError(explain(answer.status, problem.error || ""));
  Object.assign(error, { status: answer.status, field: problem.field });
  throw error;
}

function explain(status, line) {
  if (status === 413) return "This photo is too large for this server.";
  if (status === 415) return "This is not a photo that can be read: JPEG, PNG, WebP, TIFF, HEIC and AVIF can.";
  if (status === 400) return "This file is damaged, or no photo.";
  if (status === 503) return "The server has too much to do. Try again in a while.";
  return line ? line[0].toUpperCase() + line.slice(1) : "Something went wrong on the server.";
}

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
    if (file.size > limits.bytes) throw new UserError(`This photo is too large for this server: ${million(file.size)} MB, up to ${million(limits.bytes)} can be sent.`);
    const bitmap = await busy(readable(file));
    if (mine !== opened) return;
    const { width, height } = bitmap, scale = Math.min(1, PREVIEW / Math.max(width, height));
    const canvas = Object.assign(document.createElement("canvas"), { width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)) });
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    bitmap.close();
    const preview = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.93));
    forget();
    photo = { file, name: (file.name || "photo").replace(/\.\w+$/, ""), preview, url: URL.createObjectURL(preview), width, height, side: Math.max(canvas.width, canvas.height), knowsDepth: true, deblur: "auto", frames: new Map() };
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
    if (mine === opened && width * height > limits.pixels) say(`This photo is too large to be saved here: ${million(width * height)} megapixels, up to ${million(limits.pixels)} are. It can be looked at.`, true);
  } catch (error) {
    if (mine === opened) fail(error);
  }
}
const million = (number) => (number / 1e6).toLocaleString(undefined, { maximumFractionDigits: number < 1e7 ? 1 : 0 });
if (limits.bytes < Infinity) by("formats").textContent += `; up to ${million(limits.bytes)} MB and ${million(limits.pixels)} megapixels`;

// What this browser cannot decode (TIFF, mostly HEIC) the server can.
async function readable(file) {
  try {
    return await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    const answer = await ask("refocus", { photo: file, focus: 0, aperture: 0, format: "jpeg", quality: 95, deblur: "never" });
    return createImageBitmap(await answer.blob());
  }
}

async function lookAtDepth(mine) {
  say("Looking at what is near and what is far …");
  try {
    const answer = await busy(ask("disparity", { photo: photo.preview, view: "preview", deblur: photo.deblur }));
    const blob = await answer.blob();
    if (mine !== opened) return;
    const sharpened = answer.headers.get("X-Refocal-Deblurred") === "yes", found = photo.deblur === "auto" && sharpened;
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
      const answer = await busy(ask("refocus", { photo: photo.preview, ...place, aperture: place.sharp ? 0 : fraction() * photo.side, quality: 90, deblur: photo.deblur, sharp: undefined }));
      const blob = await answer.blob();
      if (mine !== opened) continue;
      if (place.x !== undefined) sliders.focus.value = answer.headers.get("X-Refocal-Focus");
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

// The first time round the frames come from the server one by one; from then on they are here.
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
      const answer = await busy(ask("refocus", { photo: ours.preview, focus, aperture: opening * ours.side, quality: 90, deblur: ours.deblur }));
      ours.frames.set(key, URL.createObjectURL(await answer.blob()));
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

const SAVES = {
  picture: ["refocus", () => ({ focus: sliders.focus.value }), "jpg"],
  living: ["living", () => ({ title: photo.name }), "html"],
  mp4: ["sweep", () => ({ format: "mp4", levels: 33 }), "mp4"],
  webp: ["sweep", () => ({ format: "webp", levels: 17 }), "webp"],
  gif: ["sweep", () => ({ format: "gif", levels: 17 }), "gif"],
};
by("save").addEventListener("click", async (event) => {
  const kind = event.target.closest("[data-save]")?.dataset.save;
  if (!kind) return;
  by("save").open = false;
  stopPlaying();
  const [path, fields, suffix] = SAVES[kind], small = path === "sweep";
  say(small ? "Making the film; this takes a while …" : "Making it at full size …");
  try {
    const side = small ? photo.side : Math.max(photo.width, photo.height);
    const answer = await busy(ask(path, { photo: small ? photo.preview : photo.file, aperture: fraction() * side, deblur: photo.deblur, ...fields() }));
    const blob = await answer.blob();
    const own = { "image/png": "png", "image/webp": "webp", "image/tiff": "tif" }[blob.type];
    const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: `${photo.name} refocused.${own || suffix}` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    say(`Saved: ${link.download}, ${(blob.size / 1e6).toFixed(1)} MB.`);
  } catch (error) {
    fail(error);
  }
});
document.addEventListener("click", (event) => { if (!by("save").contains(event.target)) by("save").open = false; });
document.addEventListener("keydown", (event) => { if (event.key === "Escape") by("save").open = false; });

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
    try { open(new File([await (await fetch(`static/${name}.jpg`)).blob()], `${name}.jpg`, { type: "image/jpeg" })); } catch { fail(new UserError("The server does not answer. Is it still running?")); }
  });
}
