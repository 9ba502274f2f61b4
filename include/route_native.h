// route_native's C ABI. Written by `make abi` from src/ffi/: change that, not this file.

#ifndef ROUTE_NATIVE_H
#define ROUTE_NATIVE_H

#include <stddef.h>
#include <stdint.h>

// The status of success.
#define RN_OK 0

// The size of a buffer for any error message, in bytes.
#define RN_ERROR_BYTES 1024

// The size of a buffer for any status's name, in bytes.
#define RN_REASON_NAME_BYTES 64

// The version of this ABI. Lua refuses a library of another version.
#define RN_ABI_VERSION 3

// The size of [`rn_answer::target`], in bytes.
#define RN_TARGET_BYTES 256

// The size of [`rn_answer::fingerprint`], in hexadecimal digits.
#define RN_FINGERPRINT_BYTES 12

// The size of [`rn_answer::tag`], in bytes.
#define RN_TAG_BYTES 16

// The size of [`rn_bearer::key`], in bytes.
#define RN_CACHE_KEY_BYTES 32

// The longest token, in bytes. A buffer of this size is enough for a token and for its contents.
#define RN_TOKEN_BYTES 16384

// The form of PEM, a JWK or a JWK Set.
#define RN_KEY_FORM_KEY 0

// The form of one HMAC secret of 32 bytes or more.
#define RN_KEY_FORM_SECRET 1

// The form of HMAC secrets, one per line. The first signs, all verify.
#define RN_KEY_FORM_SECRETS 2

// The form of one HMAC secret of any length but 0, for migrations from programs that allow short secrets.
#define RN_KEY_FORM_SHORT_SECRET 3

// The form of a JWK Set that another server publishes. Only public keys and public halves are used.
#define RN_KEY_FORM_PUBLISHED 4

// The form of PEM, a JWK or a JWK Set of which only public keys are used. A private key in PEM is refused.
#define RN_KEY_FORM_PUBLIC 5

// The size of a buffer for [`rn_metrics_take`] and [`rn_metrics_state`], in bytes.
#define RN_METRICS_BYTES 65536

// The longest proof, in bytes.
#define RN_PROOF_BYTES 8192

// The length of the thumbprint of a key or of a certificate, in characters.
#define RN_THUMBPRINT_BYTES 43

// The size of [`rn_proof::id`], in bytes.
#define RN_PROOF_ID_BYTES 32

// The length of a nonce, in characters.
#define RN_NONCE_BYTES 32

// The size of the secret of nonces, in bytes.
#define RN_NONCE_SECRET_BYTES 32

// The form of a certificate in PEM.
#define RN_CERTIFICATE_PEM 0

// The form of a certificate in a `Client-Cert` header (RFC 9440).
#define RN_CERTIFICATE_HEADER 1

// The longest digest, in bytes.
#define RN_DIGEST_BYTES 64

// The most random bytes that one call writes.
#define RN_RANDOM_BYTES 1024

// The size of the longest identity of a token, in bytes.
#define RN_IDENTITY_BYTES 176

// PKCS#1 v1.5 padding, by OpenSSL's number.
#define RN_RSA_PKCS1 1

// OAEP padding with SHA-1, by OpenSSL's number.
#define RN_RSA_OAEP 4

// The size of a buffer for any ciphertext, plaintext or signature, in bytes.
#define RN_RSA_BYTES 1024

// The size of a buffer for any generated pair of keys, in bytes.
#define RN_RSA_PAIR_BYTES 8192

// The length of a session id, in characters.
#define RN_SESSION_ID_BYTES 76

// The length of a digest, in hexadecimal digits.
#define RN_SESSION_DIGEST_BYTES 64

// The longest key ring, in bytes.
#define RN_SESSION_KEYS_BYTES 160

// The longest path of a signed page, in bytes.
#define RN_SESSION_PATH_BYTES 2000

// The longest signed page, in characters.
#define RN_SESSION_PAGE_BYTES 2722

// The size of a login name's digest, in bytes.
#define RN_LOGIN_NAME_BYTES 32

