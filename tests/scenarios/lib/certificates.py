"""An authority and a server's certificate for loopback, made for one scenario."""

import ssl
import subprocess


class Certificates:
    """`authority`: what a client trusts; `context()`: what a server shows."""

    def __init__(self, folder):
        self.authority, self.certificate, self.key = (folder / name for name in ("ca.pem", "server.pem", "server.key"))
        authority_key, request, extensions = (folder / name for name in ("ca.key", "server.csr", "extensions"))
        extensions.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\nbasicConstraints=CA:FALSE\n")
        curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        run("req", "-x509", *curve, "-keyout", authority_key, "-out", self.authority, "-days", 2, "-subj", "/CN=test authority",
            "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign")
        run("req", *curve, "-keyout", self.key, "-out", request, "-subj", "/CN=127.0.0.1")
        run("x509", "-req", "-in", request, "-CA", self.authority, "-CAkey", authority_key, "-CAcreateserial", "-days", 2,
            "-out", self.certificate, "-extfile", extensions)

    def context(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context


def run(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
