// Every page and state in light and dark, on a desktop and a phone: accessible, within its width, and kept
// as a picture in end-to-end/artefacts for people to look at.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { after, before, test } from 'node:test';
import { DESKTOP, PHONE, eventually, openPage, picture, seen, sendEvents, signedIn, startBrowser, startService, summary } from './support.js';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];

// Where each page is, and what has to be done to see a state of it.
const PAGES = [
  ['flags', '/ui/demo/production/flags'],
  ['flags-staging', '/ui/demo/staging/flags'],
  ['flags-nothing-found', '/ui/demo/production/flags?q=zebra'],
  ['flags-confirm', '/ui/demo/production/flags', async (page) => {
    await page.getByRole('switch', { name: 'Search ranking' }).click();
    await page.locator('#dialog form').waitFor();
  }],
  ['flags-refused', '/ui/demo/staging/flags', async (page) => {
    await page.locator('input[name=version]').first().evaluate((input) => { input.value = '1'; });
    await page.getByRole('switch').first().click();
    await page.locator('#notice .notice').waitFor();
  }],
  ['confirm', '/ui/demo/production/flags/wish-lists/switch?on=false&from=flag'],
  ['flag', '/ui/demo/production/flags/wish-lists'],
  ['flag-off', '/ui/demo/production/flags/checkout-redesign'],
  ['flag-split', '/ui/demo/production/flags/instant-refunds'],
  ['flag-rules', '/ui/demo/production/flags/shipping-banner'],
  ['flag-json', '/ui/demo/production/flags/recommendations'],
  ['users', '/ui/demo/production/users'],
  ['users-empty', '/ui/demo/staging/users'],
  ['user', '/ui/demo/production/users/ada'],
  ['user-private', '/ui/demo/production/users/grace'],
  ['keys', '/ui/demo/production/keys'],
  ['tokens', '/ui/demo/production/tokens'],
  ['events', '/ui/demo/production/events'],
  ['menu-environment', '/ui/demo/production/users', async (page) => {
    if (await page.getByRole('button', { name: 'Menu' }).isVisible()) await page.getByRole('button', { name: 'Menu' }).click();
    await page.locator('.switcher summary').click();
  }],
  ['menu-account', '/ui/demo/production/users', (page) => page.getByLabel('Account').click()],
  ['menu-theme', '/ui/demo/production/users', (page) => page.getByLabel('Theme').click()],
  ['trouble', '/ui/demo/production/flags/no-such-flag'],
];

let service, browser;
before(async () => {
  service = await startService();
  browser = await startBrowser();
  await sendEvents(service, 'production', [
    seen({ key: 'ada', name: 'Ada Lovelace', email: 'ada@example.com', country: 'NO', plan: 'pro', groups: ['staff', 'beta'] }),
    seen({ key: 'grace', firstName: 'Grace', lastName: 'Hopper', email: 'grace@navy.example', _meta: { redactedAttributes: ['plan', '/address/street'] } }),
    seen({ key: 'a-rather-long-key-0123456789-0123456789-0123456789-0123456789', email: 'somebody-with-a-long-address@long-domain-name.example' }),
    seen({ key: 'nobody', anonymous: true }),
    summary('search-ranking-v2', [241, 963]), summary('shipping-banner', [1200, 340, 22]), summary('exports-enabled', [18, 0]),
    summary('wish-lists', [12, 4022]), summary('recommendations', [77, 80]), summary('checkout-redesign', [0, 50310]),
  ]);
  const page = await signedIn(browser, service, {}, '/ui/demo/production/users');
  await eventually('the events are counted', async () => {
    await page.reload();
    return (await page.locator('tbody tr').count()) === 3;
  });
  await page.context().close();
});
after(async () => {
  await browser?.close();
  await service?.stop();
});

/** Keeps a picture of the page, and gives what is wrong with it. */
async function look(page, name) {
  const wider = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  await picture(page, name);
  // Through the debugger, which the content security policy does not bind.
  await page.evaluate(axe);
  const { violations } = await page.evaluate((tags) => globalThis.axe.run({ runOnly: tags }), RULES);
  const found = violations.map(({ id, nodes }) => `${name}: ${id}: ${nodes.map((node) => `${node.html} (${node.failureSummary})`).join('\n  ')}`);
  return wider === 0 ? found : [...found, `${name} is ${wider} pixels wider than the screen`];
}

for (const colorScheme of ['light', 'dark']) {
  for (const [size, viewport] of [['desktop', DESKTOP], ['phone', PHONE]]) {
    test(`every page is accessible and fits, ${colorScheme} on a ${size}`, async () => {
      const door = await openPage(browser, service, { viewport, colorScheme });
      await door.goto('/ui/sign-in');
      const found = await look(door, `sign-in-${size}-${colorScheme}`);
      await door.context().close();

      const page = await signedIn(browser, service, { viewport, colorScheme, reducedMotion: 'reduce' });
      for (const [name, path, act] of PAGES) {
        await page.goto(path);
        await act?.(page);
        found.push(...(await look(page, `${name}-${size}-${colorScheme}`)));
      }
      assert.deepEqual(found, []);
      assert.deepEqual(page.complaints, []);
      await page.context().close();
    });
  }
}

test('every page fits at 200 % zoom and with the rail folded', async () => {
  // A desktop window zoomed to twice the size shows half as many pixels of CSS.
  for (const viewport of [{ width: 640, height: 400 }, { width: 900, height: 700 }]) {
    const page = await signedIn(browser, service, { viewport, deviceScaleFactor: 2 });
    for (const [name, path] of PAGES) {
      await page.goto(path);
      const wider = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert.equal(wider, 0, `${name} at ${viewport.width}`);
    }
    await page.goto('/ui/demo/production/flags');
    await picture(page, `flags-at-${viewport.width}`);
    assert.deepEqual(page.complaints, []);
    await page.context().close();
  }
});

test('nothing moves for who asked for less motion', async () => {
  const page = await signedIn(browser, service, { reducedMotion: 'reduce' });
  const moving = await page.evaluate(() =>
    [...document.querySelectorAll('*')].filter((element) => parseFloat(getComputedStyle(element).transitionDuration) > 0).length,
  );
  assert.equal(moving, 0);
});

test('the style sheet and all script weigh less than 60 kB as sent', async () => {
  const page = await signedIn(browser, service);
  const paths = await page.locator('link[rel=stylesheet], script').evaluateAll((all) => all.map((element) => element.href || element.src));
  assert.equal(paths.length, 4);
  let weight = 0;
  for (const path of paths) {
    const answer = await page.request.get(path, { headers: { 'accept-encoding': 'gzip' } });
    assert.match(answer.headers()['cache-control'], /immutable/, path);
    weight += Number(answer.headers()['content-length']);
  }
  assert.ok(weight > 10_000 && weight < 60_000, `${weight} bytes`);
});
