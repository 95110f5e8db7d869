// As much of PNG as comparing pictures takes: what a browser makes is read, what is stored is written with a palette.

import { deflateSync, inflateSync } from "node:zlib";
import { chunk, SIGNATURE } from "../../service/web_app/icon.mjs";

const COARSE = 17; // sixteen steps a channel: edges that are drawn softly need few colours, and a picture takes little room

/** The pixels of a picture, three bytes each, whatever it was stored as: RGB, RGBA or a palette, 8 bits, not interlaced. */
export function decode(png) {
  const parts = { IDAT: [] };
  for (let at = SIGNATURE.length; at < png.length; at += 12 + png.readUInt32BE(at)) {
    const kind = png.toString("latin1", at + 4, at + 8);
    const body = png.subarray(at + 8, at + 8 + png.readUInt32BE(at));
    if (kind === "IDAT") parts.IDAT.push(body);
    else parts[kind] = body;
  }
  const [width, height] = [parts.IHDR.readUInt32BE(0), parts.IHDR.readUInt32BE(4)];
  const depth = { 2: 3, 3: 1, 6: 4 }[parts.IHDR[9]];
  const rows = unfiltered(inflateSync(Buffer.concat(parts.IDAT)), width * depth, depth);
  const pixels = Buffer.alloc(width * height * 3);
  for (let i = 0; i < width * height; i += 1) {
    const color = depth === 1 ? parts.PLTE.subarray(rows[i] * 3, rows[i] * 3 + 3) : rows.subarray(i * depth, i * depth + 3);
    pixels.set(color, i * 3);
  }
  return { width, height, pixels };
}

/** Take back what each row says of the pixel on the left, above, and both. */
function unfiltered(raw, length, depth) {
  const rows = Buffer.alloc((raw.length / (length + 1)) * length);
  for (let from = 0, to = 0; from < raw.length; from += length + 1, to += length) {
    for (let i = 0; i < length; i += 1) {
      const left = i < depth ? 0 : rows[to + i - depth];
      const up = to === 0 ? 0 : rows[to + i - length];
      const both = i < depth || to === 0 ? 0 : rows[to + i - length - depth];
      rows[to + i] = raw[from + 1 + i] + [0, left, up, (left + up) >> 1, paeth(left, up, both)][raw[from]];
    }
  }
  return rows;
}

function paeth(left, up, both) {
  const [a, b, c] = [left, up, both].map((one) => Math.abs(left + up - both - one));
  return a <= b && a <= c ? left : b <= c ? up : both;
}

/** The picture with a palette of coarse colours. */
export function encode({ width, height, pixels }) {
  const palette = new Map();
  const rows = Buffer.alloc(height * (width + 1));
  for (let i = 0; i < width * height; i += 1) {
    const color = [...pixels.subarray(i * 3, i * 3 + 3)].map((one) => Math.round(one / COARSE) * COARSE);
    const known = String(color);
    if (!palette.has(known)) palette.set(known, palette.size);
    rows[Math.floor(i / width) * (width + 1) + 1 + (i % width)] = palette.get(known);
  }
  if (palette.size > 256) throw new Error(`a palette has 256 colours at most, and this picture ${palette.size}`);
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 3, 0, 0, 0], 8); // 8 bits, a palette
  const colors = Buffer.from([...palette.keys()].flatMap((one) => one.split(",").map(Number)));
  const data = deflateSync(rows, { level: 9 });
  return Buffer.concat([SIGNATURE, chunk("IHDR", header), chunk("PLTE", colors), chunk("IDAT", data), chunk("IEND", Buffer.alloc(0))]);
}

const ALIKE = 56;

/**
 * How many pixels of one picture have nothing like them in the other at their place or right beside it: soft edges may be
 * drawn a little otherwise by another browser, and nothing else may. Null where the pictures are not of one size.
 */
export function unlike(one, other) {
  if (one.width !== other.width || one.height !== other.height) return null;
  let count = 0;
  for (let y = 0; y < one.height; y += 1)
    for (let x = 0; x < one.width; x += 1) if (!isNear(one, other, x, y) || !isNear(other, one, x, y)) count += 1;
  return count;
}

function isNear(one, other, x, y) {
  const at = (y * one.width + x) * 3;
  if (isAlike(one.pixels, at, other.pixels, at)) return true;
  for (let v = Math.max(0, y - 1); v <= Math.min(y + 1, one.height - 1); v += 1)
    for (let u = Math.max(0, x - 1); u <= Math.min(x + 1, one.width - 1); u += 1)
      if (isAlike(one.pixels, at, other.pixels, (v * one.width + u) * 3)) return true;
  return false;
}

function isAlike(one, at, other, there) {
  for (let i = 0; i < 3; i += 1) if (Math.abs(one[at + i] - other[there + i]) > ALIKE) return false;
  return true;
}
