// Streams, events in batches and streamed, accesses.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import pryv from 'pryv';
import { loggedIn } from '../helpers.js';

const EVENT_COUNT = 1_000;

/** 1,000 events, one second apart, in one batch call; returns the answers. */
async function createEvents (connection, streamId, count = EVENT_COUNT) {
  const calls = Array.from({ length: count }, (_, i) => ({
    method: 'events.create',
    params: { streamIds: [streamId], type: 'note/txt', content: `event ${i}`, time: 1_700_000_000 + i },
  }));
  return connection.api(calls);
}

test('a stream tree is created, read, changed and deleted', async () => {
  const { connection } = await loggedIn('streams');
  const [parent, child, clash] = await connection.api([
    { method: 'streams.create', params: { id: 'health', name: 'Health' } },
    { method: 'streams.create', params: { id: 'weight', name: 'Weight', parentId: 'health' } },
    { method: 'streams.create', params: { id: 'health', name: 'Other' } },
  ]);
  assert.equal(parent.stream.id, 'health');
  assert.equal(child.stream.parentId, 'health');
  assert.equal(clash.error.id, 'item-already-exists');

  const streams = await connection.apiOne('streams.get', {}, 'streams');
  const health = streams.find((stream) => stream.id === 'health');
  assert.deepEqual(health.children.map((stream) => stream.id), ['weight']);

  const renamed = await connection.apiOne('streams.update', { id: 'weight', update: { name: 'Mass' } }, 'stream');
  assert.equal(renamed.name, 'Mass');
  const trashed = await connection.apiOne('streams.delete', { id: 'weight' }, 'stream');
  assert.equal(trashed.trashed, true);
  const deleted = await connection.apiOne('streams.delete', { id: 'weight' });
  assert.deepEqual(deleted.streamDeletion, { id: 'weight' });
});

test('a batch of 1,000 calls answers each call in its order', async () => {
  const { connection } = await loggedIn('batch');
  await connection.apiOne('streams.create', { id: 'notes', name: 'Notes' });
  let progressed = 0;
  const calls = Array.from({ length: EVENT_COUNT }, (_, i) => ({
    method: 'events.create',
    params: { streamIds: [i === 500 ? 'nowhere' : 'notes'], type: 'note/txt', content: `n${i}`, time: i },
  }));
  const results = await connection.api(calls, (percent) => { progressed = percent; });
  assert.equal(progressed, 100);
  assert.equal(results.length, EVENT_COUNT);
  results.forEach((result, i) => {
    if (i === 500) {
      assert.equal(result.error.id, 'unknown-referenced-resource');
    } else {
      assert.equal(result.event.content, `n${i}`);
    }
  });
  const events = await connection.apiOne('events.get', { fromTime: 0, toTime: 2_000, limit: 2_000 }, 'events');
  assert.equal(events.length, EVENT_COUNT - 1);
});

test('streamed events arrive one by one, complete and in order', async () => {
  const { connection } = await loggedIn('streamed');
  await connection.apiOne('streams.create', { id: 'notes', name: 'Notes' });
  await createEvents(connection, 'notes', 2_500);
  const contents = [];
  const query = { fromTime: 0, toTime: 1_800_000_000, limit: 10_000, streams: ['notes'], sortAscending: true };
  const result = await connection.getEventsStreamed(query, (event) => contents.push(event.content));
  assert.equal(result.eventsCount, 2_500);
  assert.match(result.meta.apiVersion, /^\d+\.\d+\.\d+/);
  assert.deepEqual(contents, Array.from({ length: 2_500 }, (_, i) => `event ${i}`));
});

test('streamed events come with the deletions since a time', async () => {
  const { connection } = await loggedIn('deletions');
  await connection.apiOne('streams.create', { id: 'notes', name: 'Notes' });
  const created = await createEvents(connection, 'notes', 10);
  const { id } = created[3].event;
  await connection.api([{ method: 'events.delete', params: { id } }, { method: 'events.delete', params: { id } }]);
  const seen = [];
  const query = { fromTime: 0, toTime: 1_800_000_000, limit: 100, modifiedSince: 0, includeDeletions: true, streams: ['notes'] };
  const result = await connection.getEventsStreamed(query, (item) => seen.push(item));
  assert.equal(result.eventsCount, 9);
  assert.equal(result.eventDeletionsCount ?? result.eventsDeletionsCount, 1);
  assert.ok(seen.some((item) => item.id === id && item.deleted > 0));
});

test('an event is updated, trashed and deleted', async () => {
  const { connection } = await loggedIn('events');
  await connection.apiOne('streams.create', { id: 'notes', name: 'Notes' });
  const params = { streamIds: ['notes'], type: 'note/txt', content: 'first', clientData: { keep: 1, drop: 2 } };
  const event = await connection.apiOne('events.create', params, 'event');
  const update = { content: 'second', clientData: { drop: null } };
  const updated = await connection.apiOne('events.update', { id: event.id, update }, 'event');
  assert.equal(updated.content, 'second');
  assert.deepEqual(updated.clientData, { keep: 1 });
  assert.ok(updated.modified > event.modified);
  assert.equal((await connection.apiOne('events.delete', { id: event.id }, 'event')).trashed, true);
  assert.deepEqual((await connection.apiOne('events.delete', { id: event.id })).eventDeletion, { id: event.id });
});

test('an access is created and its token may do just what was granted', async () => {
  const { service, username, connection } = await loggedIn('access');
  await connection.api([
    { method: 'streams.create', params: { id: 'diary', name: 'Diary' } },
    { method: 'streams.create', params: { id: 'secret', name: 'Secret' } },
  ]);
  await createEvents(connection, 'diary', 3);
  await createEvents(connection, 'secret', 3);
  const access = await connection.apiOne('accesses.create', {
    name: 'For the doctor', type: 'shared', permissions: [{ streamId: 'diary', level: 'read' }],
  }, 'access');
  assert.ok(access.token);

  const doctor = new pryv.Connection(access.apiEndpoint, service);
  assert.equal(doctor.token, access.token);
  assert.equal(await doctor.username(), username);
  const events = await doctor.apiOne('events.get', { fromTime: 0, limit: 100 }, 'events');
  assert.deepEqual([...new Set(events.map((event) => event.streamIds.join()))], ['diary']);
  assert.equal(events.length, 3);
  const [named, written] = await doctor.api([
    { method: 'events.get', params: { streams: ['secret'] } },
    { method: 'events.create', params: { streamIds: ['diary'], type: 'note/txt', content: 'no' } },
  ]);
  assert.equal(named.error.id, 'forbidden');
  assert.equal(written.error.id, 'forbidden');

  await doctor.revoke();
  assert.equal((await doctor.accessInfo()).error.id, pryv.ERRORS.INVALID_ACCESS_TOKEN);
});