// One reason, with its stable number.
enum rn_reason
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // The caller's buffer is too small; the length out holds the size needed.
    RN_REASON_BUFFER_TOO_SMALL = 1,
    // An argument is a null pointer, a negative length or out of range.
    RN_REASON_INVALID_ARGUMENT = 2,
    // This library has a bug (a caught panic).
    RN_REASON_INTERNAL = 3,
    // The cache has no entry for that token, or the entry has expired.
    RN_REASON_NOT_CACHED = 4,
    // The request carries no token.
    RN_REASON_TOKEN_MISSING = 100,
    // The request carries several tokens in the same place.
    RN_REASON_TOKEN_AMBIGUOUS = 101,
    // The token is longer than [`crate::jwt::MAX_TOKEN_BYTES`].
    RN_REASON_TOKEN_TOO_LARGE = 102,
    // The token is not three canonical base64url parts with two JSON objects without duplicate members.
    RN_REASON_TOKEN_MALFORMED = 103,
    // The header holds a parameter that is refused: `crit`, `zip`, `enc` or `b64`.
    RN_REASON_HEADER_UNSUPPORTED = 104,
    // The key or the policy does not allow the token's `alg`.
    RN_REASON_ALGORITHM_NOT_ALLOWED = 105,
    // No key of the set has the token's `kid`.
    RN_REASON_KEY_NOT_FOUND = 106,
    // The signature does not match.
    RN_REASON_SIGNATURE_INVALID = 107,
    // A registered claim has the wrong type or range.
    RN_REASON_CLAIM_MALFORMED = 108,
    // `exp` has passed.
    RN_REASON_TOKEN_EXPIRED = 109,
    // `nbf` has not come yet.
    RN_REASON_TOKEN_NOT_YET_VALID = 110,
    // A claim that the policy requires is absent.
    RN_REASON_CLAIM_MISSING = 111,
    // The token, or something that it names, is revoked.
    RN_REASON_TOKEN_REVOKED = 112,
    // The `hash` claim does not decrypt to an allowed target. The cause is withheld on purpose.
    RN_REASON_PAYLOAD_INVALID = 120,
    // The policy does not name the token's `iss`.
    RN_REASON_ISSUER_NOT_ALLOWED = 130,
    // `aud` names none of the policy's audiences.
    RN_REASON_AUDIENCE_NOT_ALLOWED = 131,
    // The time from `iat` to `exp` is longer than the policy allows.
    RN_REASON_LIFETIME_TOO_LONG = 132,
    // The time since `iat` is longer than the policy allows.
    RN_REASON_TOKEN_TOO_OLD = 133,
    // The header's `typ` differs from the policy's.
    RN_REASON_TYPE_NOT_ALLOWED = 134,
    // An encrypted token does not decrypt. The cause is withheld on purpose.
    RN_REASON_DECRYPTION_FAILED = 135,
    // The token's `x5c` does not chain to a trusted certificate.
    RN_REASON_CERTIFICATE_NOT_TRUSTED = 136,
    // A session id is malformed, or no current key signed it.
    RN_REASON_SESSION_INVALID = 140,
    // A session has reached its absolute lifetime.
    RN_REASON_SESSION_EXPIRED = 141,
    // A path may lead to another origin.
    RN_REASON_PATH_REFUSED = 142,
    // The authorization server reports the token as inactive.
    RN_REASON_TOKEN_INACTIVE = 150,
    // The token lacks a required scope (HTTP 403).
    RN_REASON_SCOPE_INSUFFICIENT = 151,
    // The token needs a DPoP proof, and the request has none.
    RN_REASON_PROOF_MISSING = 160,
    // The request has several DPoP proofs.
    RN_REASON_PROOF_AMBIGUOUS = 161,
    // The DPoP proof is too long, is no JWT of type `dpop+jwt`, or has a claim that is absent or of the wrong type.
    RN_REASON_PROOF_MALFORMED = 162,
    // The proof's key is not a public key that may sign proofs, or its algorithm is not allowed.
    RN_REASON_PROOF_KEY_REFUSED = 163,
    // The proof's signature does not match.
    RN_REASON_PROOF_SIGNATURE_INVALID = 164,
    // The proof is for another method or URI.
    RN_REASON_PROOF_REQUEST_MISMATCH = 165,
    // The proof's `iat` is too old or in the future.
    RN_REASON_PROOF_EXPIRED = 166,
    // The proof is for another token.
    RN_REASON_PROOF_TOKEN_MISMATCH = 167,
    // The proof has been used before.
    RN_REASON_PROOF_REPLAYED = 168,
    // The proof has no current nonce of the server.
    RN_REASON_PROOF_NONCE_INVALID = 169,
    // Another key signed the proof than the one that the token is bound to.
    RN_REASON_HOLDER_KEY_MISMATCH = 170,
    // The token is bound to a key or a certificate, and the request shows no possession of it.
    RN_REASON_TOKEN_BOUND = 171,
    // The token is not bound to its holder, as the configuration requires.
    RN_REASON_TOKEN_NOT_BOUND = 172,
    // The client's certificate is not the one that the token is bound to.
    RN_REASON_CERTIFICATE_MISMATCH = 173,
    // A key file is not configured or cannot be read.
    RN_REASON_KEY_UNREADABLE = 200,
    // A key is of a kind that is not supported here.
    RN_REASON_KEY_UNSUPPORTED = 201,
    // A key or secret is too short for its algorithm.
    RN_REASON_KEY_TOO_WEAK = 202,
    // A setting is unknown or has an invalid value.
    RN_REASON_SETTING_INVALID = 203,
    // A key cannot sign, or not with that algorithm.
    RN_REASON_KEY_CANNOT_SIGN = 204,
    // The session keys in the store are not in the format of this version.
    RN_REASON_SESSION_KEYS_INVALID = 240,
    // The memory of used proofs has no room for another.
    RN_REASON_REPLAY_MEMORY_FULL = 250,
    // Another server cannot be reached, or does not respond in time.
    RN_REASON_SERVER_UNREACHABLE = 300,
    // Another server responds with a status that says nothing about the token.
    RN_REASON_SERVER_FAILED = 301,
    // Another server's response is malformed, or lacks a valid signature.
    RN_REASON_SERVER_ANSWER_INVALID = 302,
    // The store of revocations has been away for too long to accept a token.
    RN_REASON_REVOCATIONS_UNKNOWN = 303,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum rn_reason rn_reason;
#else
typedef int32_t rn_reason;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// Keys that encrypt or decrypt tokens, parsed once.
typedef struct rn_encryption_keys rn_encryption_keys;

// The keys, settings and cache of a gateway.
typedef struct rn_gateway rn_gateway;

// A reader of one authorization server's responses.
typedef struct rn_introspector rn_introspector;

// Keys that verify or sign, parsed once.
typedef struct rn_keys rn_keys;

// The requirements of a token besides its signature.
typedef struct rn_policy rn_policy;

// The requirements of DPoP proofs.
typedef struct rn_proof_policy rn_proof_policy;

// One half of an RSA key, with its padding.
typedef struct rn_rsa rn_rsa;

// The keys that sign and accept session ids.
typedef struct rn_session_keys rn_session_keys;

// The settings of tokens to sign.
typedef struct rn_sign_options rn_sign_options;

// The settings of [`rn_gateway_new`]. A text is a pointer and a length, which is 0 for an absent text.
typedef struct {
    // The path of the file with the private key that decrypts the `hash` claim.
    const uint8_t *payload_key;
    // Its length.
    size_t payload_key_length;
    // The padding of the `hash` claim: `pkcs1v15` (default), `oaep-sha1` or `oaep-sha256`.
    const uint8_t *padding;
    // Its length.
    size_t padding_length;
    // The domain suffix that targets must have. Absent: any target.
    const uint8_t *suffix;
    // Its length.
    size_t suffix_length;
    // The most entries of each process's cache.
    uint32_t cache_entries;
} rn_gateway_options;

// Bytes with a 32-bit length, laid out as lua-nginx-module's `ngx_http_lua_ffi_str_t`.
typedef struct {
    // The length in bytes. A negative length reads as 0.
    int32_t length;
    // The bytes.
    const uint8_t *data;
} rn_string;

// A request header, laid out as lua-nginx-module's `ngx_http_lua_ffi_table_elt_t`, so that nginx's array needs no
// copy.
typedef struct {
    // The name as received.
    rn_string name;
    // The value as received.
    rn_string value;
} rn_header;

// The result of a lookup, in the caller's memory. Its lengths have 32 bits, because LuaJIT boxes 64-bit numbers.
typedef struct {
    // The token within the request's headers, and valid as long as they are.
    const uint8_t *token;
    // The token's length, in bytes.
    uint32_t token_length;
    // The target's length, in bytes.
    uint32_t target_length;
    // The time that the target may still be cached, in seconds. 0: not at all.
    uint32_t ttl;
    // 1 when the target is a host name, 0 when it is an address, which needs no resolver.
    uint32_t is_name;
    // 1 when the request's Authorization header holds a token that did not decide. Only [`rn_gateway_lookup`] writes it.
    uint32_t has_another;
    // 1 when the request has a Sec-WebSocket-Protocol header. Only [`rn_gateway_lookup`] writes it.
    uint32_t has_protocol;
    // The token's identifier in logs.
    uint8_t fingerprint[RN_FINGERPRINT_BYTES];
    // The token's key in this process's cache. A lookup writes it for [`rn_gateway_remember`].
    uint8_t tag[RN_TAG_BYTES];
    // The target, without a terminating NUL.
    uint8_t target[RN_TARGET_BYTES];
} rn_answer;

