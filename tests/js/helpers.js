// What the tests of all clients share: where the server is, and a user of its own for each test file.

import assert from 'node:assert/strict';
import pryv from 'pryv';

const url = process.env.COREWARD_URL;
assert.ok(url, 'COREWARD_URL names the server, for example http://127.0.0.1:3000');

export const serviceInfoUrl = `${url}/reg/service/info`;
export const appId = 'coreward-client-tests';
export const password = 'a-good-passphrase-1';

export function newService () {
  return new pryv.Service(serviceInfoUrl);
}

export function newUsername (prefix) {
  return `${prefix}-${Date.now().toString(36)}${Math.floor(Math.random() * 1e6).toString(36)}`;
}

/** Creates a user the way an application does and returns what it was told. */
export async function createUser (service, username) {
  const email = `${username}@example.com`;
  return service.createUser({ username, password, email, hosting: 'auto', appId });
}

/** A new user and a connection with the personal token of a login. */
export async function loggedIn (prefix) {
  const service = newService();
  const username = newUsername(prefix);
  await createUser(service, username);
  const connection = await service.login(username, password, appId);
  return { service, username, connection };
}
