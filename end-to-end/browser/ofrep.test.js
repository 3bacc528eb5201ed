// OpenFeature's own providers for its remote evaluation protocol: in a page, and in a server program.
import assert from 'node:assert/strict';
import { createReadStream, existsSync } from 'node:fs';
import { createServer } from 'node:http';
import { dirname, join, normalize } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { OpenFeature } from '@openfeature/server-sdk';
import { OFREPProvider } from '@openfeature/ofrep-provider';
import { openPage, startBrowser, startRelay, startService, turn } from './support.js';

const here = dirname(fileURLToPath(import.meta.url));
const nested = '@openfeature/ofrep-web-provider/node_modules/@openfeature/ofrep-core/index.esm.js';
const core = existsSync(join(here, 'node_modules', nested)) ? nested : '@openfeature/ofrep-core/index.esm.js';
const PAGE = `<!doctype html><title>OFREP</title><link rel="icon" href="data:,">
  <script type="importmap">${JSON.stringify({ imports: {
    '@openfeature/core': '/@openfeature/core/dist/esm/index.js',
    '@openfeature/web-sdk': '/@openfeature/web-sdk/dist/esm/index.js',
    '@openfeature/ofrep-core': `/${core}`,
    '@openfeature/ofrep-web-provider': '/@openfeature/ofrep-web-provider/index.esm.js',
  } })}</script>
  <script type="module">
    import { OpenFeature } from '@openfeature/web-sdk';
    import { OFREPWebProvider } from '@openfeature/ofrep-web-provider';
    window.start = async (url, key, context) => {
      const fetchImplementation = (...request) => fetch(...request);
      const provider = new OFREPWebProvider({ baseUrl: url, pollInterval: 500, fetchImplementation, headers: [['Authorization', 'Bearer ' + key]] });
      await OpenFeature.setProviderAndWait(provider, context);
      window.client = OpenFeature.getClient();
    };
  </script>`;

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
    const file = join(here, 'node_modules', normalize(request.url));
    if (request.url.endsWith('.js') && existsSync(file)) {
      response.setHeader('content-type', 'text/javascript');
      createReadStream(file).pipe(response);
    } else {
      response.statusCode = request.url === '/' ? 200 : 404;
      response.setHeader('content-type', 'text/html');
      response.end(request.url === '/' ? PAGE : '');
    }
  });
  await new Promise((resolve) => pages.listen(0, '127.0.0.1', resolve));
  origin = `http://127.0.0.1:${pages.address().port}`;
});

after(async () => {
  await OpenFeature.close();
  await browser?.close();
  pages?.closeAllConnections();
  pages?.close();
  await relay?.stop();
  await service?.stop();
});

const flip = (on, place) => turn(service, 'checkout-redesign', 'production', on, place);

// Asked for at the service itself, and at a relay in front of it.
for (const [through, at] of [['', () => service], [', through a relay', () => relay]]) {
  test(`OpenFeature in a page: values by remote evaluation, and their changes${through}`, async () => {
    await flip(false, at());
    const page = await openPage(browser, { url: origin });
    await page.goto(`${origin}/`);
    await page.waitForFunction(() => window.start);
    await page.evaluate(([url, context]) => window.start(url, 'demo-production', context), [at().url, { targetingKey: 'ann', plan: 'pro' }]);
    const details = await page.evaluate(() => window.client.getBooleanDetails('checkout-redesign', true));
    assert.deepEqual([details.value, details.reason, details.errorCode], [false, 'DISABLED', undefined]);
    assert.equal(await page.evaluate(() => window.client.getStringValue('there-is-none', 'default')), 'default');
    await flip(true, at());
    await page.waitForFunction(() => window.client.getBooleanValue('checkout-redesign', false));
    await page.context().close();
  });

  test(`OpenFeature in a server program: values by remote evaluation${through}`, async () => {
    await flip(true, at());
    await OpenFeature.setProviderAndWait(new OFREPProvider({ baseUrl: at().url, headers: [['Authorization', 'Bearer sdk-demo-production']] }));
    const client = OpenFeature.getClient();
    const details = await client.getBooleanDetails('checkout-redesign', false, { targetingKey: 'ann' });
    assert.deepEqual([details.value, details.errorCode], [true, undefined]);
    const missing = await client.getBooleanDetails('there-is-none', true, { targetingKey: 'ann' });
    assert.deepEqual([missing.value, missing.errorCode], [true, 'FLAG_NOT_FOUND']);
    const nobody = await client.getBooleanDetails('checkout-redesign', false, {});
    assert.deepEqual([nobody.value, nobody.errorCode], [false, 'TARGETING_KEY_MISSING']);
  });
}
