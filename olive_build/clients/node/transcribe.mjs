// Runs a published web bundle of a Whisper as its applications do, with transformers.js in Node.
//
//   node --preserve-symlinks-main .clients/transcribe.mjs BUNDLE DTYPE [--language en] [--task transcribe] FILE...
//
// `make clients` makes .clients. BUNDLE is a folder; DTYPE chooses its files: fp32, fp16, q8, q4. A
// FILE is a mono .wav of the model's sampling rate (16-bit or float), or else float32 samples,
// little-endian, from -1 to 1. The search is greedy: the client has no other. Prints JSON:
//
//   {"dtype": "q8", "texts": ["...", ...], "load_ms": 812, "run_ms": [93, ...]}
//
// Exit code 1, with the reason on standard error, when a file or the bundle cannot be used; 2 when
// it is called otherwise.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';

const PCM = 1;
const FLOAT = 3;

/** Return the samples of a file, mono, from -1 to 1. Throws for a .wav of another kind or rate. */
function samplesOf(file, rate) {
  const bytes = readFileSync(file);
  if (file.endsWith('.wav')) return wavSamples(file, bytes, rate);
  if (bytes.length % 4) throw new Error(`${file} holds no float32 samples: ${bytes.length} bytes`);
  return Float32Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readFloatLE(4 * i));
}

function wavSamples(file, bytes, rate) {
  const chunks = {};
  for (let at = 12; at + 8 <= bytes.length; ) {
    const size = bytes.readUInt32LE(at + 4);
    chunks[bytes.toString('latin1', at, at + 4)] = bytes.subarray(at + 8, at + 8 + size);
    at += 8 + size + (size % 2); // chunks begin at even places
  }
  const { 'fmt ': format, data } = chunks;
  if (!format || !data) throw new Error(`${file} is no wav file`);
  const [kind, channels] = [format.readUInt16LE(0), format.readUInt16LE(2)];
  const [hertz, bits] = [format.readUInt32LE(4), format.readUInt16LE(14)];
  const readers = {
    [`${PCM} 16`]: (i) => data.readInt16LE(2 * i) / 32768,
    [`${FLOAT} 32`]: (i) => data.readFloatLE(4 * i),
  };
  const read = readers[`${kind} ${bits}`];
  if (!read || channels !== 1 || hertz !== rate) {
    const found = `format ${kind}, ${bits} bits, ${channels} channels, ${hertz} Hz`;
    throw new Error(`${file} is of ${found}; 16 bits or 32-bit float, mono, ${rate} Hz is read`);
  }
  return Float32Array.from({ length: Math.floor(data.length / (bits / 8)) }, (_, i) => read(i));
}

/** Return what is heard in the files, and how long it took. */
async function transcribe(bundle, dtype, files, options) {
  process.env.ORT_DISABLE_TELEMETRY ??= '1'; // read when the runtime is imported
  const { env, pipeline } = await import('@huggingface/transformers');
  const folder = path.resolve(bundle);
  env.allowRemoteModels = false;
  env.allowLocalModels = true;
  env.useFSCache = false;
  env.localModelPath = path.dirname(folder) + path.sep;

  const begun = performance.now();
  const heard = await pipeline('automatic-speech-recognition', path.basename(folder), {
    dtype,
    device: 'cpu',
  });
  const loaded = performance.now() - begun;
  for (const session of Object.values(heard.model.sessions)) {
    // A name that the client does not know means its default, without a word.
    if (session.config.dtype !== dtype) throw new Error(`transformers.js has no dtype '${dtype}'`);
  }
  const rate = heard.processor.feature_extractor.config.sampling_rate;
  const found = { dtype, texts: [], load_ms: Math.round(loaded), run_ms: [] };
  for (const file of files) {
    const samples = samplesOf(file, rate);
    const start = performance.now();
    // What was not said is not passed: a model of one language refuses to be told any.
    const { text } = await heard(samples, { ...options, do_sample: false });
    found.run_ms.push(Math.round(performance.now() - start));
    found.texts.push(text);
  }
  await heard.dispose();
  return found;
}

const strings = { language: { type: 'string' }, task: { type: 'string' } };
const { values, positionals } = parseArgs({ allowPositionals: true, options: strings });
const [bundle, dtype, ...files] = positionals;
if (!files.length) {
  console.error('usage: transcribe.mjs BUNDLE DTYPE [--language en] [--task transcribe] FILE...');
  process.exit(2);
}
try {
  console.log(JSON.stringify(await transcribe(bundle, dtype, files, values)));
} catch (error) {
  console.error(`error: ${error.message}`);
  process.exitCode = 1;
}
