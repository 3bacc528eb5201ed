// Users seen: found by what is known of them, never when anonymous, and shown with every flag's value.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { eventually, openPage, seen, sendEvents, signIn, signedIn, startBrowser, startService } from './support.js';

let service, browser;
before(async () => {
  service = await startService();
  browser = await startBrowser();
  await sendEvents(service, 'production', [
    seen({ key: 'ada', name: 'Ada Lovelace', email: 'ada@example.com', country: 'NO', plan: 'pro', logins: 42 }),
    seen({ key: 'u-17', firstName: 'Grace', lastName: 'Hopper', email: 'Grace@navy.example', _meta: { redactedAttributes: ['plan'] } }),
    seen({ key: 'ghost', name: 'Ada Anonymous', email: 'ghost@example.com', anonymous: true }),
  ]);
});
after(async () => {
  await browser?.close();
  await service?.stop();
});

const names = (page) => page.locator('tbody .name-line > a').allInnerTexts();
const words = async (locator) => (await locator.innerText()).replace(/\s+/g, ' ').trim();

/** The users page, once the events are counted. */
async function usersPage(options) {
  const page = await signedIn(browser, service, options, '/ui/demo/production/users');
  await eventually('the users are counted', async () => {
    await page.reload();
    return (await names(page)).length === 2;
  });
  return page;
}

test('users are found by e-mail, name and key while typing, anonymous ones never', async () => {
  const page = await usersPage();
  assert.match(await page.locator('#count').innerText(), /^2 users seen, and 1 anonymous ones? that (is|are) only counted$/);
  const find = async (text, expected) => {
    await page.getByRole('searchbox').fill(text);
    await eventually(`${text} finds ${expected}`, async () => String(await names(page)) === String(expected));
  };
  await find('grace@navy', ['Grace Hopper']);
  await find('ADA@EXAMPLE.COM', ['Ada Lovelace']);
  await find('hop', ['Grace Hopper']);
  await find('u-17', ['Grace Hopper']);
  await find('ada', ['Ada Lovelace']);
  await find('ghost', []);
  await page.getByText('No user matches “ghost”').waitFor();
  assert.deepEqual(page.complaints, []);
});

test('a user’s page shows attributes and every flag’s value with its reason', async () => {
  const page = await usersPage();
  await page.getByRole('link', { name: 'Ada Lovelace' }).click();
  await page.getByRole('heading', { name: 'Ada Lovelace' }).waitFor();
  const attributes = await words(page.locator('.attributes'));
  assert.match(attributes, /country NO/);
  assert.match(attributes, /logins 42/);
  const row = (name) => page.getByRole('row').filter({ has: page.getByRole('link', { name, exact: true }) });
  assert.match(await words(row('Checkout redesign')), /Old checkout false The flag is off/);
  assert.match(await words(row('Wish lists')), /Shown true Is an individual target/);
  assert.match(await words(row('Shipping banner')), /Next-day delivery next-day Rule 1 matched If plan is one of pro or business/);
  assert.match(await words(row('New payments')), /New provider true The default rule/);
  await row('Shipping banner').getByRole('link', { name: 'Rule 1 matched' }).click();
  assert.ok(page.url().endsWith('/flags/shipping-banner#rule-1'));
  assert.deepEqual(page.complaints, []);
});

test('what hangs on a private attribute is not guessed', async () => {
  const page = await usersPage();
  await page.goto('/ui/demo/production/users/u-17');
  const row = page.getByRole('row').filter({ has: page.getByRole('link', { name: 'Shipping banner' }) });
  assert.match(await words(row), /Not known Cannot be known: hangs on plan, which the program keeps private/);
  assert.match(await words(page.locator('.attributes')), /plan private, never sent/);
  assert.deepEqual(page.complaints, []);
});

test('an environment without users says how to get one, with its own key', async () => {
  const page = await signedIn(browser, service, {}, '/ui/demo/staging/users');
  await page.getByRole('heading', { name: 'No users seen in Staging yet' }).waitFor();
  const snippet = await page.locator('pre').innerText();
  assert.ok(snippet.includes('sdk-demo-staging') && snippet.includes(service.url), snippet);
  assert.deepEqual(page.complaints, []);
});

test('an anonymous user has no page', async () => {
  const page = await signedIn(browser, service);
  const answer = await page.goto('/ui/demo/production/users/ghost');
  assert.equal(answer.status(), 404);
  await page.getByText('No user “ghost” was seen in Production').waitFor();
  assert.deepEqual(page.complaints, []);
});

test('users are found without script', async () => {
  const page = await openPage(browser, service, { javaScriptEnabled: false });
  await signIn(page, '/ui/demo/production/users');
  await page.getByRole('searchbox').fill('grace@navy.example');
  await page.getByRole('searchbox').press('Enter');
  assert.deepEqual(await names(page), ['Grace Hopper']);
});
