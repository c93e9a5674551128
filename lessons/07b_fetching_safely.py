# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 07b · Fetching photos safely
#
# **After this deep dive you can**
#
# 1. name what an image file may hold that `convert("RGB")` misreads;
# 2. fetch from hosts that lie, stall or never end;
# 3. say what server-side request forgery is, and stop it at every redirect.
#
# **Know first:** [Lesson 07](07_prediction.ipynb) (one photo, a folder, the web).
#
# **Reading** 23 minutes · **run time** quick CPU about 11 s (two quiet cores), full GPU
# about 17 s (shared H200)

# %% [markdown]
# Put a network behind a web page, and strangers decide what your program opens and whom
# it asks: on this page you play both sides, host and program, in your own notebook. It
# is optional; no lesson needs it. All addresses are your own machine's.

# %% tags=["setup"]
# Import what the deep dive uses
import io
import socket
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import httpx
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image, ImageDraw, ImageOps

from course_utils import plotting, prediction
from course_utils.results import show_table

plotting.course_style()

# %% [markdown]
# ## 1 · What may be in the file
#
# This section shows what a file that *is* a photo may hold. A phone stores the photo as
# the sensor was held, and notes in the EXIF data how to turn it. A logo has a
# transparent background, with some colour hidden beneath. Print shops use four inks
# (CMYK). Scanners store 16 bits a value. A GIF has a palette, and perhaps many frames.
#
# The line in most tutorials is `Image.open(path).convert("RGB")`. Here is one photo in
# eight files. Which of them does that line misread?


# %%
# One photo, stored in eight ways
def stored(picture, kind="PNG", **options):
    """Return the bytes of a picture's file."""
    memory = io.BytesIO()
    picture.save(memory, kind, **options)
    return memory.getvalue()


photo = prediction.load_image(prediction.sample_photos()["flower"]).resize((160, 107))
turned = Image.Exif()
turned[0x0112] = 6  # orientation: turn by 90° to see it upright
grey = photo.convert("L")
grey16 = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
mask = Image.new("L", photo.size)
ImageDraw.Draw(mask).ellipse((0, 0, *photo.size), fill=255)
cutout = Image.composite(photo, Image.new("RGB", photo.size), mask)  # black outside
cutout.putalpha(mask)
frames = {"save_all": True, "append_images": [ImageOps.invert(photo)]}
files = {
    "JPEG": stored(photo, "JPEG"),
    "turned, noted in EXIF": stored(photo.rotate(90, expand=True), "JPEG", exif=turned),
    "16 bits, grey": stored(grey16),
    "8 bits, grey": stored(grey),
    "CMYK": stored(photo.convert("CMYK"), "JPEG"),
    "animation": stored(photo, "GIF", **frames),
    "transparent": stored(cutout),
    "transparent, palette": stored(cutout.quantize(64)),
}

# %%
# Read each file as most tutorials do, and as the package does
rows, pairs = [], {}
for name, content in files.items():
    raw = Image.open(io.BytesIO(content))
    naive, same = raw.convert("RGB"), prediction.load_image(content)
    pairs[name] = naive, same
    differ = "another shape"
    if naive.size == same.size:
        apart = (np.asarray(naive) != np.asarray(same)).any(axis=2)
        differ = f"{apart.mean():.0%}"
    rows.append([name, raw.mode, len(raw.getbands()), differ])
show_table(("file", "mode", "channels", "pixels that differ"), rows)

# %% [markdown]
# A channel is a number a pixel; the network takes three. The last column compares
# `convert` with `load_image`. What both pass over, a colour profile in the file, it
# cannot show.

# %% tags=["figure"]
# Figure: one column for each stored file; above as convert reads it, below as
# load_image does.
fig, axes = plt.subplots(2, len(pairs), figsize=(10, 3.1))
for column, (name, pair) in zip(axes.T, pairs.items(), strict=True):
    for axis, one in zip(column, pair, strict=True):
        axis.imshow(one)
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(True)  # a white picture needs a frame
    column[0].set_title(name.replace(", ", ",\n"), fontsize="x-small")
axes[0, 0].set_ylabel("convert", fontsize="small")
axes[1, 0].set_ylabel("load_image", fontsize="small")
plt.show()

