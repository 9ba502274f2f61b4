// route_native's C ABI. Written by `make abi` from src/ffi/: change that, not this file.

#ifndef ROUTE_NATIVE_H
#define ROUTE_NATIVE_H

#include <stddef.h>
#include <stdint.h>

// The status of a call that succeeded.
#define RN_OK 0

// The size of a buffer that holds every sentence of an error.
#define RN_ERROR_BYTES 1024

// The size of a buffer that holds the name of every status.
#define RN_REASON_NAME_BYTES 64

// The version of this ABI. Lua refuses a library whose version is another.
#define RN_ABI_VERSION 2

// The size of [`rn_answer::target`].
#define RN_TARGET_BYTES 256

// The size of [`rn_answer::fingerprint`].
#define RN_FINGERPRINT_BYTES 12

// The size of [`rn_answer::tag`].
#define RN_TAG_BYTES 16

// The size of [`rn_bearer::key`].
#define RN_CACHE_KEY_BYTES 32

// The longest token that is read or made; a buffer of this size holds any answer about one.
#define RN_TOKEN_BYTES 16384

// A text that is PEM, a JWK or a JWK Set.
#define RN_KEY_FORM_KEY 0

// A text that is one HMAC secret of 32 bytes or more.
#define RN_KEY_FORM_SECRET 1

// A text of HMAC secrets, one a line: the first signs, each verifies.
#define RN_KEY_FORM_SECRETS 2

// A text that is one HMAC secret of any length but 0: for programs that have always used a short one.
#define RN_KEY_FORM_SHORT_SECRET 3

// A text that is a JWK Set which another server publishes: its public keys. Secrets in it are passed over, and private
// halves are not used.
#define RN_KEY_FORM_PUBLISHED 4

// Characters of a session id.
#define RN_SESSION_ID_BYTES 76

// Characters of a digest: what stands for a secret in a store.
#define RN_SESSION_DIGEST_BYTES 64

// The longest text of a key ring.
#define RN_SESSION_KEYS_BYTES 160

// The longest path of a page that is signed.
#define RN_SESSION_PATH_BYTES 2000

// The longest signed page.
#define RN_SESSION_PAGE_BYTES 2722

// The size of what stands for a login's name where attempts are counted.
#define RN_LOGIN_NAME_BYTES 32

// One reason, with its stable number.
enum rn_reason
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // The caller's buffer is smaller than the answer; the length out says what is needed.
    RN_REASON_BUFFER_TOO_SMALL = 1,
    // A null pointer, a negative length or a value outside its range.
    RN_REASON_INVALID_ARGUMENT = 2,
    // A fault of this library (a caught panic).
    RN_REASON_INTERNAL = 3,
    // Nothing is known under that key, or it has expired.
    RN_REASON_NOT_CACHED = 4,
    // The request carries no token.
    RN_REASON_TOKEN_MISSING = 100,
    // The request carries more than one token in the same place.
    RN_REASON_TOKEN_AMBIGUOUS = 101,
    // The token is longer than [`crate::jwt::MAX_TOKEN_BYTES`].
    RN_REASON_TOKEN_TOO_LARGE = 102,
    // Not three canonical base64url parts holding two JSON objects without duplicate members.
    RN_REASON_TOKEN_MALFORMED = 103,
    // The header asks for something that is refused: `crit`, `zip`, `enc`, `b64`.
    RN_REASON_HEADER_UNSUPPORTED = 104,
    // The token's `alg` is not one that the key and the policy allow.
    RN_REASON_ALGORITHM_NOT_ALLOWED = 105,
    // No key of the set bears the token's `kid`.
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
    // The `hash` claim does not decrypt to an allowed target; deliberately not said why.
    RN_REASON_PAYLOAD_INVALID = 120,
    // `iss` is not one that the policy names.
    RN_REASON_ISSUER_NOT_ALLOWED = 130,
    // `aud` names none of the policy's audiences.
    RN_REASON_AUDIENCE_NOT_ALLOWED = 131,
    // `exp` lies further behind `iat` than the policy allows.
    RN_REASON_LIFETIME_TOO_LONG = 132,
    // `iat` lies further back than the policy allows.
    RN_REASON_TOKEN_TOO_OLD = 133,
    // The header's `typ` is not the one that the policy names.
    RN_REASON_TYPE_NOT_ALLOWED = 134,
    // An encrypted token does not decrypt; deliberately not said why.
    RN_REASON_DECRYPTION_FAILED = 135,
    // No certificate authority that is trusted vouches for the token's `x5c`.
    RN_REASON_CERTIFICATE_NOT_TRUSTED = 136,
    // A session id is malformed, or no key in force has signed it.
    RN_REASON_SESSION_INVALID = 140,
    // A session has reached its absolute lifetime.
    RN_REASON_SESSION_EXPIRED = 141,
    // A path does not lead to the same origin.
    RN_REASON_PATH_REFUSED = 142,
    // The authorization server says that the token is not active.
    RN_REASON_TOKEN_INACTIVE = 150,
    // The token lacks a scope that is required (HTTP 403).
    RN_REASON_SCOPE_INSUFFICIENT = 151,
    // A key file is not named or cannot be read.
    RN_REASON_KEY_UNREADABLE = 200,
    // A key is not of a kind that can be used here.
    RN_REASON_KEY_UNSUPPORTED = 201,
    // A key or secret is too short for its algorithm.
    RN_REASON_KEY_TOO_WEAK = 202,
    // A setting has a value outside its range.
    RN_REASON_SETTING_INVALID = 203,
    // A key that cannot sign, or not with that algorithm, was asked to.
    RN_REASON_KEY_CANNOT_SIGN = 204,
    // The session keys in the store are not what this version has written.
    RN_REASON_SESSION_KEYS_INVALID = 240,
    // Another server cannot be reached, or does not answer in time.
    RN_REASON_SERVER_UNREACHABLE = 300,
    // Another server answers with a status that says nothing about the token.
    RN_REASON_SERVER_FAILED = 301,
    // Another server's answer cannot be understood, or is not signed as it must be.
    RN_REASON_SERVER_ANSWER_INVALID = 302,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum rn_reason rn_reason;
