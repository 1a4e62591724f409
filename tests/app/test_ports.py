"""A port that is taken is said to be, and by whom."""

import os
import socket
import sys

import pytest

from app.processes.ports import PortUnavailable, free_port, require_port_free


def test_a_free_port_can_be_listened_on() -> None:
    require_port_free("127.0.0.1", free_port())


@pytest.mark.skipif(sys.platform != "linux", reason="the holder is read from /proc")
def test_a_taken_port_names_its_holder_and_the_way_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(PortUnavailable) as caught:
            require_port_free("127.0.0.1", port)
    message = str(caught.value)
    assert message.startswith(f"port {port} is taken by ")
    assert f"(process {os.getpid()})" in message
    assert message.endswith("; use --port N for another, or --port 0 for any free one")


def test_an_address_that_is_not_ours_is_no_question_of_ports() -> None:
    # RFC 5737 keeps 192.0.2.0/24 for documentation: no machine has it.
    with pytest.raises(PortUnavailable, match=r"^cannot listen on 192\.0\.2\.1:8000: "):
        require_port_free("192.0.2.1", 8000)


def test_connections_being_closed_do_not_take_a_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        accepted, _ = server.accept()
        # The side that closes first is left in TIME_WAIT.
        accepted.close()
        client.close()
    require_port_free("127.0.0.1", port)
