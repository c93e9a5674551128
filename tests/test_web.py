"""Photos from the web: a local server plays every host that a reader may meet."""

import itertools
import re
import shutil
import socket
import ssl
import subprocess
import threading
from email.utils import formatdate

import httpx
import numpy as np
import pytest
from image_server import (
    PhotoHost,
    drips,
    endless,
    file_of,
    packed,
    png_header,
    redirect,
    resets,
    sends,
    silent,
    status,
)
from PIL import Image

from course_utils._engine import addresses, web
from course_utils._engine.web import Limits, fetch_image_bytes
from course_utils.data.images import ImageError, WebError, load_image

PIXELS = np.arange(8 * 9 * 3, dtype=np.uint8).reshape(8, 9, 3)
PHOTO = file_of(Image.fromarray(PIXELS))
SHORT = Limits(total_s=60, read_s=60, max_bytes=100_000)
QUICK = Limits(total_s=0.3)
NO_PATIENCE = Limits(read_s=0.2)
REAL_LOOK_UP = socket.getaddrinfo


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def host():
    """Starts servers, and ends them."""
    running = []

    def start(*answers, **options):
        running.append(PhotoHost(*answers, **options))
        return running[-1]

    yield start
    for one in running:
        one.close()


@pytest.fixture
def names(monkeypatch):
    """Names that look-ups find, each with its addresses, one list a look-up."""
    monkeypatch.delenv("COURSE_OFFLINE")
    known, asked = {}, []

    def look_up(host, port, *args, **options):
        if host in known:
            asked.append(host)
            found = known[host]
            host = found.pop(0) if len(found) > 1 else found[0]
            entries = [REAL_LOOK_UP(one, port, *args, **options) for one in host]
            return list(itertools.chain.from_iterable(entries))
        assert re.fullmatch(r"[\d.:a-f]+", host), f"{host} is looked up for real"
        return REAL_LOOK_UP(host, port, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    known["asked"] = asked
    return known


@pytest.fixture
def as_if_public(monkeypatch):
    """This machine's 127.0.0.1, and it alone, counts as public."""
    monkeypatch.setattr(addresses, "is_public", lambda address: address == "127.0.0.1")


def fetch(url, limits=SHORT, waits=None, **options):
    options = {"allow_private": True} | options
    waits = [] if waits is None else waits
    return fetch_image_bytes(url, limits=limits, wait=waits.append, **options)


def refusal(url, *args, **options):
    """Return the one sentence that a fetch fails with."""
    with pytest.raises(WebError) as refused:
        fetch(url, *args, **options)
    text = str(refused.value)
    assert "\n" not in text
    assert text.endswith(".")
    return text


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(sends(PHOTO), id="as-it-should"),
        pytest.param(sends(PHOTO, "text/html"), id="text-type"),
        pytest.param(sends(PHOTO, "image/svg+xml"), id="svg-type"),
        pytest.param(packed(PHOTO), id="packed"),
        pytest.param(sends(PHOTO, Content_Encoding="identity"), id="not-packed"),
    ],
)
def test_a_photo_arrives(host, answer):
    server = host(answer)
    image = load_image(server.url, allow_private=True)
    assert np.array_equal(image, PIXELS)
    assert "resnet-course" in server.agents[0]
    assert server.asked == [(f"127.0.0.1:{server.port}", "/photo.jpg")]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        pytest.param(b"<html>Log in</html>", "is an HTML page", id="html"),
        pytest.param(b"<svg/>", "is an SVG drawing", id="svg"),
        pytest.param(b"", "is empty", id="nothing"),
        pytest.param(PHOTO[:50], "damaged", id="truncated"),
        pytest.param(png_header(20_000, 20_000), "pixels", id="bomb"),
    ],
)
def test_what_is_no_image_is_named_with_its_address(host, body, sentence):
    server = host(sends(body, "image/jpeg"))
    with pytest.raises(ImageError, match=sentence) as refused:
        load_image(server.url, allow_private=True)
    assert str(refused.value).startswith(server.url)


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        pytest.param(status(404), "was not found (404 Not Found)", id="404"),
        pytest.param(status(410), "was not found (410 Gone)", id="410"),
        pytest.param(status(403), "by programs (403 Forbidden)", id="403"),
        pytest.param(status(401), "by programs (401 Unauthorized)", id="401"),
        pytest.param(status(500), "failed (500 Internal Server Error)", id="500"),
        pytest.param(status(204), "answered 204 No Content", id="204"),
        pytest.param(status(304), "answered 304 Not Modified", id="304"),
        pytest.param(status(418), "answered 418", id="418"),
        pytest.param(status(799), "failed (799)", id="799"),
        pytest.param(sends(PHOTO, Content_Length=999), "broke off", id="length-long"),
        pytest.param(resets, "broke off", id="reset"),
        pytest.param(sends(b"", Content_Length=10**12), "larger than", id="says-large"),
        pytest.param(endless, "larger than 0.0954 MiB", id="endless"),
        pytest.param(packed(bytes(10**8)), "larger than", id="gzip-bomb"),
        pytest.param(
            sends(b"x" * 50, Content_Encoding="gzip"),
            "packed, and damaged",
            id="no-gzip",
        ),
        pytest.param(
            sends(PHOTO, Content_Encoding="br"), "packed as 'br'", id="brotli"
        ),
        pytest.param(redirect("file:///etc/passwd"), "with 'file:'", id="to-file"),
        pytest.param(redirect("data:image/png,x"), "with 'data:'", id="to-data"),
        pytest.param(redirect("/photo.jpg"), "more than 5 times", id="circle"),
        pytest.param(
            redirect("http://host:port/"), "which is no address", id="to-nothing"
        ),
        pytest.param(redirect("http://a.b:99999/"), "no host and port", id="to-port"),
    ],
)
def test_each_failure_has_its_sentence(host, answer, sentence):
    server = host(answer)
    text = refusal(server.url)
    assert sentence in text
    assert server.url in text


