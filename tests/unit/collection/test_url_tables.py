"""Tables of addresses: read in every form, fetched once, kept in the table's order."""

import csv
import json
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import pyarrow
import pytest
from pyarrow import parquet

from components.collection import collect
from components.collection.downloads import download
from components.collection.host_queue import GIVEN_UP_AFTER
from components.collection.url_tables import read_addresses
from spavl.errors import InputError
from spavl.images import ImageStore
from spavl.records import SetAside
from spavl.settings.collection import CollectionSettings
from spavl.shards import read_records
from tests.unit.collection.hostile import encoded, photo

ALLOWED = "127.0.0.2"
ADDRESSES = ["https://a.example/1.jpg", "https://b.example/2.jpg?x=1,2", "http://c.example/ü.png"]


@pytest.fixture(autouse=True)
def work_root(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("SPAVL_WORK_ROOT", str(tmp_path_factory.mktemp("work")))


def write_table(path, addresses, column="url"):
    rows = [
        {column: each, "TEXT": f'a "caption", {n}\n', "WIDTH": n}
        for n, each in enumerate(addresses)
    ]
    match path.suffix:
        case ".csv":
            with path.open("w", newline="") as stream:
                writer = csv.DictWriter(stream, list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)
        case ".jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        case ".parquet":
            parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


@pytest.mark.parametrize("column", ["url", "URL"])
@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_addresses_are_read_from_every_form_of_table(tmp_path, ending, column):
    table = write_table(tmp_path / f"table.{ending}", ADDRESSES, column)
    assert list(read_addresses(table)) == ADDRESSES


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("t.csv", b"address,text\nx,y\n", "column url missing"),
        ("t.csv", b'url\n"open\n', "not a CSV"),
        ("t.csv", b"url\n\xff\n", "not a CSV in UTF-8"),
        ("t.jsonl", b'{"url": "x"}\n[1]\n', r"t\.jsonl:2"),
        ("t.jsonl", b'{"text": "x"}\n{"text": "y"}\n', "column url missing"),
        ("t.csv", b"url\na\n" + b"x" * (2**24 + 1) + b"\n", r"t\.csv:3\): shorten"),
        ("t.jsonl", b"[" * 100_000 + b"\n", r"t\.jsonl:1"),
        ("t.jsonl", b'{"url": "' + b"x" * 2**21 + b'"}\n', r"t\.jsonl:1"),
        ("t.parquet", b"PAR1 but not really", "not a Parquet file"),
        ("t.txt", b"x", r"ends in \.csv, \.jsonl, \.parquet"),
    ],
)
def test_a_wrong_table_is_bad_input_that_names_the_place(tmp_path, name, content, told):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=told):
        list(read_addresses(tmp_path / name))


class Site:
    """A web site of pictures by number."""

    def __init__(self):
        self.asked = Counter()
        self.down = False
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                site.asked[self.path] += 1
                name = self.path.strip("/")
                found = name.isdigit() and not site.down
                self.send_response(200 if found else 503 if site.down else 404)
                self.send_header("Content-Type", "image/png")
                self.end_headers()
                if found:
                    self.wfile.write(encoded(photo(seed=int(name))))

            def log_message(self, *arguments):
                pass

        self.server = ThreadingHTTPServer((ALLOWED, 0), Handler)

    def url(self, name):
        return f"http://{ALLOWED}:{self.server.server_port}/{name}"