#else
typedef int32_t rn_reason;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// A gateway's keys, settings and cache.
typedef struct rn_gateway rn_gateway;

// How the answers of one authorization server are read.
typedef struct rn_introspector rn_introspector;

// Keys that verify or sign, parsed once.
typedef struct rn_keys rn_keys;

// What a token must satisfy besides its signature, read once.
typedef struct rn_policy rn_policy;

// The keys that sign and accept session ids.
typedef struct rn_session_keys rn_session_keys;

// What is put into a token besides its claims, read once.
typedef struct rn_sign_options rn_sign_options;

// What [`rn_gateway_new`] reads. Texts are pointer and length; an absent text has length 0.
typedef struct {
    // Path of the file with the key or keys that sign tokens.
    const uint8_t *signing_key;
    // Its length.
    size_t signing_key_length;
    // Path of the file with the private key that opens the `hash` claim.
    const uint8_t *payload_key;
    // Its length.
    size_t payload_key_length;
    // `pkcs1v15` (also when absent), `oaep-sha1` or `oaep-sha256`.
    const uint8_t *padding;
    // Its length.
    size_t padding_length;
    // The suffix that targets must have; absent: any target.
    const uint8_t *suffix;
    // Its length.
    size_t suffix_length;
    // Clock skew that is forgiven, in seconds.
    uint32_t leeway;
    // The most answers that a process keeps for itself.
    uint32_t cache_entries;
} rn_gateway_options;

// Bytes with a 32-bit length, laid out as lua-nginx-module's `ngx_http_lua_ffi_str_t`.
typedef struct {
    // Length in bytes; negative lengths are refused.
    int32_t length;
    // The bytes.
    const uint8_t *data;
} rn_string;

// A request's header, laid out as lua-nginx-module's `ngx_http_lua_ffi_table_elt_t`, so that the array which
// nginx fills is read where it lies.
typedef struct {
    // The name as received.
    rn_string name;
    // The value as received.
    rn_string value;
} rn_header;

// An answer, written into memory of the caller. Its lengths have 32 bits because LuaJIT boxes 64-bit numbers.
typedef struct {
    // Where the token lies within the request's headers; as long-lived as they are.
    const uint8_t *token;
    // The token's length.
    uint32_t token_length;
    // The target's length.
    uint32_t target_length;
    // Seconds that the answer may be kept; 0: not at all. Written by [`rn_gateway_resolve`] alone.
    uint32_t ttl;
    // 1 when the target is a host name, 0 when it is an address and needs no resolver.
    uint32_t is_name;
    // What stands for the token in logs.
    uint8_t fingerprint[RN_FINGERPRINT_BYTES];
    // The token's name in this process's cache. Written by a lookup, for [`rn_gateway_remember`] alone.
    uint8_t tag[RN_TAG_BYTES];
    // The target, not terminated.
    uint8_t target[RN_TARGET_BYTES];
} rn_answer;