// The settings of [`rn_introspector_new`]. A text is a pointer and a length, which is 0 for an absent text.
typedef struct {
    // A text that identifies the configuration in caches, apart from its keys.
    const uint8_t *identity;
    // Its length.
    size_t identity_length;
    // The path of the file with the keys that verify the server's JWTs. Absent: they are not verified.
    const uint8_t *verify_key;
    // Its length.
    size_t verify_key_length;
    // The allowed values of `iss` in the server's responses, one per line. Absent: `iss` is ignored.
    const uint8_t *issuer;
    // Its length.
    size_t issuer_length;
    // The audiences of which `aud` in the server's responses must name one, one per line. Absent: `aud` is ignored.
    const uint8_t *audience;
    // Its length.
    size_t audience_length;
    // The path of the file with the private key that signs JWTs for the API. Absent: none are signed.
    const uint8_t *signing_key;
    // Its length.
    size_t signing_key_length;
    // The `kid` of signed JWTs.
    const uint8_t *signing_key_id;
    // Its length.
    size_t signing_key_id_length;
    // The names of the claims that the API receives in place of a JWT, one per line. Absent: it receives a JWT.
    const uint8_t *claims;
    // Its length.
    size_t claims_length;
    // The lifetime of a signed JWT in seconds, for a response without `exp`.
    uint32_t lifetime;
} rn_introspector_options;

// The token of a request, in the caller's memory.
typedef struct {
    // The token within the request's headers, and valid as long as they are.
    const uint8_t *token;
    // The token's length, in bytes.
    uint32_t token_length;
    // 1 if the token's scheme is DPoP, 0 if it is Bearer.
    uint32_t is_dpop;
    // The token's cache key: a digest of the configuration, its keys and the token.
    uint8_t key[RN_CACHE_KEY_BYTES];
} rn_bearer;

// The result for an active token. Its four texts follow each other in the caller's buffer.
typedef struct {
    // The expiry in seconds since the epoch, 0 for none.
    int64_t expires_at;
    // The length of the first text: the scopes, separated by spaces.
    uint32_t scope_length;
    // The length of the second text: what the API receives.
    uint32_t forward_length;
    // The length of the third text: the identity of the token, for [`super::rn_identity_check`].
    uint32_t identity_length;
    // The length of the fourth text: the JSON of `cnf`, 0 for none.
    uint32_t confirmation_length;
} rn_verdict;

// The lengths of a token's header and claims, which follow each other in the caller's buffer.
typedef struct {
    // The length of the header's JSON, in bytes.
    uint32_t header_length;
    // The length of the claims' JSON, the payload or the plaintext, in bytes.
    uint32_t claims_length;
} rn_token_texts;

// A text with keys.
typedef struct {
    // One of the `RN_KEY_FORM`s.
    uint32_t form;
    // The text.
    const uint8_t *data;
    // Its length, in bytes.
    size_t length;
} rn_key_text;

// The request of a proof, in the caller's memory.
typedef struct {
    // The method.
    const uint8_t *method;
    // Its length.
    size_t method_length;
    // The path with its query, as received.
    const uint8_t *target;
    // Its length.
    size_t target_length;
    // The access token. Its length is 0 at a token endpoint.
    const uint8_t *token;
    // Its length.
    size_t token_length;
    // The thumbprint of the key that the token is bound to. Its length is 0 at a token endpoint.
    const uint8_t *key;
    // Its length.
    size_t key_length;
    // The secret of the nonces. Its length is 0 if the policy needs no nonce.
    const uint8_t *secret;
    // Its length.
    size_t secret_length;
} rn_proof_request;

// A valid proof.
typedef struct {
    // The first second in which the proof is too old, since the epoch.
    int64_t ends_at;
    // 1 if the client needs a new nonce, else 0.
    uint32_t needs_nonce;
    // The thumbprint of the key that signed the proof.
    uint8_t thumbprint[RN_THUMBPRINT_BYTES];
    // What tells this proof from every other.
    uint8_t id[RN_PROOF_ID_BYTES];
} rn_proof;

// The names that a token or a session can be revoked by. A text is a pointer and a length, which is 0 for an absent
// name.
typedef struct {
    // The token itself.
    const uint8_t *token;
    // Its length.
    size_t token_length;
    // The id of the token.
    const uint8_t *jti;
    // Its length.
    size_t jti_length;
    // The user.
    const uint8_t *sub;
    // Its length.
    size_t sub_length;
    // The digest of the user's login name, as [`super::rn_login_name_digest`] writes it.
    const uint8_t *account;
    // Its length.
    size_t account_length;
    // The session.
    const uint8_t *sid;
    // Its length.
    size_t sid_length;
    // The `kid` of the key that verified the token.
    const uint8_t *kid;
    // Its length.
    size_t kid_length;
    // The issuer of the token.
    const uint8_t *iss;
    // Its length.
    size_t iss_length;
    // When the token was issued, in seconds since the epoch. -1: unknown.
    int64_t issued_at;
    // When it expires, in seconds since the epoch. -1: unknown.
    int64_t expires_at;
} rn_names;

// The position of a cookie or an argument: offsets in the text, in bytes. They are valid when `is_there` is 1.
typedef struct {
    // 1 when it was found, else 0.
    uint32_t is_there;
    // The value's first byte.
    uint32_t value_start;
    // The end of the value.
    uint32_t value_end;
    // The name's first byte, or that of the whitespace before it.
    uint32_t start;
    // The following separator, or the end of the text. A search for the next begins one byte later.
    uint32_t stop;
} rn_found;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Returns the library's ABI version, [`RN_ABI_VERSION`].
uint32_t rn_abi_version(void);

// Writes the name of a status, such as `token_expired`.
//
// Errors: `InvalidArgument` for an unknown status, `BufferTooSmall`.
int32_t rn_reason_name(int32_t status, uint8_t *out, size_t capacity, size_t *length);

