// High-frequency series.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loggedIn } from '../helpers.js';

async function createSeries (connection, type) {
  const [, created] = await connection.api([
    { method: 'streams.create', params: { id: 'signal', name: 'Signal' } },
    { method: 'events.create', params: { streamIds: ['signal'], type, time: 1_700_000_000 } },
  ]);
  return created.event;
}

/** As deepEqual, but it names the first difference instead of printing both lists. */
function assertSamePoints (actual, expected) {
  assert.equal(actual.length, expected.length);
  expected.forEach((point, i) => assert.deepEqual(actual[i], point, `point ${i}`));
}

test('points are added to a series event and read back', async () => {
  const { connection } = await loggedIn('series');
  const event = await createSeries(connection, 'series:mass/kg');
  assert.deepEqual(event.content.fields, ['deltaTime', 'value']);

  // Steps of 1/128 s are exact in binary and in nanoseconds.
  const points = Array.from({ length: 10_000 }, (_, i) => [i / 128, Math.sin(i / 1_000)]);
  for (let from = 0; from < points.length; from += 1_000) {
    const result = await connection.addPointsToHFEvent(event.id, ['deltaTime', 'value'], points.slice(from, from + 1_000));
    assert.equal(result.status, 'ok');
  }
  const series = await connection.get(`events/${event.id}/series`);
  assert.equal(series.format, 'flatJSON');
  assert.deepEqual(series.fields, ['deltaTime', 'value']);
  assertSamePoints(series.points, points);

  const part = await connection.get(`events/${event.id}/series`, { fromDeltaTime: 10, toDeltaTime: 20 });
  assertSamePoints(part.points, points.slice(1_280, 2_560));
});

test('points of a composite type keep their optional columns', async () => {
  const { connection } = await loggedIn('position');
  const event = await createSeries(connection, 'series:position/wgs84');
  const fields = ['deltaTime', 'latitude', 'longitude', 'speed'];
  const points = [[0, 46.52, 6.63, 1.4], [0.5, 46.53, 6.64, null]];
  assert.equal((await connection.addPointsToHFEvent(event.id, fields, points)).status, 'ok');
  const series = await connection.get(`events/${event.id}/series`);
  const column = (name) => series.points.map((point) => point[series.fields.indexOf(name)]);
  assert.deepEqual(column('latitude'), [46.52, 46.53]);
  assert.deepEqual(column('speed'), [1.4, null]);
});

test('several series are written by one call', async () => {
  const { connection } = await loggedIn('many');
  const first = await createSeries(connection, 'series:mass/kg');
  const second = await connection.apiOne('events.create', { streamIds: ['signal'], type: 'series:mass/kg' }, 'event');
  const data = [first, second].map(({ id }, i) => ({
    eventId: id, data: { format: 'flatJSON', fields: ['deltaTime', 'value'], points: [[0, i], [1, i + 1]] },
  }));
  assert.equal((await connection.post('series/batch', { format: 'seriesBatch', data })).status, 'ok');
  assert.deepEqual((await connection.get(`events/${second.id}/series`)).points, [[0, 1], [1, 2]]);
});

test('a bad point is refused and nothing of its post is stored', async () => {
  const { connection } = await loggedIn('refused');
  const event = await createSeries(connection, 'series:mass/kg');
  await assert.rejects(connection.addPointsToHFEvent(event.id, ['deltaTime', 'value'], [[0, 1], [1, true]]));
  assert.deepEqual((await connection.get(`events/${event.id}/series`)).points, []);
});

test('200,000 points fit into one request and one answer', async () => {
  const { connection } = await loggedIn('large');
  const event = await createSeries(connection, 'series:mass/kg');
  const points = Array.from({ length: 200_000 }, (_, i) => [i, i % 1_000]);
  assert.equal((await connection.addPointsToHFEvent(event.id, ['deltaTime', 'value'], points)).status, 'ok');
  assertSamePoints((await connection.get(`events/${event.id}/series`)).points, points);
});