// What [`rn_introspector_new`] reads. Texts are pointer and length; an absent text has length 0.
typedef struct {
    // What names the configuration in caches, besides its keys.
    const uint8_t *identity;
    // Its length.
    size_t identity_length;
    // Path of the file with the key or keys that the server's JWTs are signed with; absent: they are not verified.
    const uint8_t *verify_key;
    // Its length.
    size_t verify_key_length;
    // What `iss` of the server's answers must be: one a line; absent: it is not looked at.
    const uint8_t *issuer;
    // Its length.
    size_t issuer_length;
    // What `aud` of the server's answers must name: one a line; absent: it is not looked at.
    const uint8_t *audience;
    // Its length.
    size_t audience_length;
    // Path of the file with the private key that signs what the API receives; absent: nothing is signed.
    const uint8_t *signing_key;
    // Its length.
    size_t signing_key_length;
    // The `kid` of what is signed.
    const uint8_t *signing_key_id;
    // Its length.
    size_t signing_key_id_length;
    // Names of the claims that the API receives in place of a JWT: one a line; absent: it receives a JWT.
    const uint8_t *claims;
    // Its length.
    size_t claims_length;
    // How long a signed JWT lives when the server says no `exp`, in seconds.
    uint32_t lifetime;
} rn_introspector_options;

// The token of a request, written into memory of the caller.
typedef struct {
    // Where the token lies within the request's headers; as long-lived as they are.
    const uint8_t *token;
    // The token's length.
    uint32_t token_length;
    // The token's name in a cache: a digest of the configuration and the token.
    uint8_t key[RN_CACHE_KEY_BYTES];
} rn_bearer;

// What a server says of an active token. Its two texts lie one after the other in the caller's buffer.
typedef struct {
    // Seconds since the epoch; 0 when the server names no end.
    int64_t expires_at;
    // Length of the first text: the scopes, separated by blanks.
    uint32_t scope_length;
    // Length of the second text: what the API receives.
    uint32_t forward_length;
} rn_verdict;

// The lengths of the two texts that a token holds: the header comes first, the claims follow it.
typedef struct {
    // Length of the header's JSON.
    uint32_t header_length;
    // Length of the claims' JSON.
    uint32_t claims_length;
} rn_token_texts;

// One text that holds keys.
typedef struct {
    // One of the `RN_KEY_FORM`s.
    uint32_t form;
    // The text.
    const uint8_t *data;
    // Its length.
    size_t length;
} rn_key_text;

// Where a cookie or an argument stands: offsets in the text, in bytes. All are valid when `is_there` is 1.
typedef struct {
    // 1, or 0 when there is none.
    uint32_t is_there;
    // Where the value begins.
    uint32_t value_start;
    // Where the value ends.
    uint32_t value_end;
    // Where the name begins, with the blanks before it.
    uint32_t start;
    // The separator behind it, or the text's end: one more is where to look for the next.
    uint32_t stop;
} rn_found;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// The version of the ABI that this library has: [`RN_ABI_VERSION`].
uint32_t rn_abi_version(void);

// Writes the name of a status, such as `token_expired`.
//
// Errors: `InvalidArgument` for a number that is no reason, `BufferTooSmall`.
int32_t rn_reason_name(int32_t status, uint8_t *out, size_t capacity, size_t *length);

// Makes a gateway: reads and parses its keys.
//
// Errors: the 200s, with one sentence in `error`, cut to its capacity. That of `SettingInvalid` begins with the name that
// Lua's setup() knows the setting by.
//
// Release with [`rn_gateway_free`]. To be called before nginx forks: the workers inherit the handle.
int32_t rn_gateway_new(const rn_gateway_options *options,
                       rn_gateway **gateway,
                       uint8_t *error,
                       size_t error_capacity,
                       size_t *error_length);

// Releases a gateway; null is allowed.
void rn_gateway_free(rn_gateway *gateway);

