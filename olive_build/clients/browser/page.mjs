// The page in which a question of requests.mjs is answered: transformers.js on WebAssembly or WebGPU.
// Everything comes from the page's own server; the bundle lies beside this folder, at ../bundle/.
import * as transformers from '../runtime/transformers.min.js';
import { answer } from './requests.mjs';

const { env } = transformers;
env.allowRemoteModels = false;
env.allowLocalModels = true;
// A path: of a whole address the client believes that the files are not there.
env.localModelPath = new URL('../', import.meta.url).pathname;
env.useBrowserCache = false;
env.useWasmCache = false;

/** Answer a question. Its `device` is wasm, with the plain build, or webgpu, with the one that waits. */
window.answer = async (question) => {
  const build = question.device === 'webgpu' ? 'ort-wasm-simd-threaded.asyncify' : 'ort-wasm-simd-threaded';
  const runtime = new URL('../runtime/', import.meta.url).href;
  const { wasm } = env.backends.onnx;
  wasm.wasmPaths = { mjs: `${runtime}${build}.mjs`, wasm: `${runtime}${build}.wasm` };
  if (question.threads) wasm.numThreads = question.threads;
  const found = await answer(transformers, { ...question, model: 'bundle' });
  return { ...found, isolated: crossOriginIsolated, threads: wasm.numThreads };
};
