-- route_native's C ABI. Written by `make abi` from src/ffi/: change that, not this file.
local ffi = require "ffi"

-- Declared before, by an earlier load of this file: LuaJIT refuses a second time.
if pcall(ffi.typeof, "rn_gateway") then
    return true
end

ffi.cdef [[
static const int RN_OK = 0;

static const int RN_ERROR_BYTES = 1024;

static const int RN_REASON_NAME_BYTES = 64;

static const int RN_ABI_VERSION = 3;

static const int RN_TARGET_BYTES = 256;

static const int RN_FINGERPRINT_BYTES = 12;

static const int RN_TAG_BYTES = 16;

static const int RN_CACHE_KEY_BYTES = 32;

static const int RN_TOKEN_BYTES = 16384;

static const int RN_KEY_FORM_KEY = 0;

static const int RN_KEY_FORM_SECRET = 1;

static const int RN_KEY_FORM_SECRETS = 2;

static const int RN_KEY_FORM_SHORT_SECRET = 3;

static const int RN_KEY_FORM_PUBLISHED = 4;

static const int RN_KEY_FORM_PUBLIC = 5;

static const int RN_METRICS_BYTES = 65536;

static const int RN_PROOF_BYTES = 8192;

static const int RN_THUMBPRINT_BYTES = 43;

static const int RN_PROOF_ID_BYTES = 32;

static const int RN_NONCE_BYTES = 32;

static const int RN_NONCE_SECRET_BYTES = 32;

static const int RN_CERTIFICATE_PEM = 0;

static const int RN_CERTIFICATE_HEADER = 1;

static const int RN_DIGEST_BYTES = 64;

static const int RN_RANDOM_BYTES = 1024;

static const int RN_IDENTITY_BYTES = 176;

static const int RN_RSA_PKCS1 = 1;

static const int RN_RSA_OAEP = 4;

static const int RN_RSA_BYTES = 1024;

static const int RN_RSA_PAIR_BYTES = 8192;

static const int RN_SESSION_ID_BYTES = 76;

static const int RN_SESSION_DIGEST_BYTES = 64;

static const int RN_SESSION_KEYS_BYTES = 160;

static const int RN_SESSION_PATH_BYTES = 2000;

static const int RN_SESSION_PAGE_BYTES = 2722;

static const int RN_LOGIN_NAME_BYTES = 32;

enum rn_reason
 {
    RN_REASON_BUFFER_TOO_SMALL = 1,
    RN_REASON_INVALID_ARGUMENT = 2,
    RN_REASON_INTERNAL = 3,
    RN_REASON_NOT_CACHED = 4,
    RN_REASON_TOKEN_MISSING = 100,
    RN_REASON_TOKEN_AMBIGUOUS = 101,
    RN_REASON_TOKEN_TOO_LARGE = 102,
    RN_REASON_TOKEN_MALFORMED = 103,
    RN_REASON_HEADER_UNSUPPORTED = 104,
    RN_REASON_ALGORITHM_NOT_ALLOWED = 105,
    RN_REASON_KEY_NOT_FOUND = 106,
    RN_REASON_SIGNATURE_INVALID = 107,
    RN_REASON_CLAIM_MALFORMED = 108,
    RN_REASON_TOKEN_EXPIRED = 109,
    RN_REASON_TOKEN_NOT_YET_VALID = 110,
    RN_REASON_CLAIM_MISSING = 111,
    RN_REASON_TOKEN_REVOKED = 112,
    RN_REASON_PAYLOAD_INVALID = 120,
    RN_REASON_ISSUER_NOT_ALLOWED = 130,
    RN_REASON_AUDIENCE_NOT_ALLOWED = 131,
    RN_REASON_LIFETIME_TOO_LONG = 132,
    RN_REASON_TOKEN_TOO_OLD = 133,
    RN_REASON_TYPE_NOT_ALLOWED = 134,
    RN_REASON_DECRYPTION_FAILED = 135,
    RN_REASON_CERTIFICATE_NOT_TRUSTED = 136,
    RN_REASON_SESSION_INVALID = 140,
    RN_REASON_SESSION_EXPIRED = 141,
    RN_REASON_PATH_REFUSED = 142,
    RN_REASON_TOKEN_INACTIVE = 150,
    RN_REASON_SCOPE_INSUFFICIENT = 151,
    RN_REASON_PROOF_MISSING = 160,
    RN_REASON_PROOF_AMBIGUOUS = 161,
    RN_REASON_PROOF_MALFORMED = 162,
    RN_REASON_PROOF_KEY_REFUSED = 163,
    RN_REASON_PROOF_SIGNATURE_INVALID = 164,
    RN_REASON_PROOF_REQUEST_MISMATCH = 165,
    RN_REASON_PROOF_EXPIRED = 166,
    RN_REASON_PROOF_TOKEN_MISMATCH = 167,
    RN_REASON_PROOF_REPLAYED = 168,
    RN_REASON_PROOF_NONCE_INVALID = 169,
    RN_REASON_HOLDER_KEY_MISMATCH = 170,
    RN_REASON_TOKEN_BOUND = 171,
    RN_REASON_TOKEN_NOT_BOUND = 172,
    RN_REASON_CERTIFICATE_MISMATCH = 173,
    RN_REASON_KEY_UNREADABLE = 200,
    RN_REASON_KEY_UNSUPPORTED = 201,
    RN_REASON_KEY_TOO_WEAK = 202,
    RN_REASON_SETTING_INVALID = 203,
    RN_REASON_KEY_CANNOT_SIGN = 204,
    RN_REASON_SESSION_KEYS_INVALID = 240,
    RN_REASON_REPLAY_MEMORY_FULL = 250,
    RN_REASON_SERVER_UNREACHABLE = 300,
    RN_REASON_SERVER_FAILED = 301,
    RN_REASON_SERVER_ANSWER_INVALID = 302,
    RN_REASON_REVOCATIONS_UNKNOWN = 303,
};
typedef int32_t rn_reason;

typedef struct rn_encryption_keys rn_encryption_keys;

typedef struct rn_gateway rn_gateway;

typedef struct rn_introspector rn_introspector;

typedef struct rn_keys rn_keys;

typedef struct rn_policy rn_policy;

typedef struct rn_proof_policy rn_proof_policy;

typedef struct rn_rsa rn_rsa;

typedef struct rn_session_keys rn_session_keys;

typedef struct rn_sign_options rn_sign_options;

typedef struct {
    const uint8_t *payload_key;
    size_t payload_key_length;
    const uint8_t *padding;
    size_t padding_length;
    const uint8_t *suffix;
    size_t suffix_length;
    uint32_t cache_entries;
} rn_gateway_options;

typedef struct {
    int32_t length;
    const uint8_t *data;
} rn_string;

typedef struct {
    rn_string name;
    rn_string value;
} rn_header;

typedef struct {
    const uint8_t *token;
    uint32_t token_length;
    uint32_t target_length;
    uint32_t ttl;
    uint32_t is_name;
    uint32_t has_another;
    uint32_t has_protocol;
    uint8_t fingerprint[RN_FINGERPRINT_BYTES];
    uint8_t tag[RN_TAG_BYTES];
    uint8_t target[RN_TARGET_BYTES];
} rn_answer;

typedef struct {
    const uint8_t *identity;
    size_t identity_length;
    const uint8_t *verify_key;
    size_t verify_key_length;
    const uint8_t *issuer;
    size_t issuer_length;
    const uint8_t *audience;
    size_t audience_length;
    const uint8_t *signing_key;
    size_t signing_key_length;
    const uint8_t *signing_key_id;
    size_t signing_key_id_length;
    const uint8_t *claims;
    size_t claims_length;
    uint32_t lifetime;
} rn_introspector_options;

typedef struct {
    const uint8_t *token;
    uint32_t token_length;
    uint32_t is_dpop;
    uint8_t key[RN_CACHE_KEY_BYTES];
} rn_bearer;

typedef struct {
    int64_t expires_at;
    uint32_t scope_length;
    uint32_t forward_length;
    uint32_t identity_length;
    uint32_t confirmation_length;
} rn_verdict;

typedef struct {
    uint32_t header_length;
    uint32_t claims_length;
} rn_token_texts;

typedef struct {
    uint32_t form;
    const uint8_t *data;
    size_t length;
} rn_key_text;

typedef struct {
    const uint8_t *method;
    size_t method_length;
    const uint8_t *target;
    size_t target_length;
    const uint8_t *token;
    size_t token_length;
    const uint8_t *key;
    size_t key_length;
    const uint8_t *secret;
    size_t secret_length;
} rn_proof_request;

typedef struct {
    int64_t ends_at;
    uint32_t needs_nonce;
    uint8_t thumbprint[RN_THUMBPRINT_BYTES];
    uint8_t id[RN_PROOF_ID_BYTES];
} rn_proof;

typedef struct {
    const uint8_t *token;
    size_t token_length;
    const uint8_t *jti;
    size_t jti_length;
    const uint8_t *sub;
    size_t sub_length;
    const uint8_t *account;
    size_t account_length;
    const uint8_t *sid;
    size_t sid_length;
    const uint8_t *kid;
    size_t kid_length;
    const uint8_t *iss;
    size_t iss_length;
    int64_t issued_at;
    int64_t expires_at;
} rn_names;

typedef struct {
    uint32_t is_there;
    uint32_t value_start;
    uint32_t value_end;
    uint32_t start;
    uint32_t stop;
} rn_found;

uint32_t rn_abi_version(void);

int32_t rn_reason_name(int32_t status, uint8_t *out, size_t capacity, size_t *length);

int32_t rn_gateway_new(const rn_gateway_options *options,
                       const rn_policy *policy,
                       rn_gateway **gateway,
                       uint8_t *error,
                       size_t error_capacity,
                       size_t *error_length);

int32_t rn_gateway_use_keys(const rn_gateway *gateway, const rn_keys *keys, uint32_t *changed);

void rn_gateway_free(rn_gateway *gateway);

int32_t rn_gateway_lookup(const rn_gateway *gateway,
                          const rn_header *headers,
                          size_t count,
                          int64_t now,
                          rn_answer *answer);

int32_t rn_gateway_lookup_token(const rn_gateway *gateway,
                                const uint8_t *token,
                                size_t token_length,
                                int64_t now,
                                rn_answer *answer);

int32_t rn_gateway_resolve(const rn_gateway *gateway,
                           const uint8_t *token,
                           size_t token_length,
                           int64_t now,
                           rn_answer *answer);

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

int32_t rn_gateway_remember(const rn_gateway *gateway,
                            rn_answer *answer,
                            const uint8_t *target,
                            size_t target_length,
                            const uint8_t *identity,
                            size_t identity_length,
                            int64_t now,
                            uint32_t ttl);

int32_t rn_gateway_identity(const rn_gateway *gateway,
                            const rn_answer *answer,
                            int64_t now,
                            uint8_t *identity,
                            size_t capacity,
                            size_t *length);

int32_t rn_gateway_shared_key(const rn_gateway *gateway, rn_answer *answer, uint8_t *key);

int32_t rn_token_fingerprint(const uint8_t *token, size_t token_length, uint8_t *out);

int32_t rn_gateway_verify(const rn_gateway *gateway,
                          const uint8_t *token,
                          size_t token_length,
                          int64_t now,
                          uint8_t *claims,
                          size_t capacity,
                          size_t *length);

int32_t rn_gateway_decrypt(const rn_gateway *gateway,
                           const uint8_t *hash,
                           size_t hash_length,
                           uint8_t *target,
                           size_t capacity,
                           size_t *length);

size_t rn_gateway_cached_entries(const rn_gateway *gateway);

int32_t rn_introspector_new(const rn_introspector_options *options,
                            rn_introspector **introspector,
                            uint8_t *error,
                            size_t error_capacity,
                            size_t *error_length);

void rn_introspector_free(rn_introspector *introspector);

int32_t rn_introspector_find(const rn_introspector *introspector,
                             const rn_header *headers,
                             size_t count,
                             uint32_t takes_dpop,
                             rn_bearer *bearer);

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

int32_t rn_introspection_malformed_member(const uint8_t *content_type,
                                          size_t content_type_length,
                                          const uint8_t *body,
                                          size_t body_length,
                                          uint8_t *name,
                                          size_t capacity,
                                          size_t *length);

int32_t rn_encryption_keys_new(uint32_t form,
                               const uint8_t *text,
                               size_t text_length,
                               rn_encryption_keys **keys,
                               uint8_t *error,
                               size_t error_capacity,
                               size_t *error_length);

void rn_encryption_keys_free(rn_encryption_keys *keys);

int32_t rn_jwe_decrypt(const rn_encryption_keys *keys,
                       const uint8_t *token,
                       size_t token_length,
                       uint8_t *buffer,
                       size_t capacity,
                       rn_token_texts *texts);

int32_t rn_jwe_encrypt(const rn_encryption_keys *keys,
                       const uint8_t *header,
                       size_t header_length,
                       const uint8_t *plaintext,
                       size_t plaintext_length,
                       uint8_t *buffer,
                       size_t capacity,
                       size_t *length);

int32_t rn_policy_new(const uint8_t *json,
                      size_t json_length,
                      rn_policy **policy,
                      uint8_t *error,
                      size_t error_capacity,
                      size_t *error_length);

int32_t rn_policy_check_keys(const rn_policy *policy,
                             const rn_keys *keys,
                             uint8_t *error,
                             size_t error_capacity,
                             size_t *error_length);

void rn_policy_free(rn_policy *policy);

int32_t rn_jwt_verify(const rn_keys *keys,
                      const rn_policy *policy,
                      const uint8_t *token,
                      size_t token_length,
                      int64_t now,
                      uint8_t *buffer,
                      size_t capacity,
                      rn_token_texts *texts);

int32_t rn_jwt_identity(const rn_keys *keys,
                        const rn_policy *policy,
                        const uint8_t *token,
                        size_t token_length,
                        int64_t now,
                        uint8_t *identity,
                        size_t capacity,
                        size_t *length);

int32_t rn_jws_verify(const rn_keys *keys, const rn_policy *policy, const uint8_t *token, size_t token_length);

int32_t rn_jwt_decode_unverified(const uint8_t *token,
                                 size_t token_length,
                                 uint8_t *buffer,
                                 size_t capacity,
                                 rn_token_texts *texts);

int32_t rn_sign_options_new(const uint8_t *json,
                            size_t json_length,
                            rn_sign_options **options,
                            uint8_t *error,
                            size_t error_capacity,
                            size_t *error_length);

void rn_sign_options_free(rn_sign_options *options);

int32_t rn_jwt_sign(const rn_keys *keys,
                    const rn_sign_options *options,
                    const uint8_t *claims,
                    size_t claims_length,
                    int64_t now,
                    uint8_t *buffer,
                    size_t capacity,
                    size_t *length);

int32_t rn_jws_sign(const rn_keys *keys,
                    const uint8_t *header,
                    size_t header_length,
                    const uint8_t *payload,
                    size_t payload_length,
                    uint8_t *buffer,
                    size_t capacity,
                    size_t *length);

int32_t rn_json_check(const uint8_t *json, size_t json_length);

int32_t rn_jws_decode_unverified(const uint8_t *token,
                                 size_t token_length,
                                 uint8_t *buffer,
                                 size_t capacity,
                                 rn_token_texts *texts);

int32_t rn_keys_new(const rn_key_text *texts,
                    size_t count,
                    rn_keys **keys,
                    uint8_t *error,
                    size_t error_capacity,
                    size_t *error_length);

int32_t rn_keys_open(uint32_t form,
                     const uint8_t *path,
                     size_t path_length,
                     rn_keys **keys,
                     uint8_t *error,
                     size_t error_capacity,
                     size_t *error_length);

int32_t rn_keys_refresh(const rn_keys *keys,
                        uint32_t *changed,
                        uint8_t *error,
                        size_t error_capacity,
                        size_t *error_length);

void rn_keys_free(rn_keys *keys);

int32_t rn_keys_from_chain(const uint8_t *trusted,
                           size_t trusted_length,
                           const rn_key_text *chain,
                           size_t count,
                           int64_t now,
                           rn_keys **keys,
                           uint8_t *error,
                           size_t error_capacity,
                           size_t *error_length);

double rn_metrics_clock(void);

int32_t rn_metrics_cell(const uint8_t *key, size_t key_length, uint32_t *cell);

void rn_metrics_count(uint32_t cell);

void rn_metrics_observe(uint32_t cell, double seconds);

int32_t rn_metrics_take(uint8_t *buffer, size_t capacity, size_t *length);

int32_t rn_metrics_state(uint8_t *buffer, size_t capacity, size_t *length);

void rn_metrics_forget(void);

int32_t rn_metrics_note_certificate(const uint8_t *path, size_t path_length);

int32_t rn_metrics_write(const uint8_t *lines, size_t lines_length, uint8_t *buffer, size_t capacity, size_t *length);

int32_t rn_proof_policy_new(const uint8_t *json,
                            size_t json_length,
                            rn_proof_policy **policy,
                            uint8_t *error,
                            size_t error_capacity,
                            size_t *error_length);

void rn_proof_policy_free(rn_proof_policy *policy);

int32_t rn_proof_policy_algorithms(const rn_proof_policy *policy, uint8_t *names, size_t capacity, size_t *length);

int32_t rn_proof_check(const rn_proof_policy *policy,
                       const uint8_t *proof,
                       size_t proof_length,
                       const rn_proof_request *request,
                       int64_t now,
                       rn_proof *result);

int32_t rn_proof_bind(const uint8_t *claims,
                      size_t claims_length,
                      const uint8_t *thumbprint,
                      size_t thumbprint_length,
                      uint8_t *bound,
                      size_t capacity,
                      size_t *length);

int32_t rn_nonce_secret_new(uint8_t *secret);

int32_t rn_nonce_write(const uint8_t *secret, size_t secret_length, int64_t now, uint32_t seconds, uint8_t *nonce);

int32_t rn_certificate_thumbprint(uint32_t form, const uint8_t *text, size_t text_length, uint8_t *thumbprint);

int32_t rn_random_fill(uint8_t *out, size_t bytes);

int32_t rn_digest_write(uint32_t bits,
                        const uint8_t *text,
                        size_t text_length,
                        uint8_t *out,
                        size_t capacity,
                        size_t *length);

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

int32_t rn_revocation_id(uint64_t *id);

int32_t rn_revocation_script(uint8_t *out, size_t capacity, size_t *length);

int32_t rn_revocations_add(uint64_t id, const uint8_t *record, size_t record_length, int64_t now);

int32_t rn_revocations_remove(uint64_t id);

uint32_t rn_revocations_generation(void);

size_t rn_revocations_count(void);

void rn_revocations_set_outdated(uint32_t is_outdated);

int32_t rn_identity_write(const rn_names *names, uint8_t *identity, size_t capacity, size_t *length);

int32_t rn_identity_check(const uint8_t *identity, size_t identity_length, int64_t now);

double rn_identity_expires_at(const uint8_t *identity, size_t identity_length);

int32_t rn_rsa_new(uint32_t is_private,
                   uint32_t padding,
                   const uint8_t *text,
                   size_t text_length,
                   rn_rsa **key,
                   uint8_t *error,
                   size_t error_capacity,
                   size_t *error_length);

void rn_rsa_free(rn_rsa *key);

int32_t rn_rsa_encrypt(const rn_rsa *key,
                       const uint8_t *plaintext,
                       size_t plaintext_length,
                       uint8_t *buffer,
                       size_t capacity,
                       size_t *length);

int32_t rn_rsa_decrypt(const rn_rsa *key,
                       const uint8_t *ciphertext,
                       size_t ciphertext_length,
                       uint8_t *buffer,
                       size_t capacity,
                       size_t *length);

int32_t rn_rsa_sign(const rn_rsa *key,
                    uint32_t hash,
                    const uint8_t *message,
                    size_t message_length,
                    uint8_t *buffer,
                    size_t capacity,
                    size_t *length);

int32_t rn_rsa_verify(const rn_rsa *key,
                      uint32_t hash,
                      const uint8_t *message,
                      size_t message_length,
                      const uint8_t *signature,
                      size_t signature_length);

int32_t rn_rsa_generate(uint32_t bits, uint32_t in_pkcs8, uint8_t *buffer, size_t capacity, size_t *length);

int32_t rn_cookie_find(const uint8_t *header,
                       size_t header_length,
                       const uint8_t *name,
                       size_t name_length,
                       size_t from,
                       rn_found *found);

int32_t rn_argument_find(const uint8_t *query,
                         size_t query_length,
                         const uint8_t *name,
                         size_t name_length,
                         size_t from,
                         rn_found *found);

int32_t rn_token_scan(const uint8_t *text, size_t text_length, size_t from, rn_found *found);

int32_t rn_cookies_without(const uint8_t *header,
                           size_t header_length,
                           const uint8_t *names,
                           size_t names_length,
                           uint32_t any_prefix,
                           uint8_t *rest,
                           size_t capacity,
                           size_t *length);

int32_t rn_session_ring_next(const uint8_t *ring,
                             size_t ring_length,
                             int64_t now,
                             uint32_t period,
                             uint32_t notice,
                             uint8_t *next,
                             size_t capacity,
                             size_t *length);

int32_t rn_session_keys_new(const uint8_t *ring, size_t ring_length, rn_session_keys **keys);

void rn_session_keys_free(rn_session_keys *keys);

int32_t rn_session_id_new(const rn_session_keys *keys, int64_t now, uint8_t *id);

int32_t rn_session_id_check(const rn_session_keys *keys,
                            const uint8_t *id,
                            size_t id_length,
                            int64_t now,
                            uint32_t lifetime,
                            uint32_t *age);

int32_t rn_session_page_sign(const rn_session_keys *keys,
                             int64_t now,
                             const uint8_t *path,
                             size_t path_length,
                             uint8_t *page,
                             size_t capacity,
                             size_t *length);

int32_t rn_session_page_check(const rn_session_keys *keys,
                              const uint8_t *page,
                              size_t page_length,
                              int64_t now,
                              uint32_t lifetime,
                              uint8_t *path,
                              size_t capacity,
                              size_t *length);

int32_t rn_session_digest(const uint8_t *text, size_t text_length, uint8_t *digest);

int32_t rn_login_name_digest(const uint8_t *name, size_t name_length, uint8_t *digest);

int32_t rn_login_field_check(const uint8_t *field,
                             size_t field_length,
                             const uint8_t *expected,
                             size_t expected_length,
                             uint32_t *may_be);

int32_t rn_login_form_check(const uint8_t *body, size_t body_length);

int32_t rn_login_object_check(const uint8_t *body, size_t body_length);

int32_t rn_path_check(const uint8_t *path, size_t path_length);
]]

return true
