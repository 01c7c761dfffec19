// The depth inside portrait photos of phones, in JPEG, as depth/portrait.py reads it: as a further picture behind the photo that its own
// XMP describes (Apple), as one that a container directory names (Dynamic Depth), or in base64 in the photo's XMP (Google).
import { orientationOf, segmentsOf } from "./metadata.js";

const XMP = "http://ns.adobe.com/xap/1.0/\0", MORE = "http://ns.adobe.com/xmp/extension/\0";
const latin = new TextDecoder("latin1");

// A map, larger = nearer, upright: { width, height, data }; null where there is none.
export async function depthInside(file) {
  const data = new Uint8Array(await file.arrayBuffer());
  if (data[0] !== 0xff || data[1] !== 0xd8) return null;
  const segments = segmentsOf(data), xmp = xmpOf(segments);
  const found = (await google(xmp)) || (await apple(data, segments)) || (await dynamic(data, xmp));
  return found && turned(found, orientationOf(data));
}

function xmpOf(segments) {
  const texts = segments.filter(({ marker }) => marker === 0xe1).map(({ body }) => latin.decode(body));
  const first = texts.find((text) => text.startsWith(XMP))?.slice(XMP.length) || "", wanted = field(first, "xmpNote:HasExtendedXMP");
  const more = texts.filter((text) => text.startsWith(MORE) && (!wanted || text.startsWith(MORE + wanted))).map((text) => text.slice(MORE.length));
  return first + more.sort((p, q) => (p.slice(36, 40) < q.slice(36, 40) ? -1 : 1)).map((text) => text.slice(40)).join(""); // GUID, length, offset, text
}

// A property, written as an attribute or as an element.
function field(xmp, key) {
  const found = new RegExp(`\\b${key}(?:\\s*=\\s*(?:"([^"]*)"|'([^']*)')|>([^<]*)<)`).exec(xmp);
  return found ? (found[1] ?? found[2] ?? found[3] ?? "").trim() : null;
}

// Grey levels as stored, 0 to 1: the photo's orientation counts, not the map's own, which browsers always follow.
async function shares(bytes) {
  const exif = segmentsOf(bytes).filter(({ marker, body }) => marker === 0xe1 && latin.decode(body.subarray(0, 4)) === "Exif");
  for (const { place } of exif) bytes[place + 1] = 0xec; // a segment that nobody reads
  const bitmap = await createImageBitmap(new Blob([bytes]), { colorSpaceConversion: "none" }), { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext("2d");
  context.drawImage(bitmap, 0, 0);
  const pixels = context.getImageData(0, 0, width, height).data;
  return { width, height, data: Float32Array.from({ length: width * height }, (_, k) => pixels[4 * k] / 255) };
}
const through = (map, change) => ({ ...map, data: map.data.map(change) });

// A share of the way from near to far, in 1 / z or in z, as 1 / z.
function ranged(map, xmp, prefix) {
  const [near, far] = ["Near", "Far"].map((end) => Number(field(xmp, `${prefix}:${end}`) || 0));
  if (!(near > 0 && near < far)) return through(map, (share) => 1 - share);
  if (field(xmp, `${prefix}:Format`) === "RangeLinear") return through(map, (share) => 1 / (near + share * (far - near)));
  return through(map, (share) => 1 / near - share * (1 / near - 1 / far));
}

async function google(xmp) {
  const coded = field(xmp, "GDepth:Data");
  return coded ? ranged(await shares(Uint8Array.from(atob(coded.replace(/\s/g, "")), (char) => char.charCodeAt(0))), xmp, "GDepth") : null;
}

async function apple(data, segments) {
  for (const part of furtherPictures(data, segments)) {
    const xmp = xmpOf(segmentsOf(part)), kind = field(xmp, "apdi:AuxiliaryImageType");
    if (kind !== "disparity" && kind !== "depth") continue; // a gain map, a matte, a preview
    const low = Number(field(xmp, "apdi:FloatMinValue") || 0), high = Number(field(xmp, "apdi:FloatMaxValue") || 1);
    return through(await shares(part), (share) => { const value = low + share * (high - low); return kind === "disparity" ? value : 1 / Math.max(value, 1e-3); });
  }
  return null;
}

// The pictures behind the photo that its MPF segment names (CIPA DC-007, 5.2.3.3), those that are there.
function furtherPictures(data, segments) {
  const found = segments.find(({ marker, body }) => marker === 0xe2 && latin.decode(body.subarray(0, 4)) === "MPF\0");
  if (!found) return [];
  const start = found.place + 8, view = new DataView(data.buffer, start), little = view.getUint16(0) === 0x4949, parts = [];
  const first = view.getUint32(4, little), count = view.getUint16(first, little);
  for (let k = 0; k < count; k++) {
    const entry = first + 2 + 12 * k;
    if (view.getUint16(entry, little) !== 0xb002) continue;
    const length = view.getUint32(entry + 4, little), from = view.getUint32(entry + 8, little);
    for (let place = from + 16; place + 16 <= from + length; place += 16) {
      const at = start + view.getUint32(place + 8, little), part = data.slice(at, at + view.getUint32(place + 4, little));
      if (part[0] === 0xff && part[1] === 0xd8 && part[2] === 0xff) parts.push(part);
    }
  }
  return parts;
}

// Items follow each other up to the end of the file.
async function dynamic(data, xmp) {
  let end = data.length;
  for (const [item] of [...xmp.matchAll(/<(?:\w+:)?Item\b[^>]*?>/g)].reverse()) {
    const start = end - Number(field(item, "Item:Length") || 0);
    if (field(item, "Item:Semantic") === "Depth" && start > 0 && start < end) return ranged(await shares(data.slice(start, end)), xmp, "DepthMap");
    end = start - Number(field(item, "Item:Padding") || 0);
  }
  return null;
}

// EXIF orientation: transposed first, then rows and columns reversed (CIPA DC-008, 4.6.5.A).
function turned({ width, height, data }, orientation) {
  const [swap, upside, sideways] = { 2: [0, 0, 1], 3: [0, 1, 1], 4: [0, 1, 0], 5: [1, 0, 0], 6: [1, 0, 1], 7: [1, 1, 1], 8: [1, 1, 0] }[orientation] || [0, 0, 0];
  const [wide, tall] = swap ? [height, width] : [width, height], out = new Float32Array(data.length);
  for (let y = 0; y < tall; y++) for (let x = 0; x < wide; x++) {
    const row = upside ? tall - 1 - y : y, column = sideways ? wide - 1 - x : x;
    out[y * wide + x] = swap ? data[column * width + row] : data[row * width + column];
  }
  return { width: wide, height: tall, data: out };
}
