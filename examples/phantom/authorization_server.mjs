// The authorization server of `make run EXAMPLE=phantom` and of the specs: oidc-provider, with the two clients of the
// phantom token pattern's tutorial.
//
//   authorization_server.mjs [--jwt-introspection] [--jwt-access-tokens] [--max-age SECONDS] [--token-ttl SECONDS] [--tls-cert FILE --tls-key FILE]
//
// Listens on a free port of 127.0.0.1, prints `ready PORT` and then a line for each introspection and for each question
// for its JWK Set. Its introspection answers say `no-store`, as oidc-provider writes them, unless --max-age lets gateways
// keep them. At SIGHUP it changes its keys.

import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { parseArgs } from 'node:util';
import Provider from 'oidc-provider';

const { values: options } = parseArgs({
  options: {
    'jwt-introspection': { type: 'boolean', default: false },
    'jwt-access-tokens': { type: 'boolean', default: false },
    'max-age': { type: 'string' },
    'token-ttl': { type: 'string', default: '300' },
    'tls-cert': { type: 'string' },
    'tls-key': { type: 'string' },
  },
});

// Client credentials for calling the API, and a client that may only introspect.
const clients = [
  {
    client_id: 'test-client',
    client_secret: 'Password1',
    grant_types: ['client_credentials'],
    response_types: [],
    redirect_uris: [],
    scope: 'read write',
  },
  {
    client_id: 'introspection-client',
    client_secret: 'Password1',
    grant_types: [],
    response_types: [],
    redirect_uris: [],
    ...(options['jwt-introspection'] && { introspection_signed_response_alg: 'RS256' }),
  },
];

function signingKey() {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { ...privateKey.export({ format: 'jwk' }), kid: randomBytes(6).toString('hex'), use: 'sig', alg: 'RS256' };
}

function provider(issuer) {
  const made = new Provider(issuer, {
    clients,
    scopes: ['read', 'write'],
    jwks: { keys: [signingKey()] },
    cookies: { keys: [randomBytes(16).toString('hex')] },
    ttl: { ClientCredentials: Number(options['token-ttl']) },
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      introspection: { enabled: true, allowedPolicy: (ctx, client) => client.clientId === 'introspection-client' },
      jwtIntrospection: { enabled: options['jwt-introspection'] },
      revocation: { enabled: true },
      resourceIndicators: {
        enabled: options['jwt-access-tokens'],
        defaultResource: () => 'urn:api',
        getResourceServerInfo: () => ({ scope: 'read write', accessTokenFormat: 'jwt', jwt: { sign: { alg: 'RS256' } } }),
      },
    },
  });
  made.use(async (ctx, next) => {
    await next();
    if (ctx.path === '/jwks') console.log(`jwks ${ctx.status}`);
    if (ctx.path !== '/token/introspection') return;
    console.log(`introspection ${ctx.status} ${ctx.type}`);
    if (options['max-age'] && ctx.status === 200) ctx.set('cache-control', `private, max-age=${options['max-age']}`);
  });
  made.on('server_error', (ctx, error) => console.error(error));
  return made.callback();
}

const tls = options['tls-cert'] !== undefined;
const server = tls
  ? https.createServer({ cert: readFileSync(options['tls-cert']), key: readFileSync(options['tls-key']) })
  : http.createServer();
server.listen(0, '127.0.0.1', () => {
  const { port } = server.address();
  const issuer = tls ? `https://localhost:${port}` : `http://127.0.0.1:${port}`;
  let answer = provider(issuer);
  server.on('request', (request, response) => answer(request, response));
  process.on('SIGHUP', () => {
    answer = provider(issuer);
    console.log('keys changed');
  });
  console.log(`ready ${port}`);
});
