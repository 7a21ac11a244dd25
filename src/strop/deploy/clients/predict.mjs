// Classify pictures with model.onnx: npm install && node predict.mjs picture.jpg ...
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import decodeJpeg, { init as prepareJpeg } from "@jsquash/jpeg/decode.js";
import decodeWebp, { init as prepareWebp } from "@jsquash/webp/decode.js";
import { Jimp } from "jimp";
import * as ort from "onnxruntime-web";

const BELOW = [255, 255, 255]; // colour below transparent parts
const here = (name) => readFileSync(new URL(name, import.meta.url));
const compile = (name) => WebAssembly.compile(readFileSync(createRequire(import.meta.url).resolve(name)));
let said; // by the JPEG decoder, before it gives up
await prepareJpeg(await compile("@jsquash/jpeg/codec/dec/mozjpeg_dec.wasm"), { printErr: (line) => (said ??= line) });
await prepareWebp(await compile("@jsquash/webp/codec/dec/webp_dec.wasm"));
ort.env.wasm.numThreads = 1;
const classes = JSON.parse(here("classes.json"));
const session = await ort.InferenceSession.create(here("model.onnx"));

for (const name of process.argv.slice(2)) {
  const { width, height, pixels } = await read(name).catch((error) => {
    console.error(`${name}: can't be read (${said ?? error.message}). Give a JPEG, PNG, WebP, GIF, BMP or TIFF.`);
    process.exit(1);
  });
  const images = new ort.Tensor("uint8", pixels, [1, height, width, 3]);
  const probabilities = (await session.run({ images })).probabilities.data;
  const best = probabilities.indexOf(Math.max(...probabilities));
  console.log(`${classes[best]}\t${probabilities[best].toFixed(6)}\t${name}`);
}

// RGB upright, transparent parts laid on BELOW.
async function read(name) {
  said = undefined;
  const { width, height, data, shift, turned } = await decode(readFileSync(name));
  const [down, across] = turned > 4 ? [1, width] : [width, 1]; // from one pixel to the next in `data`
  const [rows, columns] = turned > 4 ? [width, height] : [height, width];
  const pixels = new Uint8Array(3 * width * height);
  for (let y = 0, to = 0; y < rows; y++)
    for (let x = 0; x < columns; x++) {
      const row = [3, 4, 7, 8].includes(turned) ? rows - 1 - y : y;
      const column = [2, 3, 6, 7].includes(turned) ? columns - 1 - x : x;
      const from = 4 * (row * down + column * across);
      for (let channel = 0; channel < 3; channel++)
        pixels[to++] = Math.round(
          BELOW[channel] + (((data[from + channel] >> shift) - BELOW[channel]) * (data[from + 3] >> shift)) / 255,
        );
    }
  return { width: columns, height: rows, pixels };
}

// RGBA. JPEG and WebP by the libraries that Pillow has, which gives the same pixels; the rest, and CMYK, by Jimp.
async function decode(bytes) {
  const text = bytes.toString("latin1");
  const exif = /(?:^|eXIf|Exif\0\0|EXIF.{4})(?=II\*\0|MM\0\*)/s.exec(text);
  const turned = exif ? orientation(bytes.subarray(exif.index + exif[0].length)) : 1;
  const isJpeg = text.startsWith("\xff\xd8");
  const isCmyk = isJpeg && colours(bytes) === 4;
  const decodeExactly = isJpeg && !isCmyk ? decodeJpeg : /^RIFF.{4}WEBP/s.test(text) ? decodeWebp : undefined;
  if (decodeExactly) {
    const decoded = await decodeExactly(new Uint8Array(bytes).buffer);
    if (said?.startsWith("Premature end")) throw new Error(said);
    return { ...decoded, shift: 0, turned };
  }
  const isDeep = text.startsWith("\x89PNG") && bytes[24] === 16; // its upper 8 bits are taken
  const { bitmap } = await Jimp.fromBuffer(bytes, { "image/png": { skipRescale: isDeep } });
  return { ...bitmap, shift: isDeep ? 8 : 0, turned: isCmyk ? 1 : turned }; // Jimp turns JPEG itself
}

function orientation(exif) {
  const number = (at, size) => (exif[0] === 0x4d ? exif.readUIntBE(at, size) : exif.readUIntLE(at, size));
  try {
    const first = number(4, 4);
    for (let entry = first + 2; entry < first + 2 + 12 * number(first, 2); entry += 12)
      if (number(entry, 2) === 0x112) return number(entry + 8, 2);
  } catch {} // a broken block turns nothing
  return 1;
}

function colours(jpeg) {
  let at = 2;
  while (at + 9 < jpeg.length && (jpeg[at + 1] < 0xc0 || jpeg[at + 1] > 0xc3)) at += 2 + jpeg.readUInt16BE(at + 2);
  return jpeg[at + 9];
}