@contextmanager
def serving():
    site = Site()
    thread = Thread(target=site.server.serve_forever, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        site.server.shutdown()
        site.server.server_close()
        thread.join()


def settings(table, **changes):
    return {
        "pocket_pictures": 0,
        "threads": 1,
        "addresses": str(table),
        "fetch": {
            "allowed_networks": [f"{ALLOWED}/32"],
            "per_host": 8,
            "per_host_per_minute": 60_000,
            "max_attempts": 1,
        },
        **changes,
    }


def test_pictures_come_in_the_tables_order_and_the_others_with_their_reason(tmp_path):
    with serving() as site:
        addresses = [site.url(name) for name in ("3", "gone", "1", "3", "2")]
        addresses.insert(2, "http://127.0.0.1:9/x.png")
        addresses.append("")
        table = write_table(tmp_path / "table.parquet", addresses)
        collected = collect(settings(table), "", "")
        sources = [each.source for each in ImageStore(collected.uri).facts()]
        reasons = {
            row.record_id: row.reason
            for row in read_records(f"{collected.uri}/set_asides", SetAside)
        }
        assert sources == [site.url(name) for name in ("3", "1", "2")]
        assert reasons == {
            site.url("gone"): "turned down",
            "http://127.0.0.1:9/x.png": "address refused",
            site.url("3"): "duplicate",
            "(no address)": "bad address",
        }
        assert site.asked == {"/1": 1, "/2": 1, "/3": 1, "/gone": 1}


def test_what_was_fetched_is_not_asked_for_again_and_what_did_not_answer_is(tmp_path):
    with serving() as site:
        parsed = CollectionSettings.parse(settings("unused"), "collection")
        told = []
        download([site.url("1"), site.url("gone")], tmp_path, parsed, told.append)
        site.down = True
        download([site.url("1"), site.url("2")], tmp_path, parsed, told.append)
        site.down = False
        download([site.url(name) for name in ("1", "2", "gone")], tmp_path, parsed, told.append)
        assert site.asked == {"/1": 1, "/gone": 1, "/2": 2}
        assert told == [1, 2, 1, 2, 1, 2, 3]


@contextmanager
def tarpits():
    """Every address of 127/8 takes connections on this port; those of 127.1/16 never answer.

    Yields the port, and the hosts that were asked, in order.
    """
    asked, over = [], Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            host = self.connection.getsockname()[0]
            asked.append(host)
            if self.path.startswith("/busy"):
                self.send_error(503)
                return
            if self.path.startswith("/leads-to"):
                self.send_response(302)
                self.send_header("Location", f"http://127.1.9.9:{self.server.server_address[1]}/")
                self.end_headers()
                return
            if host.startswith("127.1."):
                over.wait(60)
                return
            self.send_response(200)
            self.send_header("Content-Type", "image/png")
            self.end_headers()
            self.wfile.write(encoded(photo(), "PNG"))

        def log_message(self, *_):
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 512  # a full one drops connections

    server = Server(("0.0.0.0", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1], asked
    over.set()
    server.shutdown()
    server.server_close()


def patient(**changes):
    fetch = {
        "allowed_networks": ["127.0.0.0/8"],
        "concurrency": 16,
        "timeout_seconds": 4,
        "per_host": 2,
        "per_host_per_minute": 60_000,
        "max_attempts": 1,
    }
    return CollectionSettings.parse({"fetch": {**fetch, **changes}}, "collection")


def test_silent_hosts_do_not_hold_up_the_others(tmp_path):
    """All of them stand before the pictures in the table."""
    with tarpits() as (port, asked):
        silent = [f"http://127.1.0.{n + 1}:{port}/" for n in range(80)]
        good = [f"http://127.2.0.{n % 5 + 1}:{port}/{n}" for n in range(60)]
        download([*silent, *good], tmp_path, patient(), lambda done: None)
        last = max(place for place, host in enumerate(asked) if host.startswith("127.2."))
        assert sum(host.startswith("127.2.") for host in asked) == len(good)
        assert last - len(good) < len(silent) // 2
        assert len(list(tmp_path.rglob("*.body"))) == len(good)


def test_a_host_that_never_answers_is_given_up_and_asked_again_another_time(tmp_path):
    with tarpits() as (port, asked):
        silent = [f"http://127.1.0.1:{port}/{n}" for n in range(60)]
        download(silent, tmp_path, patient(), lambda done: None)
        assert GIVEN_UP_AFTER <= len(asked) < GIVEN_UP_AFTER + 2
        told = [json.loads(path.read_text()) for path in tmp_path.rglob("*.why")]
        assert len(told) == len(silent)
        assert {reason for reason, _ in told} == {"too slow", "no answer"}
        before = len(asked)
        download(silent, tmp_path, patient(), lambda done: None)
        assert len(asked) > before


@pytest.mark.parametrize("path", ["busy", "leads-to"])
def test_a_host_that_says_something_is_not_given_up(tmp_path, path):
    """It is busy for every other picture, or leads on to a host that never answers."""
    with tarpits() as (port, asked):
        addresses = [f"http://127.2.0.1:{port}/{path}{n}" for n in range(12)]
        addresses += [f"http://127.2.0.1:{port}/{n}" for n in range(12)]
        download(addresses, tmp_path, patient(per_host=4), lambda done: None)
        assert asked.count("127.2.0.1") == len(addresses)
        assert len(list(tmp_path.rglob("*.body"))) == 12


def test_a_table_of_nothing_usable_is_bad_input_that_says_why(tmp_path):
    table = write_table(tmp_path / "table.csv", ["http://127.0.0.1:9/a.png", "ftp://x/b.png"])
    with pytest.raises(InputError, match="1 set aside: address refused, 1 set aside: bad address"):
        collect(settings(table), "", "")


def test_a_table_that_is_wrong_further_down_is_one_clear_error(tmp_path):
    (tmp_path / "t.jsonl").write_text('{"url": "ftp://x/"}\nno json\n')
    with pytest.raises(InputError, match=r"t\.jsonl:2"):
        collect(settings(tmp_path / "t.jsonl"), "", "")
    parsed = CollectionSettings.parse(settings("unused"), "collection")
    with pytest.raises(InputError, match=r"t\.jsonl:2"):
        download(read_addresses(tmp_path / "t.jsonl"), tmp_path, parsed, lambda done: None)


def test_networks_that_are_none_are_refused():
    with pytest.raises(InputError, match=r"collection\.fetch\.allowed_networks"):
        CollectionSettings.parse({"fetch": {"allowed_networks": ["localhost"]}}, "collection")


@pytest.mark.parametrize(
    "row",
    ['{"url": NaN}', '{"url": 1e999}', '{"url": 7}', '{"url": null}', '{"url": ["x"]}', "{}",
     '{"text": "no address"}', '{"url": {"a": 1}}', '{"url": true}'],
)  # fmt: skip
def test_a_row_without_address_is_an_empty_one_among_others(tmp_path, row):
    table = tmp_path / "t.jsonl"
    table.write_text(f'{{"url": "http://h/a"}}\n{row}\n{{"url": "http://h/b"}}\n')
    assert list(read_addresses(table)) == ["http://h/a", "", "http://h/b"]


@pytest.mark.parametrize("kind", ["string", "large_string", "string_view", "dictionary"])
def test_cells_that_are_no_utf_8_are_marked_and_their_neighbours_whole(tmp_path, kind):
    import pyarrow
    from pyarrow import parquet

    cells = pyarrow.array([b"http://h/a", b"http://h/\xff\xfe", None], pyarrow.binary())
    text = pyarrow.Array.from_buffers(pyarrow.string(), 3, cells.buffers(), cells.null_count)
    column = text.dictionary_encode() if kind == "dictionary" else text
    if kind == "large_string":
        wide = cells.cast(pyarrow.large_binary())
        column = pyarrow.Array.from_buffers(pyarrow.large_string(), 3, wide.buffers(), 1)
    if kind == "string_view":
        view = cells.cast(pyarrow.binary_view())
        column = pyarrow.Array.from_buffers(pyarrow.string_view(), 3, view.buffers(), 1)
    parquet.write_table(pyarrow.table({"url": column}), tmp_path / "t.parquet")
    marked = "http://h/\ufffd\ufffd"
    assert list(read_addresses(tmp_path / "t.parquet")) == ["http://h/a", marked, ""]


def test_a_long_field_is_read(tmp_path):
    (tmp_path / "t.csv").write_text("url\ndata:" + "x" * 200_000 + "\nhttp://h/a\n")
    assert list(read_addresses(tmp_path / "t.csv"))[1] == "http://h/a"
