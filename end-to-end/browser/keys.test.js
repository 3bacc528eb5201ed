// An environment's keys: seen when somebody wants to, renewed, with a time for the old one; and access tokens.
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

/** The status that a poll with this SDK key is answered with. */
async function pollWith(key) {
  const answer = await fetch(`${service.url}/sdk/latest-all`, { headers: { authorization: key } });
  await answer.arrayBuffer();
  return answer.status;
}

for (const javaScriptEnabled of [true, false]) {
  test(`keys are masked until they are shown, ${javaScriptEnabled ? 'with' : 'without'} script`, async () => {
    const page = await signedIn(browser, service, { javaScriptEnabled });
    await page.goto('/ui/demo/staging/keys');
    assert.doesNotMatch(await page.content(), /sdk-demo-staging|mob-demo-staging/);
    assert.match(await page.locator('#client').innerText(), /demo-staging/);
    await page.getByRole('link', { name: 'Show the SDK key' }).click();
    await page.getByText('sdk-demo-staging', { exact: true }).waitFor();
    assert.doesNotMatch(await page.content(), /mob-demo-staging/);
    await page.getByRole('link', { name: 'Hide the SDK key' }).click();
    await page.getByRole('link', { name: 'Show the SDK key' }).waitFor();
    assert.doesNotMatch(await page.content(), /sdk-demo-staging/);
    assert.deepEqual(page.complaints, []);
  });
}

test('a new SDK key counts at once, and the old one for as long as was chosen', async () => {
  const page = await signedIn(browser, service);
  await page.goto('/ui/demo/staging/keys');
  const renew = async (keep) => {
    await page.locator('#sdk summary').click();
    await page.getByLabel('The old one').selectOption({ label: keep });
    await page.getByRole('button', { name: 'Make a new SDK key' }).click();
    await page.getByText('The new key counts from now on.').waitFor();
    return page.locator('#sdk .key-line code').innerText();
  };
  const second = await renew('counts on for an hour');
  assert.match(await page.locator('#sdk .aside').innerText(), /counts until/);
  assert.deepEqual([await pollWith('sdk-demo-staging'), await pollWith(second)], [200, 200]);
  const third = await renew('stops at once');
  assert.deepEqual([await pollWith(second), await pollWith(third)], [401, 200]);
  assert.deepEqual(page.complaints, []);
});

test('a deleted access token stops working', async () => {
  const made = await rest(service, 'POST', '/tokens', { name: 'short-lived', role: 'reader' });
  const ask = () => fetch(`${service.url}/api/v2/projects`, { headers: { authorization: made.token } });
  assert.equal((await ask()).status, 200);
  const page = await signedIn(browser, service);
  await page.goto('/ui/demo/production/tokens');
  const row = page.getByRole('row', { name: 'short-lived' });
  await row.locator('summary').click();
  await row.getByRole('button', { name: 'Delete the token short-lived' }).click();
  await page.getByRole('row', { name: 'short-lived' }).waitFor({ state: 'detached' });
  assert.equal((await ask()).status, 401);
  assert.deepEqual(page.complaints, []);
});
