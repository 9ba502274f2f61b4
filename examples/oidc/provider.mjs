// The provider of `make run EXAMPLE=oidc` and of the specs: oidc-provider with login pages of its own, which need no
// script. Users: demo/demo and other/other.
//
//   provider.mjs --gateway ORIGIN [--callback PATH] [--prefix PATH] [--options JSON]
//     [--tls-cert FILE --tls-key FILE]
//
// `--prefix` is where the gateway has its other endpoints. Listens on two free ports of 127.0.0.1 and prints
// `ready PORT CONTROL`. The issuer is at `localhost`, so that the gateway at 127.0.0.1 is another site. The options are
// { access_ttl, client: {…}, features: {…}, provider: {…} }: the life of access tokens, and what overrides the client's
// registration and the provider's configuration.
//
// The control port is for specs: POST /counts returns and resets how often each endpoint was called, POST
// /fault?path=P&mode=M makes an endpoint fail (hang, error, garbage,
// huge, lose, ok), and POST /rotate changes the keys.

import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { parseArgs } from 'node:util';
// EXAMPLE=phantom has the same package; it is installed once.
import Provider, { interactionPolicy } from '../phantom/node_modules/oidc-provider/lib/index.js';

const { values: args } = parseArgs({
  options: {
    gateway: { type: 'string' },
    callback: { type: 'string', default: '/app/callback' },
    prefix: { type: 'string', default: '/oidc' },
    options: { type: 'string', default: '{}' },
    'tls-cert': { type: 'string' },
    'tls-key': { type: 'string' },
  },
});
const options = JSON.parse(args.options);

const USERS = {
  demo: { password: 'demo', email: 'demo@example.com', name: 'Demo User' },
  other: { password: 'other', email: 'other@example.com', name: 'Ötzi "Other" User' },
};

function signingKey() {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { ...privateKey.export({ format: 'jwk' }), kid: randomBytes(6).toString('hex'), use: 'sig', alg: 'RS256' };
}

const clients = [
  {
    client_id: 'gateway',
    client_secret: 'Gateway-secret-of-the-example-1',
    redirect_uris: [args.gateway + args.callback],
    post_logout_redirect_uris: [`${args.gateway}/`],
    grant_types: ['authorization_code', 'refresh_token'],
    backchannel_logout_uri: `${args.gateway}${args.prefix}/backchannel-logout`,
    backchannel_logout_session_required: true,
    ...options.client,
  },
  // A client of the API, which needs no user.
  {
    client_id: 'test-client',
    client_secret: 'Password1',
    grant_types: ['client_credentials'],
    response_types: [],
    redirect_uris: [],
    scope: 'read write',
  },
  // The gateway asks about the API's tokens as this one.
  {
    client_id: 'introspection-client',
    client_secret: 'Password1',
    grant_types: [],
    response_types: [],
    redirect_uris: [],
  },
];

// Asks for another login if the session's acr is none of those that the client wants.
function policy() {
  const base = interactionPolicy.base();
  base.get('login').checks.add(new interactionPolicy.Check('acr', 'A stronger login is required', (ctx) => {
    const wanted = (ctx.oidc.params.acr_values ?? '').split(' ').filter(Boolean);
    return wanted.length > 0 && !wanted.includes(ctx.oidc.session.acr) && !ctx.oidc.result?.login;
  }));
  return base;
}

function configuration(key) {
  return {
    clients,
    jwks: { keys: [key] },
    cookies: { keys: [randomBytes(16).toString('hex')] },
    scopes: ['openid', 'offline_access', 'profile', 'email', 'read', 'write'],
    claims: {
      openid: ['sub'],
      email: ['email', 'email_verified'],
      profile: ['name', 'preferred_username'],
      acr: null, sid: null, auth_time: null, iss: null,
    },
    acrValues: ['urn:weak', 'urn:strong'],
    // Otherwise the claims of scopes are at UserInfo alone.
    conformIdTokenClaims: false,
    pkce: { required: () => true },
    ttl: {
      AccessToken: options.access_ttl ?? 3600, ClientCredentials: 300, IdToken: 3600, Interaction: 600, Grant: 86400,
      Session: 86400, RefreshToken: 86400,
    },
    issueRefreshToken: async (ctx, client) => client.grantTypeAllowed('refresh_token'),
    rotateRefreshToken: true,
    interactions: { policy: policy(), url: (ctx, interaction) => `/interaction/${interaction.uid}` },
    findAccount: (ctx, sub) => USERS[sub] && {
      accountId: sub,
      claims: async () => ({
        sub, email: USERS[sub].email, email_verified: true, name: USERS[sub].name, preferred_username: sub,
      }),
    },
    renderError: (ctx, out) => {
      ctx.type = 'html';
      ctx.body = page('This did not work', escaped(JSON.stringify(out)));
    },
    ...options.provider,
    features: {
      devInteractions: { enabled: false },
      backchannelLogout: { enabled: true },
      clientCredentials: { enabled: true },
      introspection: { enabled: true, allowedPolicy: (ctx, client) => client.clientId === 'introspection-client' },
      revocation: { enabled: true },
      rpInitiatedLogout: {
        enabled: true,
        // The package's own pages load fonts from the network.
        logoutSource: (ctx, form) => {
          ctx.body = page('Sign out', `${form}<button form="op.logoutForm" name="logout" value="yes">Sign out</button>`);
        },
        postLogoutSuccessSource: (ctx) => {
          ctx.body = page('You are signed out', '');
        },
      },
      ...options.features,
    },
  };
}

const escaped = (text) => String(text).replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);

function page(title, body) {
  return `<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>${title}</title></head>`
    + `<body><h1>${title}</h1>${body}</body></html>`;
}

