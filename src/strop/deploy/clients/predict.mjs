// Classify pictures with model.onnx: npm install && node predict.mjs picture.jpg ...
import { readFileSync } from "node:fs";
import { Jimp } from "jimp";
import * as ort from "onnxruntime-web";

const BELOW = [255, 255, 255]; // colour below transparent parts
const here = (name) => readFileSync(new URL(name, import.meta.url));
ort.env.wasm.numThreads = 1;
const classes = JSON.parse(here("classes.json"));
const session = await ort.InferenceSession.create(here("model.onnx"));

for (const name of process.argv.slice(2)) {
  const { width, height, data } = (await Jimp.fromBuffer(readFileSync(name))).bitmap; // upright RGBA
  const pixels = new Uint8Array(3 * width * height);
  for (let from = 0, to = 0; from < data.length; from += 4)
    for (let channel = 0; channel < 3; channel++)
      pixels[to++] = Math.round(BELOW[channel] + ((data[from + channel] - BELOW[channel]) * data[from + 3]) / 255);
  const images = new ort.Tensor("uint8", pixels, [1, height, width, 3]);
  const probabilities = (await session.run({ images })).probabilities.data;
  const best = probabilities.indexOf(Math.max(...probabilities));
  console.log(`${classes[best]}\t${probabilities[best].toFixed(6)}\t${name}`);
}
