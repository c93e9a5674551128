"""Photos from the web: a local server plays every host that a reader may meet."""

import re
import socket
import threading

import numpy as np
import pytest
from image_server import (
    PhotoHost,
    drips,
    endless,
    file_of,
    packed,
    redirect,
    resets,
    sends,
    silent,
    status,
)
from PIL import Image

from course_utils._engine import web
from course_utils._engine.web import Limits, fetch_image_bytes
from course_utils.prediction import ImageError, WebError, load_image

PIXELS = np.arange(8 * 9 * 3, dtype=np.uint8).reshape(8, 9, 3)
PHOTO = file_of(Image.fromarray(PIXELS))
SHORT = Limits(total_s=60, silence_s=60, max_bytes=100_000)
QUICK = Limits(total_s=0.3)
REAL_LOOK_UP = socket.getaddrinfo


@pytest.fixture(autouse=True)
def online_without_proxy(monkeypatch):
    monkeypatch.delenv("COURSE_OFFLINE", raising=False)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def host():
    """Starts servers, and ends them."""
    running = []

    def start(*answers):
        running.append(PhotoHost(*answers))
        return running[-1]

    yield start
    for one in running:
        one.close()


@pytest.fixture
def names(monkeypatch):
    """What look-ups find: the addresses of each name; no others are looked up."""
    known = {"localhost": ["127.0.0.3"]}

    def look_up(host, port, *args, **options):
        host = host.decode() if isinstance(host, bytes) else host
        if not re.fullmatch(r"[\d.]+|.*:.*|0x.*", host) and host not in known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [
            entry
            for address in known.get(host, [host])
            for entry in REAL_LOOK_UP(address, port, *args, **options)
        ]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return known


@pytest.fixture
def as_if_public(monkeypatch):
    """This machine's 127.0.0.1, and it alone, counts as public."""
    monkeypatch.setattr(web, "is_public", lambda address: address == "127.0.0.1")


def fetch(url, limits=SHORT, **options):
    return fetch_image_bytes(url, limits=limits, **{"allow_private": True} | options)


def refusal(url, *args, **options):
    """Return the one sentence that a fetch fails with."""
    with pytest.raises(WebError) as refused:
        fetch(url, *args, **options)
    text = str(refused.value)
    assert re.fullmatch(r"[^\n]{,400}\.", text)
    return text


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(sends(PHOTO), id="as-it-should"),
        pytest.param(sends(PHOTO, "text/html"), id="text-type"),
        pytest.param(packed(PHOTO), id="packed"),
        pytest.param(sends(PHOTO, Content_Encoding="identity"), id="not-packed"),
    ],
)
def test_a_photo_arrives(host, answer):
    server = host(answer)
    image = load_image(f" {server.url} ", allow_private=True)
    assert np.array_equal(image, PIXELS)
    assert "resnet-course" in server.agents[0]
    assert server.asked == [(f"127.0.0.1:{server.port}", "/photo.jpg")]


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (sends(b"<html>Log in</html>", "image/jpeg"), "is an HTML page"),
        (sends(PHOTO[:50]), "damaged"),
        (sends(PHOTO, Content_Length=len(PHOTO) // 2), "damaged"),
    ],
)
def test_what_is_no_image_is_named_with_its_address(host, answer, sentence):
    server = host(answer)
    with pytest.raises(ImageError, match=sentence) as refused:
        load_image(server.url, allow_private=True)
    assert str(refused.value).startswith(server.url)


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        pytest.param(status(404), "was not found (404 Not Found)", id="404"),
        pytest.param(status(403), "by programs (403 Forbidden)", id="403"),
        pytest.param(status(429), "is busy (429 Too Many Requests)", id="429"),
        pytest.param(status(503), "is busy (503 Service Unavailable)", id="503"),
        pytest.param(status(500), "answered 500 Internal Server Error", id="500"),
        pytest.param(status(304), "answered 304 Not Modified", id="304"),
        pytest.param(status(799), "answered 799, expected", id="799"),
        pytest.param(sends(PHOTO, Content_Length=999), "broke off", id="length-long"),
        pytest.param(resets, "broke off", id="reset"),
        pytest.param(endless, "larger than 0.0954 MiB", id="endless"),
        pytest.param(packed(bytes(10**7)), "larger than", id="gzip-bomb"),
        pytest.param(
            sends(b"x" * 50, Content_Encoding="gzip"), "broke off", id="no-gzip"
        ),
        pytest.param(redirect("/photo.jpg"), "more than 5 times", id="circle"),
        pytest.param(redirect("http://h:port/"), "broke off (Invalid", id="to-nothing"),
        pytest.param(redirect("http://xn--a/"), "leads to none", id="to-no-name"),
    ],
)
def test_each_failure_has_its_sentence(host, answer, sentence):
    server = host(answer)
    text = refusal(server.url)
    assert sentence in text
    assert server.url in text


@pytest.mark.parametrize(
    "place", ["file:///etc/passwd", "ftp://host/a.jpg", "http://a.b:99999/"]
)
def test_a_redirect_out_of_the_web_is_refused(host, place):
    server = host(redirect(place))
    assert "is no address of a photo on the web" in refusal(server.url)


def test_an_endless_body_is_left_at_the_cap(host):
    server = host(endless)
    refusal(server.url)
    # what lies in the system's buffers was sent, but never taken
    assert server.sent < SHORT.max_bytes + 20 * 2**20


@pytest.mark.parametrize("length", [100_000, 100_001])
@pytest.mark.parametrize("pack", [sends, packed])
def test_the_cap_is_exact_packed_or_not(host, pack, length):
    server = host(pack(bytes(length)))
    if length <= SHORT.max_bytes:
        assert fetch(server.url) == bytes(length)
    else:
        assert "larger than" in refusal(server.url)


