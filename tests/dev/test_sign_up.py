"""Somebody signs up with a real server: the worker keeps the mail as a file, and the link in it lets them in."""

import email
import re
from email import policy
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.api.people import FORGOT, PASSWORD, REFRESH, SIGN_IN, SIGN_OUT, SIGN_UP, VERIFY
from tests.support.development import Development
from tests.support.waiting import until

pytestmark = pytest.mark.xdist_group("florin_dev")

NEW = {"email": "blaise@shop.example", "name": "Blaise Pascal", "password": PASSWORD}


async def test_from_sign_up_to_sign_out(florin_dev: Development) -> None:
    url, folder = florin_dev.ready["graphql_url"], Path(florin_dev.ready["mail_folder"])
    async with httpx2.AsyncClient(timeout=60, trust_env=False) as http:

        async def act(document: str, **input_: object) -> Any:  # Any: a payload has the shape of its query
            answer = (await http.post(url, json={"query": document, "variables": {"input": input_}})).json()
            assert "errors" not in answer, answer
            (payload,) = answer["data"].values()
            assert payload["errors"] == [], payload
            return payload

        async def who(token: str) -> int:
            headers = {"Authorization": f"Bearer {token}"}
            return (await http.post(url, json={"query": "{ me { id } }"}, headers=headers)).status_code

        await act(SIGN_UP, **NEW)
        await act(FORGOT, email="nobody@example.com")

        async def has_arrived() -> bool:
            return bool(kept(folder, "*-blaise@shop.example.eml"))

        await until(has_arrived)
        (mail,) = kept(folder, "*-blaise@shop.example.eml")
        text = email.message_from_bytes(mail, policy=policy.default).get_content()
        token = re.search(r"florin_mail_[\w-]+", text)
        assert token is not None
        await act(VERIFY, token=token[0])
        tokens = (await act(SIGN_IN, email=NEW["email"], password=PASSWORD))["tokens"]
        tokens = (await act(REFRESH, refreshToken=tokens["refreshToken"]))["tokens"]
        assert await who(tokens["accessToken"]) == 200
        await act(SIGN_OUT, refreshToken=tokens["refreshToken"])
        assert await who(tokens["accessToken"]) == 401
    assert kept(folder, "*nobody*") == []
    (log,) = kept(florin_dev.data, "florin.log")
    for secret in (PASSWORD, token[0], tokens["accessToken"], tokens["refreshToken"]):
        assert secret.encode() not in log


def kept(folder: Path, pattern: str) -> list[bytes]:
    """What files of this name hold."""
    return [file.read_bytes() for file in folder.glob(pattern)]