def test_too_short_a_length_is_a_cut_off_photo(host):
    server = host(sends(PHOTO, Content_Length=len(PHOTO) // 2))
    with pytest.raises(ImageError, match="damaged"):
        load_image(server.url, allow_private=True)


def test_a_packed_body_that_unpacks_to_nothing_has_the_same_cap(host):
    named = b"\x1f\x8b\x08\x08" + bytes(6) + b"x" * 200_000  # gzip, an endless name
    packing = {"Content_Encoding": "gzip", "Content_Length": None}
    assert "larger than" in refusal(host(sends(named, **packing)).url)


def test_an_endless_body_is_left_at_the_cap(host):
    server = host(endless)
    refusal(server.url)
    # what lies in the system's buffers was sent, but never taken
    assert server.sent < SHORT.max_bytes + 20 * 2**20


@pytest.mark.parametrize("length", [99_999, 100_000, 100_001])
@pytest.mark.parametrize("pack", [sends, packed])
def test_the_cap_is_exact_packed_or_not(host, pack, length):
    server = host(pack(bytes(length)))
    if length <= SHORT.max_bytes:
        assert fetch(server.url) == bytes(length)
    else:
        assert "larger than" in refusal(server.url)


@pytest.mark.parametrize("part", ["body", "head"])
def test_bytes_that_drip_are_too_slow(host, part):
    server = host(drips(part))
    text = refusal(server.url, QUICK)
    assert "is too slow: not here after 0.3 s" in text


def test_a_silent_server_is_left(host):
    assert "sent nothing for 0.2 s" in refusal(host(silent).url, NO_PATIENCE)


@pytest.mark.parametrize("answer", [drips("body"), redirect("/")], ids=["body", "hop"])
def test_what_goes_on_after_the_deadline_ends_by_itself(host, answer):
    """Nobody waits for this thread any more; it must not fetch on for ever."""
    server = host(answer)
    late = web._Try(server.url, True, SHORT, deadline=0.0)
    with pytest.raises(WebError, match="too slow"):
        late.run()
    assert len(server.asked) == 1


def test_a_look_up_that_hangs_is_too_slow(monkeypatch):
    monkeypatch.delenv("COURSE_OFFLINE")
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **options: over.wait())
    text = refusal("http://photos.example/a.jpg", QUICK)
    over.set()
    assert "photos.example/a.jpg is too slow" in text


@pytest.mark.parametrize("code", [429, 503])
def test_a_busy_server_is_asked_again(host, code):
    server, waits = host(status(code), status(code), sends(PHOTO)), []
    assert fetch(server.url, waits=waits) == PHOTO
    assert waits == [1.0, 2.0]
    assert len(server.asked) == 3


def test_it_waits_as_long_as_the_server_asks(host):
    waits, past = [], formatdate(0, usegmt=True)
    server = host(
        status(429, Retry_After=2), status(503, Retry_After=past), sends(PHOTO)
    )
    assert fetch(server.url, waits=waits) == PHOTO
    assert waits == [2.0, 0.0]


@pytest.mark.parametrize("said", ["soon", "Mon, 99 Foo 2026"])
def test_a_senseless_wait_is_replaced_by_its_own(host, said):
    server, waits = host(status(503, Retry_After=said), sends(PHOTO)), []
    assert fetch(server.url, waits=waits) == PHOTO
    assert waits == [1.0]


def test_a_server_that_stays_busy_is_left(host):
    server, waits = host(status(503)), []
    text = refusal(server.url, waits=waits)
    assert "is busy (503 Service Unavailable), asked 3 times" in text
    assert len(waits) == 2


def test_a_wait_beyond_the_deadline_is_not_begun(host):
    server, waits = host(status(429, Retry_After=3600)), []
    text = refusal(server.url, waits=waits)
    assert "asks for 3600 s of rest, asked 1 time:" in text
    assert waits == []


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
        ("file:///etc/passwd", "begins with 'file:'"),
        ("data:image/png;base64,iVBORw0KGgo=", "begins with 'data:'"),
        ("ftp://host/a.jpg", "begins with 'ftp:'"),
        ("javascript:alert(1)", "begins with 'javascript:'"),
        ("http://", "no host and port"),
        ("http:///photo.jpg", "no host and port"),
        ("https:photo.jpg", "no host and port"),
        ("http://host:99999/", "no host and port"),
        ("http://host:port/", "is no address"),
        ("http://0177.0.0.1/", "is no address"),
        ("http://[::1/", "is no address"),
        ("http://a\tb/", "is no address"),
        ("http://" + "a" * 70_000, "is no address"),
    ],
)
def test_what_is_no_web_address_is_refused(url, sentence, names):
    with pytest.raises(WebError) as refused:
        load_image(url)
    assert sentence in str(refused.value)
    assert len(str(refused.value)) < 400
    assert names["asked"] == []


