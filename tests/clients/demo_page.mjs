// Does on the page of a bundle what a person would, and prints what is seen there as JSON.
//
//   node demo_page.mjs CLIENTS CHROMIUM URL < {"scenario": "write", ...}
import { createRequire } from 'node:module';
import path from 'node:path';
import { json } from 'node:stream/consumers';

const [clients, executablePath, url] = process.argv.slice(2);
const { chromium } = createRequire(path.join(clients, 'any.js'))('playwright-core');
const asked = await json(process.stdin);
const PHONE = { width: 390, height: 844 };

const ready = (page) => page.waitForSelector('#variant option', { state: 'attached' });
const settled = (page) => page.waitForFunction(() => /^(Done|Stopped)/.test(document.querySelector('#status').textContent));
const written = (page) => page.waitForFunction(() => Number(document.querySelector('#count').textContent) > 3);
const failed = (page) => page.waitForSelector('#failure:not([hidden])');

/** What a person sees. */
const seen = (page) =>
  page.evaluate(() => ({
    ...Object.fromEntries(
      ['name', 'description', 'status', 'given', 'written', 'by', 'count', 'speed', 'first', 'loaded', 'size', 'machine'].map(
        (id) => [id, document.getElementById(id).textContent],
      ),
    ),
    title: document.title,
    alert: document.querySelector('[role=alert]:not([hidden])')?.innerText ?? null,
    focus: document.activeElement.id,
    variant: document.querySelector('#variant').value,
    variants: [...document.querySelectorAll('#variant option')].map((option) => option.textContent),
    buttons: [...document.querySelectorAll('button')].filter((b) => b.offsetParent).map((b) => b.id),
  }));

/** Let the requests of a method wait: `come` resolves with the first, `release` lets all go on. */
async function hold(page, pattern, method) {
  let begin, release;
  const come = new Promise((resolve) => (begin = resolve));
  const released = new Promise((resolve) => (release = resolve));
  await page.context().route(pattern, async (route) => {
    if (route.request().method() === method) {
      begin();
      await released;
    }
    await route.continue();
  });
  return { come, release };
}

async function prepare(page, { prompt, variant, tokens }) {
  await ready(page);
  if (variant) await page.selectOption('#variant', variant);
  if (tokens) await page.fill('#tokens', String(tokens));
  await page.fill('#prompt', prompt);
}

