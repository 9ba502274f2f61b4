// An authorization server that follows the directive in a token: a JSON object in base64url.
//
//   introspection_server.mjs --key PRIVATE_PEM [--tls-cert FILE --tls-key FILE]
//
//   kind: jwt (signed claims, as the phantom token pattern's own server answers), unsigned_answer (RFC 7662 JSON),
//         signed_answer (RFC 9701), inactive (204), raw (status, headers, body), hang, slow_headers, slow_body,
//         stalled_body, truncated, garbage, large (bytes, chunked), bytes (text: the answer as it is)
//   chunked, until_close, interim: how an answer of jwt, unsigned_answer and signed_answer is sent
//   headers: more response headers        fill: bytes that the claims are padded with        hold: a path; the answer waits until that file exists
//   fails_if: a path; once that file exists the answer is a 500       fails_after: a path; the 500 waits for that file
//   file: a path; the body is what that file holds
//
// A request without a form, such as one for a JWK Set, has its token in the query: /?token=…
//
// Listens on a free port of 127.0.0.1, prints `ready PORT`, and for each request one line of JSON.

import { createSign } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { parseArgs } from 'node:util';

const { values: options } = parseArgs({
  options: { key: { type: 'string' }, 'tls-cert': { type: 'string' }, 'tls-key': { type: 'string' } },
});
const key = readFileSync(options.key);

const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

function jwt(claims, typ) {
  const input = `${encode({ alg: 'RS256', typ })}.${encode(claims)}`;
  return `${input}.${createSign('RSA-SHA256').update(input).sign(key, 'base64url')}`;
}

// Sends a length, unless the token requires chunks or no length. `interim` sends a 103 first.
function send(response, wanted, type, body) {
  const ends = wanted.until_close || wanted.chunked;
  if (wanted.interim) response.writeEarlyHints({ link: '</>; rel=preconnect' });
  if (wanted.until_close) response.useChunkedEncodingByDefault = false;
  response.writeHead(200, { 'content-type': type, ...(!ends && { 'content-length': body.length }), ...wanted.headers });
  for (const piece of [body.slice(0, 9), body.slice(9)]) response.write(piece);
  response.end();
}

const kinds = {
  jwt: (wanted, response) => send(response, wanted, 'application/jwt', jwt(wanted.claims, 'JWT')),
  unsigned_answer: (wanted, response) => send(response, wanted, 'application/json', JSON.stringify(wanted.claims)),
  signed_answer: (wanted, response) =>
    send(response, wanted, 'application/token-introspection+jwt',
      jwt({ token_introspection: wanted.claims }, wanted.typ ?? 'token-introspection+jwt')),
  inactive: (wanted, response) => response.writeHead(204, wanted.headers).end(),
  raw: (wanted, response) => response.writeHead(wanted.status, wanted.headers).end(wanted.body),
  failure: (wanted, response) => response.writeHead(500).end(),
  hang: () => {},
  slow_headers: (wanted, response) => {
    const { socket } = response;
    socket.write('HTTP/1.1 200 OK\r\n');
    const timer = setInterval(() => socket.write('X-Slow: 1\r\n'), 100);
    socket.on('close', () => clearInterval(timer));
  },
  slow_body: (wanted, response) => {
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': 4000 }).write('{');
    const timer = setInterval(() => response.write(' '), 100);
    response.socket.on('close', () => clearInterval(timer));
  },
  stalled_body: (wanted, response) =>
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': 4000 }).write('{'),
  bytes: (wanted, response) => response.socket.end(wanted.text),
  truncated: (wanted, response) => {
    response.writeHead(200, { 'content-type': 'application/jwt', 'content-length': 4000 });
    response.write(jwt({ scope: 'read' }, 'JWT'), () => response.socket.destroy());
  },
  garbage: (wanted, response) => response.socket.end('\0\x01not HTTP at all\r\n\r\n'),
  large: (wanted, response) => {
    const length = wanted.chunked ? {} : { 'content-length': wanted.bytes };
    response.writeHead(200, { 'content-type': 'application/jwt', ...length });
    response.end(Buffer.alloc(wanted.bytes, 'a'));
  },
};

// Any other token is unknown.
function directive(token) {
  try {
    return JSON.parse(Buffer.from(token, 'base64url').toString());
  } catch {
    return { kind: 'inactive' };
  }
}

function whenReleased(path, then) {
  if (!path || existsSync(path)) then();
  else setTimeout(() => whenReleased(path, then), 5);
}

function answer(request, response) {
  let body = '';
  request.on('data', (piece) => { body += piece; });
  request.on('end', () => {
    console.log(JSON.stringify({ method: request.method, url: request.url, headers: request.headers, body,
      connection: request.socket.remotePort }));
    const query = request.url.split('?')[1];
    const wanted = directive(new URLSearchParams(body || query).get('token'));
    if (wanted.fails_if && existsSync(wanted.fails_if)) {
      wanted.kind = 'failure';
      wanted.hold = wanted.fails_after ?? wanted.hold;
    }
    if (wanted.file) wanted.body = readFileSync(wanted.file);
    if (wanted.fill) wanted.claims.fill = 'x'.repeat(wanted.fill);
    whenReleased(wanted.hold, () => kinds[wanted.kind](wanted, response));
  });
}

const server = options['tls-cert']
  ? https.createServer({ cert: readFileSync(options['tls-cert']), key: readFileSync(options['tls-key']) }, answer)
  : http.createServer(answer);
server.keepAliveTimeout = 60000;
server.listen(0, '127.0.0.1', () => console.log(`ready ${server.address().port}`));
