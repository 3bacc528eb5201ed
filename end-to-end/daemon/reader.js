// The same as reader.py on LaunchDarkly's Node.js SDK, from Redis alone.

import { init } from '@launchdarkly/node-server-sdk';
import { RedisBigSegmentStore, RedisFeatureStore } from '@launchdarkly/node-server-sdk-redis';

const { REDIS_URL, PREFIX, FLAGS, USER_KEY, FLAGSTAFF_URL, STALE_AFTER } = process.env;
const { hostname, port } = new URL(REDIS_URL);
const place = { redisOpts: { host: hostname, port: Number(port) }, prefix: PREFIX };

// Its cache keeps whatever is asked for again within this time, so what follows must ask less often.
const CACHE_SECONDS = 0.05;

const bigSegments = {
  store: RedisBigSegmentStore(place),
  userCacheTime: CACHE_SECONDS,
  statusPollInterval: 0.1,
  staleAfter: Number(STALE_AFTER ?? 120),
};
const source = FLAGSTAFF_URL
  ? { baseUri: FLAGSTAFF_URL, streamUri: FLAGSTAFF_URL, eventsUri: FLAGSTAFF_URL }
  : { featureStore: RedisFeatureStore({ ...place, cacheTTL: 0 }), useLdd: true };

const client = init('sdk-demo-production', { ...source, bigSegments, sendEvents: false });
const user = { kind: 'user', key: USER_KEY };
let stopping = false;
process.on('SIGTERM', () => {
  stopping = true;
});

async function seen() {
  const everything = {};
  for (const key of FLAGS.split(',')) {
    const { value, reason } = await client.variationDetail(key, user, null);
    everything[key] = [value, reason.errorKind ?? reason.kind, reason.bigSegmentsStatus ?? null];
  }
  const { available, stale } = await client.bigSegmentStoreStatusProvider.requireStatus();
  everything.status = [available, stale];
  return JSON.stringify(everything);
}

await client.waitForInitialization({ timeout: 10 }).catch(() => {});
let shown;
while (!stopping) {
  const sees = await seen();
  if (sees !== shown) {
    console.log(`sees ${sees}`);
    shown = sees;
  }
  await new Promise((resolve) => setTimeout(resolve, 2_000 * CACHE_SECONDS));
}
client.close();
process.exit(0);
