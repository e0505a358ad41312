// node src/main.mjs CONFIGURATION.json
//
// Serves both dialects on loopback and prints `ready ADDRESS`. The configuration:
//   port      0 for any
//   control   whether tests may rotate keys, forget who was introduced and have notices sent
//   google    client_id, client_secret, redirect_uris
//   apple     client_id, team_id, key_id, public_key (PEM), redirect_uris

import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';

import { readText } from './body.mjs';
import * as dialects from './dialects.mjs';
import { IdentityProvider } from './identity.mjs';

const HOST = '127.0.0.1';

const configuration = JSON.parse(await readFile(process.argv[2], 'utf8'));
const accounts = JSON.parse(await readFile(new URL('accounts.json', import.meta.url), 'utf8'));
const providers = new Map();
const server = createServer(serve);

server.listen(configuration.port ?? 0, HOST, async () => {
  const base = `http://${HOST}:${server.address().port}`;
  for (const name of ['google', 'apple']) {
    const dialect = dialects[name](configuration[name]);
    const provider = new IdentityProvider(name, `${base}/${name}`, dialect, accounts[name]);
    await provider.rotateKeys();
    providers.set(name, provider);
  }
  console.log(`ready ${base}`);
});
process.on('SIGTERM', () => process.exit(0));

async function serve(request, response) {
  const { pathname } = new URL(request.url, `http://${HOST}`);
  const [, name, ...rest] = pathname.split('/');
  const provider = providers.get(name);
  try {
    if (provider) await provider.serve(request, response, `/${rest.join('/')}`);
    else if (name === 'control' && configuration.control) await control(request, response, rest);
    else response.writeHead(404).end();
  } catch (error) {
    console.error(error);
    if (!response.headersSent) response.writeHead(500);
    response.end();
  }
}

/** POST /control/PROVIDER/rotate-keys | forget | notice */
async function control(request, response, [name, verb]) {
  const provider = providers.get(name);
  if (!provider || request.method !== 'POST') return response.writeHead(404).end();
  if (verb === 'rotate-keys') await provider.rotateKeys();
  if (verb === 'forget') provider.introduced.clear();
  if (verb === 'notice') return response.end(await provider.notice(JSON.parse(await readText(request))));
  return response.writeHead(204).end();
}