// Creates a gateway: reads and parses the key of the `hash` claim, and copies the policy. Call it before nginx forks, so
// that the workers inherit the handle. The gateway needs [`rn_gateway_use_keys`] too.
//
// Errors: the 200s, with one sentence in `error`. That of `SettingInvalid` begins with the setting's name in Lua's
// setup().
//
// Release with [`rn_gateway_free`].
int32_t rn_gateway_new(const rn_gateway_options *options,
                       const rn_policy *policy,
                       rn_gateway **gateway,
                       uint8_t *error,
                       size_t error_capacity,
                       size_t *error_length);

// Verifies tokens with the current keys of `keys` from now on, and writes to `changed` whether they differ from the keys
// before. If they do, nothing that was cached for those is found again.
int32_t rn_gateway_use_keys(const rn_gateway *gateway,
                            const rn_keys *keys,
                            uint32_t *changed);

// Releases a gateway. Null is allowed.
void rn_gateway_free(rn_gateway *gateway);

// Finds the token in a request's headers and looks it up in this process's cache: the hot path in one call. Writes the
// token, its target and its fingerprint to `answer`.
//
// Errors: `NotCached`, with only the token in `answer`; `TokenRevoked`, with the fingerprint; `TokenMissing` when neither
// header holds a token; `TokenAmbiguous`, `TokenTooLarge`.
int32_t rn_gateway_lookup(const rn_gateway *gateway,
                          const rn_header *headers,
                          size_t count,
                          int64_t now,
                          rn_answer *answer);

// Looks a token from elsewhere up in this process's cache, as [`rn_gateway_lookup`] does.
//
// Errors: `NotCached`, `TokenRevoked`, `TokenTooLarge`, `TokenMissing` for an empty token.
int32_t rn_gateway_lookup_token(const rn_gateway *gateway,
                                const uint8_t *token,
                                size_t token_length,
                                int64_t now,
                                rn_answer *answer);

// Verifies a token, decrypts its target, and caches the target in this process. Writes the target, `ttl` and the
// fingerprint to `answer`.
//
// Errors: the 100s, with the fingerprint in `answer`.
int32_t rn_gateway_resolve(const rn_gateway *gateway,
                           const uint8_t *token,
                           size_t token_length,
                           int64_t now,
                           rn_answer *answer);

// Verifies a token and writes the text of its `hash` claim, for [`rn_gateway_decrypt`], `ttl` in `answer`, and its
// identity, for [`rn_gateway_remember`]. This takes some 25 µs of the millisecond that [`rn_gateway_resolve`] takes: a
// forged token costs no more.
//
// Errors: the 100s; `BufferTooSmall` ([`super::RN_TOKEN_BYTES`] and [`super::RN_IDENTITY_BYTES`] are always enough).
int32_t rn_gateway_check(const rn_gateway *gateway,
                         const uint8_t *token,
                         size_t token_length,
                         int64_t now,
                         rn_answer *answer,
                         uint8_t *hash,
                         size_t capacity,
                         size_t *length,
                         uint8_t *identity,
                         size_t identity_capacity,
                         size_t *identity_length);

// Caches the target and the identity of a token that another worker resolved, for `ttl` seconds, and writes the target
// to `answer` as a lookup does.
//
// `answer` must be that of a lookup which returned `NotCached` and of a following [`rn_gateway_shared_key`].
//
// Errors: `InvalidArgument` for a target that [`rn_gateway_resolve`] never writes, and for other bytes than an identity;
// `TokenRevoked`, `RevocationsUnknown`.
int32_t rn_gateway_remember(const rn_gateway *gateway,
                            rn_answer *answer,
                            const uint8_t *target,
                            size_t target_length,
                            const uint8_t *identity,
                            size_t identity_length,
                            int64_t now,
                            uint32_t ttl);

// Writes the identity of a token that this process's cache has, for [`super::rn_identity_check`].
//
// `answer` must be that of a lookup or of [`rn_gateway_remember`].
//
// Errors: `NotCached`; `TokenRevoked`, `RevocationsUnknown`; `BufferTooSmall` ([`super::RN_IDENTITY_BYTES`] is always
// enough).
int32_t rn_gateway_identity(const rn_gateway *gateway,
                            const rn_answer *answer,
                            int64_t now,
                            uint8_t *identity,
                            size_t capacity,
                            size_t *length);

// Writes the key of `answer`'s token in the cache that all workers share, 32 bytes, and its fingerprint to `answer`.
//
// `answer` must be that of a lookup which returned `NotCached`, with its token still readable.
int32_t rn_gateway_shared_key(const rn_gateway *gateway, rn_answer *answer, uint8_t *key);

// Writes a token's fingerprint, its identifier in logs: 12 hexadecimal digits.
int32_t rn_token_fingerprint(const uint8_t *token, size_t token_length, uint8_t *out);

// Verifies a token and writes its claims, the JSON text that was signed.
//
// Errors: the 100s; `BufferTooSmall` (the token's length is always enough).
int32_t rn_gateway_verify(const rn_gateway *gateway,
                          const uint8_t *token,
                          size_t token_length,
                          int64_t now,
                          uint8_t *claims,
                          size_t capacity,
                          size_t *length);

// Decrypts the base64 text of a `hash` claim and writes its target.
//
// Errors: `PayloadInvalid` for every failure; `BufferTooSmall`.
int32_t rn_gateway_decrypt(const rn_gateway *gateway,
                           const uint8_t *hash,
                           size_t hash_length,
                           uint8_t *target,
                           size_t capacity,
                           size_t *length);

// Returns the number of entries in this process's cache, 0 for a null handle.
size_t rn_gateway_cached_entries(const rn_gateway *gateway);

// Creates an introspector: reads and parses its keys.
//
// Errors: the 200s, with one sentence in `error`.
//
// Release with [`rn_introspector_free`].
int32_t rn_introspector_new(const rn_introspector_options *options,
                            rn_introspector **introspector,
                            uint8_t *error,
                            size_t error_capacity,
                            size_t *error_length);

// Releases an introspector. Null is allowed.
void rn_introspector_free(rn_introspector *introspector);

// Finds the bearer token in a request's headers and computes its cache key: the hot path in one call. If `takes_dpop` is
// not 0, the token's scheme may be DPoP too.
//
// Errors: `TokenMissing`, `TokenAmbiguous`, `TokenTooLarge`, `TokenMalformed`.
int32_t rn_introspector_find(const rn_introspector *introspector,
                             const rn_header *headers,
                             size_t count,
                             uint32_t takes_dpop,
                             rn_bearer *bearer);

