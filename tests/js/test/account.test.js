// A person comes to the platform: service information, registration, login.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import pryv from 'pryv';
import { appId, createUser, loggedIn, newService, newUsername, password } from '../helpers.js';

test('service information names the URLs and the series feature', async () => {
  const service = newService();
  const info = await service.info();
  assert.match(info.register, /\/reg\/$/);
  assert.match(info.access, /\/reg\/access\/$/);
  assert.ok(info.api.includes('{username}'));
  assert.match(info.version, /^\d+\.\d+\.\d+/);
  assert.equal(await service.supportsHF(), true);
  assert.equal(await service.isDnsLess(), true);
});

test('a created user exists and is told the endpoint to log in at', async () => {
  const service = newService();
  const username = newUsername('created');
  assert.equal(await service.userExists(username), false);
  const created = await createUser(service, username);
  assert.equal(created.username, username);
  assert.equal(await service.userExists(username), true);
  assert.equal(created.apiEndpoint, await service.apiEndpointFor(username));
  const info = await (await service.login(username, password, appId)).accessInfo();
  assert.equal(info.user.username, username);
  assert.equal(info.type, 'personal');
});

test('a taken user name is refused with both conflicts named', async () => {
  const service = newService();
  const username = newUsername('taken');
  await createUser(service, username);
  await assert.rejects(createUser(service, username), (error) => {
    assert.equal(error.id, pryv.ERRORS.ITEM_ALREADY_EXISTS);
    assert.equal(error.status, 409);
    return true;
  });
});

test('a login gives a connection and a wrong password does not', async () => {
  const { service, username, connection } = await loggedIn('login');
  assert.equal(await connection.username(), username);
  assert.equal((await connection.accessInfo()).name, appId);
  await assert.rejects(service.login(username, `not-${password}`, appId));
});

test('an endpoint with a wrong token is refused', async () => {
  const { service, username } = await loggedIn('wrong');
  const endpoint = await service.apiEndpointFor(username, 'not-a-token');
  const answer = await new pryv.Connection(endpoint).accessInfo();
  assert.equal(answer.error.id, pryv.ERRORS.INVALID_ACCESS_TOKEN);
});