// Finds the token among a request's headers and looks it up in this process's cache: the hot path, one call.
//
// 0: `answer` holds the target, the fingerprint and the token's place. `NotCached`: it holds the token's place.
// `TokenMissing`: neither header is there. Other errors: `TokenAmbiguous`, `TokenTooLarge`; an empty header is
// `TokenMalformed`.
int32_t rn_gateway_lookup(const rn_gateway *gateway,
                          const rn_header *headers,
                          size_t count,
                          int64_t now,
                          rn_answer *answer);

// Looks a token up in this process's cache, wherever it was found.
//
// 0: `answer` holds target and fingerprint. Errors: `NotCached`, `TokenTooLarge`, `TokenMissing` when empty.
int32_t rn_gateway_lookup_token(const rn_gateway *gateway,
                                const uint8_t *token,
                                size_t token_length,
                                int64_t now,
                                rn_answer *answer);

// Resolves a token: verifies it, decrypts its target, and keeps the answer in this process's cache.
//
// 0: `answer` holds target, seconds and fingerprint. On an error of the 100s it still holds the fingerprint.
int32_t rn_gateway_resolve(const rn_gateway *gateway,
                           const uint8_t *token,
                           size_t token_length,
                           int64_t now,
                           rn_answer *answer);

// Verifies a token and writes the text of its `hash` claim, for [`rn_gateway_decrypt`], and into `answer` the seconds
// that its target may be kept: some 25 µs of a millisecond, so that a forgery costs no more.
//
// Errors: the 100s; `BufferTooSmall` ([`super::RN_TOKEN_BYTES`] always do).
int32_t rn_gateway_check(const rn_gateway *gateway,
                         const uint8_t *token,
                         size_t token_length,
                         int64_t now,
                         rn_answer *answer,
                         uint8_t *hash,
                         size_t capacity,
                         size_t *length);

// Keeps an answer that another worker has worked out in this process's cache, for `ttl` seconds, and writes the target
// into `answer` as a lookup would have.
//
// Errors: `InvalidArgument` for a target that [`rn_gateway_resolve`] would not have written.
//
// `answer` must be as a lookup of the token that ended in `NotCached`, and then [`rn_gateway_shared_key`], left it.
int32_t rn_gateway_remember(const rn_gateway *gateway,
                            rn_answer *answer,
                            const uint8_t *target,
                            size_t target_length,
                            int64_t now,
                            uint32_t ttl);

// Writes the 32 bytes that name the token of `answer` in a cache which all workers share, and its fingerprint into
// `answer`.
//
// `answer` must be as a lookup that ended in `NotCached` left it, with its token still readable; `key` must be writable for 32 bytes.
int32_t rn_gateway_shared_key(const rn_gateway *gateway,
                              rn_answer *answer,
                              uint8_t *key);

// Writes the fingerprint that stands for a token in logs: 12 bytes.
int32_t rn_token_fingerprint(const uint8_t *token, size_t token_length, uint8_t *out);

// Verifies a token and writes its claims, as the JSON that was signed.
//
// Errors: the 100s; `BufferTooSmall` with the size needed in `length` (never more than the token's length).
int32_t rn_gateway_verify(const rn_gateway *gateway,
                          const uint8_t *token,
                          size_t token_length,
                          int64_t now,
                          uint8_t *claims,
                          size_t capacity,
                          size_t *length);

// Decrypts the base64 text of a `hash` claim and writes the target in it.
//
// Errors: `PayloadInvalid`, for whatever reason; `BufferTooSmall`.
int32_t rn_gateway_decrypt(const rn_gateway *gateway,
                           const uint8_t *hash,
                           size_t hash_length,
                           uint8_t *target,
                           size_t capacity,
                           size_t *length);

// The number of answers in this process's cache; 0 for a null handle.
size_t rn_gateway_cached_entries(const rn_gateway *gateway);

// Makes an introspector: reads and parses its keys.
//
// Errors: the 200s, with one sentence in `error`, cut to its capacity.
//
// Release with [`rn_introspector_free`].
int32_t rn_introspector_new(const rn_introspector_options *options,
                            rn_introspector **introspector,
                            uint8_t *error,
                            size_t error_capacity,
                            size_t *error_length);

// Releases an introspector; null is allowed.
void rn_introspector_free(rn_introspector *introspector);

