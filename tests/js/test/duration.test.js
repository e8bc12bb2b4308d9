// The duration of a series event follows its points, some ten seconds after the last write.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { loggedIn } from '../helpers.js';

/** Far more than the 10 s that the specification gives; a loaded machine is no failure. */
const WAIT_MS_MAX = 90_000;

test('the duration becomes the time of the last point, in seconds, and the author is an access', async () => {
  const { connection } = await loggedIn('duration');
  const [, created] = await connection.api([
    { method: 'streams.create', params: { id: 'signal', name: 'Signal' } },
    { method: 'events.create', params: { streamIds: ['signal'], type: 'series:mass/kg', time: 1_700_000_000 } },
  ]);
  const { id, createdBy } = created.event;
  await connection.addPointsToHFEvent(id, ['deltaTime', 'value'], [[0, 1], [2.5, 2]]);
  const event = await eventually(() => connection.apiOne('events.getOne', { id }, 'event'), (event) => event.duration);
  assert.equal(event.duration, 2.5);
  assert.equal(event.modifiedBy, createdBy);
  assert.ok(event.modified > created.event.modified);
});

async function eventually (ask, isEnough) {
  const until = Date.now() + WAIT_MS_MAX;
  for (;;) {
    const answer = await ask();
    if (isEnough(answer) || Date.now() > until) return answer;
    await pause(250);
  }
}
