// The official SDKs for browsers, as they are, in a page of another origin: today's and the one before.
import assert from 'node:assert/strict';
import { createReadStream } from 'node:fs';
import { createServer } from 'node:http';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createHmac } from 'node:crypto';
import { counted, eventually, openPage, rest, startBrowser, startRelay, startService, turn } from './support.js';

const here = dirname(fileURLToPath(import.meta.url));
const FILES = {
  '/3.js': 'node_modules/launchdarkly-js-client-sdk/dist/ldclient.min.js',
  '/4.js': 'node_modules/@launchdarkly/js-client-sdk/dist/index.js',
};
const PAGES = {
  // The SDK before is a script that makes a global, today's is a module.
  '/3': '<!doctype html><title>3</title><link rel="icon" href="data:,"><script src="/3.js"></script>',
  '/4': `<!doctype html><title>4</title><link rel="icon" href="data:,">
    <script type="module">import * as sdk from '/4.js'; window.sdk = sdk;</script>`,
};
const ANN = { kind: 'user', key: 'ann-in-a-browser', email: 'ann@example.com', name: 'Ann' };

let service;
let relay;
let browser;
let pages;
let origin;

before(async () => {
  service = await startService();
  relay = await startRelay(service);
  browser = await startBrowser();
  pages = createServer((request, response) => {
    if (FILES[request.url]) {
      response.setHeader('content-type', 'text/javascript');
      createReadStream(join(here, FILES[request.url])).pipe(response);
    } else {
      response.statusCode = PAGES[request.url] ? 200 : 404;
      response.setHeader('content-type', 'text/html');
      response.end(PAGES[request.url]);
    }
  });
  await new Promise((resolve) => pages.listen(0, '127.0.0.1', resolve));
  origin = `http://127.0.0.1:${pages.address().port}`;
});

after(async () => {
  await browser?.close();
  pages?.closeAllConnections();
  pages?.close();
  await relay?.stop();
  await service?.stop();
});

/** Where SDKs ask: the service itself, or a relay in front of it. */
const places = [['', () => service], [', through a relay', () => relay]];

/** A page with the SDK, and in it `start(context, options)`, which gives a client that is ready, or throws. */
async function pageOf(version, place) {
  const page = await openPage(browser, { url: origin });
  await page.goto(`${origin}/${version}`);
  await page.waitForFunction(() => window.sdk ?? window.LDClient);
  await page.evaluate(({ url, version }) => {
    const addresses = { 3: { baseUrl: url, streamUrl: url, eventsUrl: url }, 4: { baseUri: url, streamUri: url, eventsUri: url } };
    window.start = async (context, { environment = 'demo-production', ...options } = {}) => {
      const all = { ...addresses[version], fetchGoals: true, flushInterval: 2000, ...options };
      if (version === 3) {
        window.client = LDClient.initialize(environment, context, all);
        await window.client.waitForInitialization(20);
      } else {
        const { hash, bootstrap, ...rest } = all;
        window.client = sdk.createClient(environment, context, rest);
        const started = await window.client.start({ timeout: 20, bootstrap, identifyOptions: { hash, bootstrap } });
        if (started.status !== 'complete') throw new Error(`${started.status}: ${started.error}`);
      }
    };
  }, { url: place.url, version });
  return page;
}

const flip = (flag, environment, on, place) => turn(service, flag, environment, on, place);

const value = (page, flag = 'checkout-redesign') =>
  page.evaluate((flag) => window.client.variation(flag, 'no value'), flag);

/** Requests to the service, which is another origin, and advice of the SDK's are no complaint here. */
const complaints = (page, place) => page.complaints.filter(
  (complaint) => !complaint.startsWith(`request: ${place.url}`) && !/^console: (warn: )?\[LaunchDarkly\]/.test(complaint),
);

for (const [through, at] of places) for (const version of [3, 4]) {
  test(`official SDK for browsers, ${version}.x${through}: values, changes by stream, another user, events`, async () => {
    await flip('checkout-redesign', 'production', false, at());
    const page = await pageOf(version, at());
    await page.evaluate((context) => window.start(context), ANN);
    assert.equal(await value(page), false);
    assert.equal(await value(page, 'there-is-none'), 'no value');

    // Who listens for changes gets a stream.
    await page.evaluate(() => {
      window.changed = [];
      window.client.on('change:checkout-redesign', () => window.changed.push(window.client.variation('checkout-redesign')));
    });
    await eventually('the stream is open', async () => {
      const metrics = await (await fetch(`${at().url}/metrics`)).text();
      return /flagstaff_streams_open\{kind="values"\} [1-9]/.test(metrics);
    });
    await flip('checkout-redesign', 'production', true, at());
    await page.waitForFunction(() => window.changed.length > 0 && window.client.variation('checkout-redesign') === true);

    // Somebody else signs in.
    await page.evaluate(() => window.client.identify({ kind: 'user', key: 'bob-in-a-browser', name: 'Bob' }));
    assert.equal(await value(page), true);

    await page.evaluate(async () => {
      window.client.track('checkout-completed', { price: 320 }, 320);
      await window.client.flush();
    });
    for (const key of [ANN.key, 'bob-in-a-browser']) {
      await eventually(`${key} is known`, async () => {
        const answer = await fetch(`${service.url}/api/v2/users/demo/production/${key}`, { headers: { authorization: 'api-demo' } });
        return answer.status === 200;
      });
    }
    assert.deepEqual(complaints(page, at()), []);
    await page.context().close();
  });

  test(`official SDK for browsers, ${version}.x${through}: in secure mode nothing without the right hash`, async () => {
    await rest(service, 'PATCH', '/projects/demo/environments/staging', [{ op: 'replace', path: '/secureMode', value: true }]);
    const environment = 'demo-staging';
    const hash = createHmac('sha256', 'sdk-demo-staging').update(ANN.key).digest('hex');
    const page = await pageOf(version, at());
    await page.evaluate(([context, options]) => window.start(context, options), [ANN, { environment, hash }]);
    assert.notEqual(await value(page), 'no value');
    await page.context().close();

    for (const wrong of [undefined, createHmac('sha256', 'sdk-demo-staging').update('bob').digest('hex')]) {
      const refused = await pageOf(version, at());
      const options = wrong ? { environment, hash: wrong } : { environment };
      await assert.rejects(refused.evaluate(([context, options]) => window.start(context, options), [ANN, options]));
      assert.equal(await value(refused), 'no value');
      await refused.context().close();
    }
  });

  test(`official SDK for browsers, ${version}.x${through}: starts from what a server gave the page`, async () => {
    const page = await pageOf(version, at());
    const bootstrap = { 'checkout-redesign': 'from the server', $flagsState: { 'checkout-redesign': { variation: 0, version: 1 } }, $valid: true };
    await page.evaluate(([context, bootstrap]) => window.start(context, { bootstrap }), [ANN, bootstrap]);
    assert.equal(await value(page), 'from the server');
    await page.context().close();
  });
}

