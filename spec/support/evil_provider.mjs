// A provider that does what a spec tells it: the code is a directive, base64url of JSON, and the token endpoint answers
// by it.
//
//   { nonce, claims: {…}, header: {…}, alg: "RS256", key: "own" | "other" | "secret" | "public", status, tokens: {…},
//     info: {…}, raw, huge, pad, hang }
//
// `claims` override those of a right ID token (null removes one), `tokens` the members of the answer, `raw` is the whole
// body of the answer, and `info` what UserInfo says. A refresh token is a directive too. POST /mint signs such a token
// for the spec. Listens on a free port of 127.0.0.1, and prints `ready PORT`. GET /metadata?NAME=VALUE sets a member of
// the metadata; POST /counts returns and resets how often each path was asked.

import { createHash, createHmac, createSign, generateKeyPairSync, randomBytes } from 'node:crypto';
import http from 'node:http';

const CLIENT = 'gateway';
const SECRET = 'Gateway-secret-of-the-example-1';

function pair(kid) {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { kid, publicKey, privateKey, jwk: { ...publicKey.export({ format: 'jwk' }), kid, use: 'sig', alg: 'RS256' } };
}
const keys = { own: pair('own'), other: pair('own') };
const override = {};
let counts = {};

const encoded = (value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');

function signed(input, { alg = 'RS256', key = 'own' }) {
  if (alg === 'none') return '';
  if (alg === 'HS256') {
    const secret = key === 'public' ? keys.own.publicKey.export({ type: 'spki', format: 'pem' }) : SECRET;
    return createHmac('sha256', secret).update(input).digest('base64url');
  }
  return createSign('sha256').update(input).sign(keys[key].privateKey).toString('base64url');
}

function withoutNulls(object) {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== null));
}

const half = (digest) => digest.subarray(0, digest.length / 2).toString('base64url');

function idToken(issuer, directive, accessToken) {
  const now = Math.floor(Date.now() / 1000);
  const claims = withoutNulls({
    iss: issuer, sub: 'demo', aud: CLIENT, iat: now, exp: now + 300, nonce: directive.nonce, auth_time: now,
    ...(directive.pad && { groups: 'g'.repeat(directive.pad) }),
    ...(accessToken && { at_hash: half(createHash('sha256').update(accessToken).digest()) }),
    ...directive.claims,
  });
  const input = `${encoded({ alg: directive.alg ?? 'RS256', kid: 'own', ...directive.header })}.${encoded(claims)}`;
  return `${input}.${signed(input, directive)}`;
}

const infos = {};

function tokenAnswer(issuer, directive) {
  if (directive.huge) return `${' '.repeat(70000)}{}`;
  if (directive.raw !== undefined) return directive.raw;
  const accessToken = directive.tokens?.access_token ?? randomBytes(12).toString('hex');
  infos[accessToken] = { sub: 'demo', ...directive.info };
  return JSON.stringify(withoutNulls({
    access_token: accessToken, token_type: 'Bearer', expires_in: 3600,
    id_token: idToken(issuer, directive, accessToken), ...directive.tokens,
  }));
}

async function bodyOf(request) {
  let body = '';
  for await (const piece of request) body += piece;
  return body;
}

const server = http.createServer(async (request, response) => {
  const url = new URL(request.url, 'http://x');
  const issuer = `http://localhost:${server.address().port}`;
  const body = await bodyOf(request);
  const send = (status, text) => response.writeHead(status, { 'content-type': 'application/json' }).end(text);
  if (url.pathname === '/metadata') {
    for (const [name, value] of url.searchParams) override[name] = JSON.parse(value);
    return send(200, '{}');
  } else if (url.pathname === '/counts') {
    send(200, JSON.stringify(counts));
    counts = {};
    return undefined;
  }
  counts[url.pathname] = (counts[url.pathname] ?? 0) + 1;
  switch (url.pathname) {
    case '/.well-known/openid-configuration':
      return send(200, JSON.stringify({
        issuer, authorization_endpoint: `${issuer}/auth`, token_endpoint: `${issuer}/token`, jwks_uri: `${issuer}/jwks`,
        userinfo_endpoint: `${issuer}/me`, ...override,
      }));
    case '/jwks':
      return send(200, JSON.stringify({ keys: [keys.own.jwk] }));
    case '/token': {
      const fields = new URLSearchParams(body);
      const directive = JSON.parse(Buffer.from(fields.get('code') ?? fields.get('refresh_token'), 'base64url'));
      if (directive.hang) return undefined;
      return send(directive.status ?? 200, tokenAnswer(issuer, directive));
    }
    case '/me':
      return send(200, JSON.stringify(infos[(request.headers.authorization ?? '').split(' ')[1]] ?? {}));
    case '/mint':
      return send(200, idToken(issuer, JSON.parse(body)));
    default:
      return send(404, '{}');
  }
});

server.listen(0, '127.0.0.1', () => console.log(`ready ${server.address().port}`));