// Reads a server's response of status 200. `keys` are the server's published keys; null uses those of the options. For
// an active token, writes to `text` its scopes, followed by what the API receives, by the identity of `token`, and by the JSON of `cnf`.
//
// Errors:
//
// - `TokenInactive`, `TokenExpired`, `TokenNotYetValid`, `IssuerNotAllowed`, `AudienceNotAllowed`: the token is
//   refused.
// - `ServerAnswerInvalid`: the response is invalid and says nothing about the token.
// - `KeyNotFound`: no key of `keys` matches the response's `kid`. Refresh the keys and retry.
// - `KeyUnsupported`: the response is JSON, and neither a signing key nor claims are configured.
// - `BufferTooSmall`: `verdict` holds the lengths needed.
int32_t rn_introspector_read(const rn_introspector *introspector,
                             const rn_keys *keys,
                             const uint8_t *content_type,
                             size_t content_type_length,
                             const uint8_t *body,
                             size_t body_length,
                             const uint8_t *token,
                             size_t token_length,
                             int64_t now,
                             rn_verdict *verdict,
                             uint8_t *text,
                             size_t capacity);

// Writes to `name` the first member of a server's response that makes it malformed, for a message. Writes nothing when
// the form of the response is not the fault.
//
// Errors: `BufferTooSmall` (32 bytes are always enough).
int32_t rn_introspection_malformed_member(const uint8_t *content_type,
                                          size_t content_type_length,
                                          const uint8_t *body,
                                          size_t body_length,
                                          uint8_t *name,
                                          size_t capacity,
                                          size_t *length);

// Creates keys for encrypted tokens from a text. Its form is `RN_KEY_FORM_KEY`, or `RN_KEY_FORM_SECRET` for a shared
// secret of 16, 24, 32, 48 or 64 bytes.
//
// Errors: the 200s, with one sentence in `error`. On success, `error` receives notes, one a line: the keys that were
// skipped, and why.
//
// Release with [`rn_encryption_keys_free`].
int32_t rn_encryption_keys_new(uint32_t form,
                               const uint8_t *text,
                               size_t text_length,
                               rn_encryption_keys **keys,
                               uint8_t *error,
                               size_t error_capacity,
                               size_t *error_length);

// Releases keys. Null is allowed.
void rn_encryption_keys_free(rn_encryption_keys *keys);

// Decrypts a JWE and writes its header, followed by its plaintext.
//
// Errors: `TokenMissing`, `TokenTooLarge`, `TokenMalformed`, `HeaderUnsupported`, `AlgorithmNotAllowed`, `KeyNotFound`,
// `DecryptionFailed`, `BufferTooSmall`.
int32_t rn_jwe_decrypt(const rn_encryption_keys *keys,
                       const uint8_t *token,
                       size_t token_length,
                       uint8_t *buffer,
                       size_t capacity,
                       rn_token_texts *texts);

// Encrypts a plaintext under a header, a JSON object with `alg` and `enc`, and writes the JWE. The header gets the
// parameters of its key management and the key's `kid`, and is otherwise unchanged.
//
// Errors: `TokenMalformed`, `HeaderUnsupported`, `AlgorithmNotAllowed`, `KeyUnsupported`, `TokenTooLarge`,
// `BufferTooSmall`.
int32_t rn_jwe_encrypt(const rn_encryption_keys *keys,
                       const uint8_t *header,
                       size_t header_length,
                       const uint8_t *plaintext,
                       size_t plaintext_length,
                       uint8_t *buffer,
                       size_t capacity,
                       size_t *length);

// Creates a policy from its JSON: an object with any of `algorithms`, `leeway`, `require_exp`, `issuer`, `audience`,
// `required`, `max_lifetime`, `max_age` and `type`.
//
// Errors: `SettingInvalid`, with one sentence in `error`.
//
// Release with [`rn_policy_free`].
int32_t rn_policy_new(const uint8_t *json,
                      size_t json_length,
                      rn_policy **policy,
                      uint8_t *error,
                      size_t error_capacity,
                      size_t *error_length);

// Checks that some key of `keys` verifies an algorithm that the policy allows.
//
// Errors: `SettingInvalid`, with one sentence in `error`; `KeyUnsupported` when no key of `keys` can verify.
int32_t rn_policy_check_keys(const rn_policy *policy,
                             const rn_keys *keys,
                             uint8_t *error,
                             size_t error_capacity,
                             size_t *error_length);

// Releases a policy. Null is allowed.
void rn_policy_free(rn_policy *policy);

// Verifies a token and writes its header, followed by its claims: the JSON texts that were signed.
//
// Errors: the 100s; `KeyUnsupported` when no key of `keys` can verify; `BufferTooSmall` ([`RN_TOKEN_BYTES`] is always
// enough).
int32_t rn_jwt_verify(const rn_keys *keys,
                      const rn_policy *policy,
                      const uint8_t *token,
                      size_t token_length,
                      int64_t now,
                      uint8_t *buffer,
                      size_t capacity,
                      rn_token_texts *texts);

// Verifies a token, as [`rn_jwt_verify`] does, and writes its identity, for [`super::rn_identity_check`].
//
// Errors: those of [`rn_jwt_verify`]; `BufferTooSmall` ([`super::RN_IDENTITY_BYTES`] is always enough).
int32_t rn_jwt_identity(const rn_keys *keys,
                        const rn_policy *policy,
                        const uint8_t *token,
                        size_t token_length,
                        int64_t now,
                        uint8_t *identity,
                        size_t capacity,
                        size_t *length);

// Checks a token's signature alone. The payload may be any bytes.
//
// Errors: the 100s; `KeyUnsupported` when no key of `keys` can verify.
int32_t rn_jws_verify(const rn_keys *keys, const rn_policy *policy, const uint8_t *token, size_t token_length);

// Writes a token's header, followed by its claims, **without verifying anything**.
//
// Errors: `TokenMissing`, `TokenTooLarge`, `TokenMalformed`, `HeaderUnsupported`; `BufferTooSmall`.
int32_t rn_jwt_decode_unverified(const uint8_t *token,
                                 size_t token_length,
                                 uint8_t *buffer,
                                 size_t capacity,
                                 rn_token_texts *texts);

// Creates sign options from their JSON: an object with any of `algorithm`, `kid`, `typ`, `header`, `issuer`,
// `lifetime` and `jti`.
//
// Errors: `SettingInvalid`, with one sentence in `error`.
//
// Release with [`rn_sign_options_free`].
int32_t rn_sign_options_new(const uint8_t *json,
                            size_t json_length,
                            rn_sign_options **options,
                            uint8_t *error,
                            size_t error_capacity,
                            size_t *error_length);

// Releases sign options. Null is allowed.
void rn_sign_options_free(rn_sign_options *options);