// Finds the bearer token among a request's headers and names it for the cache: the hot path, one call.
//
// Errors: `TokenMissing`, `TokenAmbiguous`, `TokenTooLarge`, `TokenMalformed`.
int32_t rn_introspector_find(const rn_introspector *introspector,
                             const rn_header *headers,
                             size_t count,
                             rn_bearer *bearer);

// Reads a server's answer of status 200. `keys` are those that the server signs with; null: those of the options.
//
// 0: the token is active; `text` holds its scopes and, right behind, what the API receives. `TokenInactive`,
// `TokenExpired`, `TokenNotYetValid`, `IssuerNotAllowed`, `AudienceNotAllowed`: it is not to be accepted.
// `ServerAnswerInvalid`: nothing is known about it. `KeyNotFound`: nor is anything, because none of `keys` bears the
// answer's `kid`; newer ones may. `KeyUnsupported`: the answer is JSON, and nothing says what the API is to receive. `BufferTooSmall`: the
// lengths in `verdict` say what is needed.
int32_t rn_introspector_read(const rn_introspector *introspector,
                             const rn_keys *keys,
                             const uint8_t *content_type,
                             size_t content_type_length,
                             const uint8_t *body,
                             size_t body_length,
                             int64_t now,
                             rn_verdict *verdict,
                             uint8_t *text,
                             size_t capacity);

// Decrypts a token (JWE: `dir` or `RSA-OAEP-256`) and writes its header and its plaintext, one after the other. `key` is
// the shared secret itself, or an RSA private key in PEM.
//
// Errors: `TokenMissing`, `TokenTooLarge`, `TokenMalformed`, `HeaderUnsupported`, `AlgorithmNotAllowed`,
// `KeyUnsupported`, `DecryptionFailed`, `BufferTooSmall`.
int32_t rn_jwe_decrypt(const uint8_t *key,
                       size_t key_length,
                       const uint8_t *token,
                       size_t token_length,
                       uint8_t *buffer,
                       size_t capacity,
                       rn_token_texts *texts);

// Encrypts a plaintext under a header as it is, a JSON object whose `alg` and `enc` say how, and writes the token. `key`
// is the shared secret itself, or an RSA public key or certificate in PEM.
//
// Errors: `TokenMalformed`, `HeaderUnsupported`, `AlgorithmNotAllowed`, `KeyUnsupported`, `TokenTooLarge`,
// `BufferTooSmall`.
int32_t rn_jwe_encrypt(const uint8_t *key,
                       size_t key_length,
                       const uint8_t *header,
                       size_t header_length,
                       const uint8_t *plaintext,
                       size_t plaintext_length,
                       uint8_t *buffer,
                       size_t capacity,
                       size_t *length);

// Makes a policy from its JSON: an object with any of `algorithms`, `leeway`, `require_exp`, `issuer`, `audience`,
// `required`, `max_lifetime`, `max_age` and `type`.
//
// Errors: `SettingInvalid`, with one sentence in `error`, cut to its capacity.
//
// Release with [`rn_policy_free`].
int32_t rn_policy_new(const uint8_t *json,
                      size_t json_length,
                      rn_policy **policy,
                      uint8_t *error,
                      size_t error_capacity,
                      size_t *error_length);

// Releases a policy; null is allowed.
void rn_policy_free(rn_policy *policy);

// Verifies a token and writes its header and its claims, as the JSON that was signed, one after the other.
//
// Errors: the 100s; `KeyUnsupported` when no key of `keys` verifies; `BufferTooSmall` ([`RN_TOKEN_BYTES`] always do).
int32_t rn_jwt_verify(const rn_keys *keys,
                      const rn_policy *policy,
                      const uint8_t *token,
                      size_t token_length,
                      int64_t now,
                      uint8_t *buffer,
                      size_t capacity,
                      rn_token_texts *texts);

// Checks a token's signature and nothing else: the payload may be any bytes, and is not written.
//
// Errors: the 100s; `KeyUnsupported` when no key of `keys` verifies.
int32_t rn_jws_verify(const rn_keys *keys, const rn_policy *policy, const uint8_t *token, size_t token_length);

// Writes a token's header and payload, one after the other, **without verifying anything**.
//
// Errors: `TokenMissing`, `TokenTooLarge`, `TokenMalformed`, `HeaderUnsupported`; `BufferTooSmall`.
int32_t rn_jwt_decode_unverified(const uint8_t *token,
                                 size_t token_length,
                                 uint8_t *buffer,
                                 size_t capacity,
                                 rn_token_texts *texts);

