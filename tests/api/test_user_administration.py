"""Administrators look after users; whoever loses rights loses them at once, and there is always an administrator left."""

import asyncio

import pytest

from domain.access import Actor, Capability, KeyInUse, Role
from domain.errors import Forbidden
from domain.identity.administer_users import AdministerUsers, UserChange
from domain.ids import ApiKeyId, IdKind, encode
from tests.api.application import Client, Florin, Person
from tests.api.people import PASSWORD, REFRESH, SIGN_IN, act, add_person, codes, lets_in, sign_in
from tests.support.database import rows

_USER = "user { id role disabledAt } errors { code path }"
ROLE = f"mutation ($input: ChangeUserRoleInput!) {{ changeUserRole(input: $input) {{ {_USER} }} }}"
DISABLE = f"mutation ($input: DisableUserInput!) {{ disableUser(input: $input) {{ {_USER} }} }}"
ENABLE = f"mutation ($input: EnableUserInput!) {{ enableUser(input: $input) {{ {_USER} }} }}"
USERS = """query ($filter: UserFilter, $first: Int, $after: String) {
  users(filter: $filter, first: $first, after: $after) { totalCount nodes { name } pageInfo { endCursor hasNextPage } }
}"""
WHY = "They have left."


async def audited(florin: Florin) -> list[tuple[object, ...]]:
    query = "SELECT action, actor_id, details FROM audit_entries WHERE action LIKE 'user.%' ORDER BY number"
    return await rows(florin.parts.engine, query)


async def test_a_disabled_user_is_out_at_once_and_can_be_let_in_again(florin: Florin) -> None:
    blaise = await add_person(florin)
    session = await sign_in(florin)
    user_id = encode(IdKind.USER, blaise.id)
    payload = await act(florin.margaret, DISABLE, userId=user_id, reason=WHY)
    assert payload["errors"] == []
    assert payload["user"]["disabledAt"] is not None
    assert not await lets_in(session)
    assert await codes(florin.anonymous, REFRESH, refreshToken=session.refresh_token) == ["INVALID_REFRESH_TOKEN"]
    assert await codes(florin.anonymous, SIGN_IN, email=blaise.email, password=PASSWORD) == ["INVALID_CREDENTIALS"]
    assert (await act(florin.margaret, ENABLE, userId=user_id, reason="Back."))["user"]["disabledAt"] is None
    # What has ended stays so; a new session begins.
    assert not await lets_in(session)
    assert await lets_in(await sign_in(florin))
    margaret = florin.margaret.user.id
    assert await audited(florin) == [
        ("user.disabled", margaret, {"userId": user_id, "reason": WHY, "sessionsEnded": 1}),
        ("user.enabled", margaret, {"userId": user_id, "reason": "Back.", "sessionsEnded": 0}),
    ]


async def test_another_role_ends_the_sessions_of_the_one_before(florin: Florin) -> None:
    payload = await act(florin.margaret, ROLE, userId=florin.grace.id, role="CUSTOMER", reason=WHY)
    assert payload == {"user": {"id": florin.grace.id, "role": "CUSTOMER", "disabledAt": None}, "errors": []}
    assert not await lets_in(florin.grace)
    [(_, _, details)] = await audited(florin)
    assert details == {
        "userId": florin.grace.id,
        "reason": WHY,
        "sessionsEnded": 1,
        "from": "SUPPORT",
        "to": "CUSTOMER",
    }
    # The same again changes nothing and is no entry.
    await act(florin.margaret, ROLE, userId=florin.grace.id, role="CUSTOMER", reason=WHY)
    assert len(await audited(florin)) == 1


@pytest.mark.parametrize("document", [ROLE, DISABLE, ENABLE])
async def test_what_is_refused_changes_nothing(florin: Florin, document: str) -> None:
    role = {"role": "CUSTOMER"} if document == ROLE else {}

    async def refused(**changes: str) -> list[str]:
        return await codes(florin.margaret, document, **{"reason": WHY, **role, **changes})

    assert await refused(userId=florin.margaret.id) == ["OWN_ACCOUNT"]
    assert await refused(userId=encode(IdKind.USER, florin.parts.ids.new())) == ["NOT_FOUND"]
    assert await refused(userId="nonsense") == ["NOT_FOUND"]
    assert await refused(userId=florin.ada.id, reason=" ") == ["INVALID_TEXT"]
    for who in (florin.ada, florin.grace):
        error = await who.refused(document, {"input": {"userId": florin.alan.id, "reason": WHY, **role}})
        assert error["extensions"]["code"] == "FORBIDDEN"
    assert await audited(florin) == []
    for person in (florin.ada, florin.alan, florin.margaret):
        assert await lets_in(person)


