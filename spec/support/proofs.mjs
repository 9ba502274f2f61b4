// Makes DPoP proofs for the specs: with npm's `dpop`, an implementation that shares no code with the library, or by hand
// where no library would make them.
//
// Standard input has one request a line, in JSON: { key, alg, htm, htu, token, nonce }. `key` names a key, which is made
// at its first use and kept in the file of the first argument. Further members make a proof by hand: `header` and
// `claims` add members (null removes one), `tamper` breaks the signature. Each line of output is { proof, jkt }.

import { createHash, createPrivateKey, randomUUID, sign } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";

const { generateKeyPair, generateProof, calculateThumbprint } = await import(
    new URL("../../examples/bound/node_modules/dpop/build/index.js", import.meta.url));

const ALGORITHMS = {
    ES256: { name: "ECDSA", namedCurve: "P-256" },
    Ed25519: { name: "Ed25519" },
    PS256: { name: "RSA-PSS", hash: "SHA-256" },
    RS256: { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" },
};

const file = process.argv[2];
const keys = existsSync(file) ? JSON.parse(readFileSync(file)) : {};
const encode = (value) => Buffer.from(value).toString("base64url");

async function pairOf(name, alg) {
    const id = `${alg} ${name}`;
    if (!keys[id]) {
        const pair = await generateKeyPair(alg, { extractable: true });
        keys[id] = {
            private: await crypto.subtle.exportKey("jwk", pair.privateKey),
            public: await crypto.subtle.exportKey("jwk", pair.publicKey),
        };
    }
    const load = (half, use) => crypto.subtle.importKey("jwk", keys[id][half], ALGORITHMS[alg], true, [use]);
    return { privateKey: await load("private", "sign"), publicKey: await load("public", "verify"), jwk: keys[id] };
}

function merged(object, more) {
    const all = { ...object, ...more };
    return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== null));
}

// Signs by hand. `header` and `claims` may replace anything.
function byHand({ htm, htu, token, nonce, header, claims, tamper }, jwk) {
    const { kty, crv, x, y } = jwk.public;
    const hash = token && createHash("sha256").update(token).digest("base64url");
    const head = merged({ typ: "dpop+jwt", alg: "ES256", jwk: { kty, crv, x, y } },
        header?.jwk === "private" ? { ...header, jwk: jwk.private } : header);
    const body = merged({ jti: randomUUID(), htm, htu, iat: Math.floor(Date.now() / 1000), ath: hash ?? null, nonce: nonce ?? null },
        claims);
    const message = `${encode(JSON.stringify(head))}.${encode(JSON.stringify(body))}`;
    const key = createPrivateKey({ key: jwk.private, format: "jwk" });
    const signature = sign("sha256", Buffer.from(message), { key, dsaEncoding: "ieee-p1363" });
    signature[7] ^= tamper ? 1 : 0;
    return `${message}.${encode(signature)}`;
}

for (const line of readFileSync(0, "utf8").split("\n").filter(Boolean)) {
    const request = JSON.parse(line);
    const pair = await pairOf(request.key ?? "holder", request.alg ?? "ES256");
    const isByHand = request.header || request.claims || request.tamper;
    const proof = isByHand ? byHand(request, pair.jwk)
        : await generateProof(pair, request.htu, request.htm, request.nonce, request.token);
    console.log(JSON.stringify({ proof, jkt: await calculateThumbprint(pair.publicKey) }));
}
writeFileSync(file, JSON.stringify(keys));
