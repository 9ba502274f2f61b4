"""Mints tokens for the specs with PyJWT and cryptography: implementations that share no code with the library.

Reads one JSON request from standard input for each line, until the end of input, and answers each with one line:
  {"claims": {...}, "header": {...}, "alg": "RS256", "key": PATH, "target": TEXT, "padding": "pkcs1v15", "payload_key": PATH}

What no library would sign is built by hand from JSON texts, where HASH stands for the encrypted target:
  {"raw_header": TEXT, "raw_payload": TEXT, "alg": "RS256" | "HS256" | "none", "key": PATH, …}
"""

import base64
import functools
import hashlib
import hmac
import json
import sys

import jwt
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key


def oaep(algorithm):
    return padding.OAEP(padding.MGF1(algorithm), algorithm, None)


PADDINGS = {
    "pkcs1v15": padding.PKCS1v15(),
    "oaep-sha1": oaep(hashes.SHA1()),
    "oaep-sha256": oaep(hashes.SHA256()),
}


# Reading an RSA private key checks it, which takes longer than a signature.
@functools.lru_cache(maxsize=None)
def private_key(text):
    return load_pem_private_key(text, None)


@functools.lru_cache(maxsize=None)
def public_key(path):
    with open(path, "rb") as file:
        return load_pem_public_key(file.read())


def encrypted(request):
    key = public_key(request["payload_key"])
    text = request["target"].encode("utf-8", "surrogateescape")
    ciphertext = key.encrypt(text, PADDINGS[request.get("padding", "pkcs1v15")])
    return base64.b64encode(ciphertext).decode()


def signature(algorithm, secret, message):
    if algorithm == "RS256":
        return private_key(secret).sign(message, padding.PKCS1v15(), hashes.SHA256())
    if algorithm == "HS256":
        return hmac.new(secret, message, hashlib.sha256).digest()
    return b""


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def mint(request):
    with open(request["key"], "rb") as file:
        secret = file.read()
    if "raw_header" in request:
        payload = request["raw_payload"]
        if "target" in request:
            payload = payload.replace("HASH", encrypted(request))
        message = base64url(request["raw_header"].encode()) + b"." + base64url(payload.encode())
        return (message + b"." + base64url(signature(request.get("alg", "RS256"), secret, message))).decode()
    claims = request["claims"]
    if "target" in request:
        claims["hash"] = encrypted(request)
    algorithm = request.get("alg", "RS256")
    key = secret if algorithm == "none" or algorithm.startswith("HS") else private_key(secret)
    return jwt.encode(claims, key, algorithm=algorithm, headers=request.get("header"))


# Targets may hold any bytes.
sys.stdin.reconfigure(encoding="utf-8", errors="surrogateescape")
for line in sys.stdin:
    print(mint(json.loads(line)), flush=True)