// Signs claims, the JSON of one object, and writes the token.
//
// Errors: `ClaimMalformed` when the claims are not a JSON object; `KeyCannotSign`; `TokenTooLarge`; `BufferTooSmall`
// ([`RN_TOKEN_BYTES`] is always enough).
int32_t rn_jwt_sign(const rn_keys *keys,
                    const rn_sign_options *options,
                    const uint8_t *claims,
                    size_t claims_length,
                    int64_t now,
                    uint8_t *buffer,
                    size_t capacity,
                    size_t *length);

// Signs a payload of any bytes under an unchanged header, a JSON object with an `alg`, and writes the token.
//
// Errors: `TokenMalformed` for another header, `HeaderUnsupported`, `KeyCannotSign`, `TokenTooLarge`,
// `BufferTooSmall`.
int32_t rn_jws_sign(const rn_keys *keys,
                    const uint8_t *header,
                    size_t header_length,
                    const uint8_t *payload,
                    size_t payload_length,
                    uint8_t *buffer,
                    size_t capacity,
                    size_t *length);

// Checks that a text is one JSON object without duplicate members at any depth and with at most 4,096 values: 0 or
// `ClaimMalformed`.
int32_t rn_json_check(const uint8_t *json, size_t json_length);

// Writes a token's header, a JSON object, followed by its payload, any bytes, **without verifying anything**.
//
// Errors: `TokenMissing`, `TokenTooLarge`, `TokenMalformed`; `BufferTooSmall`.
int32_t rn_jws_decode_unverified(const uint8_t *token,
                                 size_t token_length,
                                 uint8_t *buffer,
                                 size_t capacity,
                                 rn_token_texts *texts);

// Creates keys from texts. The first key that can sign signs; all verify.
//
// Errors: the 200s, with one sentence in `error`. On success, `error` receives notes, one a line: the keys that were
// skipped, and why, and the certificates that are not valid now.
//
// Release with [`rn_keys_free`].
int32_t rn_keys_new(const rn_key_text *texts,
                    size_t count,
                    rn_keys **keys,
                    uint8_t *error,
                    size_t error_capacity,
                    size_t *error_length);

// Creates keys from a file, which [`rn_keys_refresh`] reloads.
//
// Errors: the 200s, with one sentence in `error`. On success, `error` receives notes, one a line: the keys that were
// skipped, and why, and the certificates that are not valid now.
//
// Release with [`rn_keys_free`].
int32_t rn_keys_open(uint32_t form,
                     const uint8_t *path,
                     size_t path_length,
                     rn_keys **keys,
                     uint8_t *error,
                     size_t error_capacity,
                     size_t *error_length);

// Reloads the keys' file if its content has changed, and writes to `changed` whether it has. After an error the old
// keys stay.
//
// Errors: the 200s, with one sentence in `error`. On success, `error` receives notes, one a line: the keys that were
// skipped, and why, and the certificates that are not valid now.
int32_t rn_keys_refresh(const rn_keys *keys,
                        uint32_t *changed,
                        uint8_t *error,
                        size_t error_capacity,
                        size_t *error_length);

// Releases keys. Null is allowed.
void rn_keys_free(rn_keys *keys);

// Creates a key from the first certificate of a chain, which must be valid at `now` and chain to a certificate in the
// PEM text `trusted`. The certificates are in DER or PEM; their `form` is ignored.
//
// Errors: `KeyUnsupported`, `TokenMalformed`, `CertificateNotTrusted`, with one sentence in `error`.
//
// Release with [`rn_keys_free`].
int32_t rn_keys_from_chain(const uint8_t *trusted,
                           size_t trusted_length,
                           const rn_key_text *chain,
                           size_t count,
                           int64_t now,
                           rn_keys **keys,
                           uint8_t *error,
                           size_t error_capacity,
                           size_t *error_length);

// Returns a number of seconds that only grows, for [`rn_metrics_observe`].
double rn_metrics_clock(void);

// Writes the number of a counter or histogram for [`rn_metrics_count`] or [`rn_metrics_observe`]. `key` is its name
// without `route_native_`, and the labels' values in the order of `src/metrics/families.rs`, with a byte 31 between.
//
// Errors: `InvalidArgument` for another name or number of labels. A value that a label does not have is no error, but
// counts as `other`, and so does what finds no room.
int32_t rn_metrics_cell(const uint8_t *key, size_t key_length, uint32_t *cell);

// Adds 1 to a counter.
void rn_metrics_count(uint32_t cell);

// Adds a time to a histogram.
void rn_metrics_observe(uint32_t cell, double seconds);

// Writes what the counters of this process have grown by since the last call: lines of a number, a blank and a key.
// What does not fit stays for the next call. Nothing is written when there is nothing new.
//
// Errors: `BufferTooSmall` never, if the buffer has [`RN_METRICS_BYTES`].
int32_t rn_metrics_take(uint8_t *buffer, size_t capacity, size_t *length);

// Writes the state of this process's key files and keys, in lines as [`rn_metrics_take`] writes them.
//
// Errors: `BufferTooSmall`.
int32_t rn_metrics_state(uint8_t *buffer, size_t capacity, size_t *length);

// Forgets the key files and the keys, which the next configuration names anew.
void rn_metrics_forget(void);

// Notes a file with a certificate that this library does not read itself.
//
// Errors: `KeyUnreadable`.
int32_t rn_metrics_note_certificate(const uint8_t *path, size_t path_length);

// Writes the text of Prometheus for lines of all workers.
//
// Errors: `BufferTooSmall`, with the size needed.
int32_t rn_metrics_write(const uint8_t *lines, size_t lines_length, uint8_t *buffer, size_t capacity, size_t *length);

// Creates a policy from its JSON: an object with `origins` and any of `algorithms`, `max_age`, `leeway` and
// `nonce_seconds`.
//
// Errors: `SettingInvalid`, with one sentence in `error`.
//
// Release with [`rn_proof_policy_free`].
int32_t rn_proof_policy_new(const uint8_t *json,
                            size_t json_length,
                            rn_proof_policy **policy,
                            uint8_t *error,
                            size_t error_capacity,
                            size_t *error_length);

// Releases a policy. Null is allowed.
void rn_proof_policy_free(rn_proof_policy *policy);

// Writes the names of the policy's algorithms, separated by blanks.
//
// Errors: `BufferTooSmall` (256 bytes are enough for a list without repetitions).
int32_t rn_proof_policy_algorithms(const rn_proof_policy *policy, uint8_t *names, size_t capacity, size_t *length);

