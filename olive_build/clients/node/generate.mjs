// Runs a web bundle as its applications do, with transformers.js in Node.
//
//   node --preserve-symlinks-main .clients/generate.mjs < question.json > answer.json
//
// `make clients` makes .clients. Question and answer are those of ../requests.mjs; `model` is the path
// of the bundle's folder. Exit code 1, with the reason on standard error, when something cannot be
// used.
import path from 'node:path';
import { json } from 'node:stream/consumers';
import { answer } from './requests.mjs';

process.env.ORT_DISABLE_TELEMETRY ??= '1'; // read when the runtime is imported
const transformers = await import('@huggingface/transformers');

try {
  const question = await json(process.stdin);
  const folder = path.resolve(question.model);
  transformers.env.allowRemoteModels = false;
  transformers.env.useFSCache = false;
  transformers.env.localModelPath = path.dirname(folder) + path.sep;
  const asked = { ...question, model: path.basename(folder), device: 'cpu' };
  console.log(JSON.stringify(await answer(transformers, asked)));
} catch (error) {
  console.error(`error: ${error.message}`);
  process.exitCode = 1;
}
