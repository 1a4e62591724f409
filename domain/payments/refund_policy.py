"""What the merchant has settled about refunds: whether customers make them, and above which amount a second person is asked."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from domain.access import Actor, Capability
from domain.currencies import Currency
from domain.errors import Forbidden
from domain.money import Money
from domain.payments.transaction import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundPolicy:
    """`approval_above` holds an amount in minor units for each currency that is named; nothing waits where it is empty.

    Where it is not, every refund waits that is in a currency which it does not name: what nobody thought of is asked about.
    """

    customers_may_refund: bool = True
    approval_above: Mapping[Currency, int] = field(default_factory=dict)

    def check_may_refund(self, actor: Actor) -> None:
        """Raise Forbidden unless the actor may refund what is in their reach."""
        actor.require(Capability.PAYMENTS_REFUND)
        if actor.reach.owner is not None and not self.customers_may_refund:
            raise Forbidden("Customers may not refund here; ask the support.")

    def at_once(self, actor: Actor, transaction: Transaction) -> Money | None:
        """The most that a further refund of the transaction by this actor may be without waiting; None where none waits.

        Refunds of one payment are added up, or else a large one could be made of small ones.
        """
        if not self.approval_above or not _is_looked_after(actor):
            return None
        limit = self.approval_above.get(transaction.money.currency, 0)
        return transaction.in_own_currency(max(limit - transaction.refund_reserved, 0))

    def waits(self, actor: Actor, transaction: Transaction, money: Money) -> bool:
        """Whether a refund by this actor waits until a second person approves it."""
        at_once = self.at_once(actor, transaction)
        return at_once is not None and money.minor_units > at_once.minor_units


def _is_looked_after(actor: Actor) -> bool:
    """Whether the actor gives back other people's money and cannot approve that: the support, and every API key of staff."""
    return actor.reach.owner is None and not actor.may(Capability.REFUNDS_APPROVE)
