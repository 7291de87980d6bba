// A certified OpenID provider (npm oidc-provider) on loopback, with a back door for the tests under /-/.
//
//   node oidc-provider.mjs MODULES '{"issuer": ..., "tenant": ..., "key": PEM file, "cert": PEM file}'
//
// MODULES is the folder that holds node_modules. All options may be missing or null. Prints one JSON line when ready:
// {"ready":true,"http":PORT,"https":PORT or null}.
//
//   GET  /-/stats   requests and answers by path, what was granted and refused
//   POST /-/grant   {"client_id","scope","resource"}: a first refresh token, without a browser
//   POST /-/faults  [{"path":"/token","times":2,"status":503,"headers":{},"body":""} or {"drop":true} or {"delay_ms":5}]
//                   queued; [] clears. "drop" handles the request and then cuts the connection instead of answering.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

console.info = console.warn = console.error; // stdout belongs to the ready line
const [modules, options = '{}'] = process.argv.slice(2);
const { issuer, tenant, key, cert } = JSON.parse(options);
const resolve = createRequire(`${modules}/package.json`).resolve;
const { Provider } = await import(pathToFileURL(resolve('oidc-provider')));

const OFFLINE = 'openid offline_access';
const SCOPES = 'api:read api:write';
const ttlOf = (resource) => Number(/ttl=(\d+)/.exec(resource)?.[1] ?? 3);
const machine = { redirect_uris: [], response_types: [], grant_types: ['client_credentials'] };
const user = { ...machine, grant_types: ['refresh_token', 'urn:ietf:params:oauth:grant-type:device_code'] };
const basic = { token_endpoint_auth_method: 'client_secret_basic' };
const post = { token_endpoint_auth_method: 'client_secret_post' };

const configuration = {
  clients: [
    { client_id: 'basic', client_secret: 'fake:/+%& secret', ...machine, ...basic },
    { client_id: 'post', client_secret: 'fake:/+%& secret', ...machine, ...post },
    { client_id: 'user-basic', client_secret: 'fake:/+%& secret', ...user, ...basic },
    { client_id: 'user-public', ...user, token_endpoint_auth_method: 'none' },
  ],
  scopes: [...OFFLINE.split(' '), ...SCOPES.split(' ')],
  jwks: { keys: [{ ...generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'RS256', kid: 'test' }] },
  cookies: { keys: [randomBytes(16).toString('hex')] },
  rotateRefreshToken: true,
  findAccount: (_ctx, sub) => ({ accountId: sub, claims: () => ({ sub }) }),
  ttl: {
    ClientCredentials: (_ctx, token) => token.resourceServer?.accessTokenTTL ?? 3,
    AccessToken: (_ctx, token) => token.resourceServer?.accessTokenTTL ?? 3,
    DeviceCode: 60, Grant: 600, IdToken: 60, Interaction: 60, RefreshToken: 300, Session: 600,
  },
  formats: {
    customizers: {
      jwt: (_ctx, _token, { payload }) => {
        payload.nbf = payload.iat;
        if (tenant) Object.assign(payload, { oid: payload.sub, tid: tenant });
      },
    },
  },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    deviceFlow: { enabled: true },
    introspection: { enabled: true },
    revocation: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => undefined,
      useGrantedResource: () => true,
      // https://api.example/ttl=2 is an audience whose tokens live 2 s.
      getResourceServerInfo: (_ctx, resource) => ({
        scope: SCOPES, audience: resource.replace(/\/?ttl=\d+$/, ''), accessTokenTTL: ttlOf(resource),
        accessTokenFormat: 'jwt', jwt: { sign: { alg: 'RS256' } },
      }),
    },
  },
};

const stats = { requests: {}, answers: {}, granted: {}, refused: {}, dropped: 0 };
const count = (table, name) => { table[name] = (table[name] ?? 0) + 1; };
let faults = [];

async function backDoor(provider, request, response) {
  const body = request.method === 'POST' ? JSON.parse(await text(request) || 'null') : undefined;
  const answer = (status, value) => response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
  if (request.url === '/-/stats') return answer(200, stats);
  if (request.url === '/-/faults' && body) { faults = body.length ? [...faults, ...body] : []; return answer(200, {}); }
  if (request.url === '/-/grant' && body) return answer(200, { refresh_token: await firstRefreshToken(provider, body) });
  return answer(404, {});
}

async function firstRefreshToken(provider, { client_id, scope = SCOPES, resource }) {
  const client = await provider.Client.find(client_id);
  const accountId = 'test-user';
  const grant = new provider.Grant({ clientId: client_id, accountId });
  grant.addOIDCScope(OFFLINE);
  if (resource) grant.addResourceScope(resource, scope);
  const grantId = await grant.save();
  const all = `${OFFLINE} ${scope}`;
  return new provider.RefreshToken({ client, accountId, grantId, scope: all, resource, gty: 'authorization_code' }).save();
}

// Returns true when the fault was the whole answer.
async function meetFault(request, response) {
  const path = request.url.split('?')[0];
  const fault = faults.find((f) => (f.path ?? '/token') === path && (f.times ?? 1) > 0);
  if (!fault) return false;
  fault.times = (fault.times ?? 1) - 1;
  if (fault.delay_ms) await new Promise((done) => { setTimeout(done, fault.delay_ms); });
  if (fault.drop) {
    response.write = () => true;
    response.end = () => { stats.dropped += 1; request.socket.destroy(); return response; };
  }
  if (!fault.status) return false;
  response.writeHead(fault.status, fault.headers ?? {}).end(fault.body ?? '');
  return true;
}

async function text(stream) {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return Buffer.concat(parts).toString();
}

async function listen(scheme, server) {
  await new Promise((done) => { server.listen(0, '127.0.0.1', done); });
  const { port } = server.address();
  const provider = new Provider(issuer ?? `${scheme}://${scheme === 'http' ? '127.0.0.1' : 'localhost'}:${port}`, configuration);
  const grantType = (ctx) => ctx.oidc?.params?.grant_type ?? 'none';
  provider.on('grant.success', (ctx) => count(stats.granted, grantType(ctx)));
  provider.on('grant.error', (ctx, error) => count(stats.refused, `${grantType(ctx)} ${error.message}`));
  provider.on('server_error', (_ctx, error) => console.error(error));
  const serve = provider.callback();
  server.on('request', async (request, response) => {
    try {
      if (request.url.startsWith('/-/')) return await backDoor(provider, request, response);
      const path = request.url.split('?')[0];
      count(stats.requests, path);
      response.on('finish', () => count(stats.answers, `${path} ${response.statusCode}`));
      if (!await meetFault(request, response)) serve(request, response);
    } catch (error) {
      console.error(error);
      response.writeHead(500).end();
    }
  });
  return port;
}

const http = await listen('http', createServer());
const https = key ? await listen('https', createTlsServer({ key: readFileSync(key), cert: readFileSync(cert) })) : null;
console.log(JSON.stringify({ ready: true, http, https }));
