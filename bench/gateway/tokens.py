"""Keys and tokens, made by openssl and by PyJWT (spec/support/mint.py)."""

import json
import subprocess
import sys
import time

from servers import ROOT

# A host as Kubernetes names a desktop's pod.
POD = "desktop-7d9f8c6b5.abcdesktop.svc.cluster.local"


class Keys:
    """Two RSA-2048 key pairs in a directory, and the environment that names them to the gateway."""

    def __init__(self, directory):
        self.directory = directory
        for name in ("signing", "payload"):
            private, public = directory / f"{name}_private.pem", directory / f"{name}_public.pem"
            subprocess.run(["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", private],
                           check=True, stderr=subprocess.DEVNULL)
            subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True)
        self.environment = {
            "JWT_DESKTOP_SIGNING_PUBLIC_KEY": str(directory / "signing_public.pem"),
            "JWT_DESKTOP_PAYLOAD_PRIVATE_KEY": str(directory / "payload_private.pem"),
        }

    def mint(self, count, seconds, target="127.0.0.1"):
        """Tokens for a desktop that expire in so many seconds, which may have passed."""
        expiry = int(time.time()) + seconds
        request = {"key": str(self.directory / "signing_private.pem"), "target": target,
                   "payload_key": str(self.directory / "payload_public.pem")}
        lines = [json.dumps({**request, "claims": {"exp": expiry, "sub": f"user {number}"}}) for number in range(count)]
        done = subprocess.run(["/usr/bin/python3", ROOT / "spec/support/mint.py"], input="\n".join(lines),
                              stdout=subprocess.PIPE, text=True, check=True)
        return done.stdout.split()
