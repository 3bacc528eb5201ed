// A real service, a real browser, and what the tests do with both again and again.
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const root = join(dirname(fileURLToPath(import.meta.url)), '../..');
const artefacts = join(root, 'end-to-end/artefacts');

// Ten times what is expected: a slow machine is no failure.
export const PATIENCE_MS = 30_000;
export const DESKTOP = { width: 1280, height: 800 };
export const PHONE = { width: 360, height: 740 };

// The program under test: a given one, or the workspace's, built when it is not up to date.
let built;
function binary() {
  if (process.env.FLAGSTAFF_BINARY) return process.env.FLAGSTAFF_BINARY;
  if (!built) {
    const messages = execFileSync(
      'cargo',
      ['build', '--quiet', '--package', 'flagstaff-cli', '--message-format', 'json-render-diagnostics'],
      { cwd: root, encoding: 'utf8', maxBuffer: 64 << 20, stdio: ['ignore', 'pipe', 'inherit'] },
    );
    built = messages
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line))
      .find((message) => message.executable && message.target.name === 'flagstaff').executable;
  }
  return built;
}

/** Starts a service on a free port, with a data folder of its own: the demo, unless `options` are others. */
export function startService(options = ['--demo']) {
  return start('serve', options);
}

/** Starts a relay in front of a demo, staging in secure mode: where SDKs find the same as there. */
export function startRelay(service) {
  const environments = ['production', 'staging'].flatMap((name) => [
    '--environment',
    `name=${name},sdk-key=sdk-demo-${name},mobile-key=mob-demo-${name},client-side-id=demo-${name},secure-mode=${name === 'staging'}`,
  ]);
  return start('relay', ['--upstream', service.url, ...environments]);
}

async function start(command, options) {
  const data = mkdtempSync(join(tmpdir(), 'flagstaff-browser-'));
  const service = spawn(binary(), [command, ...options, '--listen', '127.0.0.1:0', '--data', data], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let log = '';
  service.stderr.on('data', (text) => (log += text));
  const url = await new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`flagstaff ${command} does not start:\n${log}`)), PATIENCE_MS);
    service.once('exit', (code) => reject(new Error(`flagstaff ${command} ended with ${code}:\n${log}`)));
    createInterface(service.stdout).on('line', (line) => {
      const found = /^listening on (http:\S+)/.exec(line);
      if (found) {
        clearTimeout(late);
        resolve(found[1]);
      }
    });
  });
  const stop = async () => {
    const ended = new Promise((resolve) => service.once('exit', resolve));
    const late = setTimeout(() => service.kill('SIGKILL'), PATIENCE_MS);
    if (service.exitCode === null && service.kill('SIGTERM')) await ended;
    clearTimeout(late);
    rmSync(data, { recursive: true, force: true });
  };
  return { url, stop, data };
}

/** Starts the system's browser. */
export function startBrowser() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: [
      '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
      '--disable-background-networking', '--disable-component-update', '--disable-sync',
    ],
  });
}

/**
 * Opens a page that writes down everything a page should not do: `page.complaints` are console errors,
 * violations of the content security policy, script errors, dialogs, and requests to anywhere else.
 */
export async function openPage(browser, service, options = {}) {
  const context = await browser.newContext({ baseURL: service.url, viewport: DESKTOP, ...options });
  context.setDefaultTimeout(PATIENCE_MS);
  const page = await context.newPage();
  page.complaints = [];
  page.on('console', (message) => {
    // A refused request is the browser's way to report a status that a test asked for.
    const expected = /Failed to load resource: the server responded with a status of (401|403|404|409|422|429)/;
    if (['error', 'warning'].includes(message.type()) && !expected.test(message.text())) {
      page.complaints.push(`console: ${message.text()}`);
    }
  });
  page.on('pageerror', (error) => page.complaints.push(`script: ${error.message}`));
  page.on('dialog', (dialog) => {
    page.complaints.push(`dialog: ${dialog.message()}`);
    dialog.dismiss().catch(() => {});
  });
  page.on('request', (request) => {
    if (!request.url().startsWith(service.url)) page.complaints.push(`request: ${request.url()}`);
  });
  return page;
}

