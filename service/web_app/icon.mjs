// The icon, drawn here: two circles that overlap and stay two. As SVG, and as PNG for phones that take nothing else.

import { deflateSync } from "node:zlib";

export const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
const PAPER = [247, 243, 237];
const ONE = [47, 93, 115];
const TWO = [176, 118, 42];
const RADIUS = 0.23;
const CENTRES = [0.39, 0.61];

export function icon() {
  const circle = (at, color) =>
    `<circle cx="${at * 100}" cy="50" r="${RADIUS * 100}" fill="rgb(${color})" fill-opacity=".8"/>`;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100"><rect width="100" height="100" fill="rgb(${PAPER})"/>${circle(CENTRES[0], ONE)}${circle(CENTRES[1], TWO)}</svg>`;
}

export function png(size) {
  const rows = [];
  for (let y = 0; y < size; y += 1) {
    const row = Buffer.alloc(1 + size * 3);
    for (let x = 0; x < size; x += 1) row.set(pixel((x + 0.5) / size, (y + 0.5) / size, size), 1 + x * 3);
    rows.push(row);
  }
  const header = Buffer.alloc(13);
  header.writeUInt32BE(size, 0);
  header.writeUInt32BE(size, 4);
  header.set([8, 2, 0, 0, 0], 8); // 8 bits, RGB
  return Buffer.concat([SIGNATURE, chunk("IHDR", header), chunk("IDAT", deflateSync(Buffer.concat(rows))), chunk("IEND", Buffer.alloc(0))]);
}

function pixel(x, y, size) {
  const covered = (at) => Math.min(1, Math.max(0, (RADIUS - Math.hypot(x - at, y - 0.5)) * size + 0.5)) * 0.8;
  let color = PAPER;
  for (const [at, of] of [[CENTRES[0], ONE], [CENTRES[1], TWO]]) {
    const share = covered(at);
    color = color.map((value, i) => value * (1 - share) + of[i] * share);
  }
  return color.map(Math.round);
}

/** A part of a PNG file, with its check. */
export function chunk(kind, content) {
  const body = Buffer.concat([Buffer.from(kind, "latin1"), content]);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(content.length);
  const check = Buffer.alloc(4);
  check.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, check]);
}

function crc32(content) {
  let rest = 0xffffffff;
  for (const byte of content) {
    rest ^= byte;
    for (let i = 0; i < 8; i += 1) rest = (rest >>> 1) ^ (rest & 1 ? 0xedb88320 : 0);
  }
  return (rest ^ 0xffffffff) >>> 0;
}
