// The list of flags: found, turned on and off, and what programs get of it.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { eventually, flagsOf, openPage, rest, sendEvents, signIn, signedIn, startBrowser, startService, summary } from './support.js';

let service, browser;
before(async () => {
  service = await startService();
  browser = await startBrowser();
});
after(async () => {
  await browser?.close();
  await service?.stop();
});

const row = (page, name) => page.getByRole('row').filter({ has: page.getByRole('link', { name, exact: true }) });
const toggle = (page, name) => row(page, name).getByRole('switch');
const names = (page) => page.locator('tbody .name-line > a').allInnerTexts();
const isOn = async (environment, key) => (await flagsOf(service, environment))[key].on;

test('the list names every flag with its state, and counts them', async () => {
  const page = await signedIn(browser, service);
  const expected = Object.keys(await flagsOf(service, 'production'));
  assert.equal((await names(page)).length, expected.length);
  assert.equal(await page.locator('#count').innerText(), `${expected.length} flags`);
  assert.deepEqual((await page.locator('tbody code').allInnerTexts()).sort(), expected.sort());
  assert.equal(await toggle(page, 'Checkout redesign').getAttribute('aria-checked'), 'false');
  assert.equal(await toggle(page, 'Wish lists').getAttribute('aria-checked'), 'true');
  assert.match(await row(page, 'Wish lists').innerText(), /On/);
  assert.deepEqual(page.complaints, []);
});

test('one click turns a flag on where nothing has to be confirmed, and programs get it', async () => {
  const page = await signedIn(browser, service, {}, '/ui/demo/staging/flags');
  const before = await isOn('staging', 'checkout-redesign');
  await toggle(page, 'Checkout redesign').click();
  await page.locator('#said', { hasText: `Checkout redesign is now ${before ? 'off' : 'on'} in Staging.` }).waitFor();
  assert.equal(await toggle(page, 'Checkout redesign').getAttribute('aria-checked'), String(!before));
  assert.equal(await isOn('staging', 'checkout-redesign'), !before);
  assert.match(await row(page, 'Checkout redesign').innerText(), /just now[^]*by Demo Owner/);
  // The swapped switch works as well as the first, and has the focus still.
  assert.equal(await page.evaluate(() => document.activeElement.getAttribute('role')), 'switch');
  await page.keyboard.press('Space');
  await page.locator('#said', { hasText: `is now ${before ? 'on' : 'off'}` }).waitFor();
  assert.equal(await isOn('staging', 'checkout-redesign'), before);
  assert.deepEqual(page.complaints, []);
});

test('production asks once more, says what would happen, and keeps the reason', async () => {
  const page = await signedIn(browser, service);
  await toggle(page, 'Checkout redesign').click();
  const dialog = page.getByRole('dialog', { name: 'Turn on Checkout redesign in Production?' });
  await dialog.waitFor();
  assert.match(await dialog.innerText(), /Now everyone gets\s+Old checkout false/);
  assert.match(await dialog.innerText(), /Then for everyone: serve New checkout \(true\)/);
  await dialog.getByRole('link', { name: 'Cancel' }).click();
  await dialog.waitFor({ state: 'hidden' });
  assert.equal(await isOn('production', 'checkout-redesign'), false);

  await toggle(page, 'Checkout redesign').click();
  await dialog.waitFor();
  await page.keyboard.press('Escape');
  await dialog.waitFor({ state: 'hidden' });
  assert.equal(await isOn('production', 'checkout-redesign'), false);

  await toggle(page, 'Checkout redesign').click();
  await dialog.getByLabel('Why').fill('The launch is today');
  await dialog.getByRole('button', { name: 'Turn on in Production' }).click();
  await page.locator('#said', { hasText: 'Checkout redesign is now on in Production.' }).waitFor();
  await dialog.waitFor({ state: 'hidden' });
  assert.equal(await toggle(page, 'Checkout redesign').getAttribute('aria-checked'), 'true');
  assert.equal(await isOn('production', 'checkout-redesign'), true);

  await page.getByRole('link', { name: 'Checkout redesign', exact: true }).click();
  await page.getByText('The launch is today').waitFor();
  assert.match(await page.locator('.history').innerText(), /Turned it on\s+just now[^]* by Demo Owner/);
  assert.deepEqual(page.complaints, []);
});