@pytest.mark.parametrize(
    "url_host",
    [
        "127.0.0.1",
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
        "240.0.0.1",
        "192.0.2.1",
        "[fe80::1]",
        "[fc00::1]",
        "[fec0::1]",
        "[ff02::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:a00:1]",
        "[2002:7f00:1::]",
        "[64:ff9b::a00:1]",
        "2130706433",
        "0x7f000001",
        "127.1",
    ],
)
def test_private_addresses_are_refused(url_host, monkeypatch):
    monkeypatch.delenv("COURSE_OFFLINE")
    asked = []
    monkeypatch.setattr(httpx.Client, "send", lambda *args, **o: asked.append(args))
    with pytest.raises(WebError, match=r"has a private address .*allow_private=True"):
        load_image(f"http://{url_host}:9/photo.jpg")
    assert asked == []


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "2606:4700::1111",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",
        "2002:808:808::",
    ],
)
def test_public_addresses_are_public(address):
    assert addresses.is_public(address)


@pytest.mark.parametrize(
    "place",
    [
        "http://127.0.0.2:PORT/x",
        "http://10.0.0.1/x",
        "http://[::1]:PORT/",
        "//localhost",
    ],
)
def test_a_redirect_to_a_private_address_is_refused(
    host, as_if_public, place, monkeypatch
):
    monkeypatch.delenv("COURSE_OFFLINE")
    localhost = REAL_LOOK_UP("127.0.0.3", 80)
    real = REAL_LOOK_UP

    def look_up(name, *args, **options):
        return localhost if name == "localhost" else real(name, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    server = host(redirect(place), sends(PHOTO))
    text = refusal(server.url, allow_private=False)
    assert "has a private address" in text
    assert len(server.asked) == 1


def test_a_name_is_looked_up_once_and_that_address_asked(host, as_if_public, names):
    server = host(sends(PHOTO))
    names["photos.example"] = [["127.0.0.1"], ["127.0.0.2"]]  # changed behind our back
    url = f"http://photos.example:{server.port}/a.jpg"
    assert fetch(url, allow_private=False) == PHOTO
    assert names["asked"] == ["photos.example"]
    assert server.asked == [(f"photos.example:{server.port}", "/a.jpg")]
    assert "has a private address (127.0.0.2)" in refusal(url, allow_private=False)
    assert len(server.asked) == 1


def test_of_several_addresses_the_private_are_left_out(host, as_if_public, names):
    server = host(sends(PHOTO))
    names["photos.example"] = [["127.0.0.2", "127.0.0.1"]]
    url = f"http://photos.example:{server.port}/a.jpg"
    assert fetch(url, allow_private=False) == PHOTO


def test_the_next_address_is_asked_where_one_does_not_answer(host, names):
    server = host(sends(PHOTO))
    names["photos.example"] = [["127.0.0.2", "127.0.0.1"]]
    assert fetch(f"http://photos.example:{server.port}/a.jpg") == PHOTO


def test_a_password_is_sent_and_never_shown(host):
    server = host(status(404))
    text = refusal(server.url.replace("//", "//me:secret@"))
    assert "secret" not in text
    assert server.url in text


def test_an_unknown_host_and_no_network_read_alike(monkeypatch):
    monkeypatch.delenv("COURSE_OFFLINE")

    def fail(*args, **options):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    text = refusal("http://photos.invalid/a.jpg")
    assert "'photos.invalid' cannot be found: it does not exist, or this" in text
    assert "sample_photos()" in text


def test_a_port_without_a_server_cannot_be_reached():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/"
    assert re.search("cannot be reached .*sample_photos", refusal(url))


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (httpx.ConnectTimeout("timed out"), "did not answer within 5 s"),
        (httpx.RemoteProtocolError("illegal\nline"), r"broke off (illegal\nline)"),
        (httpx.ReadError(""), "broke off (ReadError)"),
    ],
)
def test_connections_that_fail(host, monkeypatch, error, sentence):
    def fail(*args, **options):
        raise error

    monkeypatch.setattr(httpx.Client, "send", fail)
    assert sentence in refusal("http://127.0.0.1:9/")


