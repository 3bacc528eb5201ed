// Watches which flags there are behind a payload filter, with the official Node.js SDK: the same lines as filtered.py.
const { createRequire } = require('node:module');
const { join } = require('node:path');

const fromExample = createRequire(join(__dirname, '../../../../examples/official-node/flip.js'));
const { init } = fromExample('@launchdarkly/node-server-sdk');

const url = process.env.FLAGSTAFF_URL;

async function main() {
  const client = init('sdk-demo-production', {
    baseUri: url, streamUri: url, eventsUri: url, payloadFilterKey: 'shop',
  });
  await client.waitForInitialization({ timeout: 10 });
  let shown;
  const watch = setInterval(async () => {
    const state = await client.allFlagsState({ kind: 'user', key: 'filtered-user' });
    const flags = JSON.stringify(Object.keys(state.allValues()).sort());
    if (flags !== shown) console.log('flags', (shown = flags));
  }, 10);
  process.on('SIGTERM', () => {
    clearInterval(watch);
    client.close();
  });
}

main();