/** Signs in with the demo's login and waits for the flags. */
export async function signIn(page, to = '/ui/') {
  await page.goto(to);
  await page.getByLabel('E-mail address').fill('demo@example.com');
  await page.getByLabel('Password').fill('demo');
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('navigation', { name: 'Breadcrumb' }).waitFor();
}

/** A signed-in page. */
export async function signedIn(browser, service, options = {}, to = '/ui/') {
  const page = await openPage(browser, service, options);
  await signIn(page, to);
  return page;
}

/** What a server-side SDK of an environment gets. */
export async function flagsOf(service, environment) {
  const answer = await fetch(`${service.url}/sdk/latest-all`, { headers: { authorization: `sdk-demo-${environment}` } });
  if (answer.status !== 200) throw new Error(`/sdk/latest-all answered ${answer.status}`);
  return (await answer.json()).flags;
}

/** Sends events as an SDK does. */
export async function sendEvents(service, environment, events) {
  const answer = await fetch(`${service.url}/bulk`, {
    method: 'POST',
    headers: {
      authorization: `sdk-demo-${environment}`,
      'content-type': 'application/json',
      'x-launchdarkly-event-schema': '4',
      'x-launchdarkly-payload-id': crypto.randomUUID(),
    },
    body: JSON.stringify(events),
  });
  if (answer.status !== 202) throw new Error(`/bulk answered ${answer.status}`);
}

/** An event that tells of a user. */
export function seen(user) {
  return { kind: 'index', creationDate: Date.now(), context: { kind: 'user', ...user } };
}

/** Evaluations of a flag, as an SDK sums them up: `counts` by variation. */
export function summary(flag, counts) {
  const now = Date.now();
  const counters = counts.map((count, variation) => ({ variation, value: null, version: 1, count }));
  return { kind: 'summary', startDate: now - 1000, endDate: now, features: { [flag]: { default: null, contextKinds: ['user'], counters } } };
}

/** Calls the REST API with the demo's access token. */
export async function rest(service, method, path, body, contentType = 'application/json') {
  const answer = await fetch(`${service.url}/api/v2${path}`, {
    method,
    headers: { authorization: 'api-demo', 'content-type': contentType },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(`${method} ${path} answered ${answer.status}: ${await answer.text()}`);
  return answer.status === 204 ? null : answer.json();
}

/** Turns a flag on or off in the service, and waits until it is so at `place`, where SDKs ask. */
export async function turn(service, flag, environment, on, place = service) {
  await rest(service, 'PATCH', `/flags/demo/${flag}`, {
    environmentKey: environment,
    instructions: [{ kind: on ? 'turnFlagOn' : 'turnFlagOff' }],
  }, 'application/json; domain-model=launchdarkly.semanticpatch');
  await eventually(`${flag} is turned`, async () => (await flagsOf(place, environment))[flag].on === on);
}

/** How often a custom event, a click or a page view is counted, as far as the service has added it up. */
export function counted(service, event) {
  const ask = `import sqlite3, sys; found = sqlite3.connect(sys.argv[1]).execute(
    'SELECT coalesce(sum(count), 0) FROM custom_count WHERE event_key = ?', sys.argv[2:]); print(found.fetchone()[0])`;
  return Number(execFileSync('python3', ['-c', ask, join(service.data, 'events.sqlite'), event], { encoding: 'utf8' }));
}

/** Waits until `check` gives something. */
export async function eventually(what, check) {
  const end = Date.now() + PATIENCE_MS;
  for (;;) {
    const found = await check();
    if (found) return found;
    if (Date.now() > end) throw new Error(`waited in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Keeps a picture of the page, for people to look at. */
export async function picture(page, name) {
  mkdirSync(artefacts, { recursive: true });
  // What floats stands in the window, not on the page.
  const floats = await page.locator('dialog[open], .rail:popover-open').count();
  await page.screenshot({ path: join(artefacts, `${name}.png`), fullPage: floats === 0 });
}
