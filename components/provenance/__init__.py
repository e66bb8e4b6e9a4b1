"""Where a version comes from: attested when it is registered, verified before it is parsed, told to whoever asks.

A library above the floor: it reads records and writes what is signed about them; it knows no registry and no driver.
"""

from components.provenance.attest import PROVENANCE, Order, attest
from components.provenance.verify import Verified, read_signed, verify_stages, verify_version

__all__ = ["PROVENANCE", "Order", "Verified", "attest", "read_signed", "verify_stages", "verify_version"]