const SCENARIOS = {
  /** Type, write, read; then write once more, with what is loaded. */
  async write(page) {
    await prepare(page, asked);
    await page.evaluate(() => {
      window.shown = [];
      const see = () => window.shown.push(document.querySelector('#written').textContent);
      new MutationObserver(see).observe(document.querySelector('#written'), { childList: true });
    });
    await page.keyboard.press('Control+Enter');
    await settled(page);
    const shown = await page.evaluate(() => window.shown);
    const first = await seen(page);
    await page.click('#generate');
    await settled(page);
    return { shown, first, second: await seen(page) };
  },

  /** Stop by key while it writes, then go on. */
  async stop(page) {
    await prepare(page, asked);
    await page.focus('#generate');
    await page.keyboard.press('Enter');
    await written(page);
    const during = await seen(page);
    await page.keyboard.press('Escape');
    await settled(page);
    const stopped = await seen(page);
    await page.fill('#tokens', '5');
    await page.click('#generate');
    await page.waitForFunction(() => document.querySelector('#count').textContent === '5');
    await settled(page);
    return { during, stopped, after: await seen(page) };
  },

  /** Stop while it waits for an answer to `method`: HEAD looks for the files, GET loads them. */
  async abandon(page) {
    const held = await hold(page, '**/*.onnx', asked.method);
    await prepare(page, asked);
    await page.click('#generate');
    await held.come;
    await page.click('#stop');
    await settled(page);
    held.release();
    await page.waitForTimeout(300);
    const stopped = { ...(await seen(page)), workers: page.workers().length };
    await page.click('#generate');
    await page.waitForFunction(() => document.querySelector('#status').textContent.startsWith('Done'));
    return { stopped, after: await seen(page) };
  },

  /** Ask for a text before the page knows the bundle, and once it does. */
  async early(page) {
    const held = await hold(page, '**/manifest.json', 'GET');
    await page.reload();
    await held.come;
    await page.fill('#prompt', asked.prompt);
    await page.keyboard.press('Control+Enter');
    const early = { ...(await seen(page)), disabled: await page.isDisabled('#generate') };
    held.release();
    await prepare(page, asked);
    await page.keyboard.press('Control+Enter');
    await settled(page);
    return { early, after: await seen(page) };
  },

  /** Empty a number that is needed, then one that is not; send the form from a field. */
  async numbers(page) {
    await prepare(page, asked);
    const empty = {};
    await page.click('label.switch');
    for (const id of ['tokens', 'penalty', 'temperature']) {
      const had = await page.inputValue(`#${id}`);
      await page.fill(`#${id}`, '');
      await page.click('#generate');
      empty[id] = await seen(page);
      if (id !== 'temperature') await page.fill(`#${id}`, had);
    }
    await page.click('label.switch');
    await page.press('#penalty', 'Enter');
    const during = await seen(page);
    await settled(page);
    const without = await seen(page);
    await page.click('label.switch');
    await page.fill('#temperature', '0.75');
    await page.click('#generate');
    await settled(page);
    return { empty, during, without, varied: await seen(page) };
  },

  /** Meet a worker that dies while it writes, then one that does not answer, then a good one. */
  async lose(page) {
    await prepare(page, { ...asked, prompt: 'die' });
    await page.click('#generate');
    await failed(page);
    const died = await seen(page);
    await page.fill('#prompt', 'hang');
    await page.click('#generate');
    await page.waitForFunction(() => document.querySelector('#status').textContent === 'Writing');
    await page.keyboard.press('Escape');
    await page.waitForTimeout(300);
    const asking = await seen(page);
    await page.keyboard.press('Escape');
    await settled(page);
    const ended = await seen(page);
    await page.fill('#prompt', asked.prompt);
    await page.click('#generate');
    await page.waitForFunction(() => document.querySelector('#status').textContent.startsWith('Done'));
    return { died, asking, ended, after: await seen(page) };
  },

  /** Write with one variant and then with another. */
  async switch(page) {
    await prepare(page, asked);
    await page.click('#generate');
    await settled(page);
    const first = await seen(page);
    await page.selectOption('#variant', asked.other);
    await page.click('#generate');
    await page.waitForFunction((name) => document.querySelector('#by').textContent.endsWith(name), asked.other);
    await settled(page);
    return { first, second: await seen(page) };
  },

  /** Ask for what cannot be had; then, where `other` is a variant, for that. */
  async fail(page) {
    await prepare(page, asked);
    await page.click('#generate');
    await failed(page);
    const refused = await seen(page);
    if (!asked.other) return { refused };
    await page.selectOption('#variant', asked.other);
    await page.fill('#prompt', asked.otherPrompt ?? asked.prompt);
    await page.click('#generate');
    await settled(page);
    return { refused, after: await seen(page) };
  },

  /** Open it and, where there is a prompt, ask for a text. */
  async open(page) {
    await page.waitForFunction(() => document.querySelector('#variant option') || !document.querySelector('#failure').hidden);
    const found = { opened: await seen(page), disabled: await page.isDisabled('#generate') };
    if (!asked.prompt) return found;
    await page.fill('#prompt', asked.prompt);
    await page.keyboard.press('Control+Enter');
    return { ...found, pressed: await seen(page), shut: await page.isDisabled('#variant') };
  },

  /** Look at it: does all fit, can all be read, reached and named? */
  async look(page) {
    await prepare(page, asked);
    await page.click('#generate');
    await settled(page);
    await page.click('label.switch');
    const looks = await page.evaluate(look);
    const order = [];
    await page.focus('#prompt');
    for (let step = 0; step < 12; step++) {
      order.push(await page.evaluate(() => document.activeElement.id));
      await page.keyboard.press('Tab');
    }
    return { ...looks, order };
  },
};

/** Runs in the page: its width, the least contrast of its texts, controls that are small or unnamed. */
function look() {
  const numbers = (colour) => colour.match(/[\d.]+/g).map(Number);
  const light = ([r, g, b]) =>
    [r, g, b].reduce((sum, value, i) => {
      const part = value / 255;
      return sum + [0.2126, 0.7152, 0.0722][i] * (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    }, 0);
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = numbers(getComputedStyle(at).backgroundColor);
      if (colour[3] !== 0) return colour;
    }
    return [255, 255, 255];
  };
  const texts = [...document.querySelectorAll('body *')].filter(
    (e) => e.offsetParent && [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()),
  );
  const contrasts = texts.map((element) => {
    const [a, b] = [light(numbers(getComputedStyle(element).color)), light(ground(element))];
    return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), element.textContent.trim().slice(0, 30)];
  });
  const controls = [...document.querySelectorAll('button, input, select, textarea')].filter((e) => e.offsetParent);
  const touched = (e) => (e.type === 'checkbox' ? e.labels[0] : e);
  return {
    overflow: document.documentElement.scrollWidth - innerWidth,
    contrast: contrasts.sort((a, b) => a[0] - b[0])[0],
    unnamed: controls.filter((e) => !(e.labels?.length || e.textContent.trim())).map((e) => e.id),
    small: controls.filter((e) => touched(e).offsetHeight < 32).map((e) => e.id),
  };
}

const browser = await chromium.launch({
  executablePath,
  args: ['--disable-gpu', '--disable-background-networking', '--disable-component-update'],
  chromiumSandbox: process.getuid() !== 0,
});
try {
  const context = await browser.newContext({ viewport: PHONE, ...asked.context });
  const page = await context.newPage();
  const found = { errors: [], requests: [] };
  page.on('pageerror', (error) => found.errors.push(error.message));
  context.on('request', (request) => found.requests.push(request.url()));
  page.setDefaultTimeout(120_000);
  await page.goto(url);
  Object.assign(found, await SCENARIOS[asked.scenario](page));
  if (asked.screenshot) await page.screenshot({ path: asked.screenshot, fullPage: true });
  console.log(JSON.stringify(found));
} finally {
  await browser.close();
}
