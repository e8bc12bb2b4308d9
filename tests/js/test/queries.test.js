// Stream queries and conditions on content, as the client sends them: in batches, over GET, streamed.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loggedIn } from '../helpers.js';

const FRAME = { fromTime: 0, toTime: 1_000, limit: 100, sortAscending: true };

async function filled (prefix) {
  const { service, connection } = await loggedIn(prefix);
  const event = (time, streamIds, content, clientData) =>
    ({ method: 'events.create', params: { time, streamIds, type: 'my-own/type', content, clientData } });
  const results = await connection.api([
    { method: 'streams.create', params: { id: 'body', name: 'Body' } },
    { method: 'streams.create', params: { id: 'heart', name: 'Heart', parentId: 'body' } },
    { method: 'streams.create', params: { id: 'work', name: 'Work' } },
    event(1, ['body'], { device: { id: 'a' }, value: 1 }),
    event(2, ['heart'], { device: { id: 'b' }, value: 20 }, { 'my-app:state': 'open' }),
    event(3, ['work'], { device: { id: 'abc' }, value: 300 }),
    event(4, ['heart', 'work'], 'text'),
  ]);
  assert.ok(results.every((result) => result.error == null), JSON.stringify(results));
  return { service, connection };
}

async function timesOf (connection, query) {
  const inBatch = await connection.apiOne('events.get', { ...FRAME, ...query }, 'events');
  const overGet = await connection.get('events', { ...FRAME, ...stringified(query) });
  const streamed = [];
  await connection.getEventsStreamed({ ...FRAME, ...stringified(query) }, (event) => streamed.push(event.time));
  const times = inBatch.map((event) => event.time);
  assert.deepEqual(overGet.events.map((event) => event.time), times, JSON.stringify(query));
  assert.deepEqual(streamed, times, JSON.stringify(query));
  return times;
}

/** Objects go into a query string as JSON. */
function stringified (query) {
  return Object.fromEntries(Object.entries(query).map(([name, value]) => [name, JSON.stringify(value)]));
}

test('stream queries combine any, all and not', async () => {
  const { connection } = await filled('queries');
  const of = (streams) => timesOf(connection, { streams });
  assert.deepEqual(await of(['body']), [1, 2, 4]);
  assert.deepEqual(await of([{ any: ['body'], not: ['heart'] }]), [1]);
  assert.deepEqual(await of([{ any: ['body!'] }, { any: ['work'], not: ['body'] }]), [1, 3]);
  assert.deepEqual(await of([{ any: ['*'], not: ['work'] }]), [1, 2]);
  assert.deepEqual(await of([{ any: ['body', 'work'], all: ['heart', 'work'] }]), [4]);
});

test('service information announces conditions on content, and they hold', async () => {
  const { service, connection } = await filled('conditions');
  assert.equal((await service.info()).features.contentQueries, true);
  const of = (query) => timesOf(connection, query);
  assert.deepEqual(await of({ content: [{ path: 'device.id', eq: 'a' }] }), [1]);
  assert.deepEqual(await of({ content: [{ path: 'device.id', prefix: 'a' }] }), [1, 3]);
  assert.deepEqual(await of({ content: [{ path: 'value', gt: 1 }, { path: 'value', lte: 300 }] }), [2, 3]);
  assert.deepEqual(await of({ content: [{ path: '$', eq: 'text' }] }), [4]);
  assert.deepEqual(await of({ clientData: [{ path: 'my-app:state', in: ['open', 'closed'] }] }), [2]);
  const wrong = await connection.api([{ method: 'events.get', params: { content: [{ path: 'value', like: 'x' }] } }]);
  assert.deepEqual([wrong[0].error.id, wrong[0].error.data], ['invalid-parameters-format', 'content']);
});
