// The door: who may come in, where they land, and how they leave.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { eventually, openPage, picture, signedIn, startBrowser, startService } from './support.js';

let service, browser;
before(async () => {
  service = await startService();
  browser = await startBrowser();
});
after(async () => {
  await browser?.close();
  await service?.stop();
});

test('whoever is not signed in is sent to the door and back to where they wanted to go', async () => {
  const page = await openPage(browser, service);
  await page.goto('/ui/demo/staging/flags?q=banner');
  await page.getByRole('heading', { name: 'Sign in' }).waitFor();
  await page.getByLabel('E-mail address').fill('demo@example.com');
  await page.getByLabel('Password').fill('demo');
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: 'Flags' }).waitFor();
  assert.equal(new URL(page.url()).pathname + new URL(page.url()).search, '/ui/demo/staging/flags?q=banner');
  assert.deepEqual(page.complaints, []);
});

test('the demo says how to sign in, and the front leads to the door', async () => {
  const page = await openPage(browser, service);
  await page.goto('/');
  assert.equal(new URL(page.url()).pathname, '/ui/sign-in');
  assert.match(await page.locator('main').innerText(), /demo@example\.com with the password demo/);
  assert.deepEqual(page.complaints, []);
});

test('a wrong password is refused in words, and the e-mail address stays', async () => {
  const page = await openPage(browser, service, { javaScriptEnabled: false });
  await page.goto('/ui/sign-in');
  await page.getByLabel('E-mail address').fill('demo@example.com');
  await page.getByLabel('Password').fill('wrong');
  await page.getByRole('button', { name: 'Sign in' }).click();
  assert.equal(await page.getByRole('alert').innerText(), 'The e-mail address or the password is wrong.');
  assert.equal(await page.getByLabel('E-mail address').inputValue(), 'demo@example.com');
  await page.goto('/ui/demo/production/flags');
  assert.equal(new URL(page.url()).pathname, '/ui/sign-in');
});

test('nobody is led away from here after signing in', async () => {
  const page = await openPage(browser, service);
  await page.goto(`/ui/sign-in?next=${encodeURIComponent('//example.com/')}`);
  await page.getByLabel('E-mail address').fill('demo@example.com');
  await page.getByLabel('Password').fill('demo');
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('heading', { name: 'Flags' }).waitFor();
  assert.ok(page.url().startsWith(service.url));
  assert.deepEqual(page.complaints, []);
});

test('who signs out has to sign in again', async () => {
  const page = await signedIn(browser, service);
  await page.getByLabel('Account').click();
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByRole('heading', { name: 'Sign in' }).waitFor();
  await page.goBack();
  await page.reload();
  await page.getByRole('heading', { name: 'Sign in' }).waitFor();
  assert.deepEqual(page.complaints, []);
});

test('the session cookie is out of reach of script and of other sites', async () => {
  const page = await signedIn(browser, service);
  const session = (await page.context().cookies()).find((cookie) => cookie.name === 'flagstaff_session');
  assert.equal(session.httpOnly, true);
  assert.equal(session.sameSite, 'Lax');
  assert.deepEqual(page.complaints, []);
});

test('the first owner signs in by a link, chooses a password, and is told how to begin', async () => {
  const fresh = await startService([]);
  try {
    const file = join(fresh.data, 'first-sign-in');
    const link = await eventually('the link', () => existsSync(file) && readFileSync(file, 'utf8').trim());
    const page = await openPage(browser, fresh);
    await page.goto(link);
    await page.getByRole('heading', { name: 'Choose how you sign in' }).waitFor();
    await picture(page, 'first-sign-in-desktop-light');
    await page.getByLabel('E-mail address').fill('ada@example.com');
    await page.getByLabel('Password').fill('correct horse');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('heading', { name: 'No flags yet' }).waitFor();
    assert.ok((await page.locator('pre').innerText()).includes(`${fresh.url}/api/v2/flags/default`));
    await picture(page, 'flags-empty-desktop-light');
    await page.locator('.empty').getByRole('link', { name: 'access token' }).click();
    await page.getByLabel('Name', { exact: true }).fill('First steps');
    await page.getByRole('button', { name: 'Make a token' }).click();
    await page.getByText('Copy it now: it is not shown again').waitFor();
    await picture(page, 'tokens-made-desktop-light');
    const authorization = await page.locator('#secret').innerText();
    const made = await fetch(`${fresh.url}/api/v2/flags/default`, {
      method: 'POST',
      headers: { authorization, 'content-type': 'application/json' },
      body: JSON.stringify({ key: 'first', name: 'First flag' }),
    });
    assert.equal(made.status, 201);
    await page.goto('/ui/default/production/tokens');
    assert.ok(!(await page.content()).includes(authorization), 'a token is shown once');
    assert.match(await page.getByRole('row', { name: 'First steps' }).innerText(), /writer/);
    await page.getByRole('link', { name: 'Flags', exact: true }).click();
    await page.getByRole('link', { name: 'First flag' }).waitFor();
    await page.getByRole('link', { name: 'Users' }).click();
    await page.getByRole('heading', { name: 'No users seen in Production yet' }).waitFor();
    assert.match(await page.locator('pre').innerText(), /"sdk-[0-9a-f-]{36}"/);

    const second = await openPage(browser, fresh);
    await second.goto(link);
    await second.getByText('This sign-in link was used already or is too old').waitFor();
    await second.goto('/ui/sign-in');
    assert.doesNotMatch(await second.locator('main').innerText(), /demo/);
    await second.getByLabel('E-mail address').fill('ADA@example.com');
    await second.getByLabel('Password').fill('correct horse');
    await second.getByRole('button', { name: 'Sign in' }).click();
    await second.getByRole('link', { name: 'First flag' }).waitFor();
    assert.deepEqual([...page.complaints, ...second.complaints], []);
  } finally {
    await fresh.stop();
  }
});
