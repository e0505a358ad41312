"""Certificates for a stand-in of PayPal: a root of its own, and a signer that descends from it.

Made with RFC 5280's fields, so that a strict verifier takes them; good for ten years, on one
machine, for nothing but tests and the demo.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SIGNER = "messageverificationcerts.paypal.com"
LASTS = timedelta(days=3_650)
BITS = 2_048
KEY_FILE, CHAIN_FILE, ROOT_FILE = "signer.key", "chain.pem", "root.pem"


@dataclass(frozen=True)
class Identity:
    """A signer: its key, the chain that is served, the root that is to be trusted."""

    key: rsa.RSAPrivateKey
    chain_pem: str
    root_pem: str


def make_identity(name: str = SIGNER, at: datetime | None = None) -> Identity:
    """A fresh root and a signer of that name, good from a day before `at` on."""
    since = (at or datetime.now(UTC)) - timedelta(days=1)
    root_key, key = _key(), _key()
    root_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Stand-in root")])
    root = (
        _builder(root_name, root_name, root_key, since)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(_known_as(root_key), critical=False)
        .sign(root_key, hashes.SHA256())
    )
    leaf = (
        _builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), root_name, key, since)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()),
            critical=False,
        )
        .sign(root_key, hashes.SHA256())
    )
    return Identity(key, _pem(leaf), _pem(root))


def save(identity: Identity, folder: Path) -> None:
    """Keep an identity in a folder of ours."""
    secret = identity.key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    for name, text in (
        (KEY_FILE, secret.decode()),
        (CHAIN_FILE, identity.chain_pem),
        (ROOT_FILE, identity.root_pem),
    ):
        (folder / name).touch(mode=0o600)
        (folder / name).write_text(text, "ascii")


def load(folder: Path) -> Identity:
    """What `save` kept."""
    key = serialization.load_pem_private_key((folder / KEY_FILE).read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    chain, root = (folder / CHAIN_FILE).read_text(), (folder / ROOT_FILE).read_text()
    return Identity(key, chain, root)


def _key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65_537, key_size=BITS)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: rsa.RSAPrivateKey, since: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(since)
        .not_valid_after(since + LASTS)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _known_as(key: rsa.RSAPrivateKey) -> x509.SubjectKeyIdentifier:
    return x509.SubjectKeyIdentifier.from_public_key(key.public_key())


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
