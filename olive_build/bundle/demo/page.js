// The page: what is typed and chosen goes to worker.js, what that writes is shown.
'use strict';

const $ = (id) => document.getElementById(id);
const RUNTIME = ['transformers.min.js', 'ort-wasm-simd-threaded.mjs', 'ort-wasm-simd-threaded.wasm'];
const SHARED = ['config.json', 'tokenizer.json', 'tokenizer_config.json'];
// The client's own choice on WebAssembly comes first.
const BY_PREFERENCE = ['q8', 'int8', 'uint8', 'q4', 'fp16', 'fp32'];
const NOTES = {
  fp32: 'Full precision: the largest, and the measure of the others',
  fp16: 'Half precision: made for graphics cards, slow here',
  q8: '8 bits a weight: what browsers load by default',
  int8: '8 bits a weight',
  uint8: '8 bits a weight, unsigned',
  q4: '4 bits a weight: a small download',
  q4f16: '4 bits and half precision: made for graphics cards, slow here',
  bnb4: '4 bits a weight: a small download',
};

let manifest;
let worker; // with the model of the variant that is chosen, or none
let stopped; // set to 1 to stop the worker; without isolation there is none
let state = 'idle'; // or loading, or writing
let abandon; // ends loading
let before; // what had the focus until Stop took it

const megabytes = (size) => (size / 1e6).toFixed(size < 1e7 ? 1 : 0);

/** Show what went wrong, with the files it is about and what to do. */
function fail(what, advice, files = []) {
  $('failure-what').textContent = what;
  $('failure-advice').textContent = advice;
  $('failure-files').replaceChildren(...files.map((file) => Object.assign(document.createElement('li'), { textContent: file })));
  $('failure-files').hidden = !files.length;
  $('failure').hidden = false;
  say('');
  $('failure').focus();
  $('failure').scrollIntoView({ block: 'nearest' });
}

function say(text) {
  $('status').textContent = text;
}

/** Forget the model that is loaded; the next text loads the one that is chosen. */
function unload() {
  worker?.terminate();
  worker = undefined;
}

/** Switch the controls to a state. */
function become(now) {
  state = now;
  const on = now !== 'idle';
  const had = document.activeElement;
  $('generate').hidden = on;
  $('stop').hidden = !on;
  $('settings').disabled = on;
  $('output').setAttribute('aria-busy', now === 'writing');
  $('progress').hidden = now !== 'loading';
  // A control that goes away, or is disabled, takes the focus with it.
  if (on && (had === $('generate') || $('settings').contains(had))) {
    before = had;
    $('stop').focus();
  }
  if (!on && had === $('stop')) (before ?? $('generate')).focus();
  if (!on) before = undefined;
}

async function open() {
  if (location.protocol === 'file:') {
    return refuse('This page needs a server', 'Run `olive-build serve` with the folder of the bundle, and open the address that it prints.');
  }
  try {
    const response = await fetch('../manifest.json');
    if (!response.ok) throw new Error(response.status);
    manifest = await response.json();
    listVariants();
  } catch {
    return refuse('The bundle has no manifest that can be read', 'The page belongs in the folder demo/ of a bundle. Build or download the bundle again.', ['manifest.json']);
  }
  document.title = `${manifest.recipe} – text generation`;
  $('name').textContent = manifest.recipe;
  $('description').textContent = manifest.description;
  $('generate').disabled = false;
  say('');
}

/** Show a failure that leaves nothing to do on the page. */
function refuse(...failure) {
  fail(...failure);
  manifest = undefined;
  $('settings').disabled = $('generate').disabled = true;
}

const sizeOf = (file) => manifest.files.find(({ path }) => path === file)?.size_bytes ?? 0;
const filesOf = (variant) => Object.values(manifest.variants[variant].files);
const totalOf = (variant) => filesOf(variant).reduce((sum, file) => sum + sizeOf(file), 0);

/** Offer the variants; throws where the manifest has none. */
function listVariants() {
  const names = Object.keys(manifest.variants);
  if (!names.length) throw new Error('no variants');
  const options = names.map((name) => new Option(`${name} · ${megabytes(totalOf(name))} MB`, name));
  $('variant').replaceChildren(...options);
  $('variant').value = BY_PREFERENCE.find((name) => names.includes(name)) ?? names[0];
  noteVariant();
}

function noteVariant() {
  $('variant-note').textContent = NOTES[$('variant').value] ?? '';
}

/** Return those files that the server does not have. */
async function missingFiles(files, signal) {
  const there = await Promise.all(
    files.map((file) => fetch(`../${file}`, { method: 'HEAD', signal }).then((response) => response.ok, () => false)),
  );
  return files.filter((_, index) => !there[index]);
}

/** Load a variant, until it is abandoned. Returns whether it is there. */
async function load(variant) {
  const loading = new AbortController();
  abandon = () => loading.abort();
  say(`Loading ${variant}`);
  $('bar').value = 0;
  $('amount').textContent = '';
  const runtime = RUNTIME.map((name) => `demo/runtime/${name}`);
  const missing = await missingFiles([...filesOf(variant), ...SHARED, ...runtime], loading.signal);
  if (loading.signal.aborted) return false;
  if (missing.length) {
    const advice = missing.some((file) => file.startsWith('demo/runtime/'))
      ? 'The runtime is not part of a bundle: `olive-build serve` adds it, once `make clients` has installed it.'
      : 'Build or download the bundle again, or choose another variant.';
    fail(missing.length > 1 ? `${missing.length} files are missing` : 'A file is missing', advice, missing);
    return false;
  }
  const ready = await startWorker(variant, loading.signal);
  if (!ready) unload();
  return ready;
}

