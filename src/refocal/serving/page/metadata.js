// What a photo's file says beside its pixels: kept in JPEG files that are saved, but for the orientation, since pixels are upright then.

// The segments of a JPEG file before its picture: { marker, place, body }.
export function segmentsOf(data) {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength), found = [];
  if (view.byteLength < 4 || view.getUint16(0) !== 0xffd8) return found;
  for (let place = 2; place + 4 <= view.byteLength && data[place] === 0xff && data[place + 1] !== 0xda; place += 2 + view.getUint16(place + 2)) {
    const end = place + 2 + view.getUint16(place + 2);
    if (end <= data.length) found.push({ marker: data[place + 1], place, body: data.subarray(place + 4, end) });
  }
  return found;
}

// The Exif block of a JPEG file (CIPA DC-008, 4.5.4): its TIFF part, and where in it each entry of the first folder lies.
function exifOf(data) {
  const found = segmentsOf(data).find(({ marker, body }) => marker === 0xe1 && body[0] === 0x45 && body[1] === 0x78 && body[4] === 0);
  if (!found) return null;
  const segment = data.slice(found.place, found.place + 4 + found.body.length), view = new DataView(segment.buffer, 10), little = view.getUint16(0) === 0x4949;
  const first = view.getUint32(4, little), count = view.getUint16(first, little), entries = new Map();
  for (let k = 0; k < count; k++) entries.set(view.getUint16(first + 2 + 12 * k, little), first + 2 + 12 * k);
  return { segment, view, little, entries, end: first + 2 + 12 * count };
}

export function orientationOf(data) {
  try {
    const { view, little, entries } = exifOf(data);
    return view.getUint16(entries.get(0x0112) + 8, little);
  } catch { // none, or damaged
    return 1;
  }
}

// A JPEG file with the Exif block of another: upright, and without its thumbnail, which shows the photo as it was.
export async function withExif(blob, file) {
  try {
    const { segment, view, little, entries, end } = exifOf(new Uint8Array(await file.slice(0, 1 << 18).arrayBuffer()));
    if (entries.has(0x0112)) view.setUint16(entries.get(0x0112) + 8, 1, little);
    view.setUint32(end, 0, little);
    return new Blob([blob.slice(0, 2), segment, blob.slice(2)], { type: blob.type });
  } catch { // none, or damaged: left out
    return blob;
  }
}

// Whether colours lie in a wider gamut than sRGB's, and the screen shows one: by the red of the profile (ICC.1:2022, 9.2.44), or its name
// where the file is no JPEG.
export async function isWide(file) {
  if (!matchMedia("(color-gamut: p3)").matches) return false;
  const head = new Uint8Array(await file.slice(0, 1 << 18).arrayBuffer()), profile = profileOf(head);
  if (!profile) return /Display P3/.test(new TextDecoder("latin1").decode(head).replaceAll("\0", ""));
  const view = new DataView(profile.buffer);
  for (let k = 0, place = 132; k < view.getUint32(128) && place + 12 <= profile.length; k++, place += 12) {
    if (view.getUint32(place) === 0x7258595a) return view.getInt32(view.getUint32(place + 4) + 8) / 65536 > 0.48; // sRGB's is 0.436, Display P3's 0.515
  }
  return false;
}

function profileOf(data) {
  const parts = segmentsOf(data).filter(({ marker, body }) => marker === 0xe2 && body[0] === 0x49 && body[1] === 0x43 && body[2] === 0x43).map(({ body }) => body.subarray(14));
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  parts.reduce((at, part) => (whole.set(part, at), at + part.length), 0);
  return whole.length > 132 ? whole : null;
}
