// What a photo's file says beside its pixels: kept in JPEG files that are saved, but for the orientation, since pixels are upright then.

// The Exif segment of a JPEG file (CIPA DC-008, 4.5.4), with orientation 1 and without its thumbnail; null where there is none.
function exifOf(data) {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  if (view.byteLength < 4 || view.getUint16(0) !== 0xffd8) return null;
  for (let place = 2; place + 4 <= view.byteLength && view.getUint8(place) === 0xff; place += 2 + view.getUint16(place + 2)) {
    const marker = view.getUint8(place + 1), length = view.getUint16(place + 2);
    if (marker === 0xda) return null;
    if (marker === 0xe1 && place + 2 + length <= view.byteLength && view.getUint32(place + 4) === 0x45786966) return upright(data.slice(place, place + 2 + length));
  }
  return null;
}

function upright(segment) {
  const view = new DataView(segment.buffer, 10), little = view.getUint16(0) === 0x4949, first = view.getUint32(4, little);
  const count = view.getUint16(first, little);
  for (let k = 0; k < count; k++) {
    const entry = first + 2 + 12 * k;
    if (view.getUint16(entry, little) === 0x0112) view.setUint16(entry + 8, 1, little);
  }
  view.setUint32(first + 2 + 12 * count, 0, little); // the thumbnail shows the photo as it was
  return segment;
}

export async function withExif(blob, file) {
  let segment = null;
  try { segment = exifOf(new Uint8Array(await file.slice(0, 1 << 18).arrayBuffer())); } catch { /* damaged: left out */ }
  return segment ? new Blob([blob.slice(0, 2), segment, blob.slice(2)], { type: blob.type }) : blob;
}

// Whether colours lie in a wide gamut, by the name of the profile in the file's head.
export async function isWide(file) {
  const text = new TextDecoder("latin1").decode(await file.slice(0, 1 << 18).arrayBuffer());
  return /Display P3/.test(text.replaceAll("\0", "")) && matchMedia("(color-gamut: p3)").matches;
}