// Makes sign options from their JSON: an object with any of `algorithm`, `kid`, `typ`, `header`, `issuer`, `lifetime`
// and `jti`.
//
// Errors: `SettingInvalid`, with one sentence in `error`, cut to its capacity.
//
// Release with [`rn_sign_options_free`].
int32_t rn_sign_options_new(const uint8_t *json,
                            size_t json_length,
                            rn_sign_options **options,
                            uint8_t *error,
                            size_t error_capacity,
                            size_t *error_length);

// Releases sign options; null is allowed.
void rn_sign_options_free(rn_sign_options *options);

// Signs claims, given as the JSON of one object, and writes the token.
//
// Errors: `ClaimMalformed` when the claims are no JSON object; `KeyCannotSign`; `TokenTooLarge`; `BufferTooSmall`
// ([`RN_TOKEN_BYTES`] always do).
int32_t rn_jwt_sign(const rn_keys *keys,
                    const rn_sign_options *options,
                    const uint8_t *claims,
                    size_t claims_length,
                    int64_t now,
                    uint8_t *buffer,
                    size_t capacity,
                    size_t *length);

// Signs a payload of any bytes under a header as it is, a JSON object whose `alg` says how, and writes the token.
//
// Errors: `TokenMalformed` when the header is no JSON object with an `alg`, `HeaderUnsupported`, `KeyCannotSign`,
// `TokenTooLarge`, `BufferTooSmall`.
int32_t rn_jws_sign(const rn_keys *keys,
                    const uint8_t *header,
                    size_t header_length,
                    const uint8_t *payload,
                    size_t payload_length,
                    uint8_t *buffer,
                    size_t capacity,
                    size_t *length);

// Checks that a text is one JSON object that names no member twice, at any depth, and has at most 4,096 values: 0 or
// `ClaimMalformed`.
int32_t rn_json_check(const uint8_t *json, size_t json_length);

// Writes a token's header, a JSON object, and its payload, any bytes, **without verifying anything**.
//
// Errors: `TokenMissing`, `TokenTooLarge`, `TokenMalformed`; `BufferTooSmall`.
int32_t rn_jws_decode_unverified(const uint8_t *token,
                                 size_t token_length,
                                 uint8_t *buffer,
                                 size_t capacity,
                                 rn_token_texts *texts);

// Makes keys from texts. The first that can sign signs; all of them verify.
//
// Errors: the 200s, with one sentence in `error`, cut to its capacity.
//
// Release with [`rn_keys_free`].
int32_t rn_keys_new(const rn_key_text *texts,
                    size_t count,
                    rn_keys **keys,
                    uint8_t *error,
                    size_t error_capacity,
                    size_t *error_length);

// Makes keys from a file that [`rn_keys_refresh`] reads again.
//
// Errors: the 200s, with one sentence in `error`, cut to its capacity.
int32_t rn_keys_open(uint32_t form,
                     const uint8_t *path,
                     size_t path_length,
                     rn_keys **keys,
                     uint8_t *error,
                     size_t error_capacity,
                     size_t *error_length);

// Reads the keys' file again and takes what is in it when it has changed. On an error the old keys stay.
//
// Errors: the 200s, with one sentence in `error`, cut to its capacity.
int32_t rn_keys_refresh(const rn_keys *keys,
                        uint32_t *changed,
                        uint8_t *error,
                        size_t error_capacity,
                        size_t *error_length);

// Releases keys; null is allowed.
void rn_keys_free(rn_keys *keys);

// Makes a key of the first certificate of a chain, when one of the certificates in the PEM text `trusted` vouches for
// it at `now`. The certificates of the chain are in DER or PEM; their `form` is not looked at.
//
// Errors: `KeyUnsupported`, `TokenMalformed` and `CertificateNotTrusted`, each with a sentence in `error`, cut to its
// capacity.
//
// Release with `rn_keys_free`.
int32_t rn_keys_from_chain(const uint8_t *trusted,
                           size_t trusted_length,
                           const rn_key_text *chain,
                           size_t count,
                           int64_t now,
                           rn_keys **keys,
                           uint8_t *error,
                           size_t error_capacity,
                           size_t *error_length);