// Checks a proof. Whether it was used before is the caller's to check, by [`rn_proof::id`].
//
// Errors: `ProofMissing` for an empty one, `ProofMalformed`, `ProofKeyRefused`, `ProofSignatureInvalid`,
// `ProofRequestMismatch`, `ProofExpired`, `ProofTokenMismatch`, `HolderKeyMismatch`, `ProofNonceInvalid`.
int32_t rn_proof_check(const rn_proof_policy *policy,
                       const uint8_t *proof,
                       size_t proof_length,
                       const rn_proof_request *request,
                       int64_t now,
                       rn_proof *result);

// Writes claims, the JSON of one object, with a `cnf` that binds their token to the key of a proof.
//
// Errors: `ClaimMalformed` when the claims are not a JSON object, have a `cnf`, or have a number whose digits would be
// lost; `BufferTooSmall`; `InvalidArgument`.
int32_t rn_proof_bind(const uint8_t *claims,
                      size_t claims_length,
                      const uint8_t *thumbprint,
                      size_t thumbprint_length,
                      uint8_t *bound,
                      size_t capacity,
                      size_t *length);

// Writes a new secret of nonces: 32 random bytes.
int32_t rn_nonce_secret_new(uint8_t *secret);

// Writes the nonce of the current period, which has `seconds`: 32 characters.
//
// Errors: `InvalidArgument` for a secret of another size.
int32_t rn_nonce_write(const uint8_t *secret, size_t secret_length, int64_t now, uint32_t seconds, uint8_t *nonce);

// Writes the thumbprint of a certificate (RFC 8705 §3.1): 43 characters. `form` is one of the `RN_CERTIFICATE`s.
//
// Errors: `CertificateMismatch` for a text that holds no certificate in that form; `InvalidArgument`.
int32_t rn_certificate_thumbprint(uint32_t form, const uint8_t *text, size_t text_length, uint8_t *thumbprint);

// Fills a buffer with random bytes of the system, for values that nobody may guess.
//
// Errors: `InvalidArgument` for more than [`RN_RANDOM_BYTES`]; `Internal` if the system has none.
int32_t rn_random_fill(uint8_t *out, size_t bytes);

// Writes the SHA-2 digest of a text: 32, 48 or 64 bytes for `bits` of 256, 384 or 512.
//
// Errors: `InvalidArgument` for other bits, `BufferTooSmall` ([`RN_DIGEST_BYTES`] is always enough).
int32_t rn_digest_write(uint32_t bits,
                        const uint8_t *text,
                        size_t text_length,
                        uint8_t *out,
                        size_t capacity,
                        size_t *length);

// Parses the JSON of a revocation, and writes the JSON to store and when it ends, in seconds since the epoch. `seconds`
// is the life of one that names no end.
//
// Errors: `SettingInvalid`, with one sentence in `error`; `BufferTooSmall` ([`super::RN_TOKEN_BYTES`] is always enough).
int32_t rn_revocation_parse(const uint8_t *json,
                            size_t json_length,
                            int64_t now,
                            uint32_t seconds,
                            uint8_t *record,
                            size_t capacity,
                            size_t *length,
                            int64_t *ends,
                            uint8_t *error,
                            size_t error_capacity,
                            size_t *error_length);

// Writes a random id for a revocation, from 1 to 10^14 - 1: Lua writes 14 digits of a number.
//
// Errors: `Internal` if the system has no random numbers.
int32_t rn_revocation_id(uint64_t *id);

// Writes the names of the three keys with which nodes exchange revocations through Redis, each on a line, and then the
// script that does it.
//
// Errors: `BufferTooSmall` ([`super::RN_TOKEN_BYTES`] is always enough).
int32_t rn_revocation_script(uint8_t *out, size_t capacity, size_t *length);

// Adds a stored revocation to those of this process, under its id. One that is there already stays as it is.
//
// Errors: `SettingInvalid` for a text that [`rn_revocation_parse`] never writes.
int32_t rn_revocations_add(uint64_t id, const uint8_t *record, size_t record_length, int64_t now);

// Removes a revocation from those of this process. One that is not there is no error.
int32_t rn_revocations_remove(uint64_t id);

// Returns a number that changes with the revocations of this process. It is 0 as long as nothing was ever revoked.
uint32_t rn_revocations_generation(void);

// Returns the number of revocations of this process.
size_t rn_revocations_count(void);

// Sets whether (1) or not (0) the revocations may be too old. If so, every check fails with `RevocationsUnknown`.
void rn_revocations_set_outdated(uint32_t is_outdated);

// Writes the identity of a token: digests of its names, for [`rn_identity_check`]. Whoever reads it learns no name.
//
// Errors: `BufferTooSmall` ([`RN_IDENTITY_BYTES`] is always enough).
int32_t rn_identity_write(const rn_names *names, uint8_t *identity, size_t capacity, size_t *length);

// Checks an identity against the revocations of this process.
//
// Errors: `TokenRevoked`, `RevocationsUnknown`; `InvalidArgument` for other bytes.
int32_t rn_identity_check(const uint8_t *identity, size_t identity_length, int64_t now);

// Returns when the token of an identity expires, in seconds since the epoch; -1 if nobody knows.
double rn_identity_expires_at(const uint8_t *identity, size_t identity_length);

// Parses an RSA key in PEM: a private key when `is_private` is not 0, and a public key or certificate otherwise.
//
// Errors: `KeyUnsupported`, with one sentence in `error`; `InvalidArgument` for another padding than
// [`RN_RSA_PKCS1`] and [`RN_RSA_OAEP`].
//
// Release with [`rn_rsa_free`].
int32_t rn_rsa_new(uint32_t is_private,
                   uint32_t padding,
                   const uint8_t *text,
                   size_t text_length,
                   rn_rsa **key,
                   uint8_t *error,
                   size_t error_capacity,
                   size_t *error_length);

// Releases a key. Null is allowed.
void rn_rsa_free(rn_rsa *key);

// Encrypts with a public key.
//
// Errors: `InvalidArgument` for a private key, or a text that is too long for key and padding; `BufferTooSmall`
// ([`RN_RSA_BYTES`] is always enough).
int32_t rn_rsa_encrypt(const rn_rsa *key,
                       const uint8_t *plaintext,
                       size_t plaintext_length,
                       uint8_t *buffer,
                       size_t capacity,
                       size_t *length);

// Decrypts with a private key.
//
// Errors: `InvalidArgument` for a public key; `DecryptionFailed` for every failure; `BufferTooSmall`
// ([`RN_RSA_BYTES`] is always enough).
int32_t rn_rsa_decrypt(const rn_rsa *key,
                       const uint8_t *ciphertext,
                       size_t ciphertext_length,
                       uint8_t *buffer,
                       size_t capacity,
                       size_t *length);