test('a flip against a newer state is refused and says what to do', async () => {
  const page = await signedIn(browser, service, {}, '/ui/demo/staging/flags');
  const before = await isOn('staging', 'shipping-banner');
  const kind = before ? 'turnFlagOff' : 'turnFlagOn';
  const patch = { environmentKey: 'staging', instructions: [{ kind }] };
  await rest(service, 'PATCH', '/flags/demo/shipping-banner', patch, 'application/json; domain-model=launchdarkly.semanticpatch');
  await toggle(page, 'Shipping banner').click();
  await page.locator('#notice', { hasText: 'Somebody was faster' }).waitFor();
  assert.match(await page.locator('#notice').innerText(), /Nothing was changed\. Load the page again/);
  assert.equal(await isOn('staging', 'shipping-banner'), !before);
  assert.deepEqual(page.complaints, []);
});

test('a flag that is gone says so', async () => {
  await rest(service, 'POST', '/flags/demo', { key: 'short-lived', name: 'Short-lived' });
  const page = await signedIn(browser, service, {}, '/ui/demo/staging/flags');
  await rest(service, 'DELETE', '/flags/demo/short-lived');
  await toggle(page, 'Short-lived').click();
  await page.locator('#notice', { hasText: 'There is nothing here' }).waitFor();
  assert.match(await page.locator('#notice').innerText(), /There is no flag “short-lived” in project “demo”/);
  assert.deepEqual(page.complaints, []);
});

test('the list is searched while typing, by name, key and tag', async () => {
  const page = await signedIn(browser, service);
  const find = async (text, expected) => {
    await page.getByRole('searchbox').fill(text);
    await eventually(`${text} finds ${expected}`, async () => String(await names(page)) === String(expected));
  };
  await page.keyboard.press('/');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'search');
  await find('RANKING', ['Search ranking, second version']);
  assert.match(await page.locator('#count').innerText(), /^1 of \d+ flags$/);
  await find('wish-lists', ['Wish lists']);
  await find('payments', ['Instant refunds', 'New payments']);
  await find('payments instant', ['Instant refunds']);
  await find('zebra', []);
  await page.getByText('No flag matches “zebra”').waitFor();
  assert.ok(page.url().endsWith('?q=zebra'));
  await page.getByRole('link', { name: 'Show all flags' }).click();
  await page.getByRole('link', { name: 'Wish lists' }).waitFor();
  assert.deepEqual(page.complaints, []);
});

test('the last hour shows what was counted, by variation', async () => {
  await sendEvents(service, 'production', [summary('recommendations', [1204, 96]), summary('recommendations', [0, 4])]);
  const page = await signedIn(browser, service);
  const text = await eventually('the counts', async () => {
    await page.reload();
    const text = await row(page, 'Recommendations').innerText();
    return text.includes('1,304') && text;
  });
  assert.match(text, /Popular, four\s+1,204/);
  assert.match(text, /Personal, eight\s+100/);
  assert.match(text, /Active/);
  assert.equal(await row(page, 'Recommendations').locator('.bar rect:not(.ground)').count(), 2);
  assert.deepEqual(page.complaints, []);
});