async def test_of_two_administrators_who_remove_each_other_at_once_one_remains(florin: Florin) -> None:
    for _ in range(5):
        other = await add_person(florin, f"{florin.parts.ids.new().hex}@example.com", role=Role.ADMIN)
        second = await sign_in(florin, other.email)

        async def remove(who: Client, whom: str) -> None:
            await who.send(DISABLE, {"input": {"userId": whom, "reason": WHY}})

        await asyncio.gather(remove(florin.margaret, encode(IdKind.USER, other.id)), remove(second, florin.margaret.id))
        left = await rows(florin.parts.engine, "SELECT id FROM users WHERE role = 'ADMIN' AND disabled_at IS NULL")
        assert len(left) == 1
        await rows(
            florin.parts.engine,
            "UPDATE users SET disabled_at = NULL, role = 'ADMIN' WHERE id = :id RETURNING 1",
            id=florin.margaret.user.id,
        )
        await rows(florin.parts.engine, "UPDATE users SET disabled_at = now() WHERE id = :id RETURNING 1", id=other.id)
        await rows(
            florin.parts.engine,
            "UPDATE sessions SET revoked_at = NULL WHERE id = :id RETURNING 1",
            id=florin.margaret.session.id,
        )


async def test_whoever_is_no_administrator_any_more_when_it_is_written_is_refused(florin: Florin) -> None:
    """The actor was one when the request began."""
    parts = florin.parts
    administer = AdministerUsers(units=parts.units, clock=parts.clock, ids=parts.ids)
    was = Actor(florin.margaret.user.id, Role.ADMIN)
    await rows(parts.engine, "UPDATE users SET role = 'SUPPORT' WHERE id = :id RETURNING 1", id=was.user_id)
    with pytest.raises(Forbidden):
        await administer.disable(was, UserChange(user_id=florin.ada.user.id, reason=WHY))
    assert await lets_in(florin.ada)


async def test_an_administrators_api_key_changes_nobody(florin: Florin) -> None:
    """Whatever its scopes say, and whichever door it comes by."""
    parts = florin.parts
    administer = AdministerUsers(units=parts.units, clock=parts.clock, ids=parts.ids)
    by_key = Actor(florin.margaret.user.id, Role.ADMIN, KeyInUse(ApiKeyId(parts.ids.new()), frozenset(Capability)))
    change = UserChange(user_id=florin.ada.user.id, reason=WHY)
    with pytest.raises(Forbidden):
        await administer.disable(by_key, change)
    with pytest.raises(Forbidden):
        await administer.change_role(by_key, change, Role.ADMIN)
    assert await rows(parts.engine, "SELECT role, disabled_at FROM users WHERE id = :id", id=florin.ada.user.id) == [
        ("CUSTOMER", None)
    ]
    assert await audited(florin) == []


async def test_staff_list_and_search_users(florin: Florin) -> None:
    async def names(who: Person, **where: object) -> list[str]:
        found = (await who.ask(USERS, {"filter": where}))["users"]
        assert found["totalCount"] == len(found["nodes"])
        return [node["name"] for node in found["nodes"]]

    assert await names(florin.grace) == ["Margaret", "Grace", "Alan", "Ada"]
    assert await names(florin.grace, text="ALAN@") == ["Alan"]
    assert await names(florin.grace, text="%") == []
    assert await names(florin.margaret, role=["ADMIN", "SUPPORT"]) == ["Margaret", "Grace"]
    await act(florin.margaret, DISABLE, userId=florin.ada.id, reason=WHY)
    assert await names(florin.margaret, disabled=True) == ["Ada"]
    assert await names(florin.margaret, disabled=False, text="a") == ["Margaret", "Grace", "Alan"]
    first = (await florin.grace.ask(USERS, {"first": 3}))["users"]
    rest = (await florin.grace.ask(USERS, {"first": 3, "after": first["pageInfo"]["endCursor"]}))["users"]
    assert [node["name"] for node in rest["nodes"]] == ["Ada"]
    assert (await florin.alan.refused(USERS))["extensions"]["code"] == "FORBIDDEN"
    assert (await florin.grace.refused(USERS, {"filter": {"text": "\x00"}}))["extensions"]["code"] == "BAD_INPUT"