# %% [markdown]
# Above `convert("RGB")`, below `load_image`. Two files are **misread**: the turned one
# lies on its side, and the 16 bits are cut off at 255, so that nearly all is white. Two
# more differ by a **choice**: beneath transparency `convert` uncovers whatever colour
# is hidden there, and `load_image` lays it over white, as a web page does.
#
# And a file may be a trap. PNG can pack a thousandfold: eight megabytes can hold 50,000
# × 50,000 pixels of one colour, 7.5 GB once decoded. So the header is read first:
# Pillow refuses more than 179 megapixels, `load_image` more than 64.
#
# **So what:** open photos with one function, in training and in prediction; then both
# misread the same, or nothing.

# %% [markdown]
# ## 2 · A host that lies, stalls or never ends
#
# This section shows a fetch that survives its host. Whoever answers may send anything.
# The next cell is a web server with good and bad manners. Note the dictionary: a path
# comes from a stranger. Looked up with `getattr(self, path)`, as one sees it done, it
# would let the stranger call any method of the server.


# %%
# A host's manners, and what lies inside your network
def send(handler, status, body=b"", **headers):
    """Send a whole answer."""
    handler.send_response(status)
    for key, value in headers.items():
        handler.send_header(key, value)
    handler.end_headers()
    handler.wfile.write(body)


def endless(handler):
    """Send zeros as long as anybody listens."""
    send(handler, 200)
    while True:
        handler.wfile.write(bytes(65536))


def slow(handler):
    """Send a byte now and then."""
    send(handler, 200)
    while True:
        handler.wfile.write(b"\xff")
        time.sleep(0.05)


MANNERS = {
    "/photo.jpg": lambda handler: send(handler, 200, files["JPEG"]),
    "/page.jpg": lambda handler: send(handler, 200, b"<html></html>"),
    "/busy.jpg": lambda handler: send(handler, 429),
    "/endless.jpg": endless,
    "/slow.jpg": slow,
    "/circle.jpg": lambda handler: send(handler, 302, Location="/circle.jpg"),
    "/inward.jpg": lambda handler: send(handler, 302, Location=f"{inside}/secret"),
    "/secret": lambda handler: send(handler, 200, b"the database's password"),
}

# %% [markdown]
# Two servers run from here on: one *outside*, whom the stranger owns, and one *inside*,
# a machine of your own network. In this notebook both are your computer, on two ports.


# %%
# Start both servers
import contextlib
import threading


class Host(BaseHTTPRequestHandler):
    """Answers by the manner of the path that is asked for, and notes who was asked."""

    def do_GET(self):
        """Answer one request."""
        asked.append(self.server.server_port)
        manner = MANNERS.get(self.path, lambda handler: send(handler, 404))
        with contextlib.suppress(ConnectionError):  # the reader hung up
            manner(self)

    def log_message(self, *_):
        """Stay silent."""


