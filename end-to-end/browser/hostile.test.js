// Names, keys and values from strangers are shown as text, whatever they hold.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { eventually, rest, seen, sendEvents, signedIn, startBrowser, startService } from './support.js';

const PAYLOADS = [
  '<script>hit()</script>',
  '<img src=x onerror=hit()>',
  '"><svg onload=hit()>',
  "' onmouseover='hit()' x='",
  '" autofocus onfocus="hit()" x="',
  '</title></textarea></style><script>hit()</script>',
  '<details open ontoggle=hit()>',
  '{{constructor.constructor("hit()")()}}',
  'javascript:hit()',
  '<div hx-get="/ui/sign-out" hx-trigger="load" hx-on:load="hit()">',
  '<a href="javascript:hit()">x</a>',
  '<iframe srcdoc="<script>parent.hit()</script>">',
  '\u202e<b>bold</b>\u2028',
];

let service, browser, page, hits;
before(async () => {
  service = await startService();
  browser = await startBrowser();
  const tags = (index) => [`tag-${index}`];
  for (const [index, text] of PAYLOADS.entries()) {
    const variations = [{ value: text, name: text, description: text }, { value: { html: text } }];
    await rest(service, 'POST', '/flags/demo', { key: `hostile-${index}`, name: text, description: text, variations, tags: tags(index) });
    const flag = await rest(service, 'GET', `/flags/demo/hostile-${index}`);
    const instructions = [
      { kind: 'turnFlagOn' },
      { kind: 'addTargets', values: [text], variationId: flag.variations[1]._id },
      { kind: 'addRule', description: text, variationId: flag.variations[0]._id,
        clauses: [{ contextKind: 'user', attribute: 'name', op: 'in', values: [text], negate: false }] },
    ];
    const semantic = 'application/json; domain-model=launchdarkly.semanticpatch';
    await rest(service, 'PATCH', `/flags/demo/hostile-${index}`, { environmentKey: 'staging', comment: text, instructions }, semantic);
  }
  await sendEvents(service, 'staging', PAYLOADS.map((text) => seen({ key: text, name: text, email: text, [text]: text, nested: { [text]: [text] } })));
  page = await signedIn(browser, service, {}, '/ui/demo/staging/flags');
  hits = [];
  await page.exposeFunction('hit', () => hits.push(page.url()));
});
after(async () => {
  await browser?.close();
  await service?.stop();
});

/** Looks at a page, lets the pointer and the keyboard pass over it, and finds nothing but text. */
async function isInert(path) {
  await page.goto(path);
  for (const element of await page.locator('main a, main button, main summary').all()) {
    if (await element.isVisible()) await element.hover({ timeout: 500 }).catch(() => {});
  }
  await page.keyboard.press('Tab');
  const strange = await page.evaluate(() =>
    [...document.querySelectorAll('main script, main img, main iframe, [onerror], [onload], [onfocus], [onmouseover], [ontoggle], [style], [hx-on\\:load], a[href^="javascript:"]')].map(
      (element) => element.outerHTML.slice(0, 120),
    ),
  );
  assert.deepEqual(strange, [], path);
}

test('hostile names, values, rules and comments of flags are text', async () => {
  await isInert('/ui/demo/staging/flags?q=hostile');
  const shown = await page.locator('tbody .name-line > a').allTextContents();
  assert.deepEqual([...shown].sort(), [...PAYLOADS].sort());
  for (const index of PAYLOADS.keys()) await isInert(`/ui/demo/staging/flags/hostile-${index}`);
  await isInert('/ui/demo/production/flags/hostile-0/switch?on=true');
  assert.deepEqual(hits, []);
  assert.deepEqual(page.complaints, []);
});

test('hostile searches and addresses are text', async () => {
  for (const text of PAYLOADS) {
    await isInert(`/ui/demo/staging/flags?q=${encodeURIComponent(text)}zzz`);
    await isInert(`/ui/demo/staging/flags/${encodeURIComponent(text)}`);
  }
  await isInert(`/ui/sign-in/link/${encodeURIComponent(PAYLOADS[0])}`);
  assert.deepEqual(hits, []);
  assert.deepEqual(page.complaints, []);
});

test('hostile users are text, in the list and on their own pages', async () => {
  await eventually('the users are counted', async () => {
    await page.goto('/ui/demo/staging/users');
    return (await page.locator('tbody tr').count()) === PAYLOADS.length;
  });
  await isInert('/ui/demo/staging/users');
  for (const text of PAYLOADS) {
    await isInert(`/ui/demo/staging/users/${encodeURIComponent(text)}`);
    assert.equal(await page.locator('h1').textContent(), text.trim());
  }
  assert.deepEqual(hits, []);
  assert.deepEqual(page.complaints, []);
});

test('a hostile flag can be flipped, and what is said of it is text', async () => {
  await page.goto('/ui/demo/staging/flags?q=hostile-1');
  await page.getByRole('switch').first().click();
  await page.locator('#said', { hasText: 'is now off in Staging.' }).waitFor();
  assert.equal(await page.locator('#said img, #said script, #said svg').count(), 0);
  assert.deepEqual(hits, []);
  assert.deepEqual(page.complaints, []);
});