@pytest.mark.parametrize("answer", [drips("body"), drips("head")], ids=["body", "head"])
def test_bytes_that_drip_are_too_slow_and_left(host, answer):
    server, before = host(answer), set(threading.enumerate())
    assert "is too slow: not here after 0.3 s" in refusal(server.url, QUICK)
    late = [t for t in threading.enumerate() if "(run)" in t.name and t not in before]
    for thread in late:  # nobody waits for it any more; it must not fetch on for ever
        thread.join(5)
        assert not thread.is_alive()


def test_a_silent_server_is_left(host):
    text = refusal(host(silent).url, Limits(silence_s=0.2))
    assert "sent nothing for 0.2 s" in text


def test_a_look_up_that_hangs_is_too_slow(monkeypatch):
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **options: over.wait())
    text = refusal("http://photos.example/a.jpg", QUICK)
    over.set()
    assert "photos.example/a.jpg is too slow" in text


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_redirects_are_followed(host, code):
    server = host(redirect("/b", code), redirect("c?d=e", code), sends(PHOTO))
    assert fetch(server.url) == PHOTO
    assert [path for _, path in server.asked] == ["/photo.jpg", "/b", "/c?d=e"]


def test_a_loop_ends_after_five_redirects(host):
    server = host(redirect("/photo.jpg"))
    refusal(server.url)
    assert len(server.asked) == 6


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("file:///etc/passwd", "is no address of a photo on the web"),
        ("data:image/png;base64,iVBORw0KGgo=", "is no address of a photo on the web"),
        ("javascript:alert(1)", "is no address of a photo on the web"),
        ("http:///photo.jpg", "is no address of a photo on the web"),
        ("https:photo.jpg", "is no address of a photo on the web"),
        ("http://host:99999/", "is no address of a photo on the web"),
        ("http://host:port/", "is no address"),
        ("http://0177.0.0.1/", "is no address"),
        ("http://[::1/", "is no address"),
        ("http://a\tb/", "is no address"),
        ("http://" + "a" * 70_000, "is no address"),
        ("http://" + "a" * 64 + ".com/", "is no address"),
        ("http://xn--a/x.jpg", "is no address"),
    ],
)
def test_what_is_no_web_address_is_refused(url, sentence, monkeypatch):
    monkeypatch.setattr(socket.socket, "connect", None)
    assert sentence in refusal(url)


@pytest.mark.parametrize(
    "url_host",
    [
        "127.8.9.10",
        "localhost",
        "[::1]",
        "[::]",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "[fe80::1]",
        "[fc00::1]",
        "[ff02::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:a00:1]",
        "2130706433",
        "0x7f000001",
        "127.1",
        "half.example",
    ],
)
def test_private_addresses_are_refused(url_host, names, monkeypatch):
    monkeypatch.setattr(socket.socket, "connect", None)
    names["half.example"] = ["8.8.8.8", "10.0.0.1"]
    with pytest.raises(WebError, match=r"has a private address .*allow_private=True"):
        load_image(f"http://{url_host}:9/photo.jpg")


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "151.101.1.195"]
)
def test_public_addresses_are_public(address):
    assert web.is_public(address)


@pytest.mark.parametrize(
    "place", ["http://127.0.0.2:PORT/x", "http://[::1]:PORT/", "//localhost"]
)
def test_a_redirect_to_a_private_address_is_refused(host, as_if_public, names, place):
    server = host(redirect(place), sends(PHOTO))
    assert "has a private address" in refusal(server.url, allow_private=False)
    assert len(server.asked) == 1


def test_a_name_is_asked_by_its_name(host, as_if_public, names):
    server = host(sends(PHOTO))
    names["photos.example"] = ["127.0.0.1"]
    url = f"http://photos.example:{server.port}/a.jpg"
    assert fetch(url, allow_private=False) == PHOTO
    assert server.asked == [(f"photos.example:{server.port}", "/a.jpg")]


def test_a_password_is_sent_and_never_shown(host):
    server = host(status(404))
    text = refusal(server.url.replace("//", "//me:secret@"))
    assert "secret" not in text
    assert server.url in text


def test_an_unknown_host_or_one_without_a_server_cannot_be_reached(names):
    text = refusal("http://photos.invalid/a.jpg")
    assert "cannot be reached ([Errno -2] Name or service not known)" in text
    assert "sample_photos()" in text
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/"
    assert re.search("cannot be reached .*sample_photos", refusal(url))


def test_offline_only_this_machine_is_asked(host, monkeypatch):
    monkeypatch.setenv("COURSE_OFFLINE", "1")
    server = host(sends(PHOTO))
    assert fetch(server.url) == PHOTO
    monkeypatch.setattr(socket, "getaddrinfo", None)
    for name in ("photos.example", "8.8.8.8", "photoslocalhost"):
        assert "COURSE_OFFLINE forbids asking" in refusal(f"http://{name}/")


def test_a_proxy_looks_names_up_itself(host, names, monkeypatch):
    proxy = host(sends(PHOTO))
    monkeypatch.setenv("HTTP_PROXY", f"127.0.0.1:{proxy.port}")
    url = "http://photos.invalid/a.jpg"
    assert fetch(url, allow_private=False) == PHOTO
    assert proxy.asked == [("photos.invalid", url)]
    for private in ("localhost", "10.0.0.1", "2130706433"):
        text = refusal(f"http://{private}/", allow_private=False)
        assert "has a private address" in text
    assert len(proxy.asked) == 1


def test_wrong_network_settings_are_named(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "gopher://127.0.0.1:9")
    text = refusal("http://127.0.0.1:9/")
    assert re.search("network settings .* are wrong .*HTTP_PROXY", text)