// Finds the next cookie with a name in a Cookie header, from an offset on.
//
// Errors: `InvalidArgument` for a header of 4 GB.
int32_t rn_cookie_find(const uint8_t *header,
                       size_t header_length,
                       const uint8_t *name,
                       size_t name_length,
                       size_t from,
                       rn_found *found);

// Finds the next argument with a name (in lower case) in a query, from an offset on: in any case, also where it is
// spelt with percent signs.
//
// Errors: `InvalidArgument` for a query of 4 GB.
int32_t rn_argument_find(const uint8_t *query,
                         size_t query_length,
                         const uint8_t *name,
                         size_t name_length,
                         size_t from,
                         rn_found *found);

// Writes a Cookie header without the cookies whose names are in `names`, which semicolons separate. With `any_prefix`
// other than 0, also those whose name has a prefix such as `__Host-`.
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

// Writes the key ring that is to be in the store: a first one when `ring` is empty, the next one when its newest key
// has been in force for `period` seconds (the new key will be in `notice` seconds), else the same text again.
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

// Reads a key ring.
//
// Errors: `SessionKeysInvalid`.
//
// Release with [`rn_session_keys_free`].
int32_t rn_session_keys_new(const uint8_t *ring, size_t ring_length, rn_session_keys **keys);

// Releases session keys; null is allowed.
void rn_session_keys_free(rn_session_keys *keys);

// Makes the id of a session that begins at `now`: 76 characters.
//
// Errors: `SessionKeysInvalid`.
int32_t rn_session_id_new(const rn_session_keys *keys, int64_t now, uint8_t *id);

// Checks a session id and writes the session's age in seconds.
//
// Errors: `SessionInvalid`, `SessionExpired` at an age of `lifetime` seconds, `SessionKeysInvalid`.
int32_t rn_session_id_check(const rn_session_keys *keys,
                            const uint8_t *id,
                            size_t id_length,
                            int64_t now,
                            uint32_t lifetime,
                            uint32_t *age);

// Signs the path of the page that a visit asked for, for the cookie that holds it until the login: at most 2,722
// characters. Neither a session id nor this can pass as the other.
//
// Errors: `InvalidArgument` for a path of more than 2,000 bytes, `SessionKeysInvalid`, `BufferTooSmall`.
int32_t rn_session_page_sign(const rn_session_keys *keys,
                             int64_t now,
                             const uint8_t *path,
                             size_t path_length,
                             uint8_t *page,
                             size_t capacity,
                             size_t *length);

// Checks a signed page and writes its path: at most 2,000 bytes.
//
// Errors: `SessionInvalid`, `SessionExpired` `lifetime` seconds after it was signed, `SessionKeysInvalid`,
// `BufferTooSmall`.
int32_t rn_session_page_check(const rn_session_keys *keys,
                              const uint8_t *page,
                              size_t page_length,
                              int64_t now,
                              uint32_t lifetime,
                              uint8_t *path,
                              size_t capacity,
                              size_t *length);

// Writes the SHA-256 of a text in hexadecimal, 64 characters: what stands for a session id in the store.
int32_t rn_session_digest(const uint8_t *text, size_t text_length, uint8_t *digest);

// Writes what stands for a user's name, and for all that a login may take for it, where attempts are counted: 32 bytes.
//
// Errors: `InvalidArgument` for a name of more than 256 bytes, or one that grows beyond 512 characters as it is folded.
int32_t rn_login_name_digest(const uint8_t *name, size_t name_length, uint8_t *digest);

// Writes 1 when a backend may take a login's field for the one that it looks for, under any of the spellings that
// programs take for one another, 0 when none does, and 2 when the name is too long to tell.
int32_t rn_login_field_check(const uint8_t *field,
                             size_t field_length,
                             const uint8_t *wanted,
                             size_t wanted_length,
                             uint32_t *may_be);

// Whether a text is a form that has one reading: 0 or `ClaimMalformed`.
int32_t rn_login_form_check(const uint8_t *body, size_t body_length);

// Whether a text is one JSON object that names no member twice, at any depth, with at most 1,000 values: 0 or
// `ClaimMalformed`.
int32_t rn_login_object_check(const uint8_t *body, size_t body_length);

// Whether a client may be redirected to a path: 0 when it is of the same origin, `PathRefused` otherwise.
int32_t rn_path_check(const uint8_t *path, size_t path_length);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* ROUTE_NATIVE_H */
