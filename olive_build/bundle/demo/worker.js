// Runs the model beside the page, so that the page stays awake: transformers.js on WebAssembly.
//
// The page sends {load: dtype} and {generate: prompt, options, stopped}; the answers have a `kind`:
// progress, ready, text, done, failed. The bundle is the folder above this one, the runtime the folder
// runtime/ in it, and nothing else is asked for.
const BUNDLE = '..';
const runtime = new URL('runtime/', self.location.href).href;
let generator;
let tokenizer;
let positions; // how many tokens the model has room for, where its configuration says so

self.onmessage = async ({ data }) => {
  try {
    if (data.load) await load(data.load);
    else await generate(data.generate, data.options, data.stopped);
  } catch (error) {
    self.postMessage({ kind: 'failed', why: error.message ?? String(error) });
  }
};

async function load(dtype) {
  const begun = performance.now();
  const { env, pipeline } = await import(`${runtime}transformers.min.js`);
  env.allowRemoteModels = false;
  env.allowLocalModels = true;
  // The cache goes by addresses, and another bundle may come to this one's; HTTP asks what changed.
  env.useBrowserCache = false;
  env.useWasmCache = false;
  env.fetch = fetchWithProgress;
  const build = `${runtime}ort-wasm-simd-threaded`;
  env.backends.onnx.wasm.wasmPaths = { mjs: `${build}.mjs`, wasm: `${build}.wasm` };
  generator = await pipeline('text-generation', BUNDLE, { dtype, device: 'wasm' });
  tokenizer = generator.tokenizer;
  const { max_position_embeddings, n_positions } = generator.model.config;
  positions = max_position_embeddings ?? n_positions ?? Infinity;
  self.postMessage({
    kind: 'ready',
    seconds: (performance.now() - begun) / 1000,
    // The runtime too, and of files that have not changed since the last time next to nothing.
    downloaded: performance.getEntriesByType('resource').reduce((sum, { transferSize }) => sum + transferSize, 0),
    threads: self.crossOriginIsolated ? env.backends.onnx.wasm.numThreads : 1,
  });
}

/** Fetch, and tell the page how much of a file has come. */
async function fetchWithProgress(address, options) {
  const response = await fetch(address, options);
  if (!response.ok || !response.body) return response;
  const total = Number(response.headers.get('Content-Length'));
  const file = String(address).replace(/^\.\.\//, '');
  let loaded = 0;
  const counted = new TransformStream({
    transform(piece, controller) {
      loaded += piece.length;
      self.postMessage({ kind: 'progress', file, loaded, total });
      controller.enqueue(piece);
    },
  });
  return new Response(response.body.pipeThrough(counted), response);
}

/** Write, token by token, until the model ends, the length is reached or `stopped` is set. */
async function generate(prompt, options, stopped) {
  const begun = performance.now();
  const given = tokenizer(prompt).input_ids.dims.at(-1);
  if (given >= positions) throw new Error(`The text has ${given} tokens, and the model has room for ${positions}.`);
  const max_new_tokens = Math.min(options.max_new_tokens, positions - given);
  const tokens = [];
  let asked = true;
  const streamer = {
    put([row]) {
      if (asked) return void (asked = false); // the prompt comes first
      tokens.push(row[0]);
      const milliseconds = performance.now() - begun;
      self.postMessage({ kind: 'text', text: textOf(tokens), count: tokens.length, milliseconds });
    },
    end() {},
  };
  const { StoppingCriteria } = await import(`${runtime}transformers.min.js`);
  class Stopped extends StoppingCriteria {
    // A message would wait until the text is whole: between tokens, nothing else gets its turn.
    _call(rows) {
      return rows.map(() => Boolean(stopped && Atomics.load(stopped, 0)));
    }
  }
  await generator(prompt, { ...options, max_new_tokens, streamer, stopping_criteria: new Stopped() });
  self.postMessage({ kind: 'done', text: textOf(tokens), stopped: Boolean(stopped && Atomics.load(stopped, 0)) });
}

/** Return the text of some tokens; a character that is not whole yet waits for its last token. */
function textOf(tokens) {
  return tokenizer.decode(tokens, { skip_special_tokens: true }).replace(/\uFFFD+$/, '');
}
