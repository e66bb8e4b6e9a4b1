"""Which kinds of personal data there are to find.

In: nothing. Out: their names. In between: the order is the one in which a text is claimed; what a card number took
is no telephone number any more. How they are found stands in ``components.core.personal``.
"""

from __future__ import annotations

from typing import Literal, get_args

Kind = Literal["secret", "email", "iban", "card", "national_id", "ip", "phone"]
KINDS: tuple[Kind, ...] = get_args(Kind)
