// Files of events: made with the client, from a path and from a buffer, read back by header and by link.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { loggedIn } from '../helpers.js';

/** Bytes of every value, and every chance of a boundary in them. */
const CONTENT = Buffer.from(Array.from({ length: 300_000 }, (_, i) => (i * 7 + (i >> 8)) % 256));
const SHA_256 = createHash('sha256').update(CONTENT).digest('base64');

async function withStream (name) {
  const { connection } = await loggedIn(name);
  await connection.apiOne('streams.create', { id: 'files', name: 'Files' });
  return connection;
}

/** What a link without a header gives. */
async function fetched (connection, event, attachment, options) {
  const url = `${connection.endpoint}events/${event.id}/${attachment.id}/${encodeURIComponent(attachment.fileName)}`;
  return fetch(`${url}?readToken=${attachment.readToken}`, options);
}

test('an event is created with a file of the disk', async () => {
  const connection = await withStream('file');
  const folder = await mkdtemp(path.join(tmpdir(), 'coreward-'));
  try {
    const file = path.join(folder, 'photo.jpg');
    await writeFile(file, CONTENT);
    const { event } = await connection.createEventWithFile({ type: 'picture/attached', streamIds: ['files'] }, file);
    const [attachment] = event.attachments;
    assert.equal(attachment.fileName, 'photo.jpg');
    assert.equal(attachment.size, CONTENT.length);
    assert.equal(attachment.integrity, `sha256-${SHA_256}`);
    const response = await fetched(connection, event, attachment);
    assert.equal(response.status, 200);
    assert.deepEqual(Buffer.from(await response.arrayBuffer()), CONTENT);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test('an event is created with a file from a buffer, and read back by link, header and range', async () => {
  const connection = await withStream('buffer');
  const { event } = await connection.createEventWithFileFromBuffer(
    { type: 'file/attached', streamIds: ['files'] }, CONTENT, 'naïve file.bin');
  const [attachment] = event.attachments;
  assert.equal(attachment.fileName, 'naïve file.bin');
  const response = await fetched(connection, event, attachment);
  assert.equal(response.status, 200);
  assert.equal(response.headers.get('content-length'), String(CONTENT.length));
  assert.equal(response.headers.get('digest'), `SHA-256=${SHA_256}`);
  assert.equal(response.headers.get('content-disposition'), "attachment; filename*=UTF-8''na%C3%AFve%20file.bin");
  assert.deepEqual(Buffer.from(await response.arrayBuffer()), CONTENT);

  const part = await fetched(connection, event, attachment, { headers: { Range: 'bytes=100000-100099' } });
  assert.equal(part.status, 206);
  assert.deepEqual(Buffer.from(await part.arrayBuffer()), CONTENT.subarray(100_000, 100_100));

  const url = `${connection.endpoint}events/${event.id}/${attachment.id}`;
  assert.equal((await fetch(url, { headers: { Authorization: connection.token } })).status, 200);
  assert.equal((await fetch(url)).status, 401);
  assert.equal((await fetch(`${url}?auth=${connection.token}`)).status, 401);
});

test('files are added to an event, removed from it, and gone with it', async () => {
  const connection = await withStream('added');
  const event = await connection.apiOne('events.create', { type: 'file/attached', streamIds: ['files'] }, 'event');
  const form = new FormData();
  form.append('first', new Blob([CONTENT], { type: 'application/octet-stream' }), 'first.bin');
  form.append('second', new Blob(['second'], { type: 'text/plain' }), 'second.txt');
  const url = `${connection.endpoint}events/${event.id}`;
  const answer = await fetch(url, { method: 'POST', headers: { Authorization: connection.token }, body: form });
  assert.equal(answer.status, 200);
  const [first, second] = (await answer.json()).event.attachments;
  assert.equal(await (await fetched(connection, event, second)).text(), 'second');

  const left = await connection.apiOne('events.deleteAttachment', { id: event.id, fileId: first.id }, 'event');
  assert.deepEqual(left.attachments.map((attachment) => attachment.id), [second.id]);
  assert.equal((await fetched(connection, event, first)).status, 404);

  await connection.apiOne('events.delete', { id: event.id });
  assert.equal((await fetched(connection, event, second)).status, 200);
  await connection.apiOne('events.delete', { id: event.id });
  assert.equal((await fetched(connection, event, second)).status, 404);
});

test('an upload that is refused is answered although the client is still sending', async () => {
  const connection = await withStream('refused');
  const access = await connection.apiOne('accesses.create', {
    name: 'reader', permissions: [{ streamId: 'files', level: 'read' }],
  }, 'access');
  const form = new FormData();
  form.append('event', JSON.stringify({ type: 'file/attached', streamIds: ['files'] }));
  form.append('file', new Blob([Buffer.alloc(20_000_000)]), 'large.bin');
  const url = `${connection.endpoint}events`;
  const answer = await fetch(url, { method: 'POST', headers: { Authorization: access.token }, body: form });
  assert.equal(answer.status, 403);
  assert.equal((await answer.json()).error.id, 'forbidden');
});