def serve():
    """Start a server on any free port, and return the port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Host)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


asked, outside_port, inside_port = [], serve(), serve()
outside, inside = (f"http://127.0.0.1:{port}" for port in (outside_port, inside_port))

# %% [markdown]
# Now the program's side. Four habits:
#
# - the size is counted *while* the body arrives, for a host may lie about it;
# - a deadline covers all hops: a host that sends a byte now and then never trips a
#   time-out that begins anew with each byte;
# - redirects are followed by hand, a few at most, and **each** target is looked up and
#   checked (section 3);
# - what the body *is* decides, never its name or its content type.


# %%
# Fetch a photo's bytes, and trust nobody
def check_target(url, may_ask):
    """Raise ValueError unless every address of a host may be asked."""
    host, port = urlsplit(url).hostname, urlsplit(url).port or 80
    for *_, place in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        if not may_ask(place[0], port):
            raise ValueError(f"{place[0]} may not be asked")


def read(response, end, max_bytes):
    """Return the body, counted and timed while it arrives."""
    if response.status_code != 200:
        raise ValueError(f"answered {response.status_code}")
    body = b""
    for chunk in response.iter_bytes():
        body += chunk
        if len(body) > max_bytes or time.monotonic() > end:
            raise ValueError(f"too large or too slow: {len(body)} bytes")
    return body


# %%
# Follow redirects by hand, within one deadline
def fetch(url, may_ask, max_bytes=1_000_000, seconds=2.0, hops=5):
    """Return the bytes behind an address, or raise ValueError with the reason."""
    end = time.monotonic() + seconds
    try:
        with httpx.Client(trust_env=False) as client:
            for _ in range(hops + 1):
                left = end - time.monotonic()
                if left <= 0:
                    raise ValueError("too slow, with all its redirects")
                check_target(url, may_ask)
                with client.stream("GET", url, timeout=left) as response:
                    if not response.next_request:
                        return read(response, end, max_bytes)
                    url = str(response.next_request.url)
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        raise ValueError(f"no answer: {error}") from error
    raise ValueError(f"redirected more than {hops} times")


# %% [markdown]
# For now only the port tells outside from inside. What becomes of each manner? A page
# in place of a photo is a common case: servers say "please log in" with status 200, as
# if all were well.


# %%
# What becomes of each manner
def outside_only(address, port):
    """Return whether a machine may be asked: here, the outer server alone."""
    return port == outside_port


rows = []
for manner in ("photo", "page", "busy", "endless", "slow", "circle", "missing"):
    began = time.monotonic()
    try:
        body = fetch(f"{outside}/{manner}.jpg", outside_only)
        outcome = f"a photo, {prediction.load_image(body).size}"
    except (ValueError, prediction.ImageError) as error:
        outcome = str(error).partition(",")[0]
    rows.append([manner, outcome, f"{time.monotonic() - began:.1f}"])
show_table(("manner", "what comes of it", "seconds"), rows)

# %% [markdown]
# Every manner ends within two seconds or so, in one sentence. Three things `fetch`
# does not bound: the lookup of a name, what one compressed chunk unpacks to, and the
# *head* of an answer that drips byte by byte,
# where each byte begins the time-out anew. The package's `web.fetch_image_bytes`, which
# `load_image` calls, has the same habits (30 s, 20 MiB), works in a thread, and gives
# it up at the deadline, whatever it waits for.
#
# **So what:** bound time, size and redirects yourself; no host does it for you.

# %% [markdown]
# ## 3 · Where may a program be sent?
#
# This section shows the attack that the check of addresses is for. Visitors type an
# address, your server fetches it. It stands *inside* your network and may ask machines
# that a visitor cannot reach: a database, a router's settings, and, on some clouds, at
# `169.254.169.254` the credentials of your server's own cloud account. A visitor who
# sends it there gets what they say: **server-side request forgery**, SSRF.
#
# "I check the address that was typed" is not enough. Watch a public host point inward.

# %%
# The attack: the address typed is a public one
url = f"{outside}/inward.jpg"
asked.clear()
got = httpx.get(url, follow_redirects=True, trust_env=False).content
print(
    f"follow_redirects=True: {got}; the inner machine was asked: {inside_port in asked}"
)

asked.clear()
try:
    fetch(url, outside_only)
except ValueError as error:
    print(f"fetch: {error}; the inner machine was asked: {inside_port in asked}")

# %% [markdown]
# Which addresses are public? The library knows the reserved ranges. One address has
# many spellings, so check what the *lookup* returns, never the text.


# %%
# Which addresses may be asked?
def public_only(address, port):
    """Return whether an address belongs to the public internet."""
    return prediction.web.is_public(address)


examples = ("151.101.1.195", "10.0.0.1", "192.168.1.1", "169.254.169.254", "::1")
for address in examples:
    print(f"{address:16} public: {public_only(address, 80)}")
for name in ("127.0.0.1", "localhost", "2130706433"):
    try:
        fetch(f"http://{name}:{outside_port}/photo.jpg", public_only)
    except ValueError as error:
        print(f"{name:16} {error}")

# %% [markdown]
# `2130706433` is `127.0.0.1` written as one number. With `allow_private=True` you may
# ask your own machines yourself: you sit at the prompt and can reach them anyway.

# %% [markdown]
# `fetch` takes an address apart by one library and connects by another, and the two
# spell some foreign names differently; the package uses one for both. A second gap is
# left in both: the name is looked up once for the check and again for the connection.
# Its owner may answer "public" first and "private" then (*DNS rebinding*). A server for
# strangers must connect to the very address that it checked, or send all its requests
# through a proxy that can reach the public web only.
#
# **So what:** check the address that the lookup returns, at every hop, and refuse
# private ones; behind a public page, connect to what you checked.

# %% [markdown]
# ## Summary
#
# 1. *The file.* EXIF and 16 bits are misread by `convert`; transparency is a choice.
# 2. *The host.* Size and time are counted while the body arrives; the content decides.
# 3. *The address.* A redirect can lead inside: look up and check each hop.

# %% [markdown]
# ## References
#
# - OWASP, *Server-Side Request Forgery Prevention Cheat Sheet*,
#   <https://cheatsheetseries.owasp.org>.
# - The photo of the dahlia comes with scikit-learn; vultilion took it (Flickr, CC BY
#   2.0).
