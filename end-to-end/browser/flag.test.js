// One flag's page: what its sentences say is what the evaluator does.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { rest, signedIn, startBrowser, startService } from './support.js';

let service, browser;
before(async () => {
  service = await startService();
  browser = await startBrowser();
});
after(async () => {
  await browser?.close();
  await service?.stop();
});

const words = async (locator) => (await locator.innerText()).replace(/\s+/g, ' ').trim();

test('targeting reads as sentences in the order in which it is evaluated', async () => {
  const page = await signedIn(browser, service, {}, '/ui/demo/production/flags/wish-lists');
  const steps = page.locator('.steps > li');
  assert.equal(await steps.count(), 5);
  assert.match(await words(steps.nth(0)), /If the flag is off, everyone gets Hidden false/);
  assert.match(await words(steps.nth(1)), /Prerequisites: none/);
  assert.match(await words(steps.nth(2)), /Serve Shown true to 2 keys of kind user ada linus Serve Shown true to 1 key of kind organization acme/);
  assert.match(await words(steps.nth(3)), /Rule 1: Beta testers If the context is in the segment Beta testers, serve Shown true/);
  assert.match(await words(steps.nth(4)), /Otherwise serve Hidden false/);
  assert.deepEqual(page.complaints, []);
});

test('prerequisites are named with what they have to serve', async () => {
  const page = await signedIn(browser, service, {}, '/ui/demo/production/flags/instant-refunds');
  assert.match(await words(page.locator('.steps > li').nth(1)), /New payments must be on and serve New provider true/);
  assert.match(await words(page.locator('#otherwise')), /Otherwise serve a split by the user’s key 10 % At once true 90 % After review false/);
  await page.locator('.steps').getByRole('link', { name: 'New payments' }).click();
  await page.getByRole('heading', { name: 'New payments', exact: true }).waitFor();
  assert.deepEqual(page.complaints, []);
});

test('rules name operators, other kinds, segments, splits and experiments', async () => {
  const variations = [{ value: 'blue' }, { value: 'green', name: 'Green' }, { value: 'red' }];
  await rest(service, 'POST', '/flags/demo', { key: 'colours', name: 'Colours', variations });
  const flag = await rest(service, 'GET', '/flags/demo/colours');
  const id = (index) => flag.variations[index]._id;
  const clause = (attribute, op, values, more = {}) => ({ contextKind: 'user', attribute, op, values, negate: false, ...more });
  const instructions = [
    { kind: 'turnFlagOn' },
    { kind: 'addRule', variationId: id(0), clauses: [clause('country', 'in', ['NO', 'SE']), clause('plan', 'in', ['pro'], { negate: true })] },
    { kind: 'addRule', clauses: [clause('size', 'greaterThanOrEqual', [100], { contextKind: 'organization' })],
      rolloutContextKind: 'organization', rolloutBucketBy: 'name',
      rolloutWeights: { [id(0)]: 33333, [id(1)]: 33333, [id(2)]: 33334 } },
    { kind: 'addRule', variationId: id(2), clauses: [clause('version', 'semVerLessThan', ['2.0.0', '3.0.0-beta'])] },
  ];
  const semantic = 'application/json; domain-model=launchdarkly.semanticpatch';
  await rest(service, 'PATCH', '/flags/demo/colours', { environmentKey: 'production', comment: 'Colours by country', instructions }, semantic);

  const page = await signedIn(browser, service, {}, '/ui/demo/production/flags/colours');
  assert.match(await words(page.locator('#rule-1')), /If country is one of NO or SE and plan is not pro, serve blue A context without the attribute does not match/);
  assert.match(
    await words(page.locator('#rule-2')),
    /If the organization’s size is at least 100, serve a split by the organization’s name 33\.333 % blue 33\.333 % Green green 33\.334 % red/,
  );
  assert.match(await words(page.locator('#rule-3')), /If version is a semantic version before one of 2\.0\.0 or 3\.0\.0-beta, serve red/);
  assert.match(await words(page.locator('.history')), /Turned it on and added 3 rules just now , .* by Demo, an access token Colours by country/);
  assert.deepEqual(page.complaints, []);
});

test('the flip on a flag’s own page changes what is in force', async () => {
  const page = await signedIn(browser, service, {}, '/ui/demo/staging/flags/shipping-banner');
  await page.getByText('Read from top to bottom').waitFor();
  await page.getByRole('switch').click();
  await page.getByText('The flag is off: only the first line is in force').waitFor();
  assert.match(await words(page.locator('.steps > li').first()), /The flag is off: everyone gets No banner none/);
  assert.equal(await page.evaluate(() => document.activeElement.getAttribute('role')), 'switch');
  await page.getByRole('switch').click();
  await page.getByText('Read from top to bottom').waitFor();
  assert.deepEqual(page.complaints, []);
});

test('the page says that editing comes later and how to do it now', async () => {
  const page = await signedIn(browser, service, {}, '/ui/demo/staging/flags/shipping-banner');
  await page.getByText('Editing targeting in the browser comes later').click();
  const snippet = await page.locator('.later pre').innerText();
  assert.ok(snippet.includes(`${service.url}/api/v2/flags/demo/shipping-banner`), snippet);
  assert.deepEqual(page.complaints, []);
});

test('an unknown flag is told in words', async () => {
  const page = await signedIn(browser, service);
  const answer = await page.goto('/ui/demo/production/flags/no-such-flag');
  assert.equal(answer.status(), 404);
  await page.getByRole('heading', { name: 'There is nothing here' }).waitFor();
  await page.getByRole('link', { name: 'Go to the flags' }).click();
  await page.getByRole('heading', { name: 'Flags', exact: true }).waitFor();
  assert.deepEqual(page.complaints, []);
});
