"""Prints private keys as JWKs: jwks.py PEM... A line has the public JWK and the private one, as a list."""

import base64
import json
import sys

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding, NoEncryption, PrivateFormat, PublicFormat, load_pem_private_key)

CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521", "secp256k1": "secp256k1"}


def text(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value, size=None):
    return text(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


def members(key):
    """Returns the public and the private members of a key."""
    if isinstance(key, rsa.RSAPrivateKey):
        private = key.private_numbers()
        public = private.public_numbers
        names = {"d": "d", "p": "p", "q": "q", "dp": "dmp1", "dq": "dmq1", "qi": "iqmp"}
        return ({"kty": "RSA", "n": number(public.n), "e": number(public.e)},
                {name: number(getattr(private, attribute)) for name, attribute in names.items()})
    if isinstance(key, ec.EllipticCurvePrivateKey):
        size = (key.curve.key_size + 7) // 8
        private = key.private_numbers()
        public = private.public_numbers
        return ({"kty": "EC", "crv": CURVES[key.curve.name], "x": number(public.x, size), "y": number(public.y, size)},
                {"d": number(private.private_value, size)})
    name = "X25519" if "X25519" in type(key).__name__ else "Ed25519"
    raw = key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    return ({"kty": "OKP", "crv": name, "x": text(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))},
            {"d": text(raw)})


for path in sys.argv[1:]:
    with open(path, "rb") as file:
        public, private = members(load_pem_private_key(file.read(), None))
    print(json.dumps([json.dumps(public), json.dumps({**public, **private})]))
