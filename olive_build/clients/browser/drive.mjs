// Opens a page in headless Chromium and has it answer a question of ../requests.mjs.
//
//   node --preserve-symlinks-main .clients/drive.mjs CHROMIUM URL < question.json > answer.json
//
// CHROMIUM is the browser's program, URL that of page.html. A page that asks another host for anything
// is refused it, and that is an error. With `device` webgpu the GPU is SwiftShader, a program: it says
// whether results are right, and nothing of speed. Exit code 1, with the reason on standard error.
import { json } from 'node:stream/consumers';
import { chromium } from 'playwright-core';

const QUIET = ['--disable-background-networking', '--disable-component-update', '--disable-sync', '--no-first-run'];
const SOFTWARE_GPU = [
  '--enable-unsafe-webgpu',
  '--use-webgpu-adapter=swiftshader',
  '--enable-features=Vulkan',
  '--use-vulkan=swiftshader',
  '--use-angle=swiftshader',
  '--ignore-gpu-blocklist',
];

/** Return the page's answer. Throws what the page throws. */
async function ask(executablePath, url, question) {
  const gpu = question.device === 'webgpu' ? SOFTWARE_GPU : ['--disable-gpu'];
  const browser = await chromium.launch({
    executablePath,
    args: [...QUIET, ...gpu],
    chromiumSandbox: process.getuid?.() !== 0, // the sandbox refuses root
  });
  try {
    const page = await browser.newPage();
    const elsewhere = [];
    const { origin } = new URL(url);
    await page.route(
      (asked) => asked.origin !== origin && asked.protocol.startsWith('http'),
      (route) => (elsewhere.push(route.request().url()), route.abort()),
    );
    await page.goto(url);
    await page.waitForFunction(() => window.answer || window.failure, undefined, { timeout: 0 });
    const found = await page.evaluate(
      (asked) => window.answer?.(asked) ?? Promise.reject(new Error(window.failure)),
      question,
    );
    if (elsewhere.length) throw new Error(`the page asked another host: ${elsewhere.join(', ')}`);
    return found;
  } finally {
    await browser.close();
  }
}

const [executable, url] = process.argv.slice(2);
try {
  const question = await json(process.stdin);
  console.log(JSON.stringify(await ask(executable, url, question)));
} catch (error) {
  console.error(`error: ${error.message}`);
  process.exitCode = 1;
}
