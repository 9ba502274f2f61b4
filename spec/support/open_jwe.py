"""Decrypts a token with Python's cryptography: open_jwe.py PRIVATE_KEY TOKEN. Prints the plaintext."""

import base64
import hmac
import sys

from cryptography.hazmat.primitives import hashes, padding as block_padding
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import load_pem_private_key


def decoded(part):
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def open_cbc(key, iv, ciphertext, tag, header):
    half = len(key) // 2
    message = header + iv + ciphertext + (8 * len(header)).to_bytes(8, "big")
    expected = hmac.digest(key[:half], message, "sha256" if half == 16 else "sha512")[:half]
    assert hmac.compare_digest(expected, tag), "the tag is wrong"
    decryptor = Cipher(algorithms.AES(key[half:]), modes.CBC(iv)).decryptor()
    unpadder = block_padding.PKCS7(128).unpadder()
    return unpadder.update(decryptor.update(ciphertext) + decryptor.finalize()) + unpadder.finalize()


with open(sys.argv[1], "rb") as file:
    private = load_pem_private_key(file.read(), None)
header, wrapped, iv, ciphertext, tag = sys.argv[2].split(".")
oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
key = private.decrypt(decoded(wrapped), oaep)
if b"GCM" in decoded(header):
    text = AESGCM(key).decrypt(decoded(iv), decoded(ciphertext) + decoded(tag), header.encode())
else:
    text = open_cbc(key, decoded(iv), decoded(ciphertext), decoded(tag), header.encode())
print(text.decode())