def test_offline_only_this_machine_is_asked(host, monkeypatch):
    monkeypatch.setenv("COURSE_OFFLINE", "1")
    asked = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args: asked.append(args))
    for url in ("http://photos.example/", "http://8.8.8.8/", "http://10.0.0.1/"):
        assert "COURSE_OFFLINE forbids asking" in refusal(url)
    assert asked == []
    monkeypatch.setattr(socket, "getaddrinfo", REAL_LOOK_UP)
    assert fetch(host(sends(PHOTO)).url) == PHOTO


def test_a_proxy_looks_names_up_itself(host, monkeypatch):
    monkeypatch.delenv("COURSE_OFFLINE")
    proxy = host(sends(PHOTO))
    monkeypatch.setenv("HTTP_PROXY", f"127.0.0.1:{proxy.port}")
    url = "http://photos.invalid/a.jpg"
    assert fetch(url, allow_private=False) == PHOTO
    assert proxy.asked == [("photos.invalid", url)]
    for private in ("localhost", "10.0.0.1", "[::1]", "2130706433"):
        text = refusal(f"http://{private}/", allow_private=False)
        assert "has a private address" in text
    assert len(proxy.asked) == 1


def test_hosts_that_the_proxy_is_not_for_are_asked_directly(host, monkeypatch):
    server = host(sends(PHOTO))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert fetch(server.url) == PHOTO


def test_wrong_network_settings_are_named(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "gopher://127.0.0.1:9")
    text = refusal("http://127.0.0.1:9/")
    assert re.search("network settings .* are wrong .*HTTP_PROXY", text)


def test_a_proxy_that_refuses_is_named(host, monkeypatch):
    def fail(*args, **options):
        raise httpx.ProxyError("407 Proxy Authentication Required")

    monkeypatch.setattr(httpx.Client, "send", fail)
    assert "proxy refuses (407" in refusal("http://127.0.0.1:9/")


@pytest.fixture
def certificate(tmp_path, names, monkeypatch):
    """A certificate for photos.example, which this machine trusts in the test."""
    openssl = shutil.which("openssl")
    if not openssl:
        pytest.skip("openssl is not installed")
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    arguments = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=photos.example"
    extension = ["-addext", "subjectAltName=DNS:photos.example"]
    files = ["-keyout", str(key), "-out", str(cert)]
    subprocess.run(
        [openssl, *arguments.split(), *extension, *files],
        check=True,
        capture_output=True,
    )
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    asked = []
    context.sni_callback = lambda connection, name, _: asked.append(name)
    names["photos.example"] = names["other.example"] = [["127.0.0.1"]]
    context.asked = asked
    return context


def test_https_proves_the_name_though_an_address_is_connected_to(host, certificate):
    def wrap(sock):
        return certificate.wrap_socket(sock, server_side=True)

    server = host(sends(PHOTO), tls=wrap)
    assert fetch(f"https://photos.example:{server.port}/a.jpg") == PHOTO
    assert certificate.asked == ["photos.example"]
    text = refusal(f"https://other.example:{server.port}/a.jpg")
    assert "could not prove whose it is" in text
    assert len(server.asked) == 1
