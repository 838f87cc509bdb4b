// The page in which a training bundle learns: onnxruntime-web 1.19.2 on WebAssembly. A question:
//
//   {"batches": [{"pixel_values": {"type": "float32", "dims": [8, 1, 8, 8], "data": [...]}, ...}],
//    "judged": {...}, "restored": null}
//
// `batches` are one step each, `judged` is evaluated afterwards; `restored` are values of all trainable
// parameters to begin from. The graphs lie beside this folder, at ../training/. The answer:
//
//   {"losses": [0.7, ...], "outputs": {"logits": [...]}, "learned": [...], "load_ms": 90, "run_ms": 12}
import * as ort from 'onnxruntime-web/training';

const ARRAYS = { float32: Float32Array, int64: BigInt64Array };

/** Return the tensors of a batch by name. */
function feeds(batch) {
  const made = Object.entries(batch).map(([name, { type, dims, data }]) => {
    const values = type === 'int64' ? data.map(BigInt) : data;
    return [name, new ort.Tensor(type, ARRAYS[type].from(values), dims)];
  });
  return Object.fromEntries(made);
}

/** Train as the question says. Throws what the runtime throws. */
window.answer = async ({ batches, judged, restored }) => {
  ort.env.logLevel = 'error';
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = new URL('../runtime/', import.meta.url).href;
  const begun = performance.now();
  const at = (name) => new URL(`../training/${name}`, import.meta.url).href;
  const session = await ort.TrainingSession.create(
    {
      checkpointState: at('checkpoint'),
      trainModel: at('training_model.onnx'),
      evalModel: at('eval_model.onnx'),
      optimizerModel: at('optimizer_model.onnx'),
    },
    { executionProviders: ['wasm'] },
  );
  if (restored) {
    await session.loadParametersBuffer(new Uint8Array(Float32Array.from(restored).buffer), true);
  }
  const loaded = performance.now();
  const losses = [];
  for (const batch of batches) {
    const outputs = await session.runTrainStep(feeds(batch));
    losses.push(outputs[session.trainingOutputNames[0]].data[0]);
    await session.runOptimizerStep();
    await session.lazyResetGrad();
  }
  const run_ms = performance.now() - loaded;
  const found = await session.runEvalStep(feeds(judged));
  const outputs = session.evalOutputNames.slice(1).map((name) => [name, Array.from(found[name].data)]);
  const learned = Array.from((await session.getContiguousParameters(true)).data);
  return { losses, outputs: Object.fromEntries(outputs), learned, load_ms: loaded - begun, run_ms };
};