/** Start the worker with a variant. Returns whether that is loaded. */
function startWorker(variant, signal) {
  worker = new Worker('worker.js', { type: 'module' });
  stopped = self.crossOriginIsolated ? new Int32Array(new SharedArrayBuffer(4)) : undefined;
  const show = progressOf(variant);
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve(false));
    worker.onerror = (event) => {
      event.preventDefault();
      fail('The model cannot be loaded', event.message || 'The worker of the page did not start.', ['demo/worker.js']);
      resolve(false);
    };
    worker.onmessage = ({ data }) => {
      if (data.kind === 'progress') {
        show(data);
      } else if (data.kind === 'ready') {
        loadedIn(data);
        resolve(true);
      } else {
        fail('The model cannot be loaded', data.why);
        resolve(false);
      }
    };
    worker.postMessage({ load: variant });
  });
}

/** Return what shows how much of a variant's files has come. */
function progressOf(variant) {
  const files = filesOf(variant);
  const total = totalOf(variant);
  const got = {};
  let whole = !total; // a manifest may not know the sizes
  return ({ file, loaded }) => {
    if (!files.includes(file)) return;
    got[file] = loaded;
    const come = Object.values(got).reduce((sum, size) => sum + size, 0);
    if (total) $('bar').value = Math.min(come / total, 1);
    // Beside the status, which is read out whenever it is set.
    $('amount').textContent = total ? `${megabytes(Math.min(come, total))} of ${megabytes(total)} MB` : `${megabytes(come)} MB`;
    if (whole || come < total) return;
    whole = true;
    say(`Preparing ${variant}`);
  };
}

function loadedIn({ seconds, downloaded, threads }) {
  $('loaded').textContent = seconds.toFixed(seconds < 10 ? 1 : 0);
  $('size').textContent = megabytes(downloaded);
  $('machine').textContent = `WebAssembly, ${threads === 1 ? 'one thread' : `${threads} threads`}`;
}

function settings() {
  const number = (id) => Number($(id).value);
  return {
    max_new_tokens: number('tokens'),
    repetition_penalty: number('penalty'),
    do_sample: $('sample').checked,
    ...($('sample').checked && { temperature: number('temperature') }),
  };
}

async function generate() {
  const prompt = $('prompt').value;
  $('failure').hidden = true;
  if (!worker) {
    become('loading');
    if (!(await load($('variant').value))) return become('idle');
  }
  become('writing');
  if (stopped) Atomics.store(stopped, 0, 0);
  showGiven(prompt);
  let first;
  worker.onerror = (event) => {
    event.preventDefault();
    fail('The model has stopped', `${event.message || 'The worker of the page ended.'}\nThe next text loads it anew.`);
    unload();
    become('idle');
  };
  worker.onmessage = ({ data }) => {
    if (data.kind === 'text') {
      first ??= data.milliseconds;
      $('written').textContent = data.text;
      figures(data, first);
    } else if (data.kind === 'done') {
      $('written').textContent = data.text;
      finish(data.stopped ? 'Stopped' : 'Done');
    } else if (data.kind === 'failed') {
      fail('The model cannot write this', `${data.why}\nA shorter text may do.`);
      become('idle');
    }
  };
  worker.postMessage({ generate: prompt, options: settings(), stopped });
}

/** Show the text to go on from, and nothing of the last result. */
function showGiven(prompt) {
  $('by').textContent = ` of ${$('variant').value}`;
  $('given').textContent = prompt;
  $('written').textContent = '';
  $('copy').hidden = true;
  delete $('result').dataset.empty;
  for (const id of ['speed', 'first', 'count']) $(id).textContent = '–';
  $('figures').hidden = false;
  say('Writing');
}

/** Show the speed; the first token, which reads the whole prompt, is apart. */
function figures({ count, milliseconds }, first) {
  $('count').textContent = count;
  $('first').textContent = Math.round(first);
  if (count > 1) {
    const speed = ((count - 1) / (milliseconds - first)) * 1000;
    $('speed').textContent = speed.toFixed(speed < 100 ? 1 : 0);
  }
}

function finish(how) {
  const count = $('count').textContent;
  say(count === '–' ? how : `${how}: ${count} tokens, ${$('speed').textContent} tokens per second`);
  $('copy').hidden = !$('written').textContent;
  become('idle');
}

function stop() {
  if (state === 'loading') {
    abandon();
    say('Stopped');
  } else if (state === 'writing' && (!stopped || Atomics.exchange(stopped, 0, 1))) {
    // Where no memory can be shared, or when it did not listen the first time, only its end stops it.
    unload();
    finish('Stopped');
  }
}

/** A field that is not shown must not keep the form from being sent. */
function vary() {
  $('variation').hidden = $('temperature').disabled = !$('sample').checked;
}

$('form').addEventListener('submit', (event) => {
  event.preventDefault();
  if (state === 'idle' && manifest) generate();
});
$('stop').addEventListener('click', stop);
$('variant').addEventListener('change', () => {
  unload();
  noteVariant();
  $('failure').hidden = true;
});
$('sample').addEventListener('change', vary);
$('copy').addEventListener('click', async () => {
  try {
    await navigator.clipboard.writeText($('given').textContent + $('written').textContent);
    say('Copied');
  } catch {
    // A browser may refuse, and has no clipboard for an address without TLS; the text can be marked by hand.
    say('The browser did not let it be copied');
  }
});
document.addEventListener('keydown', (event) => {
  if (event.key === 'Escape' && !event.repeat) stop();
  if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) $('form').requestSubmit();
});
vary(); // a browser may have kept the switch from the last visit
open();
