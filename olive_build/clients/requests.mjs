// What a client is asked and what it answers: the same in Node and in a browser, which each hand in
// their own transformers.js. A question is a JSON object:
//
//   {"task": "text-generation", "model": "name", "dtype": "q8", "device": "cpu", "threads": 1,
//    "requests": [{"prompts": ["This program", "You may"], "options": {"max_new_tokens": 40}}]}
//
// Each request is one call of the pipeline: its prompts are one batch, and its options the
// pipeline's own. `dtype` null leaves the choice to the client, `threads` null the number. The answer:
//
//   {"dtype": "q8", "device": "cpu", "load_ms": 812.1, "results": [...]}
//
// A result of text generation has, per prompt, `prompt_tokens` (with the padding of the batch on the
// left), `tokens` (those that were generated) and `texts`; `prefill_ms` is the time to the first token
// of all, and `decode_ms` has the time of every further step. Of feature extraction it has `vectors`
// and `run_ms`; of speech recognition (`audio`: a list of samples instead of prompts) `texts` and `run_ms`.

/** Load the model and answer every request. Throws what the pipeline throws. */
export async function answer(transformers, question) {
  const { task, model, dtype, device, threads, requests } = question;
  const begun = performance.now();
  const run = await transformers.pipeline(task, model, {
    device,
    ...(dtype && { dtype }),
    // The browser's build takes the number of threads from its environment.
    ...(threads && device === 'cpu' && { session_options: { intraOpNumThreads: threads } }),
  });
  const load_ms = milliseconds(begun);
  const used = Object.values(run.model.sessions).map((session) => session.config.dtype);
  if (dtype && used.some((name) => name !== dtype)) {
    // A name that the client does not know means its default, without a word.
    throw new Error(`transformers.js has no dtype '${dtype}'`);
  }
  const results = [];
  for (const request of requests) results.push(await ANSWERS[task](run, request));
  await run.dispose();
  return { dtype: used[0], device, load_ms, results };
}

const ANSWERS = {
  'text-generation': async (generate, { prompts, options }) => {
    const steps = new Steps();
    // Without the prompt's text nothing is cut from the tokens, so both are taken as they come.
    const outputs = await generate(prompts, { ...options, return_full_text: false, streamer: steps });
    return { ...steps.result(), texts: outputs.map(([{ generated_text }]) => generated_text) };
  },
  'feature-extraction': async (extract, { prompts, options }) => {
    const begun = performance.now();
    const vectors = await extract(prompts, options);
    return { vectors: vectors.tolist(), run_ms: milliseconds(begun) };
  },
  'automatic-speech-recognition': async (hear, { audio, options }) => {
    const begun = performance.now();
    const { text } = await hear(Float32Array.from(audio), options);
    return { texts: [text], run_ms: milliseconds(begun) };
  },
};

/** Takes the place of a streamer: it keeps every token of every row, and when it came. */
class Steps {
  prompts = null;
  tokens = [];
  times = [];

  put(rows) {
    this.times.push(performance.now());
    const numbers = rows.map((row) => row.map(Number));
    if (this.prompts) this.tokens.push(numbers.map((row) => row[0]));
    else this.prompts = numbers;
  }

  end() {}

  result() {
    const [prefill_ms, ...decode_ms] = this.times.slice(1).map((time, i) => rounded(time - this.times[i]));
    const tokens = this.prompts.map((_, row) => this.tokens.map((step) => step[row]));
    return { prompt_tokens: this.prompts, tokens, prefill_ms, decode_ms };
  }
}

const milliseconds = (begun) => rounded(performance.now() - begun);
const rounded = (time) => Math.round(time * 1000) / 1000;
