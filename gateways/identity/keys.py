"""A provider's published keys (RFC 7517), each with the signatures that it can verify."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from gateways.identity.fetching import ProviderSilent

KEYS_MAX = 50
RSA_BITS_MIN, RSA_BITS_MAX = 2048, 8192
"""Weaker ones can be forged (NIST SP 800-131A); verifying with larger ones takes too long."""

_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_CURVES = {"secp256r1": ("ES256",), "secp384r1": ("ES384",), "secp521r1": ("ES512",)}

PublicKey: TypeAlias = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A public key, and the only algorithms that it is used with: a key's type decides, and never what a token says."""

    public: PublicKey = field(repr=False)
    algorithms: tuple[str, ...]


Keys: TypeAlias = Mapping[str, VerificationKey]


def read_keys(document: Mapping[str, object]) -> Keys:
    """The keys of a JWK Set, by their ids. What is for other purposes, or unknown to us, is left out. Raises ProviderSilent."""
    listed = document.get("keys")
    if not isinstance(listed, list) or len(listed) > KEYS_MAX:
        raise ProviderSilent("its keys are no JWK Set, or too many")
    keys: dict[str, VerificationKey] = {}
    for jwk in listed:
        if isinstance(jwk, dict) and isinstance(jwk.get("kid"), str) and jwk.get("use", "sig") == "sig":
            key = _read(jwk)
            if key is not None:
                keys[jwk["kid"]] = key
    if not keys:
        raise ProviderSilent("there is no usable key among its keys")
    return keys


def _read(jwk: dict[str, object]) -> VerificationKey | None:
    try:
        # PyJWT's from_jwk takes what is no JWK for granted in places, and cryptography refuses numbers by ValueError.
        public, algorithms = _public(jwk)
    except (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError, OverflowError):
        return None
    stated = jwk.get("alg")
    if stated is not None:
        algorithms = tuple(algorithm for algorithm in algorithms if algorithm == stated)
    return VerificationKey(public, algorithms) if public is not None and algorithms else None


def _public(jwk: dict[str, object]) -> tuple[PublicKey | None, tuple[str, ...]]:
    match jwk.get("kty"):
        case "RSA":
            key = RSAAlgorithm.from_jwk(jwk)
            if isinstance(key, RSAPublicKey) and RSA_BITS_MIN <= key.key_size <= RSA_BITS_MAX:
                return key, _RSA
        case "EC":
            curve = ECAlgorithm.from_jwk(jwk)
            if isinstance(curve, EllipticCurvePublicKey):
                return curve, _CURVES.get(curve.curve.name, ())
        case "OKP":
            edwards = OKPAlgorithm.from_jwk(jwk)
            if isinstance(edwards, Ed25519PublicKey):
                return edwards, ("EdDSA",)
    return None, ()