function loginPage(uid, failed) {
  return page('Sign in', `${failed ? '<p id="failed">Wrong name or password.</p>' : ''}
    <form method="post" action="/interaction/${uid}/login">
      <label>User <input name="login" autocomplete="username" autofocus required></label>
      <label>Password <input name="password" type="password" autocomplete="current-password" required></label>
      <button id="login">Sign in</button>
    </form><form method="post" action="/interaction/${uid}/abort"><button id="cancel">Cancel</button></form>`);
}

function consentPage(uid, client, scopes) {
  return page('Allow access', `<p>${escaped(client)} asks for: ${escaped(scopes)}</p>
    <form method="post" action="/interaction/${uid}/confirm"><button id="allow">Allow</button></form>
    <form method="post" action="/interaction/${uid}/abort"><button id="refuse">Refuse</button></form>`);
}

async function form(request) {
  let body = '';
  for await (const piece of request) {
    body += piece;
    if (body.length > 10000) throw new Error('the form is too large');
  }
  return new URLSearchParams(body);
}

// Returns the result of a consent: a grant for all that is missing.
async function consent(provider, details) {
  const { prompt, params, session, grantId } = details;
  const grant = grantId
    ? await provider.Grant.find(grantId)
    : new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  const { missingOIDCScope, missingOIDCClaims } = prompt.details;
  if (missingOIDCScope) grant.addOIDCScope(missingOIDCScope.join(' '));
  if (missingOIDCClaims) grant.addOIDCClaims(missingOIDCClaims);
  return { consent: { grantId: await grant.save() } };
}

// Answers the pages of an interaction.
async function interact(provider, request, response, uid, action) {
  const details = await provider.interactionDetails(request, response);
  const send = (html) => {
    response.writeHead(200, { 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-store' });
    response.end(html);
  };
  const finish = (result, merge) => provider.interactionFinished(request, response, result, {
    mergeWithLastSubmission: merge,
  });
  if (request.method === 'GET') {
    return send(details.prompt.name === 'login'
      ? loginPage(uid, false)
      : consentPage(uid, details.params.client_id, details.params.scope));
  } else if (action === 'login') {
    const fields = await form(request);
    const user = fields.get('login');
    if (USERS[user]?.password !== fields.get('password')) return send(loginPage(uid, true));
    // Whoever is asked for a stronger login gets one here.
    const asked = (details.params.acr_values ?? '').split(' ');
    const acr = asked.includes('urn:strong') ? 'urn:strong' : 'urn:weak';
    return finish({ login: { accountId: user, acr } }, false);
  } else if (action === 'confirm') {
    return finish(await consent(provider, details), true);
  }
  return finish({ error: 'access_denied', error_description: 'the user refused' }, false);
}

let key = signingKey();
let provider;
const counts = {};
const faults = {};

// Makes an endpoint fail. Returns whether it did.
function fail(request, response, path) {
  const mode = faults[path];
  if (!mode || mode === 'ok') return false;
  if (mode === 'error') {
    response.writeHead(500).end('broken');
  } else if (mode === 'garbage') {
    response.writeHead(200, { 'content-type': 'application/json' }).end('{"issuer": [[[');
  } else if (mode === 'huge') {
    response.writeHead(200, { 'content-type': 'application/json' });
    const piece = ' '.repeat(65536);
    for (let i = 0; i < 160; i += 1) response.write(piece);
    response.end('{}');
  }
  if (mode === 'lose') {
    // The answer is lost: the provider works, and the client gets the end of the connection.
    response.end = () => response.socket?.destroy();
    return false;
  }
  // `hang` answers nothing.
  request.resume();
  return true;
}

function count(name) {
  counts[name] = (counts[name] ?? 0) + 1;
}

async function answer(request, response) {
  const path = request.url.split('?')[0];
  count(path);
  if (fail(request, response, path)) return;
  const [, uid, action] = /^\/interaction\/([\w-]+)(?:\/(\w+))?$/.exec(path) ?? [];
  try {
    if (uid) await interact(provider, request, response, uid, action);
    else await provider.callback()(request, response);
  } catch (error) {
    response.writeHead(error.name === 'SessionNotFound' ? 400 : 500, { 'content-type': 'text/html; charset=utf-8' });
    response.end(page('This login is over', ''));
  }
}

const tls = args['tls-cert'] !== undefined;
const server = tls
  ? https.createServer({ cert: readFileSync(args['tls-cert']), key: readFileSync(args['tls-key']) }, answer)
  : http.createServer(answer);

function make(issuer) {
  // A new provider with new keys keeps sessions and grants: they are in the memory of the module.
  const made = new Provider(issuer, configuration(key));
  made.on('grant.success', (ctx) => count(`grant ${ctx.oidc.params.grant_type}`));
  made.on('grant.error', (ctx, error) => count(`refused ${ctx.oidc.params?.grant_type} ${error.message}`));
  made.on('server_error', (ctx, error) => console.error(error));
  return made;
}

const control = http.createServer((request, response) => {
  const url = new URL(request.url, 'http://control');
  const name = url.pathname;
  if (name === '/counts') {
    response.end(JSON.stringify(counts));
    Object.keys(counts).forEach((one) => delete counts[one]);
    return;
  } else if (name === '/fault') {
    faults[url.searchParams.get('path')] = url.searchParams.get('mode');
  } else if (name === '/rotate') {
    key = signingKey();
    provider = make(provider.issuer);
  }
  response.end('{}');
});

server.listen(0, '127.0.0.1', () => {
  provider = make(`${tls ? 'https' : 'http'}://localhost:${server.address().port}`);
  control.listen(0, '127.0.0.1', () => console.log(`ready ${server.address().port} ${control.address().port}`));
});