// Signs a message (RSASSA-PKCS1-v1_5) with a private key and SHA-256, SHA-384 or SHA-512: `hash` is 256, 384 or 512.
//
// Errors: `InvalidArgument` for a public key or another hash; `BufferTooSmall` ([`RN_RSA_BYTES`] is always enough).
int32_t rn_rsa_sign(const rn_rsa *key,
                    uint32_t hash,
                    const uint8_t *message,
                    size_t message_length,
                    uint8_t *buffer,
                    size_t capacity,
                    size_t *length);

// Checks a signature (RSASSA-PKCS1-v1_5) with a public key and the hash of [`rn_rsa_sign`].
//
// Errors: `SignatureInvalid`; `InvalidArgument` for a private key or another hash.
int32_t rn_rsa_verify(const rn_rsa *key,
                      uint32_t hash,
                      const uint8_t *message,
                      size_t message_length,
                      const uint8_t *signature,
                      size_t signature_length);

// Generates a key of 2048, 3072 or 4096 bits, and writes the public key, followed by the private key, in PEM: as PKCS#1,
// or as SPKI and PKCS#8 when `in_pkcs8` is not 0.
//
// Errors: `SettingInvalid` for another size; `BufferTooSmall` ([`RN_RSA_PAIR_BYTES`] is always enough).
int32_t rn_rsa_generate(uint32_t bits,
                        uint32_t in_pkcs8,
                        uint8_t *buffer,
                        size_t capacity,
                        size_t *length);

// Finds the next cookie with that name in a Cookie header, beginning at the offset `from`.
//
// Errors: `InvalidArgument` for a header of 4 GB.
int32_t rn_cookie_find(const uint8_t *header,
                       size_t header_length,
                       const uint8_t *name,
                       size_t name_length,
                       size_t from,
                       rn_found *found);

// Finds the next argument with that name (in lower case) in a query, beginning at the offset `from`. The comparison
// ignores case and decodes percent-encoding.
//
// Errors: `InvalidArgument` for a query of 4 GB.
int32_t rn_argument_find(const uint8_t *query,
                         size_t query_length,
                         const uint8_t *name,
                         size_t name_length,
                         size_t from,
                         rn_found *found);

// Finds the next token in a URL or another text, beginning at the offset `from`: a compact token, or the value of what
// is named `…token`, also percent-encoded. Value and whole are the same.
//
// Errors: `InvalidArgument` for a text of 4 GB.
int32_t rn_token_scan(const uint8_t *text, size_t text_length, size_t from, rn_found *found);

// Writes a Cookie header without the cookies named in `names`, a list separated by semicolons. With `any_prefix` other
// than 0, also drops a name with a prefix such as `__Host-`.
//
// Errors: `BufferTooSmall` (one and a half times the header is always enough).
int32_t rn_cookies_without(const uint8_t *header,
                           size_t header_length,
                           const uint8_t *names,
                           size_t names_length,
                           uint32_t any_prefix,
                           uint8_t *rest,
                           size_t capacity,
                           size_t *length);

// Writes the key ring to store: a new one when `ring` is empty; a rotated one when its newest key has been in force
// for `period` seconds, with a new key that will be in force in `notice` seconds; otherwise the same ring.
//
// Errors: `SessionKeysInvalid`, `BufferTooSmall` (160 bytes are always enough).
int32_t rn_session_ring_next(const uint8_t *ring,
                             size_t ring_length,
                             int64_t now,
                             uint32_t period,
                             uint32_t notice,
                             uint8_t *next,
                             size_t capacity,
                             size_t *length);

// Parses a key ring.
//
// Errors: `SessionKeysInvalid`.
//
// Release with [`rn_session_keys_free`].
int32_t rn_session_keys_new(const uint8_t *ring, size_t ring_length, rn_session_keys **keys);

// Releases session keys. Null is allowed.
void rn_session_keys_free(rn_session_keys *keys);

// Writes the id of a new session that begins at `now`: 76 characters.
int32_t rn_session_id_new(const rn_session_keys *keys, int64_t now, uint8_t *id);

// Checks a session id and writes the session's age in seconds.
//
// Errors: `SessionInvalid`, `SessionExpired` from an age of `lifetime` seconds.
int32_t rn_session_id_check(const rn_session_keys *keys,
                            const uint8_t *id,
                            size_t id_length,
                            int64_t now,
                            uint32_t lifetime,
                            uint32_t *age);

// Signs the path of a requested page, for the cookie that holds it until the login: at most 2,722 characters. A signed
// page does not pass as a session id, nor an id as a page.
//
// Errors: `InvalidArgument` for a path of more than 2,000 bytes, `BufferTooSmall`.
int32_t rn_session_page_sign(const rn_session_keys *keys,
                             int64_t now,
                             const uint8_t *path,
                             size_t path_length,
                             uint8_t *page,
                             size_t capacity,
                             size_t *length);

// Checks a signed page and writes its path: at most 2,000 bytes.
//
// Errors: `SessionInvalid`, `SessionExpired` from an age of `lifetime` seconds, `BufferTooSmall`.
int32_t rn_session_page_check(const rn_session_keys *keys,
                              const uint8_t *page,
                              size_t page_length,
                              int64_t now,
                              uint32_t lifetime,
                              uint8_t *path,
                              size_t capacity,
                              size_t *length);

// Writes the SHA-256 of a text in 64 hexadecimal digits: the key of a session in the store.
int32_t rn_session_digest(const uint8_t *text, size_t text_length, uint8_t *digest);

// Writes the digest of a user name, 32 bytes. Names that backends treat as equal have one digest.
//
// Errors: `InvalidArgument` for a name of more than 256 bytes, or of more than 512 characters after folding.
int32_t rn_login_name_digest(const uint8_t *name, size_t name_length, uint8_t *digest);

// Writes 1 when a backend may read a login's field as the field named `expected`, 0 when none does, and 2 when the name
// is too long to tell.
int32_t rn_login_field_check(const uint8_t *field,
                             size_t field_length,
                             const uint8_t *expected,
                             size_t expected_length,
                             uint32_t *may_be);

// Checks that all parsers read the same fields from a form: 0 or `ClaimMalformed`.
int32_t rn_login_form_check(const uint8_t *body, size_t body_length);

// Checks that a text is one JSON object without duplicate members at any depth and with at most 1,000 values: 0 or
// `ClaimMalformed`.
int32_t rn_login_object_check(const uint8_t *body, size_t body_length);

// Checks that a path is safe to redirect to: 0 when it leads to the same origin, else `PathRefused`.
int32_t rn_path_check(const uint8_t *path, size_t path_length);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* ROUTE_NATIVE_H */
