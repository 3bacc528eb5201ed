// Watches one flag with the official Node.js SDK, pointed at Flagstaff.
//
// Prints `value <JSON>` at the start and each time the value changes, and `evaluated <count>` at the end.
// Stops after RUN_SECONDS, or at Ctrl-C.

import { init } from '@launchdarkly/node-server-sdk';

const url = process.env.FLAGSTAFF_URL ?? 'http://127.0.0.1:8030';
const sdkKey = process.env.FLAGSTAFF_SDK_KEY ?? 'sdk-demo-production';
const flagKey = process.env.FLAG_KEY ?? 'checkout-redesign';
const runSeconds = process.env.RUN_SECONDS;

const user = {
  kind: 'user',
  key: 'official-node-user',
  email: 'official-node@example.com',
  name: 'Official Node',
};

const client = init(sdkKey, { baseUri: url, streamUri: url, eventsUri: url });
let evaluated = 0;
let shown;

async function look() {
  evaluated += 1;
  const value = JSON.stringify(await client.variation(flagKey, user, 'no value'));
  if (value !== shown) {
    console.log('value', value);
    shown = value;
  }
}

async function stop() {
  await client.flush(); // Sends what has been counted.
  client.close();
  console.log('evaluated', evaluated);
  process.exit(0);
}

process.once('SIGINT', stop);
process.once('SIGTERM', stop);
if (runSeconds) setTimeout(stop, Number(runSeconds) * 1000);

try {
  await client.waitForInitialization({ timeout: 10 });
} catch (error) {
  console.error(`no flags from ${url} yet (${error.message}): is the service running? Still trying.`);
}
client.on(`update:${flagKey}`, look);
await look();
