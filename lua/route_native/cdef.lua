local ffi = require "ffi"
if not pcall(ffi.typeof, "rn_gateway") then
    ffi.cdef [[
typedef struct rn_gateway rn_gateway;
typedef struct rn_string { int32_t length; const uint8_t *data; } rn_string;
typedef struct rn_header { rn_string name; rn_string value; } rn_header;
typedef struct rn_gateway_options {
  const uint8_t *signing_key; size_t signing_key_length;
  const uint8_t *payload_key; size_t payload_key_length;
  const uint8_t *padding; size_t padding_length;
  const uint8_t *suffix; size_t suffix_length;
  uint32_t leeway; uint32_t cache_entries;
} rn_gateway_options;
typedef struct rn_answer {
  const uint8_t *token; uint32_t token_length; uint32_t target_length; uint32_t ttl;
  uint8_t fingerprint[12]; uint8_t target[256];
} rn_answer;
uint32_t rn_abi_version(void);
int32_t rn_reason_name(int32_t status, uint8_t *out, size_t capacity, size_t *length);
int32_t rn_gateway_new(const rn_gateway_options *options, rn_gateway **gateway, uint8_t *error, size_t error_capacity, size_t *error_length);
void rn_gateway_free(rn_gateway *gateway);
int32_t rn_gateway_lookup(const rn_gateway *gateway, const rn_header *headers, size_t count, int64_t now, rn_answer *answer);
int32_t rn_gateway_lookup_token(const rn_gateway *gateway, const uint8_t *token, size_t token_length, int64_t now, rn_answer *answer);
int32_t rn_gateway_resolve(const rn_gateway *gateway, const uint8_t *token, size_t token_length, int64_t now, rn_answer *answer);
int32_t rn_gateway_remember(const rn_gateway *gateway, const uint8_t *token, size_t token_length, const uint8_t *target, size_t target_length, int64_t now, uint32_t ttl);
int32_t rn_gateway_shared_key(const rn_gateway *gateway, const uint8_t *token, size_t token_length, uint8_t *key);
int32_t rn_token_fingerprint(const uint8_t *token, size_t token_length, uint8_t *out);
int32_t rn_gateway_verify(const rn_gateway *gateway, const uint8_t *token, size_t token_length, int64_t now, uint8_t *claims, size_t capacity, size_t *length);
int32_t rn_gateway_decrypt(const rn_gateway *gateway, const uint8_t *hash, size_t hash_length, uint8_t *target, size_t capacity, size_t *length);
size_t rn_gateway_cached_entries(const rn_gateway *gateway);
int32_t rn_session_ring_next(const uint8_t *ring, size_t ring_length, int64_t now, uint32_t period, uint32_t notice, uint8_t *next, size_t capacity, size_t *length);
int32_t rn_session_id_new(const uint8_t *ring, size_t ring_length, int64_t now, uint8_t *id);
int32_t rn_session_id_check(const uint8_t *ring, size_t ring_length, const uint8_t *id, size_t id_length, int64_t now, uint32_t lifetime, uint32_t *age);
int32_t rn_session_digest(const uint8_t *text, size_t text_length, uint8_t *digest);
int32_t rn_path_check(const uint8_t *path, size_t path_length);
]]
end
return true
