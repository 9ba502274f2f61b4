"""Mints tokens for the specs with PyJWT and cryptography: implementations that share no code with the library.

Reads one JSON request from standard input for each line, until the end of input, and answers each with one line:
  {"claims": {...}, "header": {...}, "alg": "RS256", "key": PATH, "target": TEXT, "padding": "pkcs1v15", "payload_key": PATH}
"""

import base64
import json
import sys

import jwt
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import load_pem_public_key


def oaep(algorithm):
    return padding.OAEP(padding.MGF1(algorithm), algorithm, None)


PADDINGS = {
    "pkcs1v15": padding.PKCS1v15(),
    "oaep-sha1": oaep(hashes.SHA1()),
    "oaep-sha256": oaep(hashes.SHA256()),
}


def mint(request):
    claims = request["claims"]
    if "target" in request:
        with open(request["payload_key"], "rb") as file:
            key = load_pem_public_key(file.read())
        text = request["target"].encode("latin-1")
        ciphertext = key.encrypt(text, PADDINGS[request.get("padding", "pkcs1v15")])
        claims["hash"] = base64.b64encode(ciphertext).decode()
    with open(request["key"], "rb") as file:
        secret = file.read()
    return jwt.encode(claims, secret, algorithm=request.get("alg", "RS256"), headers=request.get("header"))


for line in sys.stdin:
    print(mint(json.loads(line)), flush=True)
