"""Lesson 07b: its host plays its manners, and its fetch survives them."""

import socket
import time

import pytest
from lesson_code import definitions
from PIL import Image

from course_utils.prediction import load_image

DIVE = definitions("07b_fetching_safely")


def test_stored_is_a_file():
    picture = Image.new("RGB", (5, 4), (10, 20, 30))
    assert load_image(DIVE["stored"](picture)).getpixel((4, 3)) == (10, 20, 30)


def hurried(handler):
    """Redirect in a circle, each time a little late."""
    time.sleep(0.2)
    DIVE["send"](handler, 302, Location="/hurried.jpg")


def silent(handler):
    """Say nothing for a while."""
    time.sleep(1)


@pytest.fixture
def ports(monkeypatch):
    """The ports of the server outside and of the one inside, both running."""
    send = DIVE["send"]
    monkeypatch.setitem(DIVE, "asked", [])
    monkeypatch.setitem(
        DIVE,
        "MANNERS",
        {
            "/photo.jpg": lambda handler: send(handler, 200, b"a photo"),
            "/busy.jpg": lambda handler: send(handler, 429),
            "/endless.jpg": DIVE["endless"],
            "/slow.jpg": DIVE["slow"],
            "/circle.jpg": lambda handler: send(handler, 302, Location="/circle.jpg"),
            "/hurried.jpg": hurried,
            "/silent.jpg": silent,
            "/moved.jpg": lambda handler: send(handler, 302, Location="/photo.jpg"),
            "/inward.jpg": lambda handler: send(
                handler, 302, Location=f"http://127.0.0.1:{inside}/photo.jpg"
            ),
        },
    )
    outside, inside = DIVE["serve"](), DIVE["serve"]()
    return outside, inside


def fetch(ports, name, **limits):
    """Return what the dive's fetch does; only the outer server may be asked."""
    url = f"http://127.0.0.1:{ports[0]}/{name}.jpg"
    limits = {"seconds": 30.0} | limits
    return DIVE["fetch"](url, lambda address, port: port == ports[0], **limits)


@pytest.mark.parametrize("name", ["photo", "moved"])
def test_a_photo_arrives_as_often_as_it_is_asked_for(ports, name):
    assert fetch(ports, name) == b"a photo"
    assert fetch(ports, name) == b"a photo"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("missing", "answered 404"),
        ("__class__", "answered 404"),
        ("circle", "redirected more than 5"),
        ("endless", "too large"),
        ("slow", "too slow"),
        ("hurried", "too slow, with all|no answer: timed out"),
        ("silent", "no answer: timed out"),
    ],
)
def test_bad_manners_end_in_a_sentence(ports, name, sentence):
    late = name in ("slow", "hurried", "silent")
    with pytest.raises(ValueError, match=sentence):
        fetch(ports, name, seconds=0.3 if late else 30)


def test_a_host_that_is_not_there_is_a_sentence(ports):
    free = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{free.getsockname()[1]}/"
    free.close()
    for address in (url, "http://[::1", "http://no.such.host.invalid/"):
        with pytest.raises(ValueError, match=r".+"):
            DIVE["fetch"](address, lambda *_: True)


def test_a_busy_host_is_busy_again(ports):
    for _ in range(2):
        with pytest.raises(ValueError, match="answered 429"):
            fetch(ports, "busy")


def test_a_redirect_inward_is_not_followed(ports):
    with pytest.raises(ValueError, match="may not be asked"):
        fetch(ports, "inward")
    assert DIVE["asked"] == [ports[0]]  # the inner server was never reached


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "2130706433"])
def test_your_own_machine_is_refused_in_every_spelling(ports, name):
    url = f"http://{name}:{ports[0]}/photo.jpg"
    with pytest.raises(ValueError, match="may not be asked"):
        DIVE["fetch"](url, DIVE["public_only"])
    assert DIVE["asked"] == []