test('official SDK for browsers, 4.x, by second-generation delivery: values, changes by stream, another user, secure mode', async () => {
  const asked = [];
  await flip('checkout-redesign', 'production', false, service);
  const page = await pageOf(4, service);
  page.on('request', (request) => asked.push(new URL(request.url()).pathname));
  await page.evaluate((context) => window.start(context, { dataSystem: {} }), ANN);
  assert.equal(await value(page), false);
  assert.equal(await value(page, 'there-is-none'), 'no value');
  await page.evaluate(() => {
    window.changed = [];
    window.client.on('change:checkout-redesign', () => window.changed.push(window.client.variation('checkout-redesign')));
  });
  await eventually('the stream is open', () => asked.some((path) => path.startsWith('/sdk/stream/eval/')));
  for (const on of [true, false, true]) {
    await flip('checkout-redesign', 'production', on, service);
    await page.waitForFunction((on) => window.changed.at(-1) === on, on);
  }
  await page.evaluate(() => window.client.identify({ kind: 'user', key: 'bob-in-a-browser', name: 'Bob' }));
  assert.equal(await value(page), true);
  await flip('checkout-redesign', 'production', false, service);
  await page.waitForFunction(() => window.client.variation('checkout-redesign') === false);
  assert.ok(asked.some((path) => path.startsWith('/sdk/poll/eval/')), 'it begins with a poll');
  assert.ok(!asked.some((path) => path.startsWith('/sdk/evalx/') || path.startsWith('/eval/')), asked.join(' '));
  assert.deepEqual(complaints(page, service), []);
  await page.context().close();

  await rest(service, 'PATCH', '/projects/demo/environments/staging', [{ op: 'replace', path: '/secureMode', value: true }]);
  const hash = createHmac('sha256', 'sdk-demo-staging').update(ANN.key).digest('hex');
  const proven = await pageOf(4, service);
  const options = { environment: 'demo-staging', hash, dataSystem: {} };
  await proven.evaluate(([context, options]) => window.start(context, options), [ANN, options]);
  assert.notEqual(await value(proven), 'no value');
  await proven.context().close();
});

for (const version of [3, 4]) {
  test(`official SDK for browsers, ${version}.x: reports the clicks and page views that metrics count`, async () => {
    const [bought, looked] = [`bought-${version}`, `looked-${version}`];
    const urls = [{ kind: 'substring', substring: `/${version}` }];
    await rest(service, 'POST', '/metrics/demo', { key: bought, kind: 'click', selector: 'button.buy', urls });
    await rest(service, 'POST', '/metrics/demo', { key: looked, kind: 'pageview', urls });
    const elsewhere = [{ kind: 'exact', url: 'https://elsewhere.example/' }];
    await rest(service, 'POST', '/metrics/demo', { key: `other-${version}`, kind: 'pageview', urls: elsewhere });
    const page = await pageOf(version, service);
    await page.evaluate(() => {
      document.body.innerHTML = '<button class="buy">Buy</button><button class="look">Look</button>';
    });
    const told = page.waitForResponse((response) => response.url().includes('/sdk/goals/'));
    await page.evaluate((context) => window.start(context), ANN);
    assert.equal((await told).status(), 200);
    // The page is known to be viewed once the SDK has read the goals; from then on it hears of clicks.
    const flushed = async (key) => {
      await page.evaluate(() => window.client.flush());
      return counted(service, key);
    };
    await eventually('the page view is counted', async () => (await flushed(looked)) === 1);
    // 3.x also says that a page was seen on which something may be clicked.
    const before = await flushed(bought);
    await page.locator('button.look').click();
    await page.locator('button.buy').click();
    await page.locator('button.buy').click();
    await eventually('the clicks are counted', async () => (await flushed(bought)) === before + 2);
    assert.equal(counted(service, `other-${version}`), 0);
    assert.deepEqual(complaints(page, service), []);
    await page.context().close();
    for (const key of [bought, looked, `other-${version}`]) await rest(service, 'DELETE', `/metrics/demo/${key}`);
  });
}