test('everything works without script', async () => {
  const page = await openPage(browser, service, { javaScriptEnabled: false });
  await signIn(page, '/ui/demo/staging/flags');
  const search = page.getByRole('searchbox');
  await search.fill('exports');
  await search.press('Enter');
  assert.deepEqual(await names(page), ['Exports enabled']);

  // Staging: one click, and back to the same search.
  const before = await isOn('staging', 'exports-enabled');
  await toggle(page, 'Exports enabled').click();
  assert.equal(await page.getByRole('status').first().innerText(), `Exports enabled is now ${before ? 'off' : 'on'} in Staging.`);
  assert.deepEqual(await names(page), ['Exports enabled']);
  assert.equal(await isOn('staging', 'exports-enabled'), !before);

  // Production: a page that asks.
  await page.goto('/ui/demo/production/flags/wish-lists');
  await page.getByRole('switch').click();
  await page.getByRole('heading', { name: 'Turn off Wish lists in Production?' }).waitFor();
  assert.equal(await isOn('production', 'wish-lists'), true);
  await page.getByLabel('Why').fill('Without script');
  await page.getByRole('button', { name: 'Turn off in Production' }).click();
  assert.equal(new URL(page.url()).pathname, '/ui/demo/production/flags/wish-lists');
  assert.equal(await page.getByRole('status').first().innerText(), 'Wish lists is now off in Production.');
  assert.equal(await isOn('production', 'wish-lists'), false);
  assert.match(await page.locator('#flag').innerText(), /The flag is off: everyone gets/);

  // The environment is changed by links, the theme by a form.
  await page.getByLabel('Theme').click();
  await page.getByRole('button', { name: 'Dark' }).click();
  assert.equal(await page.locator('html').getAttribute('data-theme'), 'dark');
  assert.equal(new URL(page.url()).pathname, '/ui/demo/production/flags/wish-lists');
  await page.locator('.switcher summary').click();
  await page.locator('.switcher').getByRole('link', { name: 'Staging' }).click();
  assert.equal(new URL(page.url()).pathname, '/ui/demo/staging/flags/wish-lists');
});

test('the keyboard alone finds, opens and flips a flag', async () => {
  const page = await signedIn(browser, service, {}, '/ui/demo/staging/flags');
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Skip to content');
  await page.keyboard.press('Enter');
  // The browser follows a link within the page a moment later, and until then Tab goes on from the link.
  await page.waitForFunction(() => location.hash && document.activeElement.textContent !== 'Skip to content');
  await page.keyboard.press('Tab');
  const focus = page.locator(':focus');
  assert.equal(await focus.getAttribute('role'), 'switch');
  const outline = await focus.evaluate((element) => getComputedStyle(element).outlineStyle);
  assert.equal(outline, 'solid');
  const before = await focus.getAttribute('aria-checked');
  await page.keyboard.press('Enter');
  await page.locator('#said', { hasText: 'in Staging.' }).waitFor();
  assert.notEqual(await page.locator(':focus').getAttribute('aria-checked'), before);
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: /^Targeting in Staging/ }).waitFor();
  await page.keyboard.press('g');
  await page.keyboard.press('u');
  await page.getByRole('heading', { name: 'Users', exact: true }).waitFor();
  await page.keyboard.press('g');
  await page.keyboard.press('f');
  await page.getByRole('heading', { name: 'Flags', exact: true }).waitFor();
  assert.deepEqual(page.complaints, []);
});

test('the theme changes at once and stays', async () => {
  const page = await signedIn(browser, service);
  const ground = () => page.evaluate(() => getComputedStyle(document.body.parentElement).backgroundColor);
  const light = await ground();
  await page.getByLabel('Theme').click();
  const remembered = page.waitForResponse((answer) => answer.url().endsWith('/ui/theme') && answer.status() === 204);
  await page.getByRole('button', { name: 'Dark' }).click();
  await remembered;
  const dark = await ground();
  assert.notEqual(dark, light);
  await page.reload();
  assert.equal(await ground(), dark);
  assert.deepEqual(page.complaints, []);
});

test('a copied key is said aloud', async () => {
  const page = await signedIn(browser, service, { permissions: ['clipboard-read', 'clipboard-write'] }, '/ui/demo/staging/flags/wish-lists');
  await page.getByRole('button', { name: 'Copy the key wish-lists' }).click();
  await page.locator('#said', { hasText: 'Copied wish-lists' }).waitFor();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), 'wish-lists');
  assert.deepEqual(page.complaints, []);
});
