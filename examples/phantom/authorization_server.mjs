// The authorization server of `make run EXAMPLE=phantom` and of the specs: oidc-provider, with the paths and the two
// clients of the phantom token pattern's tutorial.
//
//   authorization_server.mjs [--phantom-tokens] [--jwt-introspection] [--jwt-access-tokens] [--max-age SECONDS] [--token-ttl SECONDS] [--tls-cert FILE --tls-key FILE]
//
// With --phantom-tokens, it answers an introspection as the tutorial's server does: with the JWT that the API receives
// (`application/jwt`), or with 204 for an inactive token.
//
// Listens on a free port of 127.0.0.1, prints `ready PORT` and then a line for each introspection and for each question
// for its JWK Set. Its introspection answers say `no-store`, as oidc-provider writes them, unless --max-age lets gateways
// keep them. At SIGHUP it changes its keys.

import { createPrivateKey, generateKeyPairSync, randomBytes, randomUUID, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { parseArgs } from 'node:util';
import Provider from 'oidc-provider';

const { values: options } = parseArgs({
  options: {
    'phantom-tokens': { type: 'boolean', default: false },
    'jwt-introspection': { type: 'boolean', default: false },
    'jwt-access-tokens': { type: 'boolean', default: false },
    'max-age': { type: 'string' },
    'token-ttl': { type: 'string', default: '300' },
    'tls-cert': { type: 'string' },
    'tls-key': { type: 'string' },
  },
});

const INTROSPECTION = '/oauth/v2/oauth-introspect';

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

// Returns the JWT that replaces an active token: what an introspection says about it, signed.
function phantomToken(said, key) {
  const { active, token_type, ...claims } = said;
  // Without a user, the token is about the client and for it, as the tutorial's server says.
  const { sub = said.client_id, aud = said.client_id } = said;
  const all = { ...claims, sub, aud, nbf: said.iat, jti: randomUUID(), purpose: 'access_token' };
  const parts = [{ alg: 'RS256', typ: 'JWT', kid: key.kid }, all];
  const input = parts.map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.');
  return `${input}.${sign('sha256', input, createPrivateKey({ key, format: 'jwk' })).toString('base64url')}`;
}

function provider(issuer) {
  const key = signingKey();
  const made = new Provider(issuer, {
    clients,
    routes: { token: '/oauth/v2/oauth-token', introspection: INTROSPECTION, revocation: '/oauth/v2/oauth-revoke' },
    scopes: ['read', 'write'],
    jwks: { keys: [key] },
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
    if (ctx.path !== INTROSPECTION) return;
    if (options['phantom-tokens'] && ctx.status === 200 && ctx.accepts('application/jwt')) {
      if (ctx.body.active) {
        ctx.body = phantomToken(ctx.body, key);
        ctx.type = 'application/jwt';
      } else {
        ctx.status = 204;
      }
    }
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
