// Opens a folder that `limbeck export` has been run on with transformers.js, and compares its vectors with those of `limbeck encode`.
//
// By hand: npm install @huggingface/transformers, then
//          node check_onnx.mjs PROGRAM DIR TEXTS [POOLING] [normalize]
//
// POOLING and `normalize` say what the folder's own files say (mean and not unless given): transformers.js does not read them. Prints
// a JSON object a file: `dtype`, the largest |difference| of a number, and the smallest cosine of two vectors of a line. Exit code 1
// if f32 differs by more than 1e-5, f16 by more than 2e-3, or a cosine of int8 is below 0.99.

import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { env, pipeline } from "@huggingface/transformers";
import { compare } from "./compare.mjs";

const [program, folder, file, pooling = "mean", normalize] = process.argv.slice(2);
const texts = readFileSync(file, "utf-8").split("\n").filter((line) => line.trim());
const encode = ["encode", "--device", "cpu", "--model", folder];
const lines = execFileSync(program, encode, { input: texts.join("\n"), maxBuffer: 2 ** 30 }).toString().trim().split("\n");
const exact = lines.map((line) => JSON.parse(line).embedding);

env.allowRemoteModels = false;
env.localModelPath = dirname(resolve(folder));
let failed = false;
for (const [dtype, name, most, least] of [
    ["fp32", "model.onnx", 1e-5, 0.9999],
    ["fp16", "model_fp16.onnx", 2e-3, 0.9999],
    ["q8", "model_quantized.onnx", 1, 0.99],
]) {
    if (!existsSync(join(folder, "onnx", name))) continue;
    const extract = await pipeline("feature-extraction", basename(resolve(folder)), { dtype });
    const settings = { pooling, normalize: normalize === "normalize" };
    const { difference, cosine } = await compare(extract, texts, exact, settings);
    failed ||= difference > most || cosine < least;
    console.log(JSON.stringify({ dtype, difference, cosine }));
}
process.exit(failed ? 1 : 0);
